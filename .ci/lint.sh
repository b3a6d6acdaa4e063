#!/usr/bin/env bash
# What swift format does not look at: unsafety without a reason beside it, files and types that grew too long, references
# that do not resolve, words of a private vocabulary, suites that are not among their like, a manual that
# is not as the README, shell scripts.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0
fail() {
    echo "error: $*" >&2
    failed=1
}

echo "unchecked concurrency, each with its reason:"
while IFS= read -r line; do
    if [[ $line =~ //[[:space:]]*[^[:space:]] ]]; then
        echo "  $line"
    else
        fail "no reason on the same line: $line"
    fi
done < <(grep -rnE '@unchecked Sendable|nonisolated\(unsafe\)' --include='*.swift' Sources Tests || true)

# Lines of a type: Type.swift and Type+Aspect.swift of a module together.
longest=600
while read -r lines type; do
    if [[ $lines -le $longest ]]; then continue; fi
    fail "$type has $lines lines over all its files, $longest are the most: split it by its jobs"
done < <(find Sources Tests -name '*.swift' -exec wc -l {} + | awk '
    $2 != "total" {
        count = split($2, part, "/")
        sub(/(\+.*)?\.swift$/, "", part[count])
        lines[part[1] "/" part[2] "/" part[count]] += $1
    }
    END { for (type in lines) print lines[type], type }')

# 'After' says what 'behind' was used for, 'is' what 'stands', 'report' and 'say' what 'tell'. The number only goes down.
most=20
words='[Bb]ehind|[Ss]tands?|standing|stood|[Tt]ells?|told|telling|untold'
count=$({ grep -rEoh --include='*.swift' '//.*' Sources Tests; grep -rEh --include='*.bash' '^ *#' Tests; } |
    grep -cEw "$words" || true)
echo "comments with behind, stand or tell: $count of at most $most"
[[ $count -le $most ]] || fail "$count comments with one of these words, there were $most: write after, is, report"

.ci/suites_test.py 2>&1 | tail -n 1 || failed=1
.ci/suites.py || failed=1

# What a DBA looks up in either: the rights, and the exit codes.
manual=packaging/man/df2redis.1
while IFS= read -r rights; do
    grep -qF -- "${rights//-/\\-}" $manual || fail "$manual lacks what README.md says of rights: $rights"
done < <(grep '^ACL SETUSER' README.md)
diff <(sed -n '/^## Exit status/,/^## /s/^| \([0-9]*\) |.*/\1/p' README.md) \
    <(sed -n '/^\.SH EXIT STATUS/,/^\.SH ENV/s/^\.B \([0-9]*\)$/\1/p' $manual) ||
    fail "README.md and $manual have other exit codes (above)"

.ci/references_test.py 2>&1 | tail -n 1 || failed=1
.ci/references.py || failed=1

mapfile -t shell < <(git ls-files -co --exclude-standard | while IFS= read -r file; do
    if [[ -f $file ]] && head -c 64 "$file" | head -n 1 | grep -aqE '^#!.*\b(ba|da)?sh$'; then echo "$file"; fi
done)
shellcheck -x "${shell[@]}" || failed=1

exit "$failed"

#!/usr/bin/env bash
# What swift format does not look at: unsafety without a reason beside it, files that grew too long, shell scripts.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0

echo "unchecked concurrency, each with its reason:"
while IFS= read -r line; do
    if [[ $line =~ //[[:space:]]*[^[:space:]] ]]; then
        echo "  $line"
    else
        echo "error: no reason on the same line: $line" >&2
        failed=1
    fi
done < <(grep -rnE '@unchecked Sendable|nonisolated\(unsafe\)' --include='*.swift' Sources Tests || true)

while read -r lines file; do
    if [[ $file != total && $lines -gt 600 ]]; then
        echo "error: $file has $lines lines, 600 are the most" >&2
        failed=1
    fi
done < <(find Sources Tests -name '*.swift' -exec wc -l {} +)

mapfile -t shell < <(git ls-files -co --exclude-standard | while IFS= read -r file; do
    if [[ -f $file ]] && head -c 64 "$file" | head -n 1 | grep -aqE '^#!.*\b(ba|da)?sh$'; then echo "$file"; fi
done)
shellcheck -x "${shell[@]}" || failed=1

exit "$failed"

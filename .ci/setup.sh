#!/usr/bin/env bash
# Installs the Debian packages that are missing: those the project needs, and those named as arguments.
# Does nothing, and asks for no rights, when all are there.
set -euo pipefail

packages=(pkg-config libsystemd-dev liblz4-dev libzstd-dev libssl-dev openssl redis-server redis-tools systemd-container
    shellcheck python3 curl "$@")

missing_packages() {
    local package
    for package in "${packages[@]}"; do
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
    done
}

command -v swift >/dev/null || {
    echo "setup: no swift on the PATH; install Swift 6.2 or later from https://www.swift.org/install/linux/" >&2
    exit 1
}
mapfile -t missing < <(missing_packages)
[[ ${#missing[@]} -eq 0 ]] && exit 0

command -v apt-get >/dev/null || {
    echo "setup: no apt-get here; install with your own means: ${missing[*]}" >&2
    exit 1
}
as_root=(env DEBIAN_FRONTEND=noninteractive)
if [[ $EUID -ne 0 ]]; then
    command -v sudo >/dev/null || {
        echo "setup: run as root, or install with your own means: ${missing[*]}" >&2
        exit 1
    }
    as_root=(sudo "${as_root[@]}")
fi
apt_get() { "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -qq -y "$@"; }

# Debian starts a server as soon as it is installed. Ours come and go with the tests, on ports of their own.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
fi

echo "setup: installing ${missing[*]}"
apt_get update
if ! apt_get install --no-install-recommends "${missing[@]}"; then
    # An upgrade that stopped half-way leaves packages that nothing else can be installed beside.
    "${as_root[@]}" dpkg --configure -a || true
    apt_get --fix-broken install
    apt_get install --no-install-recommends "${missing[@]}"
fi

# Nor at the next boot, if it is we who brought it. Of prometheus only promtool is wanted.
for server in redis-server prometheus; do
    if [[ " ${missing[*]} " == *" $server "* ]] && command -v systemctl >/dev/null; then
        "${as_root[@]}" systemctl --quiet disable "$server.service" 2>/dev/null || true
    fi
done

mapfile -t missing < <(missing_packages)
[[ ${#missing[@]} -eq 0 ]] || {
    echo "setup: still missing: ${missing[*]}" >&2
    exit 1
}

#!/usr/bin/env bash
# The tests of Tests/Booted, one after the other: .ci/booted.sh DEBUG_BINARIES TEST...
#
# For root on a machine that can boot a systemd in a container; elsewhere it says 'skipped' and succeeds. A test that
# takes longer than it may is ended and has failed.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit

binaries=${1:?usage: $0 DEBUG_BINARIES TEST...}
shift
skip() {
    echo "booted tests skipped: $*"
    exit 0
}

[[ $EUID -eq 0 ]] || skip "not root"
command -v systemd-nspawn >/dev/null || skip "no systemd-nspawn"
(
    # shellcheck source=Tests/Booted/booted.bash
    source Tests/Booted/booted.bash
    trap booted_stop EXIT
    # shellcheck disable=SC2119  # its arguments are for systemd-nspawn
    booted_start
) >/dev/null 2>&1 || skip "no container can be booted here"

failed=0
for name in "$@"; do
    case $name in
    units) command=(Tests/Booted/units.bash "$binaries/df2redis") ;;
    kill) command=(Tests/Booted/kill.bash "$binaries" "${BOOTED_KILLS:-20}") ;;
    network)
        command -v nft >/dev/null || { echo "== network skipped: no nft"; continue; }
        command=(Tests/Booted/network.bash "$binaries")
        ;;
    *) command=("Tests/Booted/$name.bash" "$binaries") ;;
    esac
    echo "== booted: $name"
    timeout --kill-after=30 600 "${command[@]}" || failed=1
done
exit "$failed"

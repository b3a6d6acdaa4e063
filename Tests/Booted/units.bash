#!/bin/bash
# Installs a build into a booted systemd and checks what systemd makes of the units: Tests/Booted/units.bash BINARY
#
# Needs no server: the units are valid and confined, files have their owners, the catalog is known, and a task with a
# wrong configuration fails at once, with the reason in the journal and without a restart.
set -u -o pipefail
# shellcheck source=Tests/Booted/booted.bash
source "$(dirname "$0")/booted.bash"

binary=${1:?usage: $0 BINARY}
failures=0

# check WHAT EXPECTED FOUND
check() {
    if [ "$2" = "$3" ]; then
        echo "ok: $1"
    else
        printf 'FAILED: %s\n  expected: %s\n  found:    %s\n' "$1" "$2" "$3"
        failures=$((failures + 1))
    fi
}

trap booted_stop EXIT
# shellcheck disable=SC2119  # its arguments are for systemd-nspawn
booted_start || exit 1
booted_install "$binary" >/dev/null 2>&1 || { echo "the installation failed"; exit 1; }

check "systemd-analyze verify says nothing" "" \
    "$(booted_run systemd-analyze verify df2redis@prod.service df2redis.target df2redis-monitor@prod.service \
        df2redis-health@prod.service df2redis-health@prod.timer 2>&1)"
check "what Grafana and Prometheus read is installed" "df2redis.json df2redis.rules.yml" \
    "$(booted_run find /usr/share/df2redis -type f -printf '%f\n' | sort | xargs)"
exposure=$(booted_run systemd-analyze security --no-pager df2redis@prod |
    sed -n 's/.*exposure level.*: \([0-9.]*\) .*/\1/p')
check "the exposure of $exposure is at most 2.0" yes \
    "$(awk -v level="${exposure:-10}" 'BEGIN { print level <= 2.0 ? "yes" : "no" }')"
check "the boot id is passed on, which the sandbox hides" \
    "DF2REDIS_BOOT_ID=$(booted_run cat /proc/sys/kernel/random/boot_id | tr -d '-')" \
    "$(booted_run systemctl show --property=Environment --value df2redis@prod | tr ' ' '\n' | grep BOOT_ID)"
check "configurations are for root and the daemon only" "drwxr-x--- root:df2redis" \
    "$(booted_run stat -c '%A %U:%G' /etc/df2redis)"
check "the catalog explains all events" \
    "$(grep -c '^-- [0-9a-f]' "$(dirname "$0")/../../systemd/df2redis.catalog")" \
    "$(booted_run journalctl --list-catalog 2>/dev/null | grep -c ' df2redis: ')"
check "the manual is found" 0 "$(booted_run man -w df2redis df2redis.yaml >/dev/null 2>&1; echo $?)"

check "a task without a configuration does not start" 1 \
    "$(booted_run systemctl start df2redis@none >/dev/null 2>&1; echo $?)"
check "it exits with 78 and is not restarted" "exit-code 78 0" \
    "$(for property in Result ExecMainStatus NRestarts; do
        booted_run systemctl show df2redis@none --value -p "$property"
    done | xargs)"
check "the journal says why" yes \
    "$(booted_journal df2redis@none | grep 'none\.yaml' >/dev/null && echo yes || echo no)"  # no -q: it breaks the pipe
check "a task's state directory is its own" "drwx------ df2redis:df2redis" \
    "$(booted_run stat -c '%A %U:%G' /var/lib/df2redis/none)"

if [ "$failures" -gt 0 ]; then
    echo "$failures failed"
    exit 1
fi

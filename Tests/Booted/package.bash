#!/bin/bash
# The Debian package with a task at work: Tests/Booted/package.bash BINARIES
#
# BINARIES is the folder of dragonfly-sim and df2redis-lab; what is packaged is the release build. The commands are those of
# the README's section 'Run it as a service', line by line: installation, a task, an upgrade while it runs, removal, purge.
# shellcheck disable=SC2317,SC2016  # functions are called by name; what is quoted is for dpkg-query and sed
set -u -o pipefail
# shellcheck source=Tests/Booted/booted.bash
source "$(dirname "$0")/booted.bash"
# shellcheck source=Tests/Booted/scene.bash
source "$(dirname "$0")/scene.bash"

scene_binaries "${1:?usage: $0 BINARIES}"
repository=$(cd "$(dirname "$0")/../.." && pwd)
unit=df2redis@prod
monitor=df2redis-monitor@prod
health=df2redis-health@prod.timer

trap 'rm -rf -- "$folder"; booted_stop' EXIT
folder=$(mktemp -d "${TMPDIR:-/tmp}/df2redis-package.XXXXXX")
package=$("$repository/packaging/deb.sh" "${RELEASE_BINARY:-$repository/.build/release/df2redis}" "$folder/new" \
    2>"$folder/deb.log" | tail -n 1)
[ -e "$package" ] || { cat "$folder/deb.log"; exit 1; }
check "lintian finds no error and no warning" "" "$(lintian "$package" 2>&1 | grep '^[EW]:')"
version=$(dpkg-deb -f "$package" Version)
# The same package with the version of an older release, to be upgraded.
dpkg-deb -R "$package" "$folder/tree" && sed -i 's/^Version: .*/Version: 0.0.1/' "$folder/tree/DEBIAN/control" || exit 1
mkdir "$folder/old" && dpkg-deb --root-owner-group -Zgzip -z1 -b "$folder/tree" "$folder/old/df2redis_0.0.1.deb" >/dev/null || exit 1

# shellcheck disable=SC2119  # its arguments are for systemd-nspawn
booted_start || exit 1
install -D -t "$BOOTED_ROOT/usr/local/bin" "$SCENE_BINARIES/dragonfly-sim" "$SCENE_BINARIES/df2redis-lab"
unset DRAGONFLY_BIN
scene_target 6380
scene_source 6379 4 2000
scene_capture 6379
offer() { rm -rf "$BOOTED_ROOT/srv/dist" && mkdir -p "$BOOTED_ROOT/srv/dist" && cp "$1" "$BOOTED_ROOT/srv/dist"; }
offer "$folder/old/df2redis_0.0.1.deb"

installed() { booted_run dpkg-query -W -f '${db:Status-Status} ${Version}' df2redis 2>/dev/null; }
# A whole number of the status file: figure KEY
figure() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" "$BOOTED_ROOT/var/lib/df2redis/prod/prod.status.json"; }
left_in_order() {
    check "$1: it left in order" "$2" "$(scene_events "$unit" left)"
    check "$1: with the source's FIN on every flow" "" "$(scene_messages "$unit" | grep 'closed without')"
    check "$1: without a restart by systemd" 0 "$(scene_property "$unit" NRestarts)"
}

# What must hold after each line of the README, by the line's number.
behind_1() {
    check "the package is installed" "installed 0.0.1" "$(installed)"
    check "the target of all tasks is active and enabled" "active enabled" \
        "$(booted_run systemctl is-active df2redis.target) $(booted_run systemctl is-enabled df2redis.target)"
    check "no task runs" "" "$(booted_run systemctl list-units --no-legend 'df2redis@*')"
    check "configurations are for root and the daemon only" "drwxr-x--- root:df2redis" \
        "$(booted_run stat -c '%A %U:%G' /etc/df2redis)"
    check "the manual is found" 0 "$(booted_run man -w df2redis df2redis.yaml >/dev/null 2>&1; echo $?)"
}
behind_4() { check "the configuration is good" OK "$(tail -n 1 <<<"$output")"; }
behind_5() {
    check "the synchronization has begun" yes "$(scene_status "$unit" | scene_has '^(full sync|stable)')"
    scene_wait 30 scene_is_stable "$unit" || scene_journal "$unit"
}
behind_6() {
    check "phase, keys, lag and target are shown" yes "$(scene_has \
        'Status: "stable: [0-9]+ keys at the target, [0-9]+ records applied, lag (about )?[0-9]+ records, [0-9.]+ s, 4 flows, .* to 127.0.0.1:6380"' \
        <<<"$output")"
}
behind_7() { check "the journal begins with the start" yes "$(head -n 3 <<<"$output" | scene_has 'df2redis [0-9.]* replicate: 127.0.0.1:6379')"; }
behind_8() { check "records of one flow are found" "" "$(grep -v 'flow=3' <<<"$output")$([ -n "$output" ] || echo none)"; }
behind_9() { check "events are explained" yes "$(scene_has 'Subject: df2redis@prod.service follows its source' <<<"$output")"; }
behind_10() { check "the figures are there" yes "$(scene_has '"phase":"stable".*"lagSeconds":[0-9.]+.*"acknowledgedLSN":' <<<"$output")"; }
behind_11() {
    left_in_order restart 1
    check "restart: it went on at its checkpoint" 1 "$(scene_events "$unit" fullSyncBegun)"
    scene_wait 30 scene_is_stable "$unit"
}
before_12() {
    offer "$package"
    process=$(scene_property "$unit" MainPID)
    scene_task idle 6379 6380
    booted_run systemctl enable --quiet --now "$monitor" "$health"
    watcher=$(scene_property "$monitor" MainPID)
}
behind_12() {
    check "upgrade: the new version is installed" "installed $version" "$(installed)"
    scene_wait 30 scene_is_stable "$unit"
    check "upgrade: the task runs in a new process" yes \
        "$([ "$(scene_property "$unit" MainPID)" != "$process" ] && scene_is "$unit" ActiveState active && echo yes)"
    left_in_order upgrade 2
    check "upgrade: it went on at its checkpoint" 1 "$(scene_events "$unit" fullSyncBegun)"
    check "upgrade: a task that did not run does not run now" inactive "$(scene_property df2redis@idle ActiveState)"
    check "upgrade: the monitor runs in a new process" yes \
        "$([ "$(scene_property "$monitor" MainPID)" != "$watcher" ] && scene_is "$monitor" ActiveState active && echo yes)"
    check "upgrade: the health checks go on" active "$(booted_run systemctl is-active "$health")"
    scene_stop_writers
    check "upgrade: source and target are equal" yes "$(scene_equal 6379 6380 60)"
    check "upgrade: everything is acknowledged and nothing lags" "" "$(scene_wait 10 no_lag 2>&1)"
}
no_lag() { [ "$(figure lagRecords)$(figure lagBytes)" = 00 ]; }
behind_13() { left_in_order stop 3; }
before_14() {
    booted_run systemctl stop df2redis.target
    check "stop of the target: monitor and health checks stop too" "inactive inactive" \
        "$(booted_run systemctl is-active "$monitor" "$health" | xargs)"
    # Enabled units start with it: the task, its monitor, its health checks.
    booted_run systemctl start df2redis.target
    check "start of the target: monitor and health checks start too" "active active" \
        "$(booted_run systemctl is-active "$monitor" "$health" | xargs)"
    scene_wait 30 scene_is_stable "$unit"
}
behind_14() {
    check "removal: the program is gone, the configurations stay" "no yes" \
        "$([ -e "$BOOTED_ROOT/usr/bin/df2redis" ] && echo yes || echo no) $([ -e "$BOOTED_ROOT/etc/df2redis/prod.yaml" ] && echo yes)"
    check "removal: no task, monitor or health check runs, and none has failed" "" \
        "$(booted_run systemctl list-units --no-legend --state=active,activating,failed 'df2redis*')"
    left_in_order removal 4
    check "removal: the state stays" yes "$([ -e "$BOOTED_ROOT/var/lib/df2redis/prod" ] && echo yes)"
}
behind_15() {
    check "purge: the state is gone, the configuration stays" "no yes" \
        "$([ -e "$BOOTED_ROOT/var/lib/df2redis" ] && echo yes || echo no) $([ -e "$BOOTED_ROOT/etc/df2redis/prod.yaml" ] && echo yes)"
    check "purge: no unit is left" "" "$(booted_run systemctl list-unit-files --no-legend 'df2redis*')"
    check "purge: no link of an enabled unit is left" "" "$(booted_run find /etc/systemd/system -name '*df2redis*')"
    check "purge: nothing of the package is left" "" "$(installed)"
}

number=0
while IFS= read -r line; do
    number=$((number + 1))
    line=$(sed 's/ *#.*//; s/^sudo //' <<<"$line")
    # An editor needs an operator; the example's addresses are already those of the servers here.
    case $line in editor\ *) line="test -w ${line#* }" ;; esac
    if declare -F "before_$number" >/dev/null; then "before_$number"; fi
    output=$(booted_run bash -c "cd /srv && $line" 2>&1 <<<y)
    check "README, line $number: $line" 0 $?
    [ "$SCENE_FAILURES" -eq 0 ] || echo "$output"
    if declare -F "behind_$number" >/dev/null; then "behind_$number"; fi
done < <(sed -n '/^## Run it as a service/,/^## /p' "$repository/README.md" | sed -n '/^```sh/,/^```/{/^```/!p}')
check "the README has as many lines as are known here" 15 "$number"

check "no reset was sent" "" "$(scene_resets)"
check "the source saw nothing that it should not" "" "$(scene_violations)"
scene_end

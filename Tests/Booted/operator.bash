#!/bin/bash
# The operator's commands on a booted systemd: Tests/Booted/operator.bash BINARIES
#
# BINARIES is the folder of df2redis, dragonfly-sim and df2redis-lab. The task's socket is for its group, the page is open in
# the sandbox, the monitor reads the journal and raises an alert once, the health timer restarts a task that hangs and none
# that waits for its target, and a cut-over leaves the unit stopped.
# shellcheck disable=SC2317  # functions are called by name
set -u -o pipefail
# shellcheck source=Tests/Booted/booted.bash
source "$(dirname "$0")/booted.bash"
# shellcheck source=Tests/Booted/scene.bash
source "$(dirname "$0")/scene.bash"

scene_binaries "${1:?usage: $0 BINARIES}"
unit=df2redis@prod
health=df2redis-health@prod
monitor=df2redis-monitor@prod

trap booted_stop EXIT
# shellcheck disable=SC2119  # its arguments are for systemd-nspawn
booted_start || exit 1
scene_install || exit 1
scene_target 6380
scene_source 6379 2 500
scene_task prod 6379 6380 'monitor:' '  intervalSeconds: 0.5' '  quietSeconds: 2' '  log: journal:dragonfly'
# Only the health check is to find the task that hangs.
scene_drop_in $unit watchdog '[Service]' 'WatchdogSec=0'
booted_run systemctl start $unit || { scene_journal $unit; exit 1; }
scene_wait 30 scene_is_stable $unit || { scene_journal $unit; exit 1; }
as() {
    local groups=$1
    shift
    booted_run setpriv --reuid=nobody --regid=nogroup --groups="$groups" "$@"
}

# The socket and the page.
check "the socket is for the group" "srw-rw---- df2redis:df2redis" \
    "$(booted_run stat -c '%A %U:%G' /run/df2redis/prod/control.sock)"
check "root sees the task" yes "$(booted_run df2redis status prod | scene_has '^prod +stable')"
check "so does a user of the group" yes "$(as df2redis df2redis status prod | scene_has '^prod +stable')"
check "another user is refused, and told why" yes \
    "$(as nogroup df2redis status prod 2>&1 | scene_has 'in the group df2redis')"
check "the page answers in the sandbox" yes \
    "$(booted_run bash -c 'exec 3<>/dev/tcp/127.0.0.1/7777 && printf "GET /health HTTP/1.0\r\n\r\n" >&3 && cat <&3' |
        scene_has '"status":"ok"')"

# The monitor.
# shellcheck disable=SC2016  # for the shell inside
booted_run systemd-run --quiet --unit=dragonfly bash -c \
    'while sleep 0.5; do [ ! -e /run/say ] || echo "W1 Waiting for inflight bytes 7"; done'
booted_run systemctl start $monitor || { scene_journal $monitor; exit 1; }
check "the monitor says that the source is well" yes "$(scene_status $monitor | scene_has 'the source is well')"
# Its journalctl has to have begun.
sleep 1
booted_run touch /run/say
raised() { [ "$(scene_events "$monitor" alertRaised)" -ge 1 ]; }
cleared() { [ "$(scene_events "$monitor" alertCleared)" -ge 1 ]; }
scene_wait 20 raised || { scene_journal $monitor; exit 1; }
sleep 2
booted_run rm /run/say
scene_wait 20 cleared || { scene_journal $monitor; exit 1; }
check "an alert is raised once and cleared once" "1 1" \
    "$(scene_events $monitor alertRaised) $(scene_events $monitor alertCleared)"
check "its record says what the source's log says" yes \
    "$(scene_messages $monitor | scene_has 'the source.s log says: W1 Waiting for inflight bytes 7')"
booted_run systemctl stop $monitor
check "the monitor stops in order" success "$(scene_property $monitor Result)"

# The health check.
process=$(scene_property $unit MainPID)
booted_run systemctl stop target-6380
scene_wait 20 scene_says $unit 'what arrives is kept meanwhile'
booted_run systemctl start $health.service
check "a task that waits for its target is left alone" "success $process" \
    "$(scene_property $health.service Result) $(scene_property $unit MainPID)"
scene_target 6380
scene_wait 30 scene_is_stable $unit || { scene_journal $unit; exit 1; }
scene_capture 6379
process=$(scene_property $unit MainPID)
booted_run systemctl kill --signal=STOP $unit
booted_run systemctl start $health.timer
restarted() { [ "$(scene_property "$unit" MainPID)" != "$process" ] && scene_is_stable "$unit"; }
scene_wait 120 restarted || { scene_journal $unit; scene_journal $health.service; exit 1; }
booted_run systemctl stop $health.timer
check "a task that hangs is restarted" yes "$(scene_messages $health.service | scene_has 'prod: restarted')"
check "in order: by SIGTERM" yes "$(scene_messages $unit | scene_has 'left in')"
check "no reset went to the source" "" "$(scene_resets)"
booted_run systemctl stop $health.service

# The cut-over.
scene_wait 30 booted_run df2redis cutover prod --dry-run
output=$(booted_run df2redis cutover prod 2>&1)
check "the cut-over is done" 0 $?
check "it says how long writers waited" yes "$(scene_has '^writers waited [0-9.]+ s' <<<"$output")"
check "it says where to point clients" yes "$(scene_has '^point clients to 127.0.0.1:6380 now' <<<"$output")"
check "it says how the task stays stopped" yes "$(scene_has "systemctl disable $unit.service" <<<"$output")"
sleep 2
check "the unit is inactive, and is not restarted" "inactive success" \
    "$(scene_property $unit ActiveState) $(scene_property $unit Result)"
booted_run systemctl start $health.service
check "the health check starts nothing that was stopped" inactive "$(scene_property $unit ActiveState)"
scene_stop_writers
check "the source saw nothing wrong" "" "$(scene_violations)"
scene_end

#!/bin/bash
# Distinguishes a target that hangs from a daemon that hangs: Tests/Booted/watchdog.bash BINARIES
#
# BINARIES is the folder of a debug build of df2redis, dragonfly-sim and df2redis-lab: what hangs is made to by
# DF2REDIS_DEBUG_HANG, which a release build does not know. The daemon must outlive a target that is stopped for
# longer than WatchdogSec=; one of its own parts that hangs must get it killed, and its successor leaves FIN first.
set -u -o pipefail
# shellcheck source=Tests/Booted/booted.bash
source "$(dirname "$0")/booted.bash"
# shellcheck source=Tests/Booted/scene.bash
source "$(dirname "$0")/scene.bash"

scene_binaries "${1:?usage: $0 BINARIES}"
unit=df2redis@prod

trap booted_stop EXIT
# shellcheck disable=SC2119  # its arguments are for systemd-nspawn
booted_start || exit 1
scene_install || exit 1
scene_target 6380
scene_source 6379 2 2000
scene_task prod 6379 6380 'log:' '  lagHighSeconds: 4'
scene_edit prod 's/^target:/target:\n  silentSeconds: 6/'
scene_capture 6379
scene_drop_in $unit watchdog '[Service]' 'WatchdogSec=6s'

booted_run systemctl start $unit || { scene_journal $unit; exit 1; }
scene_wait 30 scene_is_stable $unit || { scene_journal $unit; exit 1; }
check "the watchdog waits for 6 s" 6s "$(scene_property $unit WatchdogUSec)"
process=$(scene_property $unit MainPID)

# shellcheck disable=SC2317  # called by name
says_silent() {
    [[ $(scene_status "$unit") =~ target\ silent\ for\ ([0-9]+)\ s ]] && [ "${BASH_REMATCH[1]}" -ge "$1" ]
}
booted_run systemctl kill --signal=STOP target-6380
scene_wait 40 says_silent 14 || { scene_journal $unit; exit 1; }
check "the status tells phase, keys, lag and the silent target" yes "$(scene_status $unit | scene_has \
    '^stable: [0-9]+ keys at the target, [0-9]+ records applied, lag (about )?[1-9][0-9]* records, 1[4-9]\.[0-9] s, 2 flows, .*; target silent for ')"
check "the daemon outlives a target that is silent for 14 s" "$process 0" \
    "$(scene_property $unit MainPID) $(scene_property $unit NRestarts)"
booted_run systemctl kill --signal=CONT target-6380
scene_wait 20 scene_says $unit 'the target is back'
scene_wait 20 scene_says $unit 'no longer high'
check "the silent target was told once" 1 "$(scene_events $unit targetLost)"
check "so was the high lag" 1 "$(scene_events $unit lagHigh)"
check "and that it is over" 1 "$(scene_events $unit lagNormal)"

restarts=0
# hangs PART NAME: makes a part of the daemon hang, which its log calls NAME
hangs() {
    local part=$1 name=$2
    booted_run systemctl stop $unit
    scene_drop_in $unit hang '[Service]' "Environment=DF2REDIS_DEBUG_HANG=$part:6"
    booted_run systemctl start $unit || { scene_journal $unit; exit 1; }
    # For this process only: its successor is to live.
    scene_drop_in $unit hang
    scene_wait 30 scene_is_stable $unit || { scene_journal $unit; exit 1; }
    restarts=$((restarts + 1))
    scene_wait 30 scene_is $unit NRestarts 1 || { scene_journal $unit; exit 1; }
    check "$part: the log names what hangs" yes \
        "$(scene_messages $unit | scene_has "$name has not run for")"
    check "$part: the watchdog has killed the daemon" "$restarts" \
        "$(booted_run journalctl -u $unit | grep -c 'Watchdog timeout (limit 6s)')"
    scene_wait 30 scene_is_stable $unit || { scene_journal $unit; exit 1; }
    check "$part: its successor has left for it" "$restarts" \
        "$(scene_messages $unit | grep -c 'the previous process was killed')"
}
hangs applier 'the applier of flow 0'
hangs reader 'the reader of flow 0'
hangs coordinator 'the coordinator'

check "one full synchronization was enough" 1 "$(scene_events $unit fullSyncBegun)"
scene_stop_writers
check "source and target are equal" yes "$(scene_equal 6379 6380 60)"
check "systemctl stop leaves in order" 0 "$(booted_run systemctl stop $unit; echo $?)"
check "no connection was closed without the source's FIN" "" \
    "$(scene_messages $unit | grep "without the source's FIN")"
check "no reset was sent" "" "$(scene_resets)"
check "the source saw nothing that it should not" "" "$(scene_violations)"
scene_end

#!/bin/bash
# Kills a daemon under load, again and again: Tests/Booted/kill.bash BINARIES [KILLS]
#
# BINARIES is the folder of df2redis, dragonfly-sim and df2redis-lab. The flows' sockets are in systemd's file
# descriptor store, so that the source sees no reset: the next process takes them back and leaves FIN first. With
# DRAGONFLY_BIN the source is a real Dragonfly. Then the unit is made to give up, and what the source sees is reported.
set -u -o pipefail
# shellcheck source=Tests/Booted/booted.bash
source "$(dirname "$0")/booted.bash"
# shellcheck source=Tests/Booted/scene.bash
source "$(dirname "$0")/scene.bash"

scene_binaries "${1:?usage: $0 BINARIES [KILLS]}"
kills=${2:-20}
unit=df2redis@prod

trap booted_stop EXIT
# shellcheck disable=SC2119  # its arguments are for systemd-nspawn
booted_start || exit 1
scene_install || exit 1
scene_target 6380
scene_source 6379 2 20000
scene_task prod 6379 6380
scene_capture 6379

booted_run systemctl start $unit || { scene_journal $unit; exit 1; }
for ((number = 1; number <= kills; number++)); do
    scene_wait 30 scene_is_stable $unit || { scene_journal $unit; exit 1; }
    sleep "0.$((RANDOM % 10))"
    booted_run systemctl kill --kill-whom=main --signal=KILL $unit
    scene_wait 30 scene_is $unit NRestarts "$number" || { scene_journal $unit; exit 1; }
done
scene_wait 30 scene_is_stable $unit || { scene_journal $unit; exit 1; }
check "the daemon was killed and restarted $kills times" "$kills" \
    "$(booted_run systemctl show $unit --value -p NRestarts)"
scene_stop_writers
check "source and target are equal" yes "$(scene_equal 6379 6380 60)"
# Each session but the first has continued from the checkpoint.
check "one full synchronization was enough" 1 "$(scene_events $unit fullSyncBegun)"
check "every successor has left for its predecessor" "$kills" \
    "$(booted_journal $unit | grep -c 'the previous process was killed')"
check "systemctl stop leaves in order" 0 "$(booted_run systemctl stop $unit; echo $?)"
check "no reset was sent" "" "$(scene_resets)"
# RestartSec=500ms and a second.
check "no writer waited for longer than 1500 ms ($(scene_longest_wait) ms)" yes \
    "$(awk -v wait="$(scene_longest_wait)" 'BEGIN { print wait != "" && wait <= 1500 ? "yes" : "no" }')"
check "the source saw nothing that it should not" "" "$(scene_violations)"

# A unit that gives up: systemd then closes the sockets that it has kept. A socket with unread data ends with RST, and
# under load there always is some. So the unit's limits are high (120 starts in 10 minutes); a source survives the RST.
doomed=df2redis@doomed
scene_source 6389 2 20000
scene_task doomed 6389 6380
scene_capture 6389
mkdir -p "$BOOTED_ROOT/etc/systemd/system/$doomed.service.d"
printf '[Unit]\nStartLimitBurst=2\n' >"$BOOTED_ROOT/etc/systemd/system/$doomed.service.d/limit.conf"
booted_run systemctl daemon-reload
booted_run systemctl start $doomed
for number in 1 2; do
    scene_wait 30 scene_is_stable $doomed || { scene_journal $doomed; exit 1; }
    check "start $number: both flows and the two other connections are in the store" 4 \
        "$(scene_property $doomed NFileDescriptorStore)"
    booted_run systemctl kill --kill-whom=main --signal=KILL $doomed
    sleep 1
done
scene_wait 10 scene_is $doomed ActiveState failed
check "the third start is one too many" yes \
    "$(booted_journal $doomed | grep 'repeated too quickly' >/dev/null && echo yes || echo no)"
check "systemd has closed the sockets" 0 "$(scene_property $doomed NFileDescriptorStore)"
sleep 1
check "under load that is a reset on the flows" yes "$([ -n "$(scene_resets)" ] && echo yes || echo no)"
if [ -z "${DRAGONFLY_BIN:-}" ]; then
    check "which is what the source saw" yes "$(scene_violations | grep -q 'RST' && echo yes || echo no)"
fi

scene_end

#!/bin/bash
# When `systemctl start` succeeds, when it fails, and how long it waits: Tests/Booted/start.bash BINARIES
#
# BINARIES is the folder of df2redis, dragonfly-sim and df2redis-lab. A start succeeds once the flows are open; a peer
# that cannot serve fails it with its exit status and the reason in the last lines of the journal; one that is loading
# its data is waited for, and not for ever; a full synchronization may take any time.
# shellcheck disable=SC2317  # functions are called by name
set -u -o pipefail
# shellcheck source=Tests/Booted/booted.bash
source "$(dirname "$0")/booted.bash"
# shellcheck source=Tests/Booted/scene.bash
source "$(dirname "$0")/scene.bash"

scene_binaries "${1:?usage: $0 BINARIES}"

trap booted_stop EXIT
# shellcheck disable=SC2119  # its arguments are for systemd-nspawn
booted_start || exit 1
scene_install || exit 1
scene_target 6380

# simulate NAME PORT OPTION...: a master, without a PING that would count as one of --loading
simulate() {
    local name=$1 port=$2
    shift 2
    scene_unit "$name" dragonfly-sim serve --port "$port" --print-port "$@"
    scene_wait 60 booted_run grep -q "^$port" "/run/$name.log"
}
# fails NAME STATUS REASON: the start of a task fails within its time, with this exit status and reason
fails() {
    local unit=df2redis@$1 begin=$SECONDS code messages
    booted_run systemctl start "$unit" >/dev/null 2>&1
    code=$?
    messages=$(scene_messages "$unit" | tail -n 15)
    check "$1: systemctl start fails" 1 "$code"
    check "$1: within the start's time" yes "$([ $((SECONDS - begin)) -le 60 ] && echo yes)"
    check "$1: with exit status $2" yes "$(scene_has "code=exited, status=$2" <<<"$messages")"
    check "$1: and the reason in the last lines" yes "$(scene_has "$3" <<<"$messages")"
    booted_run systemctl stop "$unit"
}
# starts NAME PHASE: the start of a task succeeds, and the task is in this phase or beyond
starts() {
    booted_run systemctl start "df2redis@$1" >/dev/null 2>&1
    check "$1: systemctl start succeeds" 0 $?
    check "$1: the synchronization has begun by then" yes "$(scene_status "df2redis@$1" | scene_has "$2")"
}

# READY=1 comes when the flows are open: not from a source that has accepted and says nothing.
simulate source 6379 --shards 2 --live --keys 200
scene_task prod 6379 6380
booted_run systemctl kill --signal=STOP source
booted_run systemctl start --no-block df2redis@prod
scene_wait 10 scene_has_status df2redis@prod '^connecting'
check "prod: it is activating while the source says nothing" activating "$(scene_property df2redis@prod ActiveState)"
booted_run systemctl kill --signal=CONT source
starts prod '^(full sync|stable)'
check "prod: the source has its replica" yes \
    "$(booted_run redis-cli -p 6379 INFO replication | scene_has 'connected_slaves:1')"
check "prod: it took one attempt" 0 "$(scene_property df2redis@prod NRestarts)"
booted_run systemctl stop df2redis@prod

# What cannot be waited for.
simulate guarded 6390 --password secret
scene_unit target-6391 redis-server --port 6391 --save '' --appendonly no --dir /run --requirepass secret
scene_task wrong-source-password 6390 6380
scene_edit wrong-source-password 's/^source:/source:\n  password: wrong/'
fails wrong-source-password 77 'the source refuses the password'
scene_task no-source-password 6390 6380
fails no-source-password 77 'the source requires a password: set source.password'
scene_task wrong-target-password 6379 6391
scene_edit wrong-target-password 's/^target:/target:\n  password: wrong/'
fails wrong-target-password 77 'the target refuses the password'
scene_task no-target-password 6379 6391
fails no-target-password 77 'the target requires a password: set target.password'
# What root alone may read, by hand: the unit has run, so the state is its user's.
printf secret | booted_run install -D -m 0600 /dev/stdin /etc/credstore/no-target-password.target-password
output=$(booted_run df2redis migrate --config /etc/df2redis/no-target-password.yaml 2>&1)
check "root migrates by hand with a password in /etc/credstore" 0 $?
check "and says as whom" yes "$(scene_has 'running as df2redis, to whom /var/lib/df2redis/no-target-password belongs' <<<"$output")"
check "all of the state stays the unit's" "" \
    "$(booted_run find /var/lib/df2redis/no-target-password ! -user df2redis)"
check "another user is led there" yes \
    "$(booted_run setpriv --reuid=df2redis --regid=df2redis --clear-groups df2redis config \
        --check /etc/df2redis/no-target-password.yaml 2>&1 | scene_has 'what /etc/credstore may have .* run this as root')"
booted_run rm /etc/credstore/no-target-password.target-password
scene_task no-source 1 6380
fails no-source 69 'connect 127.0.0.1:1: Connection refused'
scene_task no-target 6379 1
fails no-target 75 'connect 127.0.0.1:1: Connection refused'
scene_task redis-source 6391 6380
scene_edit redis-source 's/^source:/source:\n  password: secret/'
fails redis-source 78 'the source is not a Dragonfly'
scene_task bad-config 6379 6380 'spol:' '  memoryBytes: 1 GiB'
fails bad-config 78 'spol: unknown key'
for name in wrong-source-password wrong-target-password redis-source bad-config; do
    check "$name: systemd does not try again" 0 "$(scene_property df2redis@$name NRestarts)"
done

# A peer that is loading: longer than the start may take, and it is waited for.
simulate loading 6392 --loading 8
scene_task loading-source 6392 6380
scene_drop_in df2redis@loading-source start '[Service]' 'TimeoutStartSec=4s'
begin=$SECONDS
starts loading-source '^(full sync|stable)'
check "loading-source: it took longer than TimeoutStartSec=4s ($((SECONDS - begin)) s)" yes \
    "$([ $((SECONDS - begin)) -gt 4 ] && echo yes)"
check "loading-source: in one process" 0 "$(scene_property df2redis@loading-source NRestarts)"
booted_run systemctl stop df2redis@loading-source

# 20,000 keys, of which each takes so many microseconds to load: about 10 s.
load_slowly() {
    scene_unit "target-$1" redis-server --port "$1" --save '' --appendonly no --dir /run/slow --key-load-delay 500 \
        --loading-process-events-interval-bytes 1024
    scene_wait 10 is_loading "$1"
}
is_loading() { booted_run redis-cli -p "$1" PING 2>&1 | grep -q LOADING; }
booted_run mkdir -p /run/slow
scene_target 6393 --dir /run/slow --enable-debug-command yes
booted_run redis-cli -p 6393 DEBUG POPULATE 20000 >/dev/null
booted_run redis-cli -p 6393 SAVE >/dev/null
booted_run systemctl stop target-6393
load_slowly 6393
scene_task loading-target 6379 6393
scene_drop_in df2redis@loading-target start '[Service]' 'TimeoutStartSec=4s'
begin=$SECONDS
starts loading-target '^(full sync|stable)'
check "loading-target: it took longer than TimeoutStartSec=4s ($((SECONDS - begin)) s)" yes \
    "$([ $((SECONDS - begin)) -gt 4 ] && echo yes)"
check "loading-target: in one process" 0 "$(scene_property df2redis@loading-target NRestarts)"
booted_run systemctl stop df2redis@loading-target
# But not for ever.
booted_run systemctl stop target-6393
load_slowly 6393
scene_task loading-too-long 6379 6393 'reconnect:' '  giveUpSeconds: 3'
fails loading-too-long 75 'LOADING'
booted_run systemctl stop target-6393

# A full synchronization that takes longer than a start may.
simulate large 6394 --keys 300000 --size 300
scene_target 6395
scene_task large 6394 6395
scene_drop_in df2redis@large start '[Service]' 'TimeoutStartSec=4s'
starts large '^full sync'
booted_run systemctl kill --signal=STOP target-6395
scene_wait 30 scene_has_status df2redis@large 'target silent for ([89]|[1-9][0-9]+) s'
check "large: it is in full sync after 8 s of a target that stands still" yes \
    "$(scene_status df2redis@large | scene_has '^full sync: [0-9]+ snapshot keys, [0-9]+ MiB applied, lag [0-9]+ MiB')"
check "large: and active" active "$(scene_property df2redis@large ActiveState)"
booted_run systemctl kill --signal=CONT target-6395
scene_wait 60 scene_is_stable df2redis@large
own=$(booted_run redis-cli -p 6395 --scan --pattern 'df2redis:*' | wc -l)
check "large: it ends" 300000 "$(booted_run redis-cli -p 6395 DBSIZE | awk -v own="$own" '{ print $1 - own }')"
booted_run systemctl stop df2redis@large

for name in source guarded loading large; do
    booted_run systemctl stop $name
    check "the source '$name' saw nothing that it should not" "" "$(booted_run grep '^violation' /run/$name.log)"
done
scene_end

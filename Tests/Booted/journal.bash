#!/bin/bash
# What is in the journal, end to end: Tests/Booted/journal.bash BINARIES
#
# BINARIES is the folder of df2redis, dragonfly-sim and df2redis-lab. Every event happens, has its MESSAGE_ID and its
# explanation; records are found by their fields; bytes that are no text, and line breaks, stay within their record.
# shellcheck disable=SC2317  # functions are called by name
set -u -o pipefail
# shellcheck source=Tests/Booted/booted.bash
source "$(dirname "$0")/booted.bash"
# shellcheck source=Tests/Booted/scene.bash
source "$(dirname "$0")/scene.bash"

scene_binaries "${1:?usage: $0 BINARIES}"
unset DRAGONFLY_BIN  # the source is restarted here, and must come back at once
unit=df2redis@prod
repository=$(cd "$(dirname "$0")/../.." && pwd)

trap booted_stop EXIT
# shellcheck disable=SC2119  # its arguments are for systemd-nspawn
booted_start || exit 1
scene_install || exit 1
scene_target 6380
scene_source 6379 4 2000
scene_task prod 6379 6380 'policy:' '  onError: skip' 'log:' '  lagHighSeconds: 2' 'reconnect:' '  maxSeconds: 1'
scene_edit prod 's/^target:/target:\n  silentSeconds: 3/'

# at PORT COMMAND: one line of redis-cli's own quoting, so that it may hold any byte
at() { booted_run redis-cli -p "$1" <<<"$2" >/dev/null; }
has_event() { [ "$(scene_events "$1" "$2")" -gt 0 ]; }
happens() { scene_wait 40 has_event "$@" || scene_journal "$1"; }

booted_run systemctl start $unit || { scene_journal $unit; exit 1; }
happens $unit stable
booted_run systemctl kill --signal=STOP target-6380
happens $unit lagHigh
happens $unit targetLost
booted_run systemctl kill --signal=CONT target-6380
happens $unit lagNormal
# A key of control characters, a line break and bytes that are no UTF-8, of another type at the target.
at 6380 'SET "bin\x01\n\xff\xfekey" string'
at 6379 'LPUSH "bin\x01\n\xff\xfekey" x'
happens $unit divergence
# Another master at the same address.
scene_source 6379 4 100
happens $unit sourceLost
happens $unit resync
scene_wait 30 scene_is_stable $unit

# With a target of its own: the other task would read the key at the source again, and mend it.
strict=df2redis@strict
scene_target 6381
scene_task strict 6379 6381
booted_run systemctl start $strict
scene_wait 30 scene_is_stable $strict
at 6381 'SET clash string'
at 6379 'LPUSH clash x'
happens $strict policyStop
check "a policy that stops the task is exit status 65" 65 "$(scene_property $strict ExecMainStatus)"
booted_run systemctl stop $unit
happens $unit left

events=$(sed -n 's/^        case \.\([a-zA-Z]*\): "\([0-9a-f]*\)"/\1 \2/p' "$repository/Sources/Systemd/EventID.swift")
check "there are events" yes "$([ "$(wc -l <<<"$events")" -ge 13 ] && echo yes)"
while read -r event id; do
    case $event in
    overflow | targetMoved | alertRaised | alertCleared | cutOver) # not in this scene
        check "$event: the catalog explains it" yes \
            "$(booted_run journalctl -q --no-pager --dump-catalog "$id" | scene_has 'Subject: @_SYSTEMD_UNIT@')"
        continue
        ;;
    esac
    of=$unit
    [ "$event" = policyStop ] && of=$strict
    check "$event: each record of the event has its MESSAGE_ID" "$(scene_events $of "$event")" \
        "$(booted_journal $of "MESSAGE_ID=$id" | wc -l)"
    check "$event: has happened" yes "$([ "$(scene_events $of "$event")" -gt 0 ] && echo yes)"
    check "$event: journalctl -x explains it" yes \
        "$(booted_run journalctl -q --no-pager -x -n 1 -u $of "MESSAGE_ID=$id" | scene_has 'Subject: df2redis@')"
done <<<"$events"

# Fields to search by.
flow=$(booted_run journalctl -q --no-pager -o cat -u $unit DF2REDIS_FLOW=3)
check "DF2REDIS_FLOW=3 finds records" yes "$([ "$(grep -c . <<<"$flow")" -ge 3 ] && echo yes)"
check "and those of this flow only" "" "$(grep -v 'flow=3' <<<"$flow")"
check "DF2REDIS_PHASE finds the steps of the leave" yes \
    "$(booted_run journalctl -q --no-pager -o cat -u $unit DF2REDIS_PHASE=leaving DF2REDIS_FLOW=2 | scene_has 'FIN is here')"
# Nor does Dispatch complain by syslog(3) where LimitNICE= cannot be raised, as in a container.
check "each record of the daemon names its task" "" \
    "$(booted_journal $unit SYSLOG_IDENTIFIER=df2redis | grep -v '"DF2REDIS_TASK":"prod"')"
check "a warning is PRIORITY 4, a stop is 2" "4 2" \
    "$(booted_journal $unit DF2REDIS_EVENT=lagHigh | head -n 1 | sed 's/.*"PRIORITY":"\([0-9]\)".*/\1/') $(
        booted_journal $strict DF2REDIS_EVENT=policyStop | head -n 1 | sed 's/.*"PRIORITY":"\([0-9]\)".*/\1/')"
check "the lag has figures to search by" yes \
    "$(booted_journal $unit DF2REDIS_EVENT=lagHigh | scene_has '"DF2REDIS_LAG_SECONDS":"[0-9.]+"')"
# A message that is no text is in JSON as a list of numbers.
check "no message is a blob" "" "$(booted_journal $unit | grep '"MESSAGE":\[')"
check "the key is told in one line" yes \
    "$(booted_run journalctl -q --no-pager -o cat -u $unit DF2REDIS_EVENT=divergence | scene_has 'LPUSH "bin\\x01\\x0a\\xff\\xfekey" in database 0')"

# A source's own words, with a line break, a control character and a byte that is no UTF-8 in them.
# shellcheck disable=SC2016  # for perl
scene_unit liar perl -MIO::Socket::INET -e '
    $SIG{CHLD} = "IGNORE";
    my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 6399, Listen => 5, ReuseAddr => 1) or die;
    while (my $peer = $server->accept) {
        next if fork;
        while (sysread $peer, my $request, 4096) {
            my $reply = "+OK\r\n";
            $reply = "*3\r\n\$11\r\none\ntwo \x01\xff!\r\n\$5\r\nSYNC1\r\n:1\r\n" if $request =~ /capa/;
            $reply = "*2\r\n\$4\r\nFULL\r\n\$40\r\n" . "0" x 40 . "\r\n" if $request =~ /FLOW/;
            $reply = "-ERR I was lying\r\n" if $request =~ /SYNC\r/;
            syswrite $peer, $reply;
        }
        exit;
    }'
scene_wait 20 booted_run bash -c ': 2>/dev/null </dev/tcp/127.0.0.1/6399'
scene_task liar 6399 6380
booted_run systemctl start df2redis@liar >/dev/null 2>&1
check "a source that refuses the synchronization is exit status 69" 69 "$(scene_property df2redis@liar ExecMainStatus)"
record=$(booted_journal df2redis@liar DF2REDIS_PHASE=connecting | grep 'replication id')
check "its words are one record" 1 "$(grep -c . <<<"$record")"
check "with the line break, and the rest as text" yes \
    "$(scene_has '"MESSAGE":"[^"]*replication id one\\ntwo \\\\u[{]1[}].*!, session SYNC1"' <<<"$record")"
check "which journalctl shows on two lines" "replication id one,two" \
    "$(booted_run journalctl -q --no-pager -o cat -u df2redis@liar DF2REDIS_PHASE=connecting |
        grep -o -e 'replication id one$' -e '^ *two' | xargs | sed 's/ two$/,two/')"
scene_end

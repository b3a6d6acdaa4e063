# A source, a target and tasks inside a booted systemd (booted.bash): to be sourced by tests after it.
#
# The source is the simulated master with a load of its own, or the real Dragonfly that DRAGONFLY_BIN names, written to
# by redis-benchmark. Everything runs as a unit of the container and goes with it.

SCENE_FAILURES=0
SCENE_BINARIES=    # the folder of df2redis, dragonfly-sim and df2redis-lab, outside
SCENE_SOURCE=      # the source's port

# check WHAT EXPECTED FOUND
check() {
    if [ "$2" = "$3" ]; then
        echo "ok: $1"
    else
        printf 'FAILED: %s\n  expected: %s\n  found:    %s\n' "$1" "$2" "$3"
        SCENE_FAILURES=$((SCENE_FAILURES + 1))
    fi
}

# Ends the script with the number of checks that failed.
scene_end() {
    [ "$SCENE_FAILURES" -eq 0 ] && exit 0
    echo "$SCENE_FAILURES failed"
    exit 1
}

# Waits until a command or function of this script succeeds: scene_wait SECONDS COMMAND...
scene_wait() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || { echo "in vain waited for: $*" >&2; return 1; }
        sleep 0.05
    done
}

scene_binaries() { SCENE_BINARIES=$(cd "$1" && pwd); }

# The daemon as `make install` does it, and the laboratory's programs.
scene_install() {
    install -D -t "$BOOTED_ROOT/usr/local/bin" "$SCENE_BINARIES/dragonfly-sim" "$SCENE_BINARIES/df2redis-lab" || return 1
    booted_install "$SCENE_BINARIES/df2redis" >"$BOOTED_DIR/install.log" 2>&1 && return 0
    cat "$BOOTED_DIR/install.log" >&2
    return 1
}

# scene_unit NAME COMMAND...: a transient unit with its output in /run/NAME.log
scene_unit() {
    local name=$1
    shift
    booted_run systemd-run --quiet --unit="$name" -p "StandardOutput=append:/run/$name.log" \
        -p "StandardError=append:/run/$name.log" -p LimitNOFILE=8192 "$@"
}

scene_ping() { [ "$(booted_run redis-cli -p "$1" PING 2>/dev/null)" = PONG ]; }

# A redis-server: scene_target PORT [OPTION...]
scene_target() {
    local port=$1
    shift
    scene_unit "target-$port" redis-server --port "$port" --save '' --appendonly no --dir /run "$@"
    scene_wait 20 scene_ping "$port"
}

# A master with load: scene_source PORT SHARDS WRITES_PER_SECOND [OPTION of the simulator...]
scene_source() {
    local port=$1 shards=$2 rate=$3
    shift 3
    SCENE_SOURCE=$port
    booted_run systemctl stop source writers 2>/dev/null
    # A unit that ended with an error stays loaded, and keeps its name.
    booted_run systemctl reset-failed source writers 2>/dev/null
    booted_run rm -f /run/writers.stop
    if [ -n "${DRAGONFLY_BIN:-}" ]; then
        scene_unit source "$DRAGONFLY_BIN" --port "$port" --proactor_threads "$shards" --dbfilename= \
            --logtostderr --version_check=false --maxmemory 2G --dir /run --shard_repl_backlog_len=2000000
        scene_wait 20 scene_ping "$port"
        # shellcheck disable=SC2016  # for the shell inside
        scene_unit writers bash -c 'while [ ! -e /run/writers.stop ]; do
            redis-benchmark -p "$0" -c 2 -n 5000 -r 5000 -t set,incr,sadd,hset,zadd,lpush,lpop --csv
        done' "$port"
    else
        scene_unit source dragonfly-sim serve --port "$port" --shards "$shards" --live \
            --write-rate "$rate" --keys 2000 --backlog 4000000 "$@"
        scene_wait 20 scene_ping "$port"
    fi
}

scene_stop_writers() {
    if [ -n "${DRAGONFLY_BIN:-}" ]; then
        # Lets redis-benchmark end by itself: one that is killed sends resets.
        booted_run touch /run/writers.stop
        scene_wait 60 scene_is writers ActiveState inactive
    else
        booted_run systemctl kill --signal=USR1 source
    fi
}

# A task's configuration: scene_task NAME SOURCE_PORT TARGET_PORT [LINE...]
scene_task() {
    local file=$BOOTED_ROOT/etc/df2redis/$1.yaml
    printf 'source:\n  addr: 127.0.0.1:%s\ntarget:\n  addr: 127.0.0.1:%s\n' "$2" "$3" >"$file"
    shift 3
    [ $# -eq 0 ] || printf '%s\n' "$@" >>"$file"
    booted_run chown root:df2redis "/etc/df2redis/$(basename "$file")"
    booted_run chmod 0640 "/etc/df2redis/$(basename "$file")"
}

# Changes a task's configuration: scene_edit NAME SED_SCRIPT
scene_edit() { sed -i "$2" "$BOOTED_ROOT/etc/df2redis/$1.yaml"; }

# A drop-in of a unit, with these lines; without lines it is removed: scene_drop_in UNIT NAME [LINE...]
scene_drop_in() {
    local file=$BOOTED_ROOT/etc/systemd/system/$1.service.d/$2.conf
    shift 2
    mkdir -p "$(dirname "$file")"
    if [ $# -gt 0 ]; then printf '%s\n' "$@" >"$file"; else rm -f "$file"; fi
    booted_run systemctl daemon-reload
}

# The messages of a unit's journal, and whether one has a text: scene_says UNIT TEXT
scene_messages() {
    booted_run journalctl --sync
    booted_run journalctl --quiet --no-pager --output=cat --unit="$1"
}
scene_says() { scene_messages "$1" | grep -F -- "$2" >/dev/null; }

# The line that systemctl status shows.
scene_status() { booted_run systemctl show "$1" --value -p StatusText; }
scene_has_status() { scene_status "$1" | grep -E -- "$2" >/dev/null; }
scene_property() { booted_run systemctl show "$1" --value -p "$2"; }
scene_is_stable() { [[ $(scene_status "$1") == stable* ]]; }
scene_is() { [ "$(scene_property "$1" "$2")" = "$3" ]; }
scene_journal() { booted_run journalctl --no-pager -u "$1" -n "${2:-40}"; }

# 'yes' if standard input has a line that matches, else that input, for a check: scene_has PATTERN
scene_has() {
    local input
    input=$(cat)
    if grep -E -- "$1" <<<"$input" >/dev/null; then echo yes; else echo "$input"; fi
}

# How often an event is in a unit's journal: scene_events UNIT EVENT
scene_events() { booted_journal "$1" "DF2REDIS_EVENT=$2" | wc -l; }

# Captures every FIN and RST of a port, if tcpdump is there.
scene_capture() {
    command -v tcpdump >/dev/null || return 0
    booted_run systemctl stop capture 2>/dev/null
    scene_unit capture tcpdump -i lo -n -l --immediate-mode -Z root \
        "tcp port $1 and tcp[tcpflags] & (tcp-fin|tcp-rst) != 0"
    scene_wait 10 booted_run grep 'listening on' /run/capture.log
}

# The resets that went to the source.
scene_resets() {
    booted_run bash -c "grep -s ' > [0-9.]*\.$SCENE_SOURCE: Flags \[R' /run/capture.log"
}

# Milliseconds that a writer waited at most; ends the simulated source.
scene_longest_wait() {
    if [ -n "${DRAGONFLY_BIN:-}" ]; then
        booted_run cat /run/writers.log | awk -F '","' '/^"[A-Z]/ { gsub(/"/, "", $8); if ($8 > most) most = $8 } END { print most }'
    else
        booted_run systemctl stop source 2>/dev/null
        booted_run sed -n 's/^longest wait of a writer: \([0-9.]*\) ms/\1/p' /run/source.log
    fi
}

# What the source saw its replicas do wrong; ends the simulated source.
scene_violations() {
    if [ -n "${DRAGONFLY_BIN:-}" ]; then
        booted_run grep -E 'inflight bytes|Connection reset' /run/source.log
    else
        booted_run systemctl stop source 2>/dev/null
        booted_run grep '^violation' /run/source.log
    fi
}

# Whether two servers are equal within SECONDS: scene_equal SOURCE_PORT TARGET_PORT SECONDS
scene_equal() {
    local deadline=$((SECONDS + $3)) report
    until report=$(booted_run df2redis-lab compare "127.0.0.1:$1" "127.0.0.1:$2" 2>&1); do
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "$report"
            return 1
        fi
        sleep 0.5
    done
    echo yes
}

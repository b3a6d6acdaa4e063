# A systemd of its own, booted in a container on an overlay of this machine: to be sourced by tests, as root.
#
#   source Tests/Booted/booted.bash
#   trap booted_stop EXIT
#   booted_start                                boots, and waits until systemd has come up (about 3 s)
#   booted_install .build/release/df2redis      what `make install` does, into the container
#   booted_run systemctl start df2redis@prod    a command inside; its output, input and exit status
#   booted_wait_for 10 systemctl is-active -q df2redis@prod
#
# The container sees the files of this machine; what it writes goes into a temporary folder and vanishes. It has a
# network of its own with a loopback only, so that servers started inside (booted_run systemd-run ...) cannot meet those
# outside; BOOTED_NETWORK=host shares this machine's. Several may run at once. Only what was started here is stopped.
#
# Needs systemd-nspawn (Debian: systemd-container), overlayfs and root.

BOOTED_DIR=        # the folder of the overlay
BOOTED_ROOT=       # the container's file system, as seen from outside
BOOTED_NSPAWN=     # process id of systemd-nspawn
BOOTED_INIT=       # process id of the container's systemd

# Boots the container. Arguments are passed to systemd-nspawn, such as --bind=PATH.
booted_start() {
    local deadline state
    [ "$(id -u)" = 0 ] || { echo "booted: must be root" >&2; return 1; }
    [ -z "$BOOTED_DIR" ] || { echo "booted: is up already" >&2; return 1; }

    BOOTED_DIR=$(mktemp -d "${TMPDIR:-/tmp}/df2redis-booted.XXXXXX") || return 1
    BOOTED_ROOT=$BOOTED_DIR/root
    mkdir "$BOOTED_DIR/upper" "$BOOTED_DIR/work" "$BOOTED_ROOT"
    booted_prepare "$BOOTED_DIR/upper"
    mount -t overlay overlay \
        -o "lowerdir=/,upperdir=$BOOTED_DIR/upper,workdir=$BOOTED_DIR/work" "$BOOTED_ROOT" || return 1

    local network=(--private-network)
    [ "${BOOTED_NETWORK:-private}" = private ] || network=()
    # --register and --keep-unit: no machined and no systemd outside is needed.
    systemd-nspawn --quiet --directory="$BOOTED_ROOT" --machine="${BOOTED_DIR##*/df2redis-}" \
        --register=no --keep-unit --link-journal=no --resolv-conf=off --timezone=off --console=pipe \
        "${network[@]}" "$@" \
        --boot systemd.unit=multi-user.target systemd.show_status=no \
        </dev/null >"$BOOTED_DIR/console" 2>&1 &
    BOOTED_NSPAWN=$!

    deadline=$((SECONDS + 60))
    while [ "$SECONDS" -lt "$deadline" ]; do
        if ! kill -0 "$BOOTED_NSPAWN" 2>/dev/null; then
            echo "booted: the container ended:" >&2
            cat "$BOOTED_DIR/console" >&2
            return 1
        fi
        BOOTED_INIT=$(cut -d ' ' -f 1 "/proc/$BOOTED_NSPAWN/task/$BOOTED_NSPAWN/children" 2>/dev/null)
        if [ -n "$BOOTED_INIT" ]; then
            state=$(booted_run systemctl is-system-running 2>/dev/null)
            # degraded: a unit of the machine fails in a container, which does not matter here.
            case $state in running | degraded) return 0 ;; esac
        fi
        sleep 0.1
    done
    echo "booted: not up after 60 s (${state:-no answer}):" >&2
    cat "$BOOTED_DIR/console" >&2
    return 1
}

# Changes files of the container before it boots.
booted_prepare() {
    local upper=$1 unit
    mkdir -p "$upper/etc/systemd/system" "$upper/etc/systemd/journald.conf.d"
    # A machine id of its own: with this machine's id it would write into the same journal folder.
    tr -d - </proc/sys/kernel/random/uuid >"$upper/etc/machine-id"
    printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\nForwardToConsole=no\n' \
        >"$upper/etc/systemd/journald.conf.d/booted.conf"
    # A machine that is itself a container image may forbid packages to start services; this one has a systemd. The
    # device is how overlayfs marks a file as removed.
    if [ -e /usr/sbin/policy-rc.d ]; then
        mkdir -p "$upper/usr/sbin"
        mknod "$upper/usr/sbin/policy-rc.d" c 0 0
    fi
    # Masks services of the machine that would take time, or ports that a test needs.
    for unit in redis-server valkey-server docker containerd ssh cron postgresql apt-daily.timer \
        apt-daily-upgrade.timer systemd-networkd-wait-online networking ifupdown-wait-online; do
        case $unit in *.*) ;; *) unit=$unit.service ;; esac
        ln -s /dev/null "$upper/etc/systemd/system/$unit"
    done
}

# Runs a command inside, in all namespaces of the container.
booted_run() {
    nsenter --target "$BOOTED_INIT" --all env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        LC_ALL=C.UTF-8 HOME=/root SYSTEMD_PAGER=cat SYSTEMD_COLORS=0 "$@"
}

# Waits until a command inside succeeds: booted_wait_for SECONDS COMMAND...
booted_wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until booted_run "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || { echo "booted: in vain waited for: $*" >&2; return 1; }
        sleep 0.1
    done
}

# Installs a build and lets the container's systemd know: booted_install BINARY
booted_install() {
    local repository
    repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) || return 1
    "$repository/packaging/install.sh" "$BOOTED_ROOT" /usr "$1" || return 1
    booted_run systemd-sysusers /usr/lib/sysusers.d/df2redis.conf || return 1
    booted_run systemd-tmpfiles --create /usr/lib/tmpfiles.d/df2redis.conf || return 1
    booted_run journalctl --update-catalog || return 1
    booted_run systemctl daemon-reload
}

# The journal of a unit, each record as one JSON object: booted_journal UNIT [MATCH...]
booted_journal() {
    local unit=$1
    shift
    booted_run journalctl --sync
    booted_run journalctl --quiet --no-pager --output=json --unit="$unit" "$@"
}

# Powers the container off and removes its files. Does nothing when none is up.
booted_stop() {
    local status=$? tries
    if [ -n "$BOOTED_NSPAWN" ] && kill -0 "$BOOTED_NSPAWN" 2>/dev/null; then
        # SIGRTMIN+4 powers a systemd off at once (systemd(1)); units get their stop.
        [ -z "$BOOTED_INIT" ] || kill -s RTMIN+4 "$BOOTED_INIT" 2>/dev/null
        for ((tries = 0; tries < 400; tries++)); do
            kill -0 "$BOOTED_NSPAWN" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$BOOTED_NSPAWN" 2>/dev/null
    fi
    [ -z "$BOOTED_NSPAWN" ] || wait "$BOOTED_NSPAWN" 2>/dev/null
    if [ -n "$BOOTED_DIR" ]; then
        # The kernel releases the container's mounts a moment after its last process has ended.
        for ((tries = 0; tries < 50; tries++)); do
            mountpoint -q "$BOOTED_ROOT" || break
            umount "$BOOTED_ROOT" 2>/dev/null || sleep 0.1
        done
        if mountpoint -q "$BOOTED_ROOT"; then
            echo "booted: $BOOTED_ROOT is still mounted and was left" >&2
        else
            rm -rf -- "$BOOTED_DIR"
        fi
    fi
    BOOTED_DIR='' BOOTED_ROOT='' BOOTED_NSPAWN='' BOOTED_INIT=''
    return "$status"
}

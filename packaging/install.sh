#!/bin/sh
# Installs a built df2redis: packaging/install.sh DESTDIR PREFIX BINARY
#
# Everything goes below DESTDIR/PREFIX, but the example configuration below DESTDIR/etc/df2redis. UNITDIR and
# SYSCONFDIR may be set to other folders (as seen without DESTDIR). With an empty DESTDIR the running system is told: the
# user is made, the journal's catalog and systemd's units are read anew. No task is started.
set -eu

if [ $# -ne 3 ]; then
    echo "usage: $0 DESTDIR PREFIX BINARY" >&2
    exit 64
fi
destdir=$1
prefix=${2%/}
binary=$3
unitdir=${UNITDIR:-$prefix/lib/systemd/system}
sysconfdir=${SYSCONFDIR:-/etc}
top=$(cd "$(dirname "$0")/.." && pwd)

# put MODE SOURCE FOLDER [NAME]
put() {
    install -D -m "$1" "$2" "$destdir$3/${4:-$(basename "$2")}"
}

put 0755 "$binary" "$prefix/bin" df2redis

# A unit names its program by an absolute path, so it is written for the place where that stands.
for unit in df2redis@.service df2redis.target df2redis-monitor@.service df2redis-health@.service \
    df2redis-health@.timer; do
    put 0644 "$top/systemd/$unit" "$unitdir"
    sed -i "s|/usr/bin/df2redis|$prefix/bin/df2redis|g; s|/etc/df2redis/%i|$sysconfdir/df2redis/%i|g" \
        "$destdir$unitdir/$unit"
done
put 0644 "$top/systemd/df2redis.catalog" "$prefix/lib/systemd/catalog"
put 0644 "$top/packaging/sysusers.d/df2redis.conf" "$prefix/lib/sysusers.d"
put 0644 "$top/packaging/tmpfiles.d/df2redis.conf" "$prefix/lib/tmpfiles.d"
put 0644 "$top/packaging/man/df2redis.1" "$prefix/share/man/man1"
put 0644 "$top/packaging/man/df2redis.yaml.5" "$prefix/share/man/man5"
put 0644 "$top/packaging/completion/df2redis.bash" "$prefix/share/bash-completion/completions" df2redis
put 0644 "$top/packaging/prometheus/df2redis.rules.yml" "$prefix/share/df2redis/prometheus"
put 0644 "$top/packaging/grafana/df2redis.json" "$prefix/share/df2redis/grafana"
put 0644 "$top/etc/example.yaml" "$sysconfdir/df2redis"

[ -z "$destdir" ] || exit 0
[ "$(id -u)" = 0 ] || exit 0
if command -v systemd-sysusers >/dev/null; then systemd-sysusers "$prefix/lib/sysusers.d/df2redis.conf"; fi
if command -v systemd-tmpfiles >/dev/null; then systemd-tmpfiles --create "$prefix/lib/tmpfiles.d/df2redis.conf"; fi
if command -v journalctl >/dev/null; then journalctl --update-catalog; fi
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
cat <<END
df2redis is installed. A first task, here named 'prod':
  install -m 0640 -g df2redis $sysconfdir/df2redis/example.yaml $sysconfdir/df2redis/prod.yaml
                                                   and set source.addr and target.addr in it
  df2redis config --check $sysconfdir/df2redis/prod.yaml
  systemctl enable --now df2redis.target df2redis@prod
END

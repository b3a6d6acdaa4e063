#!/bin/sh
# Builds the Debian package of a built df2redis: packaging/deb.sh BINARY [FOLDER]
#
# The package goes into FOLDER (dist). It is made with Debian's own tools in a temporary folder, because they want debian/
# at the top of a source tree. Fails on an error of lintian.
set -eu

binary=${1:?usage: $0 BINARY [FOLDER]}
output=${2:-dist}
top=$(cd "$(dirname "$0")/.." && pwd)

build=$(mktemp -d "${TMPDIR:-/tmp}/df2redis-deb.XXXXXX")
trap 'rm -rf -- "$build"' EXIT
mkdir -p "$build/df2redis" "$output"
cp -R "$top/systemd" "$top/etc" "$top/packaging" "$build/df2redis"
cp -R "$top/packaging/debian" "$build/df2redis/debian"
cp "$binary" "$build/df2redis/df2redis"

# The libraries that Swift needs for a build are of no account any more (-d).
(cd "$build/df2redis" && dpkg-buildpackage --build=binary --no-sign -d)
lintian --fail-on error "$build"/*.deb
cp "$build"/*.deb "$output"
for package in "$build"/*.deb; do echo "$output/$(basename "$package")"; done

#!/usr/bin/env bash
# All tests of a build, in three runs: those with real servers hold threads for long, and the others are not to wait for them.
# Ends with the sum of all.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
. .ci/servers.sh

run() {
    local report=$1
    shift
    swift test --skip-build --disable-xctest --xunit-output "$report" "$@"
}
count() {
    sed -n "s/.*<testsuite [^>]*$1=\"\([0-9]*\)\".*/\1/p" .build/tests-*.xml | awk '{ sum += $1 } END { print sum + 0 }'
}

rm -f .build/tests-*.xml .build/tests.summary
status=0
# Sessions in the test's own process and real clusters of six servers: one after the other, with the machine to themselves.
heavy=('in this process' 'into a cluster' 'of a cluster' 'A cluster')
skips=() filters=()
for suite in "${heavy[@]}"; do
    skips+=(--skip "$suite")
    filters+=(--filter "$suite")
done
run .build/tests-units.xml --skip IntegrationTests "${skips[@]}" || status=1
run .build/tests-integration.xml --filter IntegrationTests "${skips[@]}" || status=1
run .build/tests-heavy.xml --no-parallel "${filters[@]}" || status=1
failures=$(count failures)
skipped=$(count skipped)
echo "$(($(count tests) - failures - skipped)) passed, $failures failed, $skipped skipped" | tee .build/tests.summary
exit "$status"

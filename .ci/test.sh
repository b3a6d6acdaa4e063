#!/usr/bin/env bash
# All tests of a build, in three runs: those with real servers hold threads for long, and the others are not to wait for them;
# those of `RunAlone` have the machine to themselves. Ends with the sum of all.
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
run .build/tests-units.xml --skip IntegrationTests --skip RunAlone/ || status=1
run .build/tests-integration.xml --filter IntegrationTests --skip RunAlone/ || status=1
run .build/tests-alone.xml --no-parallel --filter RunAlone/ || status=1
failures=$(count failures)
skipped=$(count skipped)
echo "$(($(count tests) - failures - skipped)) passed, $failures failed, $skipped skipped" | tee .build/tests.summary
exit "$status"

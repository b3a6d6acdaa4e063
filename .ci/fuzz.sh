#!/usr/bin/env bash
# usage: fuzz.sh SECONDS
# Builds and runs each fuzzer for SECONDS, from the recordings' bytes on. A crash, a hang of 10 s or 512 MB is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$1
scratch=.build-fuzz

run() {
    local fuzzer=$1 part=$2 corpus=$scratch/corpus-$1
    # The compiler keeps the last of two sanitizers and so drops the fuzzer's coverage: asked for by name.
    DF2REDIS_FUZZ=1 swift build -c release --sanitize=fuzzer --sanitize=address --scratch-path "$scratch" \
        -Xswiftc -sanitize-coverage=edge,trace-cmp,inline-8bit-counters,pc-table --product "$fuzzer"
    mkdir -p "$corpus" "$scratch/findings"
    # Seeds: what real masters sent, where it is short enough to be mutated well.
    local file
    while IFS= read -r file; do
        cp "$file" "$corpus/$(tr / - <<<"${file#Tests/IntegrationTests/Recordings/}")"
    done < <(find Tests/IntegrationTests/Recordings -name "flow-*.$part" -size -64k -size +0)
    ASAN_OPTIONS=detect_leaks=0 SWIFT_BACKTRACE=enable=no "$scratch/release/$fuzzer" -max_total_time="$seconds" \
        -rss_limit_mb=512 -timeout=10 -max_len=65536 -print_final_stats=1 \
        -artifact_prefix="$scratch/findings/$fuzzer-" "$corpus" </dev/null
}

run FuzzSnapshot full
run FuzzJournal stable

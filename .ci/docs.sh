#!/usr/bin/env bash
# Checks the references of code and documents, and builds the documents where the toolchain has a docc: .build/docs.
set -euo pipefail
cd "$(dirname "$0")/.."

.ci/references.py
command -v docc >/dev/null || {
    echo "docs: every reference resolves; no docc on the PATH to build them with"
    exit 0
}
mkdir -p .build
docc convert Sources/df2redis/df2redis.docc --output-path .build/docs --warnings-as-errors \
    --fallback-display-name df2redis --fallback-bundle-identifier df2redis
echo "docs: every reference resolves; .build/docs is built ('docc preview Sources/df2redis/df2redis.docc' shows it)"

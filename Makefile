# df2redis: everything is done from here. `make` lists the targets.

PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60
BENCH_REPETITIONS ?= 3
FAULTS ?= 100
TARGET ?= standalone
BOOTED_TESTS ?= units start watchdog journal package kill network operator
BOOTED_KILLS ?= 20
# TLS=1: the demo with TLS on both ends.
TLS ?=

# One set of flags for every release product, or each build would throw the other's away. `-s` strips at the link.
RELEASE := swift build -c release --static-swift-stdlib -Xlinker -s
BIN := .build/release

# A browser for the page, promtool for the metrics, pip for servers that Debian lacks: tests are skipped without them.
TEST_PACKAGES := chromium prometheus python3-pip

# The sanitizers' run time and Swift's own crash handler do not live together; leaks are reported of Foundation only.
SANITIZED := ASAN_OPTIONS=detect_leaks=0 SWIFT_BACKTRACE=enable=no

.DEFAULT_GOAL := help
.PHONY: help setup build lab demo test integration booted lint docs fmt asan tsan fuzz bench torture install deb clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what the machine lacks (Debian packages; nothing when all is there)
	@.ci/setup.sh

build: setup ## build the daemon: release, static Swift runtime, stripped (.build/release/df2redis)
	$(RELEASE) --product df2redis

lab: build # the simulated master and the laboratory, as `demo` and `bench` use them
	$(RELEASE) --product dragonfly-sim
	$(RELEASE) --product df2redis-lab

demo: lab ## a master, a real redis-server (TARGET=cluster: a cluster, TLS=1: TLS on both ends) and df2redis between them, compared
	$(BIN)/df2redis-lab demo --target $(TARGET) $(if $(TLS),--tls)

test: setup ## all tests
	@.ci/setup.sh $(TEST_PACKAGES)
	swift build --build-tests
	@.ci/test.sh

integration: setup ## the tests with real servers only (a real Dragonfly too when DRAGONFLY_BIN names one)
	@.ci/setup.sh $(TEST_PACKAGES)
	swift build --build-tests
	@. .ci/servers.sh && swift test --skip-build --disable-xctest --filter IntegrationTests

# The watchdog's test needs a debug build, the package's a release.
booted: $(if $(filter package,$(BOOTED_TESTS)),build,setup) ## the service on a booted systemd, as root (minutes); BOOTED_TESTS names some
	@.ci/setup.sh nftables tcpdump debhelper dpkg-dev lintian chrpath
	swift build
	BOOTED_KILLS=$(BOOTED_KILLS) .ci/booted.sh .build/debug $(BOOTED_TESTS)

lint: setup ## formatting, unexplained unsafety, size of types, references of code and documents, shell scripts
	swift format lint --strict -r Package.swift Sources Tests
	@.ci/lint.sh

docs: setup ## check the documents' references, and build them with the toolchain's docc (.build/docs)
	@.ci/docs.sh

fmt: ## format the Swift sources in place
	swift format -i -r Package.swift Sources Tests

asan: setup ## all tests under AddressSanitizer
	$(SANITIZED) swift test --disable-xctest --sanitize=address --scratch-path .build-asan

tsan: setup ## all tests under ThreadSanitizer
	$(SANITIZED) swift test --disable-xctest --sanitize=thread --scratch-path .build-tsan

fuzz: setup ## fuzz the decoders, FUZZ_SECONDS (60) each
	.ci/fuzz.sh $(FUZZ_SECONDS)

bench: lab ## full sync, live stream, what the source's clients notice: time, CPU, memory, against the target's limit
	$(BIN)/df2redis-lab bench full --repetitions $(BENCH_REPETITIONS) --distance 0,10,50
	$(BIN)/df2redis-lab bench full --repetitions $(BENCH_REPETITIONS) --tls
	$(BIN)/df2redis-lab bench full --repetitions $(BENCH_REPETITIONS) --target cluster
	$(BIN)/df2redis-lab bench full --repetitions 1 --shards 16 --size 32 --mixed 0 --alone --strings 1000000
	$(BIN)/df2redis-lab bench full --repetitions 1 --shards 16 --size 32 --mixed 0 --alone --strings 10000000
	$(BIN)/df2redis-lab bench live
	$(BIN)/df2redis-lab bench live --expiry 1000
	$(BIN)/df2redis-lab bench live --distance 50
	$(BIN)/df2redis-lab bench live --tls
	$(BIN)/df2redis-lab bench live --target cluster
	$(BIN)/df2redis-lab bench latency

torture: lab ## kill, cut, stop and fill everything in random order under load; both sides must be equal (FAULTS, TARGET)
	$(BIN)/df2redis-lab torture --faults $(FAULTS) --target $(TARGET)

install: build ## install under DESTDIR and PREFIX (/usr/local)
	packaging/install.sh "$(DESTDIR)" "$(PREFIX)" $(BIN)/df2redis

deb: build ## build the Debian package
	@.ci/setup.sh debhelper dpkg-dev lintian chrpath
	packaging/deb.sh $(BIN)/df2redis

clean: ## remove what was built
	rm -rf .build .build-asan .build-tsan .build-fuzz

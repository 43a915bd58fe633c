# Every command of this repository; `make help` lists them.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run test check nightly setup fmt clippy test-unit test-rust one lint types check-types docs check-docs \
	test-page test-fuzz autobahn autobahn-expect fuzz fuzz-keep chaos hostile storms deny audit schemathesis picture bench bench-pure clean
# Each step builds on what the one before it built.
.NOTPARALLEL:

CARGO ?= cargo
# What follows `teahouse serve`. For example: make run ARGS="--listen 0.0.0.0:8080"
ARGS ?=
# For `one`: a part of the names of the tests to run.
TEST ?=
# For `bench`: how often it measures everything, which rows (make bench ROWS=list), how many messages a past has, and
# other options of the bench. For example: make bench ROUNDS=1 ROWS=fanout,latency
ROUNDS ?= 5
ROWS ?=
PAST ?= 1000000
BENCH_ARGS ?=
# How long each fuzz target runs: in `make test`, and in `make fuzz` and `make nightly`.
FUZZ_SECONDS ?= 20
SECONDS ?= 600
# What `make chaos` plays, and for how long.
SEED ?= 1
MINUTES ?= 30
# For `hostile`: the kinds of attacks (make hostile KINDS=list), and how many seconds each lasts.
KINDS ?=
ATTACK_SECONDS ?= 20

# Builds go to one place, whatever this machine's Cargo configuration says.
export CARGO_TARGET_DIR := $(CURDIR)/target
export PATH := $(CURDIR)/target/tools/bin:$(PATH)
# Clippy is the compiler of the workspace's crates for everything but `run`, `bench` and `chaos`, so that linting, the
# tests and the page's server share one build. Other words after `cargo build` would choose other features, and build
# every dependency again.
LINTED := RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/scripts/clippy-rustc.sh
BUILD_TESTED := $(LINTED) $(CARGO) build --quiet --locked --workspace --all-targets
NEXTEST := $(LINTED) $(CARGO) nextest run --locked --workspace --cargo-quiet
# Prints what runs, and how long it took.
STEP := @scripts/step.sh

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build the server and start it; ARGS="…" is passed on
	@scripts/setup.sh build
	@echo "==> Building Teahouse (minutes the first time, seconds after that)"
	@$(CARGO) build --release --locked --package teahouse-server
	@echo "==> Starting: open the address below in a browser, and in a second one as somebody else"
	@exec target/release/teahouse serve $(ARGS)

check: ## A quick check while you work: format, lints, unit tests, the page's scripts
	@scripts/setup.sh build nextest npm
	@$(MAKE) --no-print-directory fmt clippy test-unit lint

test: setup fmt clippy deny test-rust lint check-types check-docs test-page test-fuzz ## Everything that must pass before a change goes in
	@echo "==> All tests passed"

nightly: setup clippy storms schemathesis autobahn ## The long forms: storms, kills, Schemathesis, Autobahn, fuzzing, chaos, attacks, audit (hours)
	@$(MAKE) --no-print-directory fuzz SECONDS=$(SECONDS)
	@$(MAKE) --no-print-directory chaos SEED=$(SEED) MINUTES=$(MINUTES)
	@$(MAKE) --no-print-directory hostile
	@$(MAKE) --no-print-directory audit

setup: ## Install what building and testing need and this machine lacks
	@scripts/setup.sh build nextest deny fuzz browser npm

fmt:
	$(STEP) "Formatting (cargo fmt corrects it)" $(CARGO) fmt --all --check

clippy: ## Compile everything, with warnings denied
	$(STEP) "Compiling and linting, with warnings denied" env $(BUILD_TESTED)

test-unit: ## The unit tests
	$(STEP) "Unit tests" env $(NEXTEST) --lib

test-rust: ## All Rust tests but the storms
	$(STEP) "Rust tests" env $(NEXTEST)

one: ## The tests whose names contain TEST=…, with what they print
	@env $(NEXTEST) --no-capture $(TEST)

storms: ## Storms of ten thousand sockets, 22 kills, two minutes of chaos
	$(STEP) "Storms, kills and chaos" env TEAHOUSE_TEST_KILLS=22 TEAHOUSE_TEST_CHAOS_SECONDS=120 \
		$(NEXTEST) --profile nightly -E 'binary(storm) or binary(chaos) or test(/crash/)'

lint: ## Lint the page's scripts
	@scripts/setup.sh npm
	$(STEP) "The page's scripts" npm --workspace web/chat run --silent lint

test-page: ## The page's journeys in a real browser
	@scripts/setup.sh browser npm
	@env $(BUILD_TESTED)
	$(STEP) "The page in a browser" npm --workspace web/chat test --silent

docs: ## Write docs/configuration.md from the table of keys
	@env $(BUILD_TESTED)
	@target/debug/teahouse config --markdown > docs/configuration.md

check-docs: ## Check that docs/configuration.md is what the table of keys says
	@env $(BUILD_TESTED)
	$(STEP) "The page about the configuration" scripts/check-docs.sh target/debug/teahouse

types: ## Write docs/openapi.json and packages/types/protocol.ts from the protocol's types
	@env $(BUILD_TESTED)
	@target/debug/examples/schema .

check-types: ## Check that these two are what the code says
	@env $(BUILD_TESTED)
	@scripts/setup.sh npm
	$(STEP) "The OpenAPI document and the TypeScript types" scripts/check-types.sh target/debug/examples/schema

test-fuzz:
	$(STEP) "Fuzzing, $(FUZZ_SECONDS) s a target" scripts/fuzz.sh $(FUZZ_SECONDS)

fuzz: ## Search for input that breaks a rule: SECONDS=… for each target, TARGETS="…" for some of them
	@scripts/setup.sh fuzz
	$(STEP) "Fuzzing, $(SECONDS) s a target" env FUZZ_DEEP=1 scripts/fuzz.sh $(SECONDS) $(TARGETS)

fuzz-keep: ## Add to tools/fuzz/corpus what fuzzing learned
	@scripts/setup.sh fuzz
	@FUZZ_DEEP=1 scripts/fuzz.sh keep

autobahn: ## The Autobahn fuzzing client against the WebSocket codec; needs Python 2.7
	@env $(BUILD_TESTED)
	$(STEP) "The Autobahn fuzzing client" scripts/autobahn.sh

autobahn-expect: ## Accept what the Autobahn fuzzing client sees now
	@env $(BUILD_TESTED)
	@scripts/autobahn.sh write

schemathesis: ## Send the server what docs/openapi.json allows, and compare its answers with the document
	@env $(BUILD_TESTED)
	$(STEP) "Schemathesis" scripts/schemathesis.sh target/debug/teahouse

chaos: ## Users against a server that is killed, cut off, starved: SEED=… MINUTES=… (prints a verdict)
	@scripts/setup.sh build
	@$(CARGO) build --release --locked --workspace --bin teahouse --bin teahouse-chaos
	@target/release/teahouse-chaos --server target/release/teahouse --seed $(SEED) --minutes $(MINUTES) $(ARGS)

hostile: ## Every kind of attack beside honest people: KINDS=mentions,heads ATTACK_SECONDS=… (KINDS=list lists them)
	@scripts/setup.sh build
	@$(CARGO) build --release --locked --workspace --bin teahouse --bin teahouse-hostile
	@if [ "$(KINDS)" = list ]; then exec target/release/teahouse-hostile --list; fi; \
	target/release/teahouse-hostile --server target/release/teahouse --seconds $(ATTACK_SECONDS) --seed $(SEED) \
		$(if $(KINDS),--kinds $(KINDS),) $(ARGS)

deny: ## Licences, bans and sources of the dependencies (deny.toml)
	@scripts/setup.sh deny
	$(STEP) "The dependencies' licences, bans and sources" target/tools/bin/cargo-deny --log-level error --workspace --locked check licenses bans sources

audit: deny ## The same, and known vulnerabilities; fetches the RustSec database
	$(STEP) "The dependencies' advisories" target/tools/bin/cargo-deny --workspace --locked check advisories

picture: ## Take the README's picture again
	@scripts/setup.sh browser npm fonts
	@env $(BUILD_TESTED)
	@SCREENSHOT=1 npm --workspace web/chat test --silent -- --test-name-pattern='a picture'

bench: ## Measure beside the kernel baseline; writes the table into docs/performance.md. ROUNDS=1 is quick, ROWS=list lists the rows
	@echo "==> Building the server, the load tool and the baseline"
	@$(CARGO) build --release --locked --package teahouse-server --package teahouse-bench
	@mkdir -p target/bench
	@if [ "$(ROWS)" = list ]; then exec target/release/teahouse-bench --list; fi; \
	case ",$(ROWS)," in \
	,,|*,allocations,*) \
		echo "==> Counting allocations"; \
		$(CARGO) test --quiet --locked --workspace --test allocations -- --nocapture > target/bench/allocations.txt \
			|| echo "    the count failed: see target/bench/allocations.txt" ;; \
	esac; \
	echo "==> Measuring ($(ROUNDS) rounds); the last line shows what runs"; \
	target/release/teahouse-bench --rounds $(ROUNDS) $(if $(ROWS),--rows $(ROWS),) --past $(PAST) --page docs/performance.md $(BENCH_ARGS)

bench-pure: ## Benchmarks of the pure parts: frames, envelopes, registry, tails
	@$(CARGO) bench --locked --package teahouse-hub --bench live
	@$(CARGO) bench --locked --package teahouse-protocol --bench envelopes

clean: ## Remove everything that was built
	@$(CARGO) clean
	@rm -rf node_modules

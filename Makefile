# What one does here. `make help` lists it.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: chaos help check-docs setup setup-npm run test fmt clippy test-rust test-page lint types check-types autobahn autobahn-expect test-autobahn fuzz fuzz-keep test-fuzz audit picture bench bench-pure clean
# Each step of `test` builds on what the one before it built.
.NOTPARALLEL:

CARGO ?= cargo
# What stands beside `serve`: where to listen, where the data is. For example: make run ARGS="--listen 0.0.0.0:8080"
ARGS ?=
# For `bench`: how often everything is measured, which rows (make bench ROWS=list), how many messages a past has,
# anything else the bench takes. For example: make bench ROUNDS=1 ROWS=fanout,latency
ROUNDS ?= 5
ROWS ?=
PAST ?= 1000000
BENCH_ARGS ?=
# How long each fuzz target runs: in `make test`, and in `make fuzz`.
FUZZ_SECONDS ?= 60
SECONDS ?= 600
# What `make chaos` plays, and for how long.
SEED ?= 1
MINUTES ?= 30
# What the tests run, the server and the examples with it. Any other words would build every dependency once more, since
# they would choose other features.
BUILD_TESTED = $(CARGO) build --quiet --locked --workspace --bins --examples
# What is built is looked for here, whatever this machine's Cargo is told otherwise.
export CARGO_TARGET_DIR := $(CURDIR)/target

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build the server and start it; ARGS="…" is passed on
	@scripts/setup.sh build
	@echo "==> Building Teahouse (the first time takes some minutes, later times seconds)"
	@$(CARGO) build --release --locked --package teahouse-server
	@echo "==> Starting: open the address below in a browser, and in a second one as somebody else"
	@exec target/release/teahouse serve $(ARGS)

test: setup fmt clippy test-rust lint check-types test-page check-docs test-autobahn test-fuzz ## Everything that must pass before a change goes in
	@echo "==> All is well"

setup: ## Install what building and testing need and this machine lacks
	@scripts/setup.sh build fuzz browser npm

setup-npm:
	@scripts/setup.sh npm

fmt:
	@echo "==> Formatting (cargo fmt mends it)"
	@$(CARGO) fmt --all --check

clippy:
	@echo "==> Clippy, with warnings denied"
	@$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

test-rust: ## The Rust tests alone
	@echo "==> Rust tests"
	@$(CARGO) test --workspace --locked

lint: setup-npm ## Look over the page's scripts
	@echo "==> The page's scripts"
	@npm --workspace web/chat run --silent lint

test-page: ## The page's journeys alone, in a real browser
	@scripts/setup.sh browser npm
	@echo "==> The page in a browser"
	@$(BUILD_TESTED)
	@npm --workspace web/chat test --silent

check-docs: ## Whether docs/configuration.md names every key
	@echo "==> The configuration's page"
	@$(BUILD_TESTED)
	@scripts/check-docs.sh target/debug/teahouse

types: ## Make docs/openapi.json and packages/types/protocol.ts anew, from the protocol's own types
	@echo "==> docs/openapi.json, packages/types/protocol.ts"
	@$(BUILD_TESTED)
	@target/debug/examples/schema .

check-types: ## Whether these two are what the code says
	@echo "==> The API's description and the SDK's types"
	@$(BUILD_TESTED)
	@scripts/setup.sh npm
	@scripts/check-types.sh target/debug/examples/schema

autobahn: ## The Autobahn fuzzing client against our WebSocket codec; needs Python 2.7
	@echo "==> The Autobahn fuzzing client"
	@$(BUILD_TESTED)
	@scripts/autobahn.sh

autobahn-expect: ## Take what it sees now as what is expected
	@$(BUILD_TESTED)
	@scripts/autobahn.sh write

# Fifteen seconds, where there is a Python 2.7; elsewhere it says that it did not run.
test-autobahn:
	@echo "==> The Autobahn fuzzing client"
	@$(BUILD_TESTED)
	@scripts/autobahn.sh if-possible

fuzz: ## Look for input that breaks something, SECONDS=… for each target, TARGETS="…" for some of them
	@scripts/setup.sh fuzz
	@echo "==> Fuzzing, $(SECONDS) s a target"
	@scripts/fuzz.sh $(SECONDS) $(TARGETS)

fuzz-keep: ## Take into tools/fuzz/corpus what fuzzing learned
	@scripts/setup.sh fuzz
	@scripts/fuzz.sh keep

test-fuzz:
	@scripts/setup.sh fuzz
	@echo "==> Fuzzing, $(FUZZ_SECONDS) s a target (the first time everything is built anew, instrumented)"
	@scripts/fuzz.sh $(FUZZ_SECONDS)

chaos: ## People against a server that is killed, cut off, starved: SEED=… MINUTES=… (a verdict at the end)
	@scripts/setup.sh build
	@$(CARGO) build --release --locked --workspace --bin teahouse --bin teahouse-chaos
	@target/release/teahouse-chaos --server target/release/teahouse --seed $(SEED) --minutes $(MINUTES) $(ARGS)

audit: ## Licences, advisories, sources and bans of what we depend on
	@scripts/audit.sh

picture: ## The README's picture, anew
	@scripts/setup.sh browser npm fonts
	@$(BUILD_TESTED)
	@SCREENSHOT=1 npm --workspace web/chat test --silent -- --test-name-pattern='a picture'

bench: ## Measure beside the kernel baseline; writes the table to docs/performance.md. ROUNDS=1 is quick, ROWS=list lists the rows
	@echo "==> Building the server and the baseline"
	@$(CARGO) build --release --locked --package teahouse-server --package teahouse-bench
	@mkdir -p target/bench
	@if [ "$(ROWS)" = list ]; then exec target/release/teahouse-bench --list; fi; \
	case ",$(ROWS)," in \
	,,|*,allocations,*) \
		echo "==> Counting allocations"; \
		$(CARGO) test --quiet --locked --workspace --test allocations -- --nocapture > target/bench/allocations.txt \
			|| echo "    the count failed: see target/bench/allocations.txt" ;; \
	esac; \
	echo "==> Measuring ($(ROUNDS) rounds); what is under way stands on the last line"; \
	target/release/teahouse-bench --rounds $(ROUNDS) $(if $(ROWS),--rows $(ROWS),) --past $(PAST) --page docs/performance.md $(BENCH_ARGS)

bench-pure: ## The benches of the pure parts: frames, envelopes, registry, tails
	@$(CARGO) bench --locked --package teahouse-hub --bench live
	@$(CARGO) bench --locked --package teahouse-protocol --bench envelopes

clean: ## Remove what was built
	@$(CARGO) clean
	@rm -rf node_modules

# What a developer runs, and what CI runs. Longer steps are scripts in dev/.

export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench doc torture

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 10

demo: ## Build the demo and watch it on a live stream (DEMO_ARGS="…" for more options)
	@dev/demo $(DEMO_ARGS)

test: ## Run every test, doc tests included (TEST_ARGS="part_of_a_name", …)
	@dev/test $(TEST_ARGS)

lint: ## Check format, lints, docs, dependencies and scripts
	@dev/lint

bench: ## Run the benchmarks on one core; fails where a bar is missed (BENCH_ARGS="flagship memory", …)
	@dev/bench $(BENCH_ARGS)

doc: ## Build the API documentation
	@dev/setup test
	cargo doc --locked --workspace --no-deps

torture: ## Run the crash tests at full length, in release mode
	@dev/setup test
	HEADWATER_TORTURE=1 dev/progress cargo test --locked --release -p headwater-examples --all-features --test crash -- --nocapture --test-threads 1
	HEADWATER_TORTURE=1 dev/progress cargo test --locked --release -p headwater-examples --all-features --test services -- --nocapture --test-threads 1
	HEADWATER_TORTURE=1 dev/progress cargo test --locked --release -p headwater --all-features --test protocol -- --nocapture --test-threads 1
	HEADWATER_TORTURE=1 dev/progress cargo test --locked --release -p headwater-examples --all-features --test kafka_faults -- --nocapture --test-threads 1

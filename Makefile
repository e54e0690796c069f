# Commands for those who work on smolvm. `make up` and `make test` need nothing done before; `make help` lists all.

CARGO ?= cargo
# What `make fuzz` searches.
FUZZ ?= check_file
FUZZ_SEEDS = $(if $(filter check_file,$(FUZZ)),tests/cases/invalid tests/cases/valid)
# Where rustup puts cargo when the shell was not told.
export PATH := $(PATH):$(HOME)/.cargo/bin

# Areas of tests/it that boot no machine.
QUICK := cases:: cli_ docs:: editor:: fixes:: layers:: lsp:: plans:: rules:: sarif:: scale:: schema:: schema_keys:: tidy::

.PHONY: help setup setup-test build up test test-all check schema bench deny fuzz

help: ## list these targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## install what is missing; asks nothing of the system where nothing is
	@scripts/setup.sh

setup-test: ## the same, and what only tests need
	@scripts/setup.sh test

build: setup ## build the program
	$(CARGO) build --release --locked

up: build ## run smolvm.yaml, the demonstration
	target/release/smolvm up

test: setup-test ## all tests; those with machines run under software emulation where there is no KVM
	$(CARGO) test --workspace --locked

# What is fetched: kernel packages from the distribution, and the crate pjdfstest (pinned) from the package registry.
test-all: check deny setup-test ## all tests, also those that download or take long, and all checks
	$(CARGO) test --workspace --locked -- --include-ignored

check: setup-test ## format, lints, and the tests that need no machine
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) test --workspace --locked --lib --bins
	$(CARGO) test --locked --test it -- $(QUICK)

schema: ## write schema/smolvm.schema.json
	UPDATE=1 $(CARGO) test --quiet --locked --test it -- schema::

bench: setup ## measure `check`, `up` against bare QEMU, shares beside those of virtme-ng, images beside umoci and skopeo
	$(CARGO) bench --locked --bench check
	$(CARGO) bench --locked --bench up
	-scripts/bench-peers.sh
	$(CARGO) bench --locked --bench shares
	$(CARGO) bench --locked --bench images
	$(CARGO) bench --locked --bench disks
	$(CARGO) bench --locked --bench exec
	$(CARGO) bench --locked --bench net

deny: ## licenses, bans and sources of what we depend on
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is not installed; run: cargo install --locked cargo-deny" >&2; exit 1; }
	cargo-deny --locked --workspace check bans licenses sources

# What cargo-fuzz would do, on a stable compiler: instrumented for coverage, without a sanitizer. It needs a C++ compiler.
fuzz: setup ## search five minutes (FUZZ_SECONDS) for files, or with FUZZ=unpack_layers for layers, that smolvm cannot take; fuzz/corpus keeps what was tried
	mkdir -p fuzz/corpus/$(FUZZ)
	RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1 -Cdebug-assertions" \
	$(CARGO) run --release --locked --target x86_64-unknown-linux-gnu --target-dir target/fuzz -p smolvm-fuzz --features libfuzzer --bin $(FUZZ) -- \
	fuzz/corpus/$(FUZZ) $(FUZZ_SEEDS) -max_len=20000 -timeout=10 -rss_limit_mb=2048 -max_total_time=$${FUZZ_SECONDS:-300}

# `make demo` shows Weir at work on this machine; `make test` checks everything.

SHELL := /bin/bash
CARGO ?= cargo
# How long each fuzz target runs.
SECONDS := 600
BENCH := $(CARGO) bench --locked --no-default-features --features hub
# The real counterparts of the tests, as Debian names them.
PACKAGES := chromium mosquitto mosquitto-clients

.PHONY: demo test fuzz lint bench packages

## demo: broker, sensors, agent and hub on this machine; ARGS="--for 30s" ends by itself
demo:
	@echo "building the demo; the first time takes some minutes"
	@$(CARGO) build --quiet --bin weir
	@exec target/debug/weir demo $(ARGS)

## test: installs the packages that the tests need, and runs everything
test: packages
	$(CARGO) test --locked

## fuzz: each fuzz target for SECONDS, by default ten minutes each
fuzz:
	@for target in sql rule_file payload snapshot scanner; do \
	  BOLERO_RANDOM_TEST_TIME_MS=$$(( $(SECONDS) * 1000 )) BOLERO_RANDOM_ITERATIONS=1000000000 \
	  $(CARGO) test --locked --test fuzz -- --exact $$target || exit 1; \
	done

## lint: formatting, clippy, the lean build, and what the dependency tree may hold
lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --no-default-features --bin weir -- -D warnings
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny --locked --log-level error --config .deny.toml check bans licenses sources

## bench: every goal beside its ceiling, the whole way under load, and one table; takes some minutes
bench: packages
	$(BENCH) --bench goals -- $(ARGS)
	$(BENCH) --bench bytes
	$(BENCH) --bench spine
	$(BENCH) --bench goals -- --table

## packages: what the tests need from Debian
packages:
	@missing=(); for p in $(PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || missing+=($$p); done; \
	if [ $${#missing[@]} -gt 0 ]; then \
	  sudo=; [ $$(id -u) = 0 ] || sudo=sudo; \
	  echo "installing $${missing[*]}"; \
	  $$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $${missing[@]}; \
	fi

# `make demo` shows Weir at work on this machine; `make test` checks everything.

SHELL := /bin/bash
CARGO ?= cargo
# How long each fuzz target runs.
SECONDS := 600
# How often something is killed or cut.
ROUNDS := 500
# How long the soak takes.
MINUTES := 60
BENCH := $(CARGO) bench --locked --no-default-features --features hub
# How many runs over a bad link; and the first of them, or what decides what is killed when.
SEEDS := 200
SEED := 1
# Where the static programs lie, as in dist/x86_64-unknown-linux-musl/weir. QUICK=1 builds others, for tests: not optimised.
DIST := $(if $(QUICK),target/quick,dist)
# For which machines they are built, of those with a recipe in cross/.
TARGETS := $(patsubst cross/%.sh,%,$(wildcard cross/*.sh))
# The real counterparts of the tests, as Debian names them.
PACKAGES := chromium iproute2 mosquitto mosquitto-clients prometheus-alertmanager valgrind
# What static programs are built with; and what they are run with.
DIST_PACKAGES := binutils cargo-web python3-venv rust-web-src rustc-web
DIST_TEST_PACKAGES := dnsmasq-base iproute2 mosquitto mosquitto-clients openssl qemu-user-static
# What checks Debian packages, and makes the clean Debian that they are installed in.
DEB_TEST_PACKAGES := debootstrap lintian systemd
# What builds images without a daemon; and what reads and unpacks them in the test.
IMAGE_PACKAGES := buildah binutils
IMAGE_TEST_PACKAGES := skopeo umoci mosquitto mosquitto-clients iproute2
# What runs the instruction counts; of the very version that they are built with.
GUNGRAUN := $(shell sed -n 's/^gungraun = "=\(.*\)"$$/\1/p' benches/counts/Cargo.toml)

.PHONY: demo test torture soak fuzz netsim lint day bench bench-spool counts compat-fixture dist test-dist deb test-packages image test-image test-kubernetes packages

## demo: broker, sensors, agent and hub on this machine; ARGS="--for 30s" ends by itself
demo:
	@echo "building the demo; the first time takes some minutes"
	@$(CARGO) build --quiet --bin weir
	@exec target/debug/weir demo $(ARGS)

## test: installs the packages that the tests need, and runs everything
test: packages
	$(CARGO) test --locked

## torture: ROUNDS of kills, stops and cuts of agents, hub, broker and links under load, and a check of what arrived; SEED repeats
torture: packages
	TORTURE_ROUNDS=$(ROUNDS) TORTURE_SEED=$(SEED) $(CARGO) test --locked --test torture

## soak: agents and hub under load with kills for MINUTES: memory, descriptors and files at the end against those before
soak: packages
	SOAK_MINUTES=$(MINUTES) TORTURE_SEED=$(SEED) $(CARGO) test --locked --test torture

## fuzz: each fuzz target for SECONDS, by default ten minutes each
fuzz:
	@for target in sql rule_file payload snapshot scanner; do \
	  BOLERO_RANDOM_TEST_TIME_MS=$$(( $(SECONDS) * 1000 )) BOLERO_RANDOM_ITERATIONS=1000000000 \
	  $(CARGO) test --locked --test fuzz -- --exact $$target || exit 1; \
	done

## netsim: SEEDS runs over links that lose, delay, throttle and cut; needs root, for network namespaces
netsim: packages
	NETSIM_SEEDS=$(SEEDS) NETSIM_SEED=$(SEED) $(CARGO) test --locked --test netsim -- --nocapture

## lint: formatting, clippy, the lean build, and what the dependency tree may hold
lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --no-default-features --bin weir -- -D warnings
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny --locked --log-level error --config .deny.toml check bans licenses sources

## bench: every goal beside its ceiling, the whole way under load, also on one core with 32 MB, and one table; ARGS=--short is shorter
bench: packages
	$(BENCH) --bench goals -- $(ARGS)
	$(BENCH) --bench bytes
	$(BENCH) --bench load -- $(ARGS)
	$(BENCH) --bench load -- --only matrix --pin --memory 32M --rules 1,300,8000,10000 $(ARGS)
	$(BENCH) --bench spine
	$(BENCH) --bench spool -- $(ARGS)
	$(BENCH) --bench goals -- --table

## bench-spool: the outbox and the link beside their ceilings; ARGS=--short is shorter
bench-spool: packages
	$(BENCH) --bench spool -- $(ARGS)

## day: a day of real readings at 1,000 times its speed: bytes received at the edge against bytes sent to the hub
day: packages
	@$(CARGO) bench --quiet --locked --profile dev --bench day

## counts: instructions of decode, index and windows, which may not grow; UPDATE=1 takes them as they are
counts: packages
	@gungraun-runner --version 2>/dev/null | grep -qw '$(GUNGRAUN)' || \
	  $(CARGO) install --locked --version '=$(GUNGRAUN)' gungraun-runner
	GUNGRAUN_HOME=$(CURDIR)/target/gungraun GUNGRAUN_SAVE_SUMMARY=json \
	  $(CARGO) bench --locked --profile counts --package counts

## compat-fixture: files of the present formats for tests/compat; PROGRAMS=directory takes other programs
compat-fixture: packages
	WEIR_COMPAT_PROGRAMS=$(PROGRAMS) $(CARGO) test --locked --test it -- --ignored --exact --nocapture \
	  compat::make::make_the_files_of_this_version

## dist: static programs for all TARGETS into dist/, with checksums and bills of materials; runs each; ends with a table. QUICK=1 for tests
dist:
	@$(MAKE) -s packages PACKAGES="$(DIST_PACKAGES)"
	cross/build $(DIST) $(TARGETS)
	@$(MAKE) -s test-dist

## test-dist: what lies in dist/, run: in an empty root, against a broker and a hub, under qemu where it is for other machines
test-dist:
	@$(MAKE) -s packages PACKAGES="$(DIST_TEST_PACKAGES)"
	tests/dist/run $(DIST) $(TARGETS)

## deb: Debian packages of what lies in dist/, into dist/debian
deb:
	@command -v cargo-deb >/dev/null || $(CARGO) install --locked --debug cargo-deb
	packaging/debian/build $(DIST) $(DIST)/debian

## test-packages: the Debian packages in a clean Debian, by the documents' own commands: install, use, upgrade, purge; needs root
test-packages: deb
	@$(MAKE) -s packages PACKAGES="$(DEB_TEST_PACKAGES)"
	VERSION=0.1.1 packaging/debian/build $(DIST) $(DIST)/debian-newer
	tests/packages/run $(DIST)/debian $(DIST)/debian-newer

## image: OCI images of what lies in dist/, for all architectures that are there, in dist/image
image:
	@$(MAKE) -s packages PACKAGES="$(IMAGE_PACKAGES)"
	packaging/image/build $(DIST) $(DIST)/image

## test-image: the images as they were built: read and unpacked by other tools, run as a pod runs them; needs root
test-image: image
	@$(MAKE) -s packages PACKAGES="$(IMAGE_TEST_PACKAGES)"
	tests/image/run $(DIST)

## test-kubernetes: the manifests as kustomize renders them, before Kubernetes' own validation and Pod Security checks
test-kubernetes: export PATH := $(PATH):/usr/local/go/bin
test-kubernetes:
	@go version >/dev/null 2>&1 || { echo "this needs Go 1.24 or later; Debian has it as golang-go, from version 13 on"; exit 1; }
	cd tests/kubernetes && go vet ./... && go test ./...

## packages: what the tests need from Debian
packages:
	@missing=(); for p in $(PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || missing+=($$p); done; \
	if [ $${#missing[@]} -gt 0 ]; then \
	  sudo=; [ $$(id -u) = 0 ] || sudo=sudo; \
	  echo "installing $${missing[*]}"; \
	  $$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $${missing[@]}; \
	fi

# Everything the project does to itself. `make` lists the targets.
# Downloads and tools stay in the cache directory, so with a warm cache nothing here needs a network.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

CACHE   := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/medianode
PLUGINS := $(or $(DOCKER_CONFIG),$(HOME)/.docker)/cli-plugins
SHIM    := runtime/iox/shim
LINTER  := $(CACHE)/lint/golangci-lint
TESTSUM := $(CACHE)/test/gotestsum
VENV    := $(CACHE)/venv
# One style for the SDK, the examples and whatever else is Python.
PYCONF  := --config runtime/python/pyproject.toml

VERSION = $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# Compose writes its version into labels; as a library it does not know it.
COMPOSE = -X github.com/docker/compose/v5/internal.Version=$(shell go list -m -f '{{.Version}}' github.com/docker/compose/v5)

# Tests in Go that need longer than go's ten minutes build images and start
# containers. gotestsum, unlike go test, says at the end which were skipped and why.
GOTEST = $(TESTSUM) --format pkgname-and-test-fails --format-hide-empty-pkg -- -timeout 40m -ldflags '$(COMPOSE)'

.PHONY: help build install toolchain engine base-images demo test pythons lint fmt bench bench-images bench-sqlite soak acceptance chaos fuzz clean shim

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Linked statically: a plugin that misses a shared library does not fail, it
# vanishes from docker's commands without a word.
build: shim ## bin/docker-medianode
	go build -trimpath -tags netgo,osusergo \
		-ldflags '-linkmode external -extldflags -static $(COMPOSE) -X main.version=$(VERSION)' \
		-o bin/docker-medianode .

# The Rust library over iceoryx2, linked into the plugin (about 1 min, then nothing).
shim:
	cargo build --release --locked --manifest-path $(SHIM)/Cargo.toml

install: build ## copy the plugin to where the docker CLI looks for it
	install -D -m 755 bin/docker-medianode $(PLUGINS)/docker-medianode

toolchain: ## say what is missing to build and test
	@.ci/toolchain

engine: ## make a Docker engine answer; stop it with .ci/engine stop
	@.ci/engine

base-images: engine ## make sure the engine has python:3.X-slim
	@.ci/base-images

demo: toolchain engine base-images install ## run examples/captions
	cd examples/captions && docker medianode up && echo && cat captions.txt

# Each part runs even when one before it failed. Go's is last: it is the largest.
# SQLite is Go here, and under -race too slow to have every byte of it damaged.
test: toolchain engine base-images install $(VENV)/complete $(TESTSUM) ## set everything up, then every test
	bin/docker-medianode build -f runtime/testdata/echo/pipeline.yaml --progress quiet
	@failed=0; \
	export MEDIANODE_TEST_PROGRAMS=$$(.ci/engine programs); \
	export MEDIANODE_TEST_PYTHON=$(VENV)/bin/python; \
	export MEDIANODE_TEST_SDK_IMAGE=$$(bin/docker-medianode plan -f runtime/testdata/echo/pipeline.yaml | awk '/^medianode\/echo/ {name = $$1} END {print name}'); \
	cargo test --locked --manifest-path $(SHIM)/Cargo.toml || failed=1; \
	PYTHONPATH=runtime/python $(VENV)/bin/pytest runtime/python || failed=1; \
	$(GOTEST) ./generate/image/store -run 'EveryByte|Truncated' || failed=1; \
	PYTHONPATH=$(CURDIR)/runtime/python $(GOTEST) -race ./... || failed=1; \
	.ci/engine trim || failed=1; \
	exit $$failed

pythons: ## the SDK's tests on every Python from 3.9 to 3.13 that is here
	@.ci/pythons

lint: toolchain shim $(LINTER) $(VENV)/complete ## every linter, and that other systems compile
	@failed=0; \
	$(LINTER) run ./... || failed=1; \
	cargo clippy --locked --all-targets --manifest-path $(SHIM)/Cargo.toml -- -D warnings || failed=1; \
	cargo fmt --check --manifest-path $(SHIM)/Cargo.toml || failed=1; \
	$(VENV)/bin/ruff check runtime/python || failed=1; \
	$(VENV)/bin/mypy --config-file runtime/python/pyproject.toml runtime/python/medianode || failed=1; \
	$(VENV)/bin/ruff check $(PYCONF) --extend-exclude runtime/python . || failed=1; \
	$(VENV)/bin/ruff format $(PYCONF) --check . || failed=1; \
	$(VENV)/bin/shellcheck .ci/base-images .ci/engine .ci/pythons .ci/run .ci/toolchain || failed=1; \
	for os in linux darwin windows; do \
		echo "go build for $$os without cgo"; \
		GOOS=$$os CGO_ENABLED=0 go build ./... || failed=1; \
	done; \
	exit $$failed

fmt: $(LINTER) $(VENV)/complete ## bring Go, Rust and Python into their format
	$(LINTER) fmt ./...
	cargo fmt --manifest-path $(SHIM)/Cargo.toml
	$(VENV)/bin/ruff format $(PYCONF) .

bench: engine base-images install ## hops, starts, image cache and images, beside their floors and peers (15 min)
	go run ./bench all
	@$(MAKE) bench-sqlite bench-images

# A module of its own: the plugin gets none of what it is compared with. Two of
# the drivers have the same name; one is told to have none.
bench-sqlite: ## the image cache beside other SQLite drivers
	@cd bench/sqlite && GOFLAGS=-buildvcs=false CGO_ENABLED=1 go run -ldflags '-X github.com/ncruces/go-sqlite3/driver.driverName=' .

bench-images: engine base-images ## bytes of images and times of their builds, beside other Dockerfiles (6 min)
	go run ./bench images

# SOAK=60s for a short one.
SOAK ?= 10m
soak: engine base-images install ## 1080p30 for 10 min without a lost frame or a leak
	go run ./bench soak -for $(SOAK)

# ACCEPTANCE=-short for the short form, ACCEPTANCE='-only SC-006' for a part.
ACCEPTANCE ?=
acceptance: engine base-images install $(VENV)/complete ## SC-001 to SC-008 in one table: target, measured, passed (30 min; 6 with ACCEPTANCE=-short)
	go run ./bench acceptance -python $(VENV)/bin/python $(ACCEPTANCE)

# CHAOS=60s for a short one; CHAOS_SEED=N kills what another run has killed.
CHAOS ?= 15m
CHAOS_SEED ?=
chaos: engine base-images install ## kill nodes, runtimes, shims and an engine of its own for 15 min; every frame is accounted for
	MEDIANODE_TEST_PROGRAMS=$$(.ci/engine programs) go run ./bench chaos -for $(CHAOS) $(if $(CHAOS_SEED),-seed $(CHAOS_SEED))

# Every fuzz target of the tree, one after the other. What is found becomes a
# file below testdata/fuzz, and so a test for ever.
FUZZTIME ?= 1m
fuzz: shim ## every fuzz target for FUZZTIME (1m), one after the other
	@grep -rn --include='*_test.go' -o '^func Fuzz[A-Za-z0-9]*' . | sed 's/:[0-9]*:func / /' | while read -r file target; do \
		echo "$$target of $$(dirname $$file), $(FUZZTIME)"; \
		go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$(dirname $$file)" || exit 1; \
	done

clean: ## remove what builds leave in the tree; caches and the engine stay
	rm -rf bin $(SHIM)/target

$(LINTER): .ci/lint.d/go.mod .ci/lint.d/go.sum
	@echo "building golangci-lint (about 3 min, once)"
	@mkdir -p $(@D)
	@GOWORK=off GOFLAGS=-buildvcs=false go -C .ci/lint.d build -trimpath -ldflags '-s -w' \
		-o $@.partial github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@mv $@.partial $@

$(TESTSUM): .ci/test.d/go.mod .ci/test.d/go.sum
	@mkdir -p $(@D)
	@GOWORK=off GOFLAGS=-buildvcs=false go -C .ci/test.d build -trimpath -o $@ gotest.tools/gotestsum

$(VENV)/complete: .ci/requirements.txt
	@echo "installing the Python tools of tests and linters (about 30 s, once)"
	@rm -rf $(VENV)
	@python3 -m venv $(VENV)
	@$(VENV)/bin/pip install -q --disable-pip-version-check -r $<
	@touch $@

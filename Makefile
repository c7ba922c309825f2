# make run     build, and start Warder on SQLite in ./data
# make demo    the same before a sample platform that is under attack
# make test    everything that must hold, in eight to ten minutes on two cores, longer the first time
# make lint    formatting and static analysis
# make bench   the table of speed and memory
# make fuzz    every fuzz target for FUZZTIME seconds
# make real    WordPress, phpMyAdmin, Django, nginx, Caddy and HAProxy with Warder; installs what is missing
# make soak    the long loops: kill -9 under load, floods, an hour at most
# make build   bin/warder

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

GO ?= go
# For everything that is built here, so that what a test has compiled is there
# for the binary: the database alone takes a minute.
export GOFLAGS := $(filter-out -trimpath,$(shell $(GO) env GOFLAGS)) -trimpath
# Tests are linked without what a debugger needs, in half the time.
TEST := $(GO) test -ldflags=-w
FUZZTIME ?= 60
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
LINT := $(GO) tool -modfile=tools/go.mod golangci-lint

# Packages in which goroutines meet, the longest first: tested once more under
# the race detector, by make soak also app, which takes a minute.
RACY := $(addsuffix /...,$(addprefix ./internal/,api store alert challenge counter feed gate guard operator policy prefix))

.PHONY: build run demo web test test-web race fuzz bench real soak lint fmt clean

build: web
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/warder ./cmd/warder

run: build
	@exec bin/warder serve --data ./data

demo: build
	@exec bin/warder demo

# The dashboard, embedded by the Go build. A build without Node has none, and
# its binary says so.
WEB_SOURCES := $(shell find web -path web/node_modules -prune -o -path web/e2e -prune -o -type f ! -name schema.d.ts -print 2>/dev/null)

web:
	@if scripts/need node; then $(MAKE) --no-print-directory internal/web/dist/index.html; \
	else echo "build: without the dashboard"; fi

internal/web/dist/index.html: $(WEB_SOURCES) internal/api/testdata/openapi.json web/node_modules/.installed
	cd web && npm run --silent build

# "npm ci" wants packages of all platforms in the lock, also those that not
# every registry has; the versions are exact either way.
web/node_modules/.installed: web/package-lock.json
	cd web && npm install --no-save --no-audit --no-fund --loglevel=error && touch node_modules/.installed

test:
	scripts/need node chromium race
	@scripts/need proxies || echo "test: the tests that want these are left out" >&2
	@# What the race detector wants is compiled while tests wait for something.
	@nice $(GO) build -race $(RACY) & set -x; $(TEST) -timeout 5m ./...
	$(MAKE) --no-print-directory race
	scripts/fuzz 1
	$(MAKE) --no-print-directory test-web

# The dashboard's own tests, and all of its pages in a real browser.
test-web: build
	cd web && npm run --silent check && npm run --silent test && npm run --silent e2e

race:
	$(TEST) -race -short -timeout 5m $(RACY)

fuzz:
	scripts/fuzz $(FUZZTIME)

bench: web
	scripts/bench

# make test runs these, too, where the programs are there.
real:
	scripts/need proxies products
	$(GO) test -count=1 -v -timeout 10m -run TestReal ./internal/app

soak: real
	WARDER_SOAK=1 $(GO) test -count=1 -v -timeout 60m ./internal/acceptance
	$(GO) test -tags soak -run Soak -timeout 60m ./...
	WARDER_SOAK=1 $(GO) test -race -timeout 30m ./internal/app

lint:
	$(LINT) run ./...
	@if [ -d web/node_modules ]; then cd web && npx biome check .; fi

fmt:
	$(LINT) fmt ./...
	cd web && npm run --silent format

clean:
	rm -rf bin internal/web/dist/* web/node_modules web/src/api/schema.d.ts

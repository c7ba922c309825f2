# make run     build, and start Warder on SQLite in ./data
# make test    everything that must hold, within ten minutes on two cores
# make lint    formatting and static analysis
# make bench   the table of speed and memory
# make fuzz    every fuzz target for FUZZTIME seconds
# make soak    the long loops: kill -9 under load, floods, an hour at most
# make build   bin/warder

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

GO ?= go
FUZZTIME ?= 60
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
LINT := $(GO) tool -modfile=tools/go.mod golangci-lint

# Packages in which goroutines meet: tested once more under the race detector.
RACY := ./internal/counter/... ./internal/guard/... ./internal/policy/... ./internal/prefix/... ./internal/store/...

.PHONY: build run test race fuzz bench soak lint fmt clean

build:
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/warder ./cmd/warder

run: build
	@exec bin/warder serve --data ./data

test:
	scripts/need
	$(GO) vet ./...
	$(GO) test -timeout 5m ./...
	$(MAKE) --no-print-directory race
	scripts/fuzz 3

race:
	$(GO) test -race -short -timeout 5m $(RACY)

fuzz:
	scripts/fuzz $(FUZZTIME)

bench:
	scripts/bench

soak:
	WARDER_SOAK=1 $(GO) test -count=1 -v -timeout 60m ./internal/acceptance
	$(GO) test -tags soak -run Soak -timeout 60m ./...

lint:
	$(LINT) run ./...

fmt:
	$(LINT) fmt ./...

clean:
	rm -rf bin dist

# Every target installs what it needs: npm packages, tools, and, when run as root on Debian, browser, proxies and brokers. What
# cannot be installed is skipped with a message, except with CI=true or REQUIRE_SERVICES=1: then it is a failure.

.PHONY: help chat cluster test test-go test-js test-examples test-proxy test-browser check build bench bench-quick bench-cluster bench-micro bench-compare fuzz soak cover clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

chat: ## Run the chat example at http://localhost:3000 (ADDR=:8080 for another port)
	@scripts/chat

cluster: ## Run the chat on three servers connected by NATS, at http://localhost:3000 (ADDR=:8080 for another port)
	@scripts/cluster

test: ## Run all tests: Go (race, plain, invariants, fuzzing for a moment), JavaScript client, clusters, examples, proxies, browser
	@scripts/test

test-go: ## Run the Go tests of all modules only
	@scripts/test race plain invariants

test-js: ## Run the official JavaScript client against the server and mixed clusters only
	@scripts/test js js-race cluster

test-examples: ## Run every example with its client only
	@scripts/test examples

test-proxy: ## Run the configurations of nginx, HAProxy and Caddy in docs/deployment.md only
	@scripts/test proxy

test-browser: ## Run the chat and WebTransport examples in Chromium only
	@scripts/test browser

check: ## Check format, vet, lint, modernity, go.mod files, generated code
	@scripts/check

build: ## Build every program into bin/
	@scripts/build

bench: ## Measure epio beside other servers, in a quarter of an hour: bench/out/report.md
	@scripts/bench

bench-quick: ## The same in two minutes, for a first look
	@scripts/bench -quick

bench-cluster: ## Measure three Go and three Node servers on one Redis, in three minutes: bench/out/cluster.md
	@scripts/bench-cluster

bench-micro: ## Run the Go benchmarks (BENCH=regexp COUNT=10 OUT=file)
	@scripts/bench-micro

bench-compare: ## Compare the Go benchmarks with those of a revision (BASE=rev BENCH=regexp PKG=./codec COUNT=6)
	@scripts/bench-compare

fuzz: ## Run every fuzz function for a while (FUZZTIME=1m FUZZ=regexp)
	@scripts/fuzz $(FUZZ)

soak: ## Random clients for a while, then a look at what they have left (SOAKTIME=5m SOAKBUILD=-race SOAKFLAGS='-rate 100')
	@scripts/soak

cover: ## Say which share of the statements the Go tests run, package by package (MIN=101 lists every parser's files)
	@scripts/cover

clean: ## Remove what was built or installed in the checkout
	rm -rf bin bench/node/node_modules test/node_modules test/cluster/node_modules examples/node_modules examples/chat/node_modules examples/webtransport/node_modules

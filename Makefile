# Waxwing's tasks. `make help` lists them.

SEEDS  ?= 2000
ROUNDS ?= 50
GB     ?= 10
SEED   ?= 1
N      ?= 1000
FUZZ   ?= 5s
UNIT   ?= 15m

export GOFLAGS := -buildvcs=false
PKGS := ./...
SLOW := ./seal ./internal/kafka ./internal/amqp ./outbox ./inbox ./cmd/waxwing # come first, so that none is left alone

# With the race detector a process sleeps at its end, so that others can still tell of
# races: a second, unless told otherwise. The tests end thousands of processes.
export GORACE := atexit_sleep_ms=20

# The packages of the product with files of a build tag.
tagged = $(shell git grep -lE '^//go:build .*\b$(1)\b' -- '*.go' ':!conformance' | xargs -n1 dirname | sort -u | sed 's,^,./,')

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# What `waxwing version` tells of the commit. Nothing, without git or outside of
# a repository of our own.
STAMP = $(shell test "$$(git rev-parse --show-toplevel 2>/dev/null)" = "$$(pwd -P)" \
	&& git rev-parse -q --verify HEAD >/dev/null \
	&& echo "-X main.revision=$$(git rev-parse HEAD)" \
	"$$(git describe --tags --exact-match 2>/dev/null | sed 's/^/-X main.version=/')" \
	"$$(git diff --quiet HEAD -- 2>/dev/null || echo '-X main.modified=true')")

.PHONY: build
build: ## build bin/waxwing
	go build -ldflags "$(STAMP)" -o bin/waxwing ./cmd/waxwing

.PHONY: stamp
stamp:
	@echo $(STAMP);

.PHONY: run
run: build ## build and start the broker on ./waxwing-data
	./bin/waxwing serve

.PHONY: tools
tools: ## install what the tests need (Node and Python packages, kcat, Maven's jars, RabbitMQ)
	./scripts/install-tools.sh

.PHONY: check
check: ## format, vet, staticcheck, import rule
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet $(PKGS)
	go vet -tags mutants $(call tagged,mutants)
	go vet -tags killpoints $(call tagged,killpoints)
	go tool staticcheck $(PKGS)
	cd conformance && go vet ./... && go tool -modfile=../go.mod staticcheck ./...
	cd conformance && go vet -tags killpoints ./killmatrix && go tool -modfile=../go.mod staticcheck -tags killpoints ./killmatrix
	go test -count=1 -run 'TestArrowsPointDown|TestPurePackagesArePure' .

.PHONY: unit
unit: ## every Go test of the product, with the race detector
	go test -race -p 3 -timeout $(UNIT) $(SLOW) $(PKGS)
	go test -race -timeout 5m -tags killpoints -run TestKillPoints ./bus/...
	go test -count=1 -run TestAllocations ./internal/record # not with -race, which drops what is pooled

.PHONY: bench-compile
bench-compile: ## run each benchmark once, so that they keep compiling
	go test -short -run '^$$' -bench . -benchtime 1x $(PKGS) >/dev/null

.PHONY: fuzz
fuzz: ## fuzz each target for FUZZ (5s)
	./scripts/fuzz.sh $(FUZZ)

.PHONY: sim
sim: ## simulate SEEDS (2000) seeds of crashes, torn writes and failing syncs
	go test -count=1 -timeout 120m -v -run TestSeeds ./internal/sim -seeds $(SEEDS)

.PHONY: mutants
mutants: ## remove one safeguard at a time; each must be noticed
	./scripts/mutants.sh 150

.PHONY: kill
kill: ## kill -9 the real binary under load, ROUNDS (50) times
	go run ./bench/kill -rounds $(ROUNDS)

.PHONY: kill-amqp
kill-amqp: ## the same under confirmed publishing and acknowledging over AMQP
	go run ./bench/killamqp -rounds $(ROUNDS)

.PHONY: killmatrix
killmatrix: tools ## the SDK fails at every point, on each database, over each broker; and without each safeguard
	cd conformance && WAXWING_FULL=1 go test -tags killpoints -count=1 -timeout 120m -parallel 8 -skip 'TestSealed' -v ./killmatrix

.PHONY: killmatrix-seal
killmatrix-seal: tools ## the same with every message sealed, on PostgreSQL and SQLite, over Waxwing
	cd conformance && WAXWING_FULL=1 go test -tags killpoints -count=1 -timeout 120m -parallel 8 -run 'TestSealed' -v ./killmatrix

.PHONY: conformance
conformance: tools ## real clients of other languages against the real binary (sample)
	cd conformance && go test -count=1 -timeout 20m ./...

.PHONY: golden
golden: tools ## record anew what real clients say, for internal/kafka to replay
	cd conformance && go test -count=1 -timeout 5m ./golden -record

.PHONY: differential
differential: ## N (1000) random scripts from SEED (1) on, through Waxwing and a real RabbitMQ
	cd conformance && go test -count=1 -timeout 240m -v -run TestDifferential/scripts ./amqpdiff -seed $(SEED) -scripts $(N)

.PHONY: test
test: tools check unit bench-compile ## everything that fits into CI: installs, checks, tests, samples of the long runs
	./scripts/fuzz.sh 1s one
	./scripts/mutants.sh 60
	cd conformance && go test -tags killpoints -count=1 -timeout 10m -parallel 6 ./killmatrix
	cd conformance && go test -count=1 -timeout 15m ./...

.PHONY: test-full
test-full: tools check bench-compile mutants ## everything, in full
	WAXWING_FULL=1 $(MAKE) unit UNIT=60m
	cd conformance && WAXWING_FULL=1 go test -count=1 -timeout 60m ./...
	$(MAKE) kill kill-amqp killmatrix killmatrix-seal sim
	./scripts/fuzz.sh 30s
	$(MAKE) bench-restart bench-backlog bench-queues bench-kafka

.PHONY: bench
bench: ## the hot paths, with allocations
	go test -run '^$$' -bench . -benchmem ./internal/record ./internal/datafile ./internal/journal ./internal/kafka ./internal/broker/... ./internal/engine/disk

.PHONY: bench-restart
bench-restart: ## time to ready after kill -9 with GB (10) stored
	go run ./bench/restart -gb $(GB)

.PHONY: bench-backlog
bench-backlog: ## memory with 10 M messages in 10,000 partitions
	go run ./bench/backlog

.PHONY: bench-queues
bench-queues: ## memory with 10 M messages in queues, disk behind GB (10) after an unacknowledged one
	go run ./bench/queues backlog
	go run ./bench/queues backlog -queues 1
	go run ./bench/queues head -gb $(GB)

.PHONY: bench-kafka
bench-kafka: build tools ## Waxwing and Apache Kafka in turn, same client, with ratios
	./bench/compare-kafka.sh

.PHONY: bench-amqp
bench-amqp: build ## Waxwing and RabbitMQ in turn, same client, with ratios
	./bench/compare-amqp.sh

.PHONY: bench-sdk
bench-sdk: ## the relay, the inbox beside a bare handler, sagas: on a PostgreSQL that syncs every commit
	go test -run '^$$' -bench . -benchtime 1x -timeout 30m ./bench/outbox
	go test -run '^$$' -bench Overhead -benchtime 25x -timeout 30m ./inbox
	go test -run '^$$' -bench Transitions -timeout 30m ./saga

.PHONY: bench-seal
bench-seal: ## sealing and opening, a ratchet step, a handshake; a sealed outbox beside a plain one
	go test -run '^$$' -bench 'OneWay|PingPong|Handshake|Hostile' ./seal/ratchet
	go test -run '^$$' -bench SealOpen ./seal/senderkey
	go test -run '^$$' -bench Outbox -benchtime 15x -timeout 20m ./bench/seal

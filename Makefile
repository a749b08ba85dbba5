# The commands of this repository. `make` alone prints them.

GO ?= go
BIN := bin/booking-svc
TOOLS := .bin
# Arguments of dev, demo, faults, bench, bench-growth and evening: make dev ARGS=--reset
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run dev demo build generate proto-baseline fmt lint lint-proto test test-unit faults bench bench-growth bench-short evening allocations vulnerabilities alerts image release release-check deploy-test upgrade tools ci clean FORCE

help: ## Print what there is.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Run the service alone; PostgreSQL must be there (see --help for the settings).
	$(GO) run cmd/booking-svc/main.go cmd/booking-svc/metrics.go

dev: build ## Run the service with a PostgreSQL, Redis, Kafka and venue around it; nothing to install.
	@exec $(BIN) dev $(ARGS)

demo: build ## Play a Saturday evening against a running `make dev`.
	@exec $(BIN) demo $(ARGS)

build: $(BIN) ## Build bin/booking-svc.

$(BIN): FORCE
	@$(GO) build -o $@ ./cmd/booking-svc

generate: $(TOOLS)/buf $(TOOLS)/protoc-gen-go $(TOOLS)/protoc-gen-go-grpc $(TOOLS)/protoc-gen-doc ## Generate the code of the contract, the mocks, docs/api.md and docs/configuration.md.
	cd proto && PATH="$(CURDIR)/$(TOOLS):$$PATH" buf generate
	$(GO) generate ./...
	$(GO) -C tools/watch run . ../../deploy/grafana/dashboards/booking-svc.json

proto-baseline: $(TOOLS)/buf ## Accept the contract as it is now as what may not be broken.
	cd proto && ../$(TOOLS)/buf build --exclude-source-info -o baseline.binpb

fmt: $(TOOLS)/buf $(TOOLS)/golangci-lint ## Format Go and proto files.
	$(TOOLS)/golangci-lint fmt
	$(TOOLS)/buf format -w proto

lint: lint-proto $(TOOLS)/golangci-lint ## Check style, the contract and the dependencies between layers.
	$(TOOLS)/golangci-lint run

lint-proto: $(TOOLS)/buf
	$(TOOLS)/buf format --diff --exit-code proto
	cd proto && ../$(TOOLS)/buf lint
	cd proto && ../$(TOOLS)/buf breaking --against baseline.binpb

test: ## Run all tests, on real servers (installs what is missing).
	@scripts/test.sh

alerts: ## Check the dashboard and the alert rules (see docs/operations.md).
	@scripts/alerts.sh

faults: ## Prove the promises under faults (ARGS="-seed 1 -short", see docs/reliability.md).
	@scripts/faults.sh $(ARGS)

upgrade: ## Replace the replicas of the last release by these while guests book (ARGS=REV, see docs/upgrade.md).
	@scripts/upgrade.sh $(ARGS)

bench: ## Measure the service against what PostgreSQL alone does (see docs/performance.md).
	@scripts/bench.sh $(ARGS)

bench-growth: ## Compare the service with millions of rows and with few.
	@scripts/bench.sh -growth $(ARGS)

bench-short: ## Show that every measurement of the bench runs.
	@scripts/bench.sh -short $(ARGS)

evening: ## Play a Saturday evening of 50,000 restaurants (see docs/evening.md).
	@scripts/evening.sh $(ARGS)

allocations: ## Compare what calls allocate with the last commit (ARGS=REV).
	@scripts/allocations.sh $(ARGS)

vulnerabilities: ## Look for known vulnerabilities in what the service calls.
	@scripts/vulnerabilities.sh

test-unit: ## Run the tests that need no servers.
	$(GO) test ./...

deploy-test: $(TOOLS)/actionlint $(TOOLS)/hadolint ## Check the Dockerfile, Compose, Kubernetes and workflow files.
	$(TOOLS)/hadolint Dockerfile
	$(TOOLS)/actionlint
	$(GO) test -C deploy/test -count=1 ./...

image: ## Build the image booking-svc:VERSION (docs/deployment.md).
	. scripts/version.sh && docker build --build-arg VERSION --build-arg COMMIT --build-arg DATE -t "booking-svc:$$VERSION" .

release: ## Build the archives of a release into dist/ (docs/deployment.md).
	@scripts/release.sh

release-check: ## Show that a release built again is the same, byte for byte.
	@scripts/release-check.sh

ci: ## Run what CI runs.
	@.ci/run

# Pinned in go.mod and the go.mod files under tools/: modules of their own, so that what a tool needs
# does not decide what the service gets.
tools: $(addprefix $(TOOLS)/,buf grpcurl golangci-lint protoc-gen-go protoc-gen-go-grpc protoc-gen-doc) ## Build the tools into .bin/.

$(TOOLS)/buf: tools/go.mod tools/go.sum
	$(GO) -C tools build -o $(CURDIR)/$@ github.com/bufbuild/buf/cmd/buf

$(TOOLS)/grpcurl: tools/go.mod tools/go.sum
	$(GO) -C tools build -o $(CURDIR)/$@ github.com/fullstorydev/grpcurl/cmd/grpcurl

$(TOOLS)/golangci-lint: tools/lint/go.mod tools/lint/go.sum
	$(GO) -C tools/lint build -o $(CURDIR)/$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

$(TOOLS)/benchstat: tools/bench/go.mod tools/bench/go.sum
	$(GO) -C tools/bench build -o $(CURDIR)/$@ golang.org/x/perf/cmd/benchstat

$(TOOLS)/govulncheck: tools/vuln/go.mod tools/vuln/go.sum
	$(GO) -C tools/vuln build -o $(CURDIR)/$@ golang.org/x/vuln/cmd/govulncheck
$(TOOLS)/actionlint: tools/deploy/go.mod tools/deploy/go.sum
	$(GO) -C tools/deploy build -o $(CURDIR)/$@ github.com/rhysd/actionlint/cmd/actionlint

$(TOOLS)/hadolint: tools/deploy/requirements.txt
	@python3 -c 'import ensurepip, venv' 2>/dev/null || scripts/apt-install.sh python3-venv
	python3 -m venv .cache/hadolint
	.cache/hadolint/bin/pip install -q --disable-pip-version-check --require-hashes -r $<
	install .cache/hadolint/bin/hadolint $@

$(TOOLS)/cyclonedx-gomod: tools/deploy/go.mod tools/deploy/go.sum
	$(GO) -C tools/deploy build -o $(CURDIR)/$@ github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod

$(TOOLS)/protoc-gen-go: go.mod
	$(GO) build -o $@ google.golang.org/protobuf/cmd/protoc-gen-go

$(TOOLS)/protoc-gen-go-grpc: go.mod
	$(GO) build -o $@ google.golang.org/grpc/cmd/protoc-gen-go-grpc

$(TOOLS)/protoc-gen-doc: tools/doc/go.mod tools/doc/go.sum
	$(GO) -C tools/doc build -o $(CURDIR)/$@ github.com/pseudomuto/protoc-gen-doc/cmd/protoc-gen-doc

clean: ## Remove what was built and fetched, but not the data of `make dev`.
	rm -rf bin dist $(TOOLS) .cache

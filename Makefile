# nearby: `make run` serves the demo, `make test` runs every test.
SHELL := /bin/bash
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
# go.mod demands a version of Go. One that is older and may not fetch it (GOTOOLCHAIN=local
# of "go env") would refuse to work.
GOTOOLCHAIN ?= auto
export GOTOOLCHAIN
# Tools that read Go are compiled by what go.mod demands, or they refuse to read it.
GO_OF_TOOLS := GOTOOLCHAIN=go$(shell sed -n 's/^go //p' go.mod)+auto

TOOLS := $(CURDIR)/.tools
GOLANGCI := $(TOOLS)/golangci-lint
GOLANGCI_VERSION := v2.15.0
GOTESTSUM := $(TOOLS)/gotestsum
GOTESTSUM_VERSION := v1.13.0
GOVULNCHECK := $(TOOLS)/govulncheck
GOVULNCHECK_VERSION := v1.9.0
# The state of the vulnerability database of Go. make vuln VULNDB_VERSION=master takes the newest one.
VULNDB_VERSION := v0.0.0-20261105234957-e22db6528018
VULNDB = $(TOOLS)/vulndb-$(VULNDB_VERSION)
CYCLONEDX_VERSION := v1.10.0
REDOCLY_VERSION := 2.77.0

# The slowest packages begin first, and more of them run at a time than there are
# cores, since many of their tests wait: for a server, for a disk, for a moment.
SLOW := ./store/postgres ./store/postgres/attach ./cmd/nearby ./catalog ./store/embedded ./bench/servers ./bench ./cmd/nearby-compare ./api
TESTS = -race -shuffle=on -timeout 40m -p 6 $(SLOW) ./...

# What the test of a TypeScript client needs, where npm is.
TYPESCRIPT = [ -d $(TOOLS)/typescript/node_modules/openapi-fetch ] || ! command -v npm >/dev/null || \
	timeout 180 npm install --prefix $(TOOLS)/typescript --no-audit --no-fund --silent openapi-typescript@7.13.0 openapi-fetch@0.17.0 typescript@5.9.3 >&2 || \
	echo "the test of a TypeScript client is skipped: npm could not install openapi-typescript" >&2

# What the test of a Python client, and that of filters, need, where python3 is.
PYTHON = { [ -x $(TOOLS)/python/bin/openapi-python-client ] && [ -x $(TOOLS)/python/bin/cql2 ]; } || ! command -v python3 >/dev/null || \
	{ python3 -m venv $(TOOLS)/python && timeout 180 $(TOOLS)/python/bin/pip install --quiet --disable-pip-version-check openapi-python-client==0.29.1 cql2==0.6.0; } >&2 || \
	echo "the tests of a Python client and of filters are skipped: python3 could not install openapi-python-client and cql2 (Debian: apt-get install python3-venv)" >&2

# What tests drive besides Go is installed where it may be, and tests are told what must be there.
PROVISION = $(TYPESCRIPT); $(PYTHON); .ci/provision postgres >/dev/null; \
	export NEARBY_TEST_CLIENTS=$$(.ci/provision) NEARBY_TEST_BROWSER=$$(.ci/provision browser) NEARBY_TEST_SERVERS=$$(.ci/provision servers) NEARBY_TEST_PROMTOOL=$$(.ci/provision promtool) NEARBY_TEST_PROXIES=$$(.ci/provision proxies) CGO_ENABLED=1

.PHONY: run build test test-busy provision test-qgis cover lint vet vuln verify-modules sbom fuzz bench compare docker generate clean help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: build ## build, then serve the demo on 127.0.0.1:8080 with the store in ./data
	./nearby serve --demo --data ./data

build: ## build ./nearby, one static binary
	@echo "compiling ./nearby; the first time this takes one to six minutes, and each package is named when it is done"
	CGO_ENABLED=0 go build -v -trimpath -ldflags '$(LDFLAGS)' -o nearby ./cmd/nearby

test: $(GOTESTSUM) ## all tests with the race detector, in random order; a line for each package when it ends
	@echo "compiling with the race detector; the first time this takes several minutes, and each package is named when it is done"
	@CGO_ENABLED=1 go build -v -race ./...
	@echo "testing; a package is named when it ends, the slowest take some minutes"
	@$(PROVISION); $(GOTESTSUM) --format standard-quiet -- $(TESTS)
	@echo "testing the indexes once more, without assembly"
	@$(GOTESTSUM) --format standard-quiet -- -tags purego -shuffle=on ./index/... ./internal/... ./geohash ./quadtree

test-busy: ## the tests RUNS times (default 10) beside two processes that only compute; a line for each run
	@.ci/busy $${RUNS:-10}

provision: ## install PostgreSQL, the clients, the servers, promtool, the proxies and what makes clients that tests drive, if they are missing and we may
	@.ci/provision postgres >/dev/null
	@.ci/provision >/dev/null
	@.ci/provision browser >/dev/null
	@.ci/provision servers >/dev/null
	@.ci/provision promtool >/dev/null
	@.ci/provision proxies >/dev/null
	@$(TYPESCRIPT)
	@$(PYTHON)

test-qgis: ## the test with QGIS, which is large: apt-get install python3-qgis qgis-providers
	NEARBY_TEST_QGIS=1 go test -count=1 -run TestQGIS -v ./cmd/nearby

cover: ## coverage by package, without the race detector
	@$(PROVISION); go test -timeout 40m -p 4 -coverprofile=cover.out $(SLOW) ./...
	go tool cover -func=cover.out | tail -1

# With the flags of "build", so that what that has compiled serves here too.
vet: ## go vet, also of what is compiled for another processor
	CGO_ENABLED=0 go vet -trimpath ./...
	CGO_ENABLED=0 GOARCH=arm64 go vet -trimpath ./...

lint: $(GOLANGCI) vet ## go vet, golangci-lint (staticcheck among others), the OpenAPI document, generated code, go.mod, gofmt
	CGO_ENABLED=0 GOFLAGS="$(GOFLAGS) -trimpath" $(GOLANGCI) run ./...
	@if command -v npx >/dev/null; then npx -y @redocly/cli@$(REDOCLY_VERSION) lint openapi.yaml; \
	  else echo "openapi.yaml is not linted: there is no npx"; fi
	@cd internal/wire && go tool -modfile=codegen.mod oapi-codegen -config config.yaml -o /dev/stdout ../../openapi.yaml | diff -u wire.gen.go - || \
	  { echo "internal/wire/wire.gen.go is not what is generated from openapi.yaml: run make generate"; exit 1; }
	go mod tidy -diff
	@test -z "$$(gofmt -l . )" || { echo "not gofmt'ed:"; gofmt -l .; exit 1; }

vuln: $(GOVULNCHECK) $(VULNDB) ## known vulnerabilities in what the programs call, by govulncheck
	$(GOVULNCHECK) -db file://$(VULNDB) ./...

verify-modules: ## that the modules are those of go.sum, and that two builds of what is committed are the same bytes
	go mod verify
	@dir=$$(mktemp -d) && trap "rm -rf $$dir" EXIT && \
	  for i in one another; do mkdir $$dir/$$i && git archive HEAD | tar -x -C $$dir/$$i || exit 1; done && \
	  (cd $$dir/one && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $$dir/a ./cmd/nearby) && \
	  (cd $$dir/another && GOCACHE=$$dir/cache CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $$dir/b ./cmd/nearby) && \
	  cmp $$dir/a $$dir/b && echo "two builds, in two folders and with two caches, are the same: $$(sha256sum <$$dir/a)"

sbom: build ## nearby.cdx.json: what the program is made of, as CycloneDX lists it
	CGO_ENABLED=0 go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX_VERSION) bin -json -licenses -output nearby.cdx.json nearby

$(GOVULNCHECK):
	$(GO_OF_TOOLS) GOBIN=$(TOOLS) go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)

# The module has the entries of the database; indexdb makes of them what govulncheck reads.
$(VULNDB):
	GOBIN=$(TOOLS) go install golang.org/x/vulndb/cmd/indexdb@$(VULNDB_VERSION)
	rm -rf $(VULNDB).new $(TOOLS)/vulndb-*
	$(TOOLS)/indexdb -vulns "$$(go mod download -json golang.org/x/vulndb@$(VULNDB_VERSION) | sed -n 's/^\t"Dir": "\(.*\)",$$/\1/p')/data/osv" -out $(VULNDB).new
	mv $(VULNDB).new $(VULNDB)

$(GOTESTSUM):
	GOBIN=$(TOOLS) go install gotest.tools/gotestsum@$(GOTESTSUM_VERSION)

$(GOLANGCI):
	$(GO_OF_TOOLS) GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

generate: ## make internal/wire from openapi.yaml
	go generate ./...

fuzz: ## fuzz every target for FUZZTIME each (default 20s)
	@for pkg in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZTIME:-20s} $$pkg || exit 1; \
	  done; done

compare: build ## build ./nearby-compare beside ./nearby; it measures nearby beside libraries and servers
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o nearby-compare ./cmd/nearby-compare

bench: build ## the density benchmark: a table here, plots in report/
	./nearby bench --out report

docker: ## build the container image
	docker build --build-arg VERSION=$(VERSION) -t nearby:$(VERSION) .

clean:
	rm -rf nearby nearby-compare cover.out report .tools

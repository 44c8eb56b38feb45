# nearby: `make run` serves the demo, `make test` runs every test.
SHELL := /bin/bash
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
TOOLS := $(CURDIR)/.tools
GOLANGCI := $(TOOLS)/golangci-lint
GOLANGCI_VERSION := v2.15.0
REDOCLY_VERSION := 2.77.0

.PHONY: run build test provision test-qgis cover lint vet fuzz bench docker generate clean help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: build ## build, then serve the demo on 127.0.0.1:8080 with the store in ./data
	./nearby serve --demo --data ./data

build: ## build ./nearby, one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o nearby ./cmd/nearby

test: ## all tests with the race detector, in random order
	@.ci/provision postgres >/dev/null
	NEARBY_TEST_CLIENTS=$$(.ci/provision) NEARBY_TEST_SERVERS=$$(.ci/provision servers) CGO_ENABLED=1 go test -race -shuffle=on -timeout 10m -coverprofile=cover.out ./...

provision: ## install PostgreSQL, the GIS clients and the servers that tests drive, if they are missing and we may
	@.ci/provision postgres >/dev/null
	@.ci/provision >/dev/null
	@.ci/provision servers >/dev/null

test-qgis: ## the test with QGIS, which is large: apt-get install python3-qgis qgis-providers
	NEARBY_TEST_QGIS=1 go test -count=1 -run TestQGIS -v ./cmd/nearby

cover: test ## coverage by package
	go tool cover -func=cover.out | tail -1

vet:
	go vet ./...

lint: $(GOLANGCI) vet ## go vet, golangci-lint (staticcheck among others), the OpenAPI document, gofmt
	$(GOLANGCI) run ./...
	@if command -v npx >/dev/null; then npx -y @redocly/cli@$(REDOCLY_VERSION) lint openapi.yaml; \
	  else echo "openapi.yaml is not linted: there is no npx"; fi
	@test -z "$$(gofmt -l . )" || { echo "not gofmt'ed:"; gofmt -l .; exit 1; }

$(GOLANGCI):
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

generate: ## make client/ from openapi.yaml
	go generate ./...

fuzz: ## fuzz every target for FUZZTIME each (default 20s)
	@for pkg in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZTIME:-20s} $$pkg || exit 1; \
	  done; done

bench: build ## the density benchmark: a table here, plots in report/
	./nearby bench --out report

docker: ## build the container image
	docker build --build-arg VERSION=$(VERSION) -t nearby:$(VERSION) .

clean:
	rm -rf nearby cover.out report .tools

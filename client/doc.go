// Package client is the Go client of the HTTP interface, generated from
// openapi.yaml: `go generate ./client` makes client.gen.go anew.
package client

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config config.yaml ../openapi.yaml

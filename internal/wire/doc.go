// Package wire holds the bodies of requests and answers of the HTTP interface as Go types.
// They are generated from the schemas of openapi.yaml: `go generate ./internal/wire` makes
// wire.gen.go again. config.yaml and overlay.yaml say what is generated, and codegen.mod which
// version of the generator does it. A test of the root package fails while wire.gen.go is not
// what the generator makes.
package wire

//go:generate go tool -modfile=codegen.mod oapi-codegen -config config.yaml -o wire.gen.go ../../openapi.yaml

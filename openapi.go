// Package nearby carries the contract of the HTTP interface: the document that
// the server serves, the client is generated from, and the tests hold both to.
package nearby

import _ "embed"

// OpenAPI is openapi.yaml.
//
//go:embed openapi.yaml
var OpenAPI []byte

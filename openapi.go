// Package nearby carries two documents of the whole: the contract of the HTTP interface, which
// the server serves, from which the client is generated, and to which the tests hold both; and the
// licences of what the program links.
package nearby

import _ "embed"

// OpenAPI is openapi.yaml.
//
//go:embed openapi.yaml
var OpenAPI []byte

// Notices is the file NOTICES: the modules that the program links, each with its licence.
//
//go:embed NOTICES
var Notices string

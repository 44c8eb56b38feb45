// Package api serves collections over HTTP, on chi.
//
// openapi.yaml is the contract; the tests hold the routes, the parameter table
// and every answer to it. A handler reads its parameters by one table (params.go),
// loads a collection's snapshot once, and appends its answer to one buffer
// (geojson.go). An error becomes a problem (RFC 9457) by one table (problem.go).
package api

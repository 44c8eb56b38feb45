// Package api serves collections over HTTP, on chi.
//
// openapi.yaml is the contract; the tests hold the routes, the parameter table
// and every answer to it. A handler reads its parameters by one table (package parameter),
// loads a collection's snapshot once, and appends its answer to one buffer
// (geojson.go). An error becomes a problem (RFC 9457) by one table (causes.go).
//
// New (server.go) puts a server together. A request goes through these in turn: it gets an
// id and a line in the log (observe.go); it is refused if it is for another host (hosts.go) or
// has a header twice (fields.go); what its proxy says of it is believed or not (proxy.go); it
// is refused if it is for a page of another origin (cors.go); its answer is packed
// (compress.go); it is refused if there are too many (admit.go); and its route has a
// handler (routes.go).
package api

// Package api serves collections over HTTP, on chi.
//
// openapi.yaml is the contract. Tests compare the routes, the parameter table and every answer
// with it. A handler reads its parameters by one table (package parameter), loads a
// collection's snapshot once, and appends its answer to one buffer, from which a large answer is
// sent in pieces (geojson.go). A heavy request waits for its turn before it is worked on
// (turns.go). One table (causes.go) turns an error into a problem (RFC 9457).
//
// Connections (connections.go) is the listener; it bounds the open connections, and
// encrypts them if the server has a certificate.
//
// New (server.go) puts a server together. A request passes these steps:
//
//  1. It gets an id and a line in the log (observe.go).
//  2. It is refused if it is for another host (hosts.go).
//  3. It is refused if it has a header twice (fields.go).
//  4. The headers of a trusted proxy replace its scheme, host and path (proxy.go).
//  5. It is refused if it comes from a page of another origin (cors.go).
//  6. Its answer is compressed if the client accepts that (compress.go).
//  7. It is refused if its address has used up its limit (rate.go).
//  8. It is refused if too many requests are under way (admit.go).
//  9. It is refused if its API key does not allow what its route demands (access.go).
//  10. The handler of its route answers it (routes.go).
package api

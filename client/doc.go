// Package client is the Go client of a nearby server.
//
//	c, err := client.New("http://127.0.0.1:8080")
//	page, err := c.Collection("city").Nearby(ctx, 40.75, -73.98, client.K(5), client.Where("category", "cafe"))
//
// A [Client] and its [Collection] values may be used by several goroutines. No method does
// anything before it is called: [Client.Collection] only names a collection.
//
// # Errors
//
// If a server refuses a request, the error is a [*Problem]. It says what was wrong and, for a
// write, whether the write was made. [ErrNotFound], [ErrExists], [ErrConflict] and [ErrNotModified] are for errors.Is. If no
// answer came, the error is a [*url.Error], as that of [http.Client].
//
// # What is shown
//
// Answers name the position in the server's history that they show. The client keeps the
// latest one and sends it with each request to a collection. So a read shows at least what the
// client has written or seen before, on any of several servers that share a database.
// [Client.Token] and [WithToken] carry it from one client to another. [Strong] shows the writes
// of everybody.
//
// # Sending again
//
// A request is sent again, after a while and a few times at most ([Retry]), if that can do no
// harm:
//
//   - a read, if no answer came or the server says that it may succeed later;
//   - a write of an item, in the same cases: it has an Idempotency-Key, by which the server
//     makes it once, however often it comes ([Key], [NoKey]);
//   - any other request only if it is known that nothing was made: the connection was refused,
//     or the server says both that nothing was written and that it may succeed later.
//
// If the server says how long to wait (Retry-After), the client waits at least as long.
package client

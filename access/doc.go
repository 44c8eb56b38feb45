// Package access says what an API key is: its text, what a store keeps of it, and what it allows. It
// knows no store and no HTTP.
//
// A key has an id, which everybody may see, and a secret, which only its owner has. The store has the
// SHA-256 of the text. A Ring is all keys of a store; it finds the key of a text. What a request
// demands of a key is said by package api, where each route is registered.
//
// The filter of a key is a place for one that its items must match. No key can be made with one yet.
package access

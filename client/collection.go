package client

import (
	"context"
	"encoding/json"
	"net/http"

	"nearby/internal/wire"
)

// Collection is a named set of items on a server.
type Collection struct {
	client *Client
	name   string
}

// Description is a collection as the server describes it.
type Description struct {
	wire.Collection
	// ETag names the version. With [IfMatch] a change is made only if the definition is
	// unchanged; items may come and go meanwhile. In a list it is empty.
	ETag string
}

// Media types of bodies.
const (
	mediaJSON    = "application/json"
	mediaPatch   = "application/merge-patch+json"
	mediaFeature = "application/geo+json"
)

// Name returns the collection's name.
func (c *Collection) Name() string { return c.name }

func (c *Collection) request(method, below string, opts []RequestOption) *request {
	return newRequest(method, "/v1/collections/"+escape(c.name)+below, opts).aboutData()
}

// Create makes the collection. It is ErrConflict if there is one.
func (c *Collection) Create(ctx context.Context, def Definition, opts ...RequestOption) (*Description, error) {
	return c.Put(ctx, def, append([]RequestOption{IfAbsent()}, opts...)...)
}

// Put makes the collection, or replaces its definition.
func (c *Collection) Put(ctx context.Context, def Definition, opts ...RequestOption) (*Description, error) {
	return c.define(ctx, http.MethodPut, mediaJSON, def, opts)
}

// Patch changes parts of the definition by a JSON merge patch (RFC 7396), such as
// map[string]any{"title": "Cafés", "description": nil}.
func (c *Collection) Patch(ctx context.Context, patch any, opts ...RequestOption) (*Description, error) {
	return c.define(ctx, http.MethodPatch, mediaPatch, patch, opts)
}

func (c *Collection) define(ctx context.Context, method, mediaType string, def any, opts []RequestOption) (*Description, error) {
	body, err := json.Marshal(def)
	if err != nil {
		return nil, err
	}
	return c.describe(ctx, c.request(method, "", opts).with(mediaType, body))
}

// Describe returns the collection's definition, extent and statistics.
func (c *Collection) Describe(ctx context.Context, opts ...RequestOption) (*Description, error) {
	return c.describe(ctx, c.request(http.MethodGet, "", opts).asRead())
}

func (c *Collection) describe(ctx context.Context, r *request) (*Description, error) {
	a, err := c.client.send(ctx, r)
	if err != nil {
		return nil, err
	}
	if a.status == http.StatusNotModified {
		return nil, ErrNotModified
	}
	d := &Description{ETag: a.header.Get("ETag")}
	return d, a.decode(&d.Collection)
}

// Delete deletes the collection with all its items.
func (c *Collection) Delete(ctx context.Context, opts ...RequestOption) error {
	_, err := c.client.send(ctx, c.request(http.MethodDelete, "", opts))
	return err
}

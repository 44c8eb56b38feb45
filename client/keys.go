package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"

	"nearby/internal/wire"
)

type (
	// APIKey is what a server tells of an API key. Key is its text, which only
	// [Client.CreateKey] and [Client.RotateKey] return.
	APIKey = wire.Key
	// NewKey is what a new API key shall be.
	NewKey = wire.KeyIn
)

// WithKey sends an API key with each request. Text is what "nearby keys create" has printed. A
// server that is asked by http, and is on another machine, gets the key unencrypted.
func WithKey(text string) Option { return func(c *Client) { c.key = text } }

// Keys lists the API keys of the server, also those that have ended, the oldest first.
func (c *Client) Keys(ctx context.Context) ([]APIKey, error) {
	a, err := c.send(ctx, newRequest(http.MethodGet, "/v1/keys", nil).asRead())
	if err != nil {
		return nil, err
	}
	var list struct {
		Keys []APIKey `json:"keys"`
	}
	return list.Keys, a.decode(&list)
}

// CreateKey makes an API key. It is asked for once.
func (c *Client) CreateKey(ctx context.Context, k NewKey) (*APIKey, error) {
	return c.newKey(ctx, "/v1/keys", k)
}

// RotateKey makes a successor of an API key with the same rights. The old key can be used for the
// time overlap, which is rounded to seconds. It is asked for once.
func (c *Client) RotateKey(ctx context.Context, id string, overlap time.Duration) (*APIKey, error) {
	seconds := int(overlap.Round(time.Second) / time.Second)
	return c.newKey(ctx, "/v1/keys/"+url.PathEscape(id)+"/rotate", struct {
		OverlapSeconds int `json:"overlapSeconds"` // unlike in wire.Rotation, 0 is sent
	}{seconds})
}

func (c *Client) newKey(ctx context.Context, path string, body any) (*APIKey, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	a, err := c.once(ctx, newRequest(http.MethodPost, path, nil).with("application/json", data))
	if err != nil {
		return nil, err
	}
	k := new(APIKey)
	return k, a.decode(k)
}

// RevokeKey revokes an API key. The server refuses it from then on, and others that share its
// database within 5 seconds.
func (c *Client) RevokeKey(ctx context.Context, id string) error {
	_, err := c.send(ctx, newRequest(http.MethodDelete, "/v1/keys/"+url.PathEscape(id), nil).asRead()) // doing it twice does no harm
	return err
}

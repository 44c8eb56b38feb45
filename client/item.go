package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"nearby/internal/wire"
)

// Item is a point with an id and properties.
type Item struct {
	ID       string
	Lon, Lat float64 // degrees
	// Properties is a JSON object as it came, or as it is sent; nil: it is empty. Decode reads
	// it, NewItem writes it.
	Properties json.RawMessage

	// ETag names the version, for IfMatch. It is empty of a write that another write of the same
	// moment has replaced. It and the times are left out in pages and nearby answers.
	ETag             string
	Created, Updated time.Time
}

// NewItem returns an item whose properties are a value that is a JSON object when it is
// marshalled, such as a struct or a map; nil: none. The id may be empty for InsertItem.
func NewItem(id string, lat, lon float64, properties any) (Item, error) {
	it := Item{ID: id, Lat: lat, Lon: lon}
	if properties == nil {
		return it, nil
	}
	var err error
	if it.Properties, err = json.Marshal(properties); err == nil && it.Properties[0] != '{' {
		err = fmt.Errorf("the properties of the item %q are no JSON object: %.40s", id, it.Properties)
	}
	return it, err
}

// Decode unmarshals the properties.
func (it *Item) Decode(to any) error {
	if it.Properties == nil {
		return json.Unmarshal([]byte("{}"), to)
	}
	return json.Unmarshal(it.Properties, to)
}

func itemOf(f *wire.Feature) Item {
	it := Item{ID: f.ID, Properties: f.Properties, Created: f.Created, Updated: f.Updated}
	it.place(&f.Geometry)
	return it
}

func (it *Item) place(p *wire.Point) {
	if len(p.Coordinates) >= 2 {
		it.Lon, it.Lat = p.Coordinates[0], p.Coordinates[1]
	}
}

func (it *Item) feature() ([]byte, error) {
	properties := it.Properties
	if properties == nil {
		properties = json.RawMessage("{}")
	}
	return json.Marshal(&wire.FeatureIn{
		Type: "Feature", ID: it.ID, Properties: properties,
		Geometry: wire.Point{Type: "Point", Coordinates: []float64{it.Lon, it.Lat}},
	})
}

func (c *Collection) itemRequest(method, id string, opts []RequestOption) *request {
	r := c.request(method, "/items/"+escape(id), opts)
	if id == "" && r.err == nil {
		r.err = fmt.Errorf("an item of the collection %q has an empty id", c.name)
	}
	return r
}

// GetItem returns an item. With IfNoneMatch it is ErrNotModified if the caller has the version.
func (c *Collection) GetItem(ctx context.Context, id string, opts ...RequestOption) (*Item, error) {
	return c.item(ctx, c.itemRequest(http.MethodGet, id, opts).asRead())
}

// PutItem inserts or replaces an item, and returns it as it was written.
func (c *Collection) PutItem(ctx context.Context, it Item, opts ...RequestOption) (*Item, error) {
	body, err := it.feature()
	if err != nil {
		return nil, err
	}
	return c.item(ctx, c.itemRequest(http.MethodPut, it.ID, opts).with(mediaFeature, body).keyed())
}

// InsertItem inserts an item, and returns it as it was written. It is ErrExists if its id exists.
// If it has no id, the server makes one.
func (c *Collection) InsertItem(ctx context.Context, it Item, opts ...RequestOption) (*Item, error) {
	body, err := it.feature()
	if err != nil {
		return nil, err
	}
	return c.item(ctx, c.request(http.MethodPost, "/items", opts).with(mediaFeature, body).keyed())
}

// PatchItem changes parts of an item by a JSON merge patch (RFC 7396), such as
// map[string]any{"properties": map[string]any{"rating": 4.5, "closed": nil}}, and returns the
// item as the patch made it. If it was sent again, and the item had been written since, only ID
// and ETag are set.
func (c *Collection) PatchItem(ctx context.Context, id string, patch any, opts ...RequestOption) (*Item, error) {
	body, err := json.Marshal(patch)
	if err != nil {
		return nil, err
	}
	it, err := c.item(ctx, c.itemRequest(http.MethodPatch, id, opts).with(mediaPatch, body).keyed())
	if err == nil {
		it.ID = id
	}
	return it, err
}

// DeleteItem deletes an item.
func (c *Collection) DeleteItem(ctx context.Context, id string, opts ...RequestOption) error {
	_, err := c.client.send(ctx, c.itemRequest(http.MethodDelete, id, opts).keyed())
	return err
}

// item sends a request whose answer is an item.
func (c *Collection) item(ctx context.Context, r *request) (*Item, error) {
	a, err := c.client.send(ctx, r)
	if err != nil {
		return nil, err
	}
	var f wire.Feature
	switch a.status {
	case http.StatusNotModified:
		return nil, ErrNotModified
	case http.StatusNoContent:
	default:
		if err := a.decode(&f); err != nil {
			return nil, err
		}
	}
	it := itemOf(&f)
	it.ETag = a.header.Get("ETag")
	return &it, nil
}

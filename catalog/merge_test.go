package catalog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"nearby/collection"
	"nearby/item"
	"nearby/value"
)

// Merges of different members of the same items hold, through whichever copies they
// come at a time, with keys and without, where the collection is written back, too.
func TestMergesHoldAcrossCopies(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		for _, policy := range []string{collection.WriteThrough, collection.WriteBack} {
			t.Run(policy, func(t *testing.T) { mergesHoldAcrossCopies(t, open, policy) })
		}
	})
}

func mergesHoldAcrossCopies(t *testing.T, open opener, policy string) {
	const writers, rounds, items = 4, 12, 3
	c := open(t, 2, collection.Options{})
	c.make(collection.Definition{Name: "c", Queryables: value.Untyped("m0"), WritePolicy: policy})
	first := make([]collection.Write, items)
	for i := range first {
		first[i] = collection.Write{Action: collection.Insert, Item: item.Item{ID: fmt.Sprint(i), Lon: 1, Lat: 2, Properties: []byte(`{"kept":true,"gone":1}`)}}
	}
	res, err := c.get(0, "c").Write(context.Background(), first)
	if err != nil {
		t.Fatal(err)
	}
	c.after(c.get(0, "c").Epoch(), res[0].Seq) // an Insert is written through, also where others are written back
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for round, done := 1, 0; round <= rounds; { // done: the newest round that was done under its key
				var batch []collection.Write
				for i := range items {
					wr := collection.Write{Action: []collection.Action{collection.Merge, collection.Patch}[w%2], NoPosition: w > 0, Item: item.Item{
						ID: fmt.Sprint(i), Lon: 3, Lat: float64(round), Properties: fmt.Appendf(nil, `{"m%d":%d,"gone":null,"deep":{"m%d":%d}}`, w, round, w, round),
					}}
					batch = append(batch, wr)
				}
				col := c.get(w%2, "c")
				res, err := col.Write(context.Background(), batch)
				if round%3 == 0 && err == nil { // twice more, with a key: what was done under it is not done again
					key := collection.IdempotencyKey{Key: fmt.Sprint(w, "/", round), Fingerprint: []byte("x")}
					for range 2 {
						var repeated bool
						if _, repeated, err = col.WriteOnce(context.Background(), key, batch); err != nil {
							break // the round begins again
						}
						if done == round && !repeated {
							t.Errorf("the key %s was taken twice", key.Key)
						}
						done = round
					}
				}
				switch {
				case errors.Is(err, collection.ErrContended) || errors.Is(err, collection.ErrBusy):
					continue
				case err != nil:
					t.Error(err)
					return
				}
				for i := range res {
					if res[i].Err != nil || res[i].Merged == nil || res[i].Created {
						t.Errorf("item %d: %+v", i, res[i])
					}
				}
				round++
			}
		})
	}
	all.Wait()
	c.agree()
	for i := range items {
		for copy := range c.all {
			it, _ := c.get(copy, "c").Snapshot().Get(fmt.Sprint(i))
			var got map[string]any
			if err := json.Unmarshal(it.Properties, &got); err != nil {
				t.Fatal(err)
			}
			deep, _ := got["deep"].(map[string]any)
			for w := range writers {
				name := fmt.Sprint("m", w)
				if got[name] != float64(rounds) || deep[name] != float64(rounds) {
					t.Errorf("copy %d, item %d: %s is lost: %s", copy, i, name, it.Properties)
				}
			}
			if _, gone := got["gone"]; gone || got["kept"] != true || it.Lon != 3 || it.Lat != rounds {
				t.Errorf("copy %d, item %d is at %v, %v: %s", copy, i, it.Lon, it.Lat, it.Properties)
			}
		}
	}
}

// What a write that leaves its item alone, or needs one, makes of it follows from the
// newest state of all copies.
func TestKeptAndPatchedAcrossCopies(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		c := open(t, 2, collection.Options{})
		c.make(collection.Definition{Name: "c"})
		a, b := c.get(0, "c"), c.get(1, "c")
		at := func(op collection.Action, id string, lon float64) []collection.Write {
			return []collection.Write{{Action: op, Item: item.Item{ID: id, Lon: lon, Lat: 1}}}
		}
		do := func(col *collection.Collection, w []collection.Write) collection.Result {
			t.Helper()
			res, err := col.Write(context.Background(), w)
			if err != nil {
				t.Fatal(err)
			}
			return res[0]
		}
		for i := range 10 {
			id := fmt.Sprint(i)
			if r := do(a, at(collection.Keep, id, 1)); !r.Created || r.Skipped {
				t.Fatalf("a new item: %+v", r)
			}
			if r := do(b, at(collection.Keep, id, 2)); r.Created || !r.Skipped || r.Err != nil || r.Seq != 0 {
				t.Fatalf("an item that is there: %+v", r)
			}
			if r := do(b, at(collection.Delete, id, 0)); r.Err != nil {
				t.Fatal(r.Err)
			}
			if r := do(a, at(collection.Patch, id, 3)); !errors.Is(r.Err, collection.ErrNotFound) {
				t.Fatalf("a patch of an item that another copy has deleted: %+v", r)
			}
			if r := do(b, at(collection.Merge, id, 4)); r.Err != nil || !r.Created {
				t.Fatalf("a merge of a new item: %+v", r)
			}
			r := do(a, at(collection.Keep, id, 5))
			if !r.Skipped {
				t.Fatalf("an item that another copy has made: %+v", r)
			}
		}
		c.agree()
		for i := range 10 {
			if it, _ := a.Snapshot().Get(fmt.Sprint(i)); it.Lon != 4 {
				t.Errorf("item %d is at %v", i, it.Lon)
			}
		}
	})
}

// In one request: each write is made of what those before it have left, the results
// name what they made, and nothing is done after the first refusal if so asked.
func TestMergesInOneRequest(t *testing.T) {
	h := open(t, t.TempDir())
	c := h.make(collection.Definition{Name: "c"})
	wr := func(op collection.Action, id, properties string, noPosition bool) collection.Write {
		return collection.Write{Action: op, NoPosition: noPosition, Item: item.Item{ID: id, Lon: 1, Lat: 1, Properties: []byte(properties)}}
	}
	res := write(t, c,
		wr(collection.Merge, "a", `{"x":1,"y":null}`, false),
		wr(collection.Keep, "a", `{"x":2}`, false),
		wr(collection.Patch, "a", `{"y":{"z":1,"w":null}}`, true),
		wr(collection.Delete, "a", ``, false),
		wr(collection.Merge, "a", `{"v":1}`, true),
		wr(collection.Merge, "a", `{"u":1,"t":null}`, false),
		wr(collection.Patch, "a", `null`, true),
		wr(collection.Patch, "a", `[1]`, true),
		wr(collection.Merge, "a", ``, true),
	)
	for i, want := range []string{`{"x":1}`, "skipped", `{"x":1,"y":{"z":1}}`, "", "not found", `{"u":1}`, ``, "properties", ``} {
		r := &res[i]
		got := ""
		switch f := new(item.FieldError); {
		case errors.Is(r.Err, collection.ErrNotFound):
			got = "not found"
		case errors.As(r.Err, &f):
			got = f.Field
		case r.Err != nil:
			got = r.Err.Error()
		case r.Skipped:
			got = "skipped"
		case r.Merged != nil:
			got = string(r.Merged.Properties)
		}
		if got != want || r.Err == nil && !r.Skipped && r.Replaced != (i < 8) {
			t.Errorf("write %d: %q, want %q: %+v", i, got, want, *r)
		}
	}
	wait, err := c.BeginStrict([]collection.Write{
		wr(collection.Insert, "b", "", false), wr(collection.Insert, "a", "", false), wr(collection.Upsert, "d", "", false), wr(collection.Delete, "b", "", false),
	})
	if err != nil {
		t.Fatal(err)
	}
	if res, err = wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	if res[0].Err != nil || !errors.Is(res[1].Err, collection.ErrExists) || !errors.Is(res[2].Err, collection.ErrNotTried) || !errors.Is(res[3].Err, collection.ErrNotTried) {
		t.Errorf("after the first refusal: %+v", res)
	}
	s := c.Snapshot()
	if _, b := s.Get("b"); !b || s.Len() != 2 {
		t.Errorf("%d items", s.Len())
	}
}

package catalog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"nearby/catalog"
	"nearby/collection"
	"nearby/item"
	"nearby/store/embedded"
	"nearby/table"
	"nearby/value"
)

// many is a number of items for which queryables are built beside.
const many = 3000

// numbered is an item with a number, which some write as a string, and a day.
func numbered(id, n int) collection.Write {
	number := fmt.Sprint(n % 10)
	if n%3 == 0 {
		number = `"` + number + `"`
	}
	return upsert(fmt.Sprint(id), float64(id%180), float64(n%80), fmt.Sprintf(`{"n":%s,"day":"2020-01-%02d"}`, number, 1+n%9))
}

// scan compares what a snapshot finds by its queryables with what its items say.
func scan(t *testing.T, s *collection.Snapshot) {
	t.Helper()
	texts := []string{"3", "4", "2020-01-03", "2020-01-04"}
	type one struct {
		q    value.Queryable
		text string
		any  []value.Value
		want []string
	}
	var all []one
	for _, q := range s.Queryables() {
		for _, text := range texts {
			if any, err := value.Parse(q.Type, text); err == nil {
				all = append(all, one{q, text, any, nil})
			}
		}
	}
	for it := range s.All() {
		var properties map[string]json.RawMessage
		if err := json.Unmarshal(it.Properties, &properties); err != nil {
			t.Error(err)
			return
		}
		for i := range all {
			v, fits := value.Of(all[i].q.Type, properties[all[i].q.Name])
			if fits && slices.ContainsFunc(all[i].any, func(w value.Value) bool { return value.Equal(v, w) }) {
				all[i].want = append(all[i].want, it.ID())
			}
		}
	}
	for _, one := range all {
		refs, _, err := s.List(nil, "", s.Len()+1, 0, equal(map[string][]string{one.q.Name: {one.text}}))
		if err != nil {
			t.Errorf("%v=%s: %v", one.q, one.text, err)
			return
		}
		var got []string
		for _, ref := range refs {
			it := s.Item(ref)
			got = append(got, it.ID())
		}
		if !slices.Equal(got, one.want) {
			t.Errorf("%v=%s finds %d items, and %d have the value", one.q, one.text, len(got), len(one.want))
			return
		}
	}
}

// holding is a log that waits at a message.
type holding struct {
	slog.Handler
	message     string
	reached, on chan struct{}
}

func (h *holding) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.message {
		h.reached <- struct{}{}
		<-h.on
	}
	return nil
}

func (h *holding) Enabled(context.Context, slog.Level) bool { return true }

// While queryables are built, writes are acknowledged, and readers have the queryables from before.
// Then the new ones have all that was written meanwhile.
func TestWritesGoOnWhileQueryablesAreBuilt(t *testing.T) {
	in, err := embedded.Open(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	hold := &holding{slog.DiscardHandler, "queryables built", make(chan struct{}), make(chan struct{})}
	h := &fixture{t: t, store: in, Catalog: catalog.New(collection.Options{Store: in, Kinds: kinds, Log: slog.New(hold)})}
	if err := h.Load(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	defer h.shut()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()

	was := value.Untyped("n")
	def := collection.Definition{Name: "c", Index: table.IndexSpec{Kind: "quadtree"}, Queryables: was}
	c := h.make(def)
	var writes []collection.Write
	for i := range many {
		writes = append(writes, numbered(i, i))
	}
	write(t, c, writes...)
	def.Queryables = value.Queryables{{Name: "day", Type: value.DateTime}, {Name: "n", Type: value.Number}}
	done := make(chan error, 1)
	go func() {
		_, _, err := h.Put(ctx, def)
		done <- err
	}()
	select {
	case <-hold.reached:
	case <-ctx.Done():
		t.Fatal("the queryables are not built")
	}
	res, err := c.Write(ctx, []collection.Write{
		upsert("new", 1, 1, `{"n":3,"day":"2020-01-03"}`), upsert("0", 1, 1, `{"n":4,"day":null}`),
		{Action: collection.Delete, Item: item.Item{ID: "4"}}, upsert("misfit", 1, 1, `{"n":"4"}`),
	})
	if err != nil || res[0].Err != nil || res[1].Err != nil || res[2].Err != nil {
		t.Fatalf("writes meanwhile: %+v, %v", res, err)
	}
	if res[3].Err == nil {
		t.Error("a value was taken that does not fit the new type")
	}
	s := c.Snapshot()
	if !slices.Equal(s.Definition().Queryables, def.Queryables) || !slices.Equal(s.Queryables(), was) || !s.Behind() || !s.Stats().Rebuilding {
		t.Errorf("meanwhile: defined %v, answering %v, behind %v, rebuilding %v", s.Definition().Queryables, s.Queryables(), s.Behind(), s.Stats().Rebuilding)
	}
	if _, _, err := s.List(nil, "", 1, 0, equal(map[string][]string{"day": {"2020-01-03"}})); !errors.Is(err, table.ErrUnknownQueryable) {
		t.Errorf("a queryable that is not complete gave %v", err)
	}
	scan(t, s)
	select {
	case err := <-done:
		t.Fatalf("the change is answered before its queryables are in use: %v", err)
	default:
	}
	close(hold.on)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s = c.Snapshot()
	if !slices.Equal(s.Queryables(), def.Queryables) || s.Behind() || s.Stats().Rebuilding {
		t.Errorf("afterwards: answering %v, behind %v, rebuilding %v", s.Queryables(), s.Behind(), s.Stats().Rebuilding)
	}
	scan(t, s)
}

// While the definition changes again and again, with writes and reads going on, each snapshot finds
// by its queryables what a scan of it finds.
func TestFiltersWhileTheDefinitionChanges(t *testing.T) {
	h := open(t, t.TempDir())
	def := collection.Definition{Name: "c", Index: table.IndexSpec{Kind: "quadtree"}}
	c := h.make(def)
	var writes []collection.Write
	for i := range many {
		writes = append(writes, numbered(i, i))
	}
	write(t, c, writes...)
	var rest sync.WaitGroup
	stop := make(chan struct{})
	during := func(seed uint64, f func(*rand.Rand)) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		rest.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					f(rnd)
				}
			}
		})
	}
	for seed := range uint64(2) {
		during(seed, func(rnd *rand.Rand) {
			var some []collection.Write
			for range 1 + rnd.IntN(300) {
				w := numbered(rnd.IntN(many), rnd.IntN(1000))
				if rnd.IntN(20) == 0 {
					w = collection.Write{Action: collection.Delete, Item: item.Item{ID: w.Item.ID}}
				}
				some = append(some, w)
			}
			if _, err := c.Write(context.Background(), some); err != nil {
				t.Error(err)
			}
		})
	}
	during(9, func(*rand.Rand) { scan(t, c.Snapshot()) })

	queryables := []value.Queryables{
		{{Name: "n", Type: value.Number}}, value.Untyped("n", "day"), {{Name: "day", Type: value.DateTime}, {Name: "n", Type: value.String}},
		nil, {{Name: "n", Type: value.Integer}, {Name: "day", Type: value.String}},
	}
	rnd := rand.New(rand.NewPCG(3, 3))
	for range 20 {
		def.Queryables = queryables[rnd.IntN(len(queryables))]
		if def.Index.Kind = "quadtree"; rnd.IntN(3) == 0 {
			def.Index.Kind = "geohash"
		}
		if _, _, err := h.Put(context.Background(), def); err != nil {
			t.Fatal(err)
		}
		s := c.Snapshot()
		if !slices.Equal(s.Queryables(), def.Queryables) || s.Behind() {
			t.Fatalf("answering %v, behind %v; want %v", s.Queryables(), s.Behind(), def.Queryables)
		}
		scan(t, s)
	}
	close(stop)
	rest.Wait()
	scan(t, c.Snapshot())
}

package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/catalog"
	"nearby/collection"
	"nearby/item"
	"nearby/replica"
	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
	"nearby/store/storetest"
	"nearby/table"
	"nearby/value"
)

// patience is how long a test waits for what has to come, on a machine that is busy.
const patience = 2 * time.Minute

// troubled is a shared store that a test can hold up.
type troubled struct {
	store.Shared
	following *following
	failing   *atomic.Bool  // commits fail as if the database were away
	slow      *atomic.Int64 // how long a commit takes more, in nanoseconds
}

// following is the Follow of one catalog. Who has mu keeps it from delivering, and cut
// ends it.
type following struct {
	mu  sync.Mutex
	cut context.CancelCauseFunc
}

func (s *troubled) Commit(ctx context.Context, changes []store.Change, receipts ...store.Receipt) (store.Seq, error) {
	if s.failing.Load() && len(changes) > 0 {
		return 0, store.ErrUnavailable
	}
	time.Sleep(time.Duration(s.slow.Load())) // as a database far away
	return s.Shared.Commit(ctx, changes, receipts...)
}

func (s *troubled) Follow(ctx context.Context, after store.CommitID, deliver func(*store.Step) error) error {
	f := s.following
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	f.mu.Lock()
	f.cut = cut
	f.mu.Unlock()
	err := s.Shared.Follow(ctx, after, func(step *store.Step) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		return deliver(step)
	})
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return err
}

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// copies are catalogs that share a store.
type copies struct {
	*testing.T
	store  store.Store
	all    []*catalog.Catalog
	join   func() store.Shared // opens the database in memory that they share once more
	stores []*troubled         // of catalogs that share that
	url    string              // of the database that they share otherwise
}

// opener makes copies.
type opener func(t *testing.T, n int, opt collection.Options) *copies

// onEach runs a test with copies over a database in memory, where they are as quick as
// can be, and over PostgreSQL.
func onEach(t *testing.T, test func(t *testing.T, open opener)) {
	t.Run("memory", func(t *testing.T) { test(t, openCopies) })
	t.Run("postgres", func(t *testing.T) { test(t, openOnPostgres) })
}

func openOnPostgres(t *testing.T, n int, opt collection.Options) *copies {
	t.Helper()
	c := &copies{T: t, url: pgtest.Database(t)}
	c.store = c.connect()
	for range n {
		c.open(opt)
	}
	return c
}

// connect opens the database for one more process.
func (c *copies) connect() store.Store {
	c.Helper()
	// A database that takes its time is not one that is away: the machine may be busy.
	s, err := postgres.Open(context.Background(), c.url, postgres.Options{PollInterval: 50 * time.Millisecond, AwayTimeout: 2 * time.Minute})
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() {
		if err := s.Close(); err != nil {
			c.Error(err)
		}
	})
	return s
}

func openCopies(t *testing.T, n int, opt collection.Options) *copies {
	t.Helper()
	db := storetest.NewDatabase()
	c := &copies{T: t, store: db.Open(), join: db.Open}
	for range n {
		c.open(opt)
	}
	return c
}

func (c *copies) open(opt collection.Options) *catalog.Catalog {
	c.Helper()
	opt.Kinds = kinds
	if opt.MaxWait == 0 {
		opt.MaxWait = patience
	}
	if c.url != "" {
		opt.Store = c.connect()
	} else {
		s := &troubled{Shared: c.join(), following: new(following), failing: new(atomic.Bool), slow: new(atomic.Int64)}
		s.slow.Store(int64(200 * time.Microsecond)) // so that commits overlap
		opt.Store, c.stores = s, append(c.stores, s)
	}
	cat := catalog.New(opt)
	if err := cat.Load(context.Background(), nil); err != nil {
		c.Fatal(err)
	}
	c.Cleanup(cat.Close)
	c.all = append(c.all, cat)
	return cat
}

func (c *copies) make(def collection.Definition) {
	c.Helper()
	col, created, err := c.all[0].Put(context.Background(), def)
	if err != nil || !created {
		c.Fatalf("creating %s: %v, %v", def.Name, created, err)
	}
	c.after(col.Epoch(), col.Snapshot().Seq())
}

// after waits until all copies show a commit.
func (c *copies) after(epoch store.Epoch, seq uint64) {
	c.Helper()
	for i, cat := range c.all {
		if _, _, err := cat.Now(context.Background(), catalog.Freshness{After: store.CommitID{Epoch: epoch, Seq: store.Seq(seq)}}); err != nil {
			c.Fatalf("copy %d: %v", i, err)
		}
	}
}

func (c *copies) get(i int, name string) *collection.Collection {
	c.Helper()
	col, err := c.all[i].Get(name)
	if err != nil {
		c.Fatal(err)
	}
	return col
}

// agree holds all copies to what the store has.
func (c *copies) agree() {
	c.Helper()
	for _, cat := range c.all {
		if _, _, err := cat.Now(context.Background(), catalog.Freshness{Strong: true}); err != nil {
			c.Fatal(err)
		}
	}
	content, _ := storetest.Read(c, c.store, 1)
	for i, cat := range c.all {
		list, err := cat.List()
		if err != nil || len(list) != len(content) {
			c.Fatalf("copy %d has %d collections, %v; the store has %d", i, len(list), err, len(content))
		}
		for _, col := range list {
			verify(c, col.Snapshot(), content[col.Name()])
			for id, want := range content[col.Name()] {
				if got, _ := col.Snapshot().Get(id); got.Seq != want.Seq || got.Created != want.Created || got.Updated != want.Updated {
					c.Fatalf("copy %d: %s is %+v, want %+v", i, id, got.Copy(), want)
				}
			}
		}
	}
}

// Whatever is written through any copy, all end up with what the store has, and who
// brings the token of a write sees it through any other.
func TestCopiesAgree(t *testing.T) { onEach(t, copiesAgree) }

func copiesAgree(t *testing.T, open opener) {
	c := open(t, 3, collection.Options{})
	c.make(collection.Definition{Name: "a", Index: table.IndexSpec{Kind: "quadtree", Settings: table.Settings{{Name: "maxPointsPerNode", Value: 4}}}, Queryables: value.Untyped("v")})
	c.make(collection.Definition{Name: "b", Index: table.IndexSpec{Kind: "geohash"}})
	seed := storetest.Seed(t)
	var wg sync.WaitGroup
	var done, refused atomic.Int64
	for w := range 9 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			for n := range 150 {
				name := []string{"a", "b"}[rng.IntN(2)]
				col := c.get(w%3, name)
				id, mine := fmt.Sprint(rng.IntN(40)), rng.IntN(2) == 0
				if mine { // nobody else writes it
					id = fmt.Sprint(w, "-", rng.IntN(10))
				}
				wr := upsert(id, float64(rng.IntN(360)-180), float64(rng.IntN(180)-90), fmt.Sprintf(`{"v":%d}`, n))
				switch rng.IntN(6) {
				case 0:
					wr.Action = collection.Delete
				case 1:
					wr.Action = collection.Insert
				case 2:
					wr.IfExists = true
				}
				res, err := col.Write(context.Background(), []collection.Write{wr})
				if errors.Is(err, collection.ErrBusy) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if res[0].Err != nil {
					refused.Add(1)
					continue
				}
				done.Add(1)
				other := c.all[rng.IntN(3)]
				_, r, err := other.Read(context.Background(), name, catalog.Freshness{After: store.CommitID{Epoch: col.Epoch(), Seq: store.Seq(res[0].Seq)}})
				if err != nil || uint64(r.At.Seq) < res[0].Seq {
					t.Errorf("reading after %d: %v, %v", res[0].Seq, r.At, err)
					return
				}
				got, ok := r.Get(id)
				if mine && (ok != (wr.Action != collection.Delete) || ok && got.Seq != res[0].Seq) {
					t.Errorf("%s was written by commit %d; a snapshot at %v has %+v", id, res[0].Seq, r.At, got)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d writes, %d refused", done.Load(), refused.Load())
	c.agree()
	for i, cat := range c.all {
		v, err := cat.Verify(context.Background())
		if err != nil || v.Mismatches() != 0 || len(v.Collections) != 2 {
			t.Errorf("copy %d compared with the store: %+v, %v", i, v, err)
		}
	}
}

// An id is inserted once, and a version replaced once, whichever copies are asked.
func TestConditionsHoldAcrossCopies(t *testing.T) { onEach(t, conditionsHoldAcrossCopies) }

func conditionsHoldAcrossCopies(t *testing.T, open opener) {
	c := open(t, 3, collection.Options{})
	c.make(collection.Definition{Name: "c"})
	for n := range 30 {
		var won atomic.Int32
		var wg sync.WaitGroup
		for i := range c.all {
			wg.Go(func() {
				w := upsert(fmt.Sprint("once", n), float64(i), 0, "{}")
				w.Action = collection.Insert
				res, err := c.get(i, "c").Write(context.Background(), []collection.Write{w})
				switch {
				case err != nil:
					t.Error(err)
				case res[0].Err == nil:
					won.Add(1)
				case !errors.Is(res[0].Err, collection.ErrExists):
					t.Error(res[0].Err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d inserts of one id succeeded", won.Load())
		}
	}
	write(t, c.get(0, "c"), upsert("count", 0, 0, "{}"))
	c.agree()
	var counted atomic.Int64
	var wg sync.WaitGroup
	for i := range c.all {
		wg.Go(func() {
			for range 60 {
				col, r, err := c.all[i].Read(context.Background(), "c", catalog.Freshness{})
				if err != nil {
					t.Error(err)
					return
				}
				it, _ := r.Get("count")
				w := upsert("count", it.Lon+0.5, 0, "{}")
				w.IfSeq = []uint64{it.Seq}
				res, err := col.Write(context.Background(), []collection.Write{w})
				switch {
				case err != nil && !errors.Is(err, collection.ErrBusy):
					t.Error(err)
				case err == nil && res[0].Err == nil:
					counted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	c.agree()
	it, _ := c.get(1, "c").Snapshot().Get("count")
	if it.Lon != float64(counted.Load())/2 || counted.Load() == 0 {
		t.Errorf("the count is %v after %d increments", it.Lon*2, counted.Load())
	}
}

// A write is refused, or left out, for a state of its item only if that is the newest state
// of all copies: a copy that is behind waits until it knows.
func TestRefusalsAreOfTheNewestState(t *testing.T) {
	c := openCopies(t, 2, collection.Options{})
	c.make(collection.Definition{Name: "c"})
	a, b := c.get(0, "c"), c.get(1, "c")
	at := func(op collection.Action, lon float64) collection.Write {
		return collection.Write{Action: op, Item: item.Item{ID: "x", Lon: lon, Lat: 1}}
	}
	do := func(col *collection.Collection, w collection.Write) (collection.Result, error) {
		res, err := col.Write(context.Background(), []collection.Write{w})
		if err != nil {
			return collection.Result{}, err
		}
		return res[0], res[0].Err
	}
	ifSeq := func(w collection.Write, seq uint64) collection.Write {
		w.IfSeq = []uint64{seq}
		return w
	}
	for name, tt := range map[string]struct {
		there bool                              // before, in both copies
		first collection.Action                 // by one copy
		then  func(seq uint64) collection.Write // by the one that does not know; seq is of the first
		made  bool                              // the item is there then, as the second write has it
	}{
		"deleting what another has made":   {false, collection.Insert, func(uint64) collection.Write { return at(collection.Delete, 0) }, false},
		"patching what another has made":   {false, collection.Insert, func(uint64) collection.Write { return at(collection.Patch, 3) }, true},
		"making what another has deleted":  {true, collection.Delete, func(uint64) collection.Write { return at(collection.Insert, 3) }, true},
		"keeping what another has deleted": {true, collection.Delete, func(uint64) collection.Write { return at(collection.Keep, 3) }, true},
		"a version that another has made":  {true, collection.Upsert, func(seq uint64) collection.Write { return ifSeq(at(collection.Upsert, 3), seq) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			begin := at(collection.Upsert, 1)
			if _, err := do(a, begin); err != nil {
				t.Fatal(err)
			}
			if !tt.there {
				if _, err := do(a, at(collection.Delete, 0)); err != nil {
					t.Fatal(err)
				}
			}
			c.after(a.Epoch(), a.Snapshot().Seq())
			behind := c.stores[1].following
			behind.mu.Lock() // b is told nothing
			first, err := do(a, at(tt.first, 2))
			if err != nil {
				behind.mu.Unlock()
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				_, err := do(b, tt.then(first.Seq))
				done <- err
			}()
			select {
			case err = <-done:
				t.Errorf("it is answered before the copy knows: %v", err)
				behind.mu.Unlock()
			case <-time.After(30 * time.Millisecond): // a wrong answer may also come later
				behind.mu.Unlock()
				err = <-done
			}
			if err != nil {
				t.Errorf("refused: %v", err)
			}
			c.agree()
			if it, there := b.Snapshot().Get("x"); there != tt.made || there && it.Lon != 3 {
				t.Errorf("there: %v, at %v", there, it.Lon)
			}
		})
	}
}

// A request with a key is applied once, whichever copies it is sent to.
func TestOnceAcrossCopies(t *testing.T) { onEach(t, onceAcrossCopies) }

func onceAcrossCopies(t *testing.T, open opener) {
	c := open(t, 3, collection.Options{})
	c.make(collection.Definition{Name: "c"})
	for n := range 40 {
		once := collection.IdempotencyKey{Key: fmt.Sprint("key", n), Fingerprint: []byte("f")}
		var seqs [3]uint64
		var first, again atomic.Int32
		var wg sync.WaitGroup
		for i := range c.all {
			wg.Go(func() {
				w := upsert(fmt.Sprint("item", n), float64(n), 0, "{}")
				w.Action = collection.Insert
				res, repeated, err := c.get(i, "c").WriteOnce(context.Background(), once, []collection.Write{w})
				switch {
				case err != nil:
					t.Error(err)
				case res[0].Err != nil:
					t.Error(res[0].Err)
				default:
					seqs[i] = res[0].Seq
					if repeated {
						again.Add(1)
					} else {
						first.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if first.Load() != 1 {
			t.Fatalf("applied %d times, %d repeated", first.Load(), again.Load())
		}
		for _, s := range seqs {
			for _, o := range seqs {
				if s != 0 && o != 0 && s != o {
					t.Fatalf("the same request has the outcomes %v", seqs)
				}
			}
		}
		res, repeated, err := c.get(n%3, "c").WriteOnce(context.Background(), once, []collection.Write{upsert(fmt.Sprint("item", n), 0, 0, "{}")})
		if err != nil || !repeated || !res[0].Created {
			t.Fatalf("once more: %+v, %v, %v", res, repeated, err)
		}
		_, _, err = c.get(n%3, "c").WriteOnce(context.Background(), collection.IdempotencyKey{Key: once.Key, Fingerprint: []byte("g")}, []collection.Write{upsert("x", 0, 0, "{}")})
		if !errors.Is(err, collection.ErrKeyReused) {
			t.Fatalf("another request with the key: %v", err)
		}
	}
	c.agree()
}

// Definitions made, changed and dropped through one copy are so in all.
func TestDefinitionsAcrossCopies(t *testing.T) { onEach(t, definitionsAcrossCopies) }

func definitionsAcrossCopies(t *testing.T, open opener) {
	ctx := context.Background()
	c := open(t, 2, collection.Options{})
	for n := range 10 {
		name := fmt.Sprint("c", n)
		c.make(collection.Definition{Name: name, Index: table.IndexSpec{Kind: "geohash"}})
		var batch []collection.Write
		for i := range 100 {
			batch = append(batch, upsert(fmt.Sprint(i), float64(i), float64(i%90), `{"of":"x"}`))
		}
		write(t, c.get(1, name), batch...)
		def := c.get(0, name).Snapshot().Definition()
		def.Title, def.Index, def.Queryables = "new", table.IndexSpec{Kind: "quadtree"}, value.Untyped("of")
		if _, _, err := c.all[1].Put(ctx, def); err != nil {
			t.Fatal(err)
		}
		c.agree()
		for i := range c.all {
			got := c.get(i, name).Snapshot()
			if got.Definition().Title != "new" {
				t.Errorf("copy %d: %+v", i, got.Definition())
			}
			if refs, _, err := got.List(nil, "", 200, 0, equal(map[string][]string{"of": {"x"}})); err != nil || len(refs) != 100 {
				t.Errorf("copy %d: the new queryable finds %d items, %v", i, len(refs), err)
			}
		}
		if err := c.all[0].Drop(ctx, name); err != nil {
			t.Fatal(err)
		}
		c.agree()
		if _, err := c.get1(1, name); !errors.Is(err, collection.ErrNotFound) {
			t.Errorf("after dropping: %v", err)
		}
	}
}

func (c *copies) get1(i int, name string) (*collection.Collection, error) { return c.all[i].Get(name) }

// flushed waits until nothing is pending.
func (c *copies) flushed() {
	c.Helper()
	for i, deadline := 0, time.Now().Add(patience); i < len(c.all); time.Sleep(5 * time.Millisecond) {
		n := c.all[i].Status().Pending
		if n > 0 && time.Now().After(deadline) {
			c.Fatalf("copy %d: %d writes are still not durable", i, n)
		}
		if n == 0 {
			i++
		}
	}
}

// With write-back a write is visible at once and durable within the window, of many
// versions the newest; closing loses nothing.
func TestWriteBack(t *testing.T) { onEach(t, writeBack) }

func writeBack(t *testing.T, open opener) {
	c := open(t, 2, collection.Options{WriteBackDelay: 50 * time.Millisecond})
	c.make(collection.Definition{Name: "c", WritePolicy: collection.WriteBack})
	col := c.get(0, "c")
	if w := col.LossWindow(); w <= 0 || w > 2*time.Second {
		t.Errorf("the window is %v", w)
	}
	seed := storetest.Seed(t)
	var wg sync.WaitGroup
	var pending atomic.Int64
	for w := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			for n := range 400 {
				col := c.get(w%2, "c")
				id := fmt.Sprint(w, "-", rng.IntN(10))
				lon := float64(n%360 - 180)
				res := write(t, col, upsert(id, lon, 0, "{}"))
				if res[0].Err != nil {
					t.Errorf("%+v", res)
					return
				}
				if res[0].Pending { // not so if it went with one that has a condition
					pending.Add(1)
				}
				if it, ok := col.Snapshot().Get(id); !ok || it.Lon != lon {
					t.Errorf("%s is not visible: %+v", id, it)
					return
				}
				if n%50 == 0 { // a condition needs what is durable, and is
					wr := upsert(id, lon, 1, "{}")
					wr.IfExists = true
					if res := write(t, col, wr); res[0].Err != nil || res[0].Pending {
						t.Errorf("with a condition: %+v", res)
					}
				}
			}
		})
	}
	wg.Wait()
	if pending.Load() < 800 {
		t.Errorf("only %d writes were acknowledged before they were durable", pending.Load())
	}
	c.flushed()
	c.agree()
	write(t, col, upsert("last", 7, 7, "{}"))
	c.all[0].Close()
	c.all = c.all[1:]
	c.agree()
	if it, ok := c.get(0, "c").Snapshot().Get("last"); !ok || it.Lon != 7 {
		t.Error("a clean end lost an acknowledged write")
	}
}

// When the store is away for longer than the window, no more is acknowledged; all that
// was is durable in the end.
func TestWriteBackIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCopies(t, 1, collection.Options{WriteBackDelay: 20 * time.Millisecond, WritePolicy: collection.WriteBack})
		c.make(collection.Definition{Name: "c"})
		col := c.get(0, "c")
		c.stores[0].failing.Store(true)
		acked := 0
		for away := time.Now(); ; acked++ {
			_, err := col.Write(context.Background(), []collection.Write{upsert(fmt.Sprint(acked), 1, 1, "{}")})
			took := time.Since(away)
			if errors.Is(err, store.ErrUnavailable) && took > col.LossWindow() {
				break
			}
			if err != nil || took > col.LossWindow() {
				t.Fatalf("after %v and %d writes, with a window of %v: %v", took, acked, col.LossWindow(), err)
			}
			time.Sleep(time.Millisecond)
		}
		c.stores[0].failing.Store(false)
		for deadline := time.Now().Add(patience); ; {
			res, err := col.Write(context.Background(), []collection.Write{upsert("after", 1, 1, "{}")})
			if err == nil && res[0].Err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Millisecond)
		}
		c.flushed()
		c.agree()
		if n := col.Snapshot().Len(); n != acked+1 {
			t.Errorf("%d items, %d were acknowledged", n, acked+1)
		}
	})
}

// Rows that are no items differ from what is served each time; nothing is wrong with memory.
func TestVerifyRowsThatAreNoItems(t *testing.T) {
	c := openOnPostgres(t, 1, collection.Options{})
	c.make(collection.Definition{Name: "c"})
	write(t, c.get(0, "c"), upsert("a", 1, 1, "{}"))
	psql, err := pgx.Connect(context.Background(), c.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = psql.Close(context.Background()) }()
	if _, err := psql.Exec(context.Background(), `SET session_replication_role = replica;
INSERT INTO nearby.items (collection, id, lon, lat, properties, created, updated, seq)
SELECT 'c', b.*, now(), now(), h.seq FROM nearby.head h, (VALUES ('east of all', 200::float8, 0::float8, NULL::json), ('nowhere', 'NaN', 0, NULL)) b`); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		v, err := c.all[0].Verify(context.Background())
		if err != nil || v.Mismatches() != 2 || v.Collections[0].Unserved != 2 {
			t.Errorf("found %+v, %v", v, err)
		}
	}
	catalog.Corrupt(t, c.get(0, "c"), store.Change{Op: store.DeleteItem, Item: item.Item{ID: "a"}})
	if v, err := c.all[0].Verify(context.Background()); err != nil || v.Mismatches() != 3 {
		t.Errorf("found %+v, %v", v, err)
	}
	if n := c.all[0].Status().Mismatches; n != 1 {
		t.Errorf("%d mismatches were counted, one item was missing", n)
	}
}

// A copy that has missed something finds out by comparing, says so and mends it.
func TestVerifyMends(t *testing.T) { onEach(t, verifyMends) }

func verifyMends(t *testing.T, open opener) {
	c := open(t, 2, collection.Options{})
	c.make(collection.Definition{Name: "c"})
	rng := rand.New(rand.NewPCG(storetest.Seed(t), 0))
	var batch []collection.Write
	for i := range 3000 {
		batch = append(batch, upsert(fmt.Sprint(i), rng.Float64()*360-180, rng.Float64()*180-90, "{}"))
	}
	write(t, c.get(0, "c"), batch...)
	c.agree()
	for _, tt := range []struct {
		name   string
		change store.Change
		check  func(replica.Verified) bool
	}{
		{"missing", store.Change{Op: store.DeleteItem, Item: item.Item{ID: "17"}}, func(v replica.Verified) bool { return v.Missing == 1 && v.Extra == 0 && v.Different == 0 }},
		{"extra", store.Change{Op: store.PutItem, Item: item.Item{ID: "extra", Lon: 1, Lat: 2, Seq: 1}}, func(v replica.Verified) bool { return v.Extra == 1 && v.Missing == 0 && v.Different == 0 }},
		{"different", store.Change{Op: store.PutItem, Item: item.Item{ID: "99", Lon: 1, Lat: 2, Seq: 1}}, func(v replica.Verified) bool { return v.Different == 1 && v.Missing == 0 && v.Extra == 0 }},
	} {
		before, shown := c.all[1].Status().Mismatches, c.get(1, "c").Snapshot().Seq()
		catalog.Corrupt(t, c.get(1, "c"), tt.change)
		v, err := c.all[1].Verify(context.Background())
		if err != nil || len(v.Collections) != 1 || !tt.check(v.Collections[0]) || v.Mismatches() != 1 {
			t.Errorf("%s: found %+v, %v", tt.name, v, err)
		}
		if n := c.all[1].Status().Mismatches; n != before+1 {
			t.Errorf("%s: %d mismatches were counted", tt.name, n-before)
		}
		c.agree()
		// Callers may have kept what was wrong under the numbers of before.
		s := c.get(1, "c").Snapshot()
		if it, there := s.Get(tt.change.Item.ID); s.Seq() <= shown || there && it.Seq <= shown {
			t.Errorf("%s: what was repaired is shown by %d, the item was written by %d; before that %d was shown", tt.name, s.Seq(), it.Seq, shown)
		}
		if v, err := c.all[1].Verify(context.Background()); err != nil || v.Mismatches() != 0 {
			t.Errorf("%s: after mending %+v, %v", tt.name, v, err)
		}
	}
	// Too much: everything is read again, and by everybody where the store knows histories.
	epoch := c.get(1, "c").Epoch()
	for i := range 1500 {
		catalog.Corrupt(t, c.get(1, "c"), store.Change{Op: store.DeleteItem, Item: item.Item{ID: fmt.Sprint(i)}})
	}
	if v, err := c.all[1].Verify(context.Background()); err != nil || v.Mismatches() != 1500 {
		t.Errorf("found %+v, %v", v, err)
	}
	for deadline := time.Now().Add(patience); c.all[1].Status().Rebuilt == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing was read again")
		}
	}
	c.agree()
	if _, knows := c.store.(store.Renewing); knows != (c.get(1, "c").Epoch() != epoch) || c.get(0, "c").Epoch() != c.get(1, "c").Epoch() {
		t.Errorf("after reading all again the histories are %s and %s, before that it was %s", c.get(0, "c").Epoch(), c.get(1, "c").Epoch(), epoch)
	}
}

// A copy whose following ends begins again beside what it shows, and answers or fails
// every write.
func TestReadAnew(t *testing.T) {
	c := openCopies(t, 2, collection.Options{})
	c.make(collection.Definition{Name: "c"})
	stop := make(chan struct{})
	var acked sync.Map
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprint(w, "-", n)
				col, _, err := c.all[w%2].Read(context.Background(), "c", catalog.Freshness{})
				if err != nil {
					t.Error(err)
					return
				}
				res, err := col.Write(context.Background(), []collection.Write{upsert(id, 1, 1, "{}")})
				switch {
				case err == nil && res[0].Err == nil:
					acked.Store(id, true)
				case errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUncertain):
				default:
					t.Error(err, res)
					return
				}
			}
		})
	}
	for n := range 20 {
		f := c.stores[0].following
		for deadline := time.Now().Add(patience); c.all[0].Status().Rebuilt <= n; time.Sleep(time.Millisecond) {
			f.mu.Lock()
			f.cut(fmt.Errorf("%w: for the test", []error{store.ErrGone, store.ErrForked}[n%2]))
			f.mu.Unlock()
			if time.Now().After(deadline) {
				t.Fatal("nothing was read again")
			}
		}
	}
	close(stop)
	wg.Wait()
	c.agree()
	n := 0
	acked.Range(func(id, _ any) bool {
		n++
		for i := range c.all {
			if _, ok := c.get(i, "c").Snapshot().Get(id.(string)); !ok {
				t.Errorf("copy %d lost %s", i, id)
			}
		}
		return true
	})
	t.Logf("%d writes", n)
}

// Who demands what does not come waits as long as it may and no longer; what is
// malformed by another history is asked of the store.
func TestFreshness(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { freshness(t, openCopies, 0) })
	})
	// The clock goes on while a database is asked: what is known of a wait is that it ends.
	t.Run("postgres", func(t *testing.T) { freshness(t, openOnPostgres, patience) })
}

// freshness takes how late an answer may come.
func freshness(t *testing.T, open opener, late time.Duration) {
	const most, less = 200 * time.Millisecond, 100 * time.Millisecond
	c := open(t, 2, collection.Options{MaxWait: most})
	c.make(collection.Definition{Name: "c"})
	ctx := context.Background()
	// On a busy machine a copy may need longer than it is given here.
	read := func(i int, f catalog.Freshness) catalog.Reading {
		t.Helper()
		for deadline := time.Now().Add(patience); ; {
			_, r, err := c.all[i].Read(ctx, "c", f)
			if err == nil {
				return r
			}
			if !errors.Is(err, collection.ErrBehind) || time.Now().After(deadline) {
				t.Fatalf("%+v: %v", f, err)
			}
		}
	}
	r := read(0, catalog.Freshness{Strong: true})
	future := store.CommitID{Epoch: r.At.Epoch, Seq: r.At.Seq + 1000}
	for asked, wait := range map[time.Duration]time.Duration{0: most, less: less, most: most, 10 * patience: most} {
		limited, cancel := context.WithTimeout(ctx, wait+late+time.Second)
		begun := time.Now()
		if _, _, err := c.all[1].Read(limited, "c", catalog.Freshness{After: future, Wait: asked}); !errors.Is(err, collection.ErrBehind) {
			t.Errorf("the future: %v", err)
		}
		took := time.Since(begun)
		cancel()
		if took < wait || took > wait+late {
			t.Errorf("asked to wait %v it waited %v, not %v", asked, took, wait)
		}
	}
	if got := read(1, catalog.Freshness{After: store.CommitID{Epoch: "another", Seq: 1 << 40}}); got.At.Epoch != r.At.Epoch {
		t.Errorf("another history: %+v", got.At)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		_, got, err := c.all[1].Read(ctx, "c", catalog.Freshness{})
		if err == nil && got.Staleness <= time.Second {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("staleness %v, %v", got.Staleness, err)
		}
	}
}

// What another program writes in one transaction is shown at once or not at all,
// however much it is, and in all copies; what it empties is empty.
func TestOthersWriteWholeTransactions(t *testing.T) {
	ctx := context.Background()
	// A strong read waits until the 40,000 rows of a transaction are taken in, which takes
	// the race detector seconds, and more where it is not alone.
	c := openOnPostgres(t, 2, collection.Options{MaxWait: patience})
	c.make(collection.Definition{Name: "a"})
	c.make(collection.Definition{Name: "b"})
	db, err := pgx.Connect(ctx, c.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(ctx) }()
	const n = 20_000
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range c.all {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, name := range []string{"a", "b"} {
					if got := c.get(i, name).Snapshot().Len(); got%n != 0 {
						t.Errorf("copy %d shows %d items of %s", i, got, name)
						return
					}
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	for round, sql := range []string{
		`INSERT INTO nearby.items (collection, id, lon, lat, properties)
		 SELECT c, g, g % 180, g % 90, '{"n": 1}' FROM generate_series(1, 20000) g, unnest(array['a', 'b']) c`,
		`UPDATE nearby.items SET lon = -lon WHERE collection = 'a'`,
		`DELETE FROM nearby.items WHERE collection = 'b'`,
		`INSERT INTO nearby.items (collection, id, lon, lat) SELECT 'b', g, 1, 1 FROM generate_series(20001, 40000) g`,
		`TRUNCATE nearby.items`,
	} {
		if _, err := db.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
		want := []int{2 * n, 2 * n, n, 2 * n, 0}[round]
		for i, cat := range c.all {
			if _, _, err := cat.Now(ctx, catalog.Freshness{Strong: true}); err != nil {
				t.Fatal(err)
			}
			if got := c.get(i, "a").Snapshot().Len() + c.get(i, "b").Snapshot().Len(); got != want {
				t.Errorf("after %.30s: copy %d shows %d items, want %d", sql, i, got, want)
			}
		}
		c.agree()
	}
	close(stop)
	wg.Wait()
	for i, cat := range c.all {
		if v, err := cat.Verify(ctx); err != nil || v.Mismatches() != 0 {
			t.Errorf("copy %d: %+v, %v", i, v, err)
		}
	}
}

// A row that another program's open transaction holds keeps the writes of that item
// waiting, and of no other, not even of those that were committed with it.
func TestLockedRowHindersNoOther(t *testing.T) {
	ctx := context.Background()
	c := openOnPostgres(t, 1, collection.Options{})
	c.make(collection.Definition{Name: "c"})
	col := c.get(0, "c")
	write(t, col, upsert("locked", 1, 1, "{}"))
	db, err := pgx.Connect(ctx, c.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(ctx) }()
	if _, err := db.Exec(ctx, `BEGIN; UPDATE nearby.items SET lon = 2 WHERE id = 'locked'`); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var refused atomic.Int32
	for w := range 16 {
		wg.Go(func() {
			for n := range 10 {
				id := fmt.Sprint(w, "-", n)
				if w == 0 {
					id = "locked"
					if n > 0 {
						return
					}
				}
				res, err := col.Write(ctx, []collection.Write{upsert(id, 3, 3, "{}")})
				switch {
				case w == 0 && errors.Is(err, store.ErrLocked):
					refused.Add(1)
				case err != nil:
					t.Errorf("writing %s: %v", id, err)
				case res[0].Err != nil || w == 0:
					t.Errorf("writing %s: %+v", id, res)
				}
			}
		})
	}
	wg.Wait()
	if refused.Load() != 1 {
		t.Error("the locked item was not refused")
	}
	if _, err := db.Exec(ctx, `COMMIT`); err != nil {
		t.Fatal(err)
	}
	if res := write(t, col, upsert("locked", 4, 4, "{}")); res[0].Err != nil {
		t.Error(res[0].Err)
	}
	c.agree()
}

// Write-back that never pauses is acknowledged for as long as each flush is made in
// time, and an item that is also written with conditions, in several copies, is so
// without being refused for what is pending.
func TestWriteBackGoesOn(t *testing.T) { synctest.Test(t, writeBackGoesOn) }

func writeBackGoesOn(t *testing.T) {
	c := openCopies(t, 2, collection.Options{WriteBackDelay: time.Second})
	c.make(collection.Definition{Name: "c", WritePolicy: collection.WriteBack})
	c.stores[0].slow.Store(int64(20 * time.Millisecond)) // so the other is the quicker one
	write(t, c.get(0, "c"), upsert("0", 0, 0, "{}"))
	stop := time.Now().Add(2 * c.get(0, "c").LossWindow())
	var wg sync.WaitGroup
	var pending, through atomic.Int64
	wg.Go(func() { // one that does not wait for answers
		for time.Now().Before(stop) {
			wait, err := c.get(0, "c").Begin([]collection.Write{upsert("0", 1, 1, "{}")})
			if err != nil {
				t.Error(err)
				return
			}
			wg.Go(func() {
				if res, err := wait(context.Background()); err != nil || res[0].Err != nil {
					t.Errorf("without waiting: %v, %+v", err, res)
				}
			})
			time.Sleep(time.Millisecond) // a thousand a second
		}
	})
	for w := range 8 {
		pause := time.Millisecond + time.Duration(w)*37*time.Microsecond // so that each is once before each other
		if w == 1 {
			pause = 40 * time.Millisecond // or the first would never have its turn
		}
		wg.Go(func() {
			col := c.get(w%2, "c")
			for n := 0; time.Now().Before(stop); n++ {
				wr := upsert(fmt.Sprint(n%20+w%2*100), float64(n%180), 0, "{}") // of the first copy 0, too
				if w < 2 {
					wr.Item.ID, wr.IfExists = "0", true
				}
				time.Sleep(pause)
				res, err := col.Write(context.Background(), []collection.Write{wr})
				switch {
				case err != nil:
					t.Errorf("writer %d: %v", w, err)
					return
				case errors.Is(res[0].Err, collection.ErrPrecondition): // not visible here yet
				case res[0].Err != nil:
					t.Errorf("writer %d: %v", w, res[0].Err)
					return
				case res[0].Pending:
					pending.Add(1)
				default:
					through.Add(1)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d writes were pending, %d went through", pending.Load(), through.Load())
	if pending.Load() == 0 || through.Load() == 0 {
		t.Error("one of the two kinds was never made")
	}
	c.flushed()
	c.agree()
}

// Of write-back alone, without pause.
func TestWriteBackNeverPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCopies(t, 1, collection.Options{WriteBackDelay: 20 * time.Millisecond})
		c.make(collection.Definition{Name: "c", WritePolicy: collection.WriteBack})
		c.stores[0].slow.Store(int64(20 * time.Millisecond))
		col := c.get(0, "c")
		n := 0
		for stop := time.Now().Add(5 * col.LossWindow()); time.Now().Before(stop); n++ {
			if res := write(t, col, upsert(fmt.Sprint(n%20), float64(n%180), 0, "{}")); res[0].Err != nil || !res[0].Pending {
				t.Fatalf("after %d writes: %+v", n, res)
			}
			time.Sleep(time.Millisecond)
		}
		c.all[0].Close()
		content, _ := storetest.Read(t, c.store, 1)
		if len(content["c"]) != min(n, 20) {
			t.Errorf("%d items are durable after %d writes", len(content["c"]), n)
		}
	})
}

package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"nearby/item"
	"nearby/store"
)

// Database is a database in memory that several stores share. It is the double for
// tests of what uses a store.Shared, and it shows that the suite can be passed by a
// store that merges commits into steps and delivers steps in parts. It keeps the whole
// contract, except that nothing outlives the process.
type Database struct {
	fault   string // what it does wrong, for tests of the suite; "" for nothing
	epoch   store.Epoch
	mu      sync.Mutex
	changed chan struct{} // closed and replaced by every commit
	content content
	log     []entry               // the last commits; the first of them is gone+1
	gone    store.Seq             // commits that are no longer kept
	bytes   int                   // of what is kept
	heard   map[*memory]store.Seq // how far each Follow that runs has come
	kept    map[string]receipt
	dropped map[string]uint64 // versions of before, for a fault
}

// maxKept bounds the properties and definitions of the commits that are kept for a Follow
// that may come. One that runs is not left behind.
const maxKept = 8 << 20

// maxLag is how many commits a Follow may be behind before commits slow down for it: in
// memory they are made faster than they are followed.
const (
	maxLag   = 256
	slowdown = time.Millisecond
)

// quietTime is how often Follow says that nothing was committed.
const quietTime = 20 * time.Millisecond

// NewDatabase returns an empty database.
func NewDatabase() *Database { return newDatabase("") }

func newDatabase(fault string) *Database {
	return &Database{
		fault: fault, epoch: "e1", changed: make(chan struct{}), content: content{},
		heard: map[*memory]store.Seq{}, kept: map[string]receipt{}, dropped: map[string]uint64{},
	}
}

// Open opens one more store on the database.
func (d *Database) Open() store.Shared {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fault == "receipts do not last" {
		clear(d.kept)
	}
	return &memory{Database: d, ended: make(chan struct{})}
}

// content is all collections by name.
type content map[string]*collection

type collection struct {
	definition    []byte
	items         map[string]item.Item
	born, defined uint64
	shown         bool // a view has it, so it is not written to any more
}

type entry struct {
	changes []store.Change
	bytes   int
	at      time.Time // the commit was not acknowledged before
	by      *memory
}

type receipt struct {
	store.Receipt
	by *memory
}

// memory is one store on a database.
type memory struct {
	*Database
	ended   chan struct{}
	inspect atomic.Bool
	own     store.Seq // last commit from here
}

func (m *memory) closed() bool {
	select {
	case <-m.ended:
		return true
	default:
		return false
	}
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed() {
		return store.ErrClosed
	}
	close(m.ended)
	return nil
}

// head is the last commit. Called with mu held, as all below are that do not lock it.
func (d *Database) head() store.Seq { return d.gone + store.Seq(len(d.log)) }

// followed is how far all have come that follow.
func (d *Database) followed() store.Seq {
	least := d.head()
	for _, seq := range d.heard {
		least = min(least, seq)
	}
	return least
}

// wake has every Follow look again.
func (d *Database) wake() {
	close(d.changed)
	d.changed = make(chan struct{})
}

func (m *memory) Commit(ctx context.Context, changes []store.Change, receipts ...store.Receipt) (store.Seq, error) {
	if err := errors.Join(ctx.Err(), store.CheckReceipts(receipts)); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.head() > m.followed()+maxLag {
		m.mu.Unlock()
		time.Sleep(slowdown)
		m.mu.Lock()
	}
	head := m.head()
	if m.closed() {
		return 0, store.ErrClosed
	}
	if len(changes) == 0 && (len(receipts) == 0 || m.fault == "receipts alone are no commit") {
		return head, nil
	}
	seq := head + 1
	if err := m.content.check(changes, receipts); err != nil {
		if m.fault == "receipts of refused commits are kept" {
			m.keep(seq, receipts)
		}
		return 0, err
	}
	refused, stale := m.repeated(receipts), m.stale(changes)
	if stale && m.fault == "receipts of stale commits are kept" {
		m.keep(seq, receipts)
	}
	if m.fault == "a stale commit is made in part" && stale {
		for i := range changes {
			if !changes[i].Expects {
				m.content.change(&changes[i])
			}
		}
	}
	switch {
	case len(refused) > 0 && (!stale || m.fault != "stale before repeated"):
		return 0, &store.RepeatedError{Receipts: refused}
	case stale && m.fault == "the head of a refusal is too low":
		return 0, &store.StaleError{}
	case stale:
		return 0, &store.StaleError{Head: head}
	}
	e := entry{changes: make([]store.Change, len(changes)), at: time.Now(), by: m}
	for i := range changes {
		ch := changes[i].Clone()
		ch.Item.Seq = uint64(seq)
		m.content.change(&ch)
		e.changes[i] = ch
		e.bytes += len(ch.Item.Properties) + len(ch.Definition)
		m.dropped[ch.Collection+"/"+ch.Item.ID] = uint64(seq)
	}
	m.keep(seq, receipts)
	m.own = seq
	m.add(e)
	m.wake()
	return seq, nil
}

// add takes a commit into the log and forgets old ones.
func (d *Database) add(e entry) {
	d.log = append(d.log, e)
	d.bytes += e.bytes
	forget, needed := 0, min(d.followed(), d.head()-1)
	for ; d.bytes > maxKept && d.gone+store.Seq(forget) < needed; forget++ {
		d.bytes -= d.log[forget].bytes
		d.log[forget] = entry{}
	}
	d.log, d.gone = d.log[forget:], d.gone+store.Seq(forget)
}

// repeated returns the receipts that are kept under keys of new ones.
func (m *memory) repeated(receipts []store.Receipt) (refused []store.Receipt) {
	for _, r := range receipts {
		old, ok := m.kept[m.key(r)]
		ok = ok && m.counts(old.Receipt)
		if ok && m.fault != "keys are taken again" && (m.fault != "keys of others are taken again" || old.by == m) {
			refused = append(refused, old.Receipt)
		}
	}
	return refused
}

// stale reports whether a change expects a version that is not the newest.
func (m *memory) stale(changes []store.Change) bool {
	for i := range changes {
		ch := &changes[i]
		if !ch.Expects || m.fault == "expectations are ignored" || m.fault == "expectations of deletions are ignored" && ch.Op == store.DeleteItem ||
			m.fault == "expectations of definitions are ignored" && ch.Op == store.PutCollection {
			continue
		}
		newest := m.version(ch.Collection, ch.Item.ID)
		if newest != uint64(ch.Expected) && (m.fault != "expectations of others are ignored" || m.log[store.Seq(newest)-m.gone-1].by == m) {
			return true
		}
	}
	return false
}

func (m *memory) key(r store.Receipt) string {
	if m.fault == "all collections share keys" {
		return r.Key
	}
	if m.fault == "keys are trimmed" {
		return strings.TrimSpace(r.Name())
	}
	return r.Name()
}

// counts reports whether a receipt is of the collection that has its name.
func (m *memory) counts(r store.Receipt) bool {
	c := m.content[r.Collection]
	return m.fault == "receipts outlive their collection" || c != nil && uint64(r.Seq) >= c.born
}

func (m *memory) keep(seq store.Seq, receipts []store.Receipt) {
	for _, r := range receipts {
		r.Seq = seq
		if m.fault != "outcomes are the caller's" {
			r.Outcome = bytes.Clone(r.Outcome)
		}
		m.kept[m.key(r)] = receipt{r, m}
	}
}

func (m *memory) version(collection, id string) uint64 {
	if m.fault == "versions outlive their collection" {
		return m.dropped[collection+"/"+id]
	}
	if c := m.content[collection]; c != nil && id != "" {
		return c.items[id].Seq
	} else if c != nil {
		return c.defined
	}
	return 0
}

// check says what is wrong with a batch before anything of it is done.
func (c content) check(changes []store.Change, receipts []store.Receipt) error {
	made := map[string]bool{} // or dropped
	exists := func(name string) error {
		there, ok := made[name]
		if !ok {
			there = c[name] != nil
		}
		if !there {
			return fmt.Errorf("%w: %q", store.ErrNoCollection, name)
		}
		return nil
	}
	for i := range changes {
		ch := &changes[i]
		if ch.Op == store.PutCollection {
			made[ch.Collection] = true
		} else if err := exists(ch.Collection); err != nil {
			return err
		}
		switch {
		case ch.Op == store.DropCollection:
			made[ch.Collection] = false
		case ch.Op == store.PutItem && ch.Item.ID == "", ch.Op < store.PutItem || ch.Op > store.DropCollection:
			return fmt.Errorf("bad change %+v", ch)
		}
	}
	for i := range receipts {
		if err := exists(receipts[i].Collection); err != nil {
			return err
		}
	}
	return nil
}

// show returns the content as it is and stays.
func (c content) show() content {
	for _, col := range c {
		col.shown = true
	}
	return maps.Clone(c)
}

// change makes a change that was checked. Its item has its Seq and memory of its own.
func (c content) change(ch *store.Change) {
	col := c[ch.Collection]
	if col != nil && col.shown && ch.Op != store.DropCollection {
		col = &collection{definition: col.definition, items: maps.Clone(col.items), born: col.born, defined: col.defined}
		c[ch.Collection] = col
	}
	switch ch.Op {
	case store.PutItem:
		col.items[ch.Item.ID] = ch.Item
	case store.DeleteItem:
		delete(col.items, ch.Item.ID)
	case store.PutCollection:
		if col == nil {
			col = &collection{items: map[string]item.Item{}, born: ch.Item.Seq}
			c[ch.Collection] = col
		}
		col.definition, col.defined = ch.Definition, ch.Item.Seq
	case store.DropCollection:
		delete(c, ch.Collection)
	}
}

func (m *memory) Receipt(ctx context.Context, collection, key string) (store.Receipt, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed() {
		return store.Receipt{}, false, store.ErrClosed
	}
	r, ok := m.kept[m.key(store.Receipt{Collection: collection, Key: key})]
	if !ok || !m.counts(r.Receipt) {
		return store.Receipt{}, false, ctx.Err()
	}
	if m.fault == "receipts have no number" {
		r.Seq = 0
	}
	return r.Receipt, true, ctx.Err()
}

func (m *memory) Head(ctx context.Context) (store.CommitID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed() {
		return store.CommitID{}, store.ErrClosed
	}
	if m.fault == "the head is that of own commits" {
		return store.CommitID{Epoch: m.epoch, Seq: m.own}, nil
	}
	return store.CommitID{Epoch: m.epoch, Seq: m.head()}, ctx.Err()
}

func (m *memory) Inspect() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inspect.Store(true)
	m.wake()
}

func (m *memory) View(ctx context.Context) (store.View, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed() {
		return nil, store.ErrClosed
	}
	return m.view(), ctx.Err()
}

func (m *memory) view() *picture {
	p := &picture{fault: m.fault, at: store.CommitID{Epoch: m.epoch, Seq: m.head()}, content: m.content.show()}
	if m.fault == "views move" {
		p.moves = m
	}
	return p
}

func (m *memory) Follow(ctx context.Context, after store.CommitID, deliver func(*store.Step) error) error {
	if after.Epoch != m.epoch && m.fault != "any epoch will do" {
		return store.ErrForked
	}
	tick := time.NewTicker(quietTime)
	defer tick.Stop()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.heard, m)
	}()
	seq, quiet := after.Seq, true
	for n := 1; ; n++ {
		step, changed, err := m.next(seq, n)
		if err != nil {
			return err
		}
		if step.Seq == seq && step.View == nil && !quiet {
			select {
			case <-changed:
			case <-tick.C:
				quiet = m.fault != "a quiet store says nothing"
			case <-m.ended:
				return store.ErrClosed
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		seq, quiet = step.Seq, false
		if err := m.deliver(step, n, deliver); err != nil {
			return err
		}
	}
}

// next returns the step of a few commits that come after seq, of none if there is none,
// and what is closed when there are more.
func (m *memory) next(seq store.Seq, n int) (step store.Step, changed <-chan struct{}, err error) {
	m.mu.Lock()
	if m.closed() {
		err = store.ErrClosed
	} else if seq < m.gone && m.fault == "what is gone is left out" {
		seq = m.gone
	} else if seq < m.gone {
		err = store.ErrGone
	}
	if err != nil {
		m.mu.Unlock()
		return step, nil, err
	}
	changed = m.changed
	m.heard[m] = seq
	first := min(int(seq-m.gone), len(m.log))
	news := m.log[first:min(len(m.log), first+1+n%4)]
	step = store.Step{Seq: seq + store.Seq(len(news)), At: time.Now()}
	if step.Seq < m.head() && m.fault != "steps have too late a time" {
		step.At = m.log[step.Seq-m.gone].at
	}
	if step.Seq == m.head() && m.inspect.Swap(false) {
		step.View = m.view()
	}
	m.mu.Unlock()
	if step.View != nil && m.fault == "inspected views are newer" {
		time.Sleep(time.Millisecond)
		m.mu.Lock()
		step.View.(*picture).content = m.content.show()
		m.mu.Unlock()
	}
	for i, e := range news {
		if m.fault == "a commit is skipped" && (int(seq)+i)%40 == 17 || m.fault == "commits of others are skipped" && e.by != m && len(e.changes) > 1 {
			continue
		}
		step.Changes = append(step.Changes, e.changes...)
	}
	return step, changed, nil
}

// deliver leaves out what later changes take back, and delivers many a step in parts.
func (m *memory) deliver(step store.Step, n int, deliver func(*store.Step) error) error {
	var changes []store.Change
	later := map[string]bool{}
	for _, ch := range slices.Backward(step.Changes) {
		name := ch.Collection + "/" + ch.Item.ID
		if m.fault == "the first of a step wins" {
			name += fmt.Sprint(ch.Item.Seq)
		}
		if ch.Op == store.DropCollection {
			later[ch.Collection+"/"] = true
		}
		if ch.Op == store.PutItem || ch.Op == store.DeleteItem {
			if later[name] || later[ch.Collection+"/"] {
				continue
			}
			later[name] = true
		}
		if ch.Op == store.DeleteItem && m.fault == "deletions have no number" {
			ch.Item.Seq = 0
		}
		changes = append(changes, ch)
	}
	if m.fault != "the first of a step wins" {
		slices.Reverse(changes)
	}
	if m.fault == "a step is repeated" && n%30 == 0 && step.View == nil {
		if err := deliver(&store.Step{Seq: step.Seq, Changes: changes, At: step.At}); err != nil {
			return err
		}
	}
	for size := max(2, len(changes)/3); len(changes) > size && n%2 == 0; {
		part := store.Step{Seq: step.Seq, Changes: changes[:size], At: step.At, More: m.fault != "unfinished steps are shown"}
		if err := deliver(&part); err != nil {
			return err
		}
		changes = changes[size:]
		if m.fault == "unfinished steps are shown" {
			changes = nil
		}
	}
	step.Changes = changes
	return deliver(&step)
}

// picture is a view: what it shows is never written to.
type picture struct {
	fault   string
	at      store.CommitID
	content content
	moves   *memory
	closed  atomic.Bool
}

func (p *picture) now() content {
	if p.moves != nil {
		p.moves.mu.Lock()
		defer p.moves.mu.Unlock()
		return p.moves.content.show()
	}
	return p.content
}

func (p *picture) At() store.CommitID { return p.at }

func (p *picture) Collections(context.Context) ([]store.Collection, error) {
	var all []store.Collection
	for name, c := range p.now() {
		one := store.Collection{Name: name, Definition: c.definition, Seq: store.Seq(c.defined)}
		if p.fault == "items make another definition" {
			one.Seq = p.at.Seq
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b store.Collection) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

func (p *picture) Items(_ context.Context, name string, parts int, yield func(int, *item.Item) error) error {
	c := p.now()[name]
	if c == nil {
		return fmt.Errorf("%w: %q", store.ErrNoCollection, name)
	}
	n := 0
	for _, it := range c.items {
		n++
		if err := yield(n%parts, &it); err != nil {
			return err
		}
	}
	return nil
}

func (p *picture) Get(_ context.Context, name, id string) (item.Item, bool, error) {
	c := p.now()[name]
	if c == nil {
		return item.Item{}, false, nil
	}
	it, ok := c.items[id]
	return it, ok, nil
}

// Digests sums up by reading everything.
func (p *picture) Digests(ctx context.Context, name string) (map[uint16]store.Digest, error) {
	all := map[uint16]store.Digest{}
	var buf []byte
	err := p.Items(ctx, name, 1, func(_ int, it *item.Item) error {
		var hash uint64
		hash, buf = store.Hash(it, buf)
		cell := store.Cell(it.Lon, it.Lat)
		sum := all[cell]
		if sum.Add(hash); p.fault == "digests only count" {
			sum.Hash = 0
		}
		all[cell] = sum
		return nil
	})
	return all, err
}

func (p *picture) Cells(ctx context.Context, name string, cells []uint16, yield func(*item.Item) error) error {
	return p.Items(ctx, name, 1, func(_ int, it *item.Item) error {
		if slices.Contains(cells, store.Cell(it.Lon, it.Lat)) || p.fault == "all cells are read" {
			return yield(it)
		}
		return nil
	})
}

func (p *picture) Close() error {
	if p.closed.Swap(true) {
		return store.ErrClosed
	}
	return nil
}

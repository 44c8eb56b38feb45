package storetest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"nearby/store"
)

// Database is a database in memory that several stores share. Tests of code that uses a
// store.Shared run on it. It merges commits into steps and delivers steps in parts, as a
// store.Shared may. It keeps the whole contract, except that nothing outlives the process.
type Database struct {
	fault   string // the fault of a faulty database, for tests of the suite; "": none
	epoch   store.Epoch
	mu      sync.Mutex
	changed chan struct{} // closed and replaced by every commit
	content content
	log     []entry               // the last commits; the first of them is gone+1
	gone    store.Seq             // the last commit that is no longer kept
	bytes   int                   // of the properties and definitions in log
	heard   map[*memory]store.Seq // the position of each Follow that runs
	kept    map[string]receipt    // by memory.key
	dropped map[string]uint64     // the last version of each item, by collection/id, even of dropped collections; for a fault
}

// maxKept is how many bytes of properties and definitions the database keeps in its log for a
// later Follow. It keeps what a running Follow still needs in any case.
const maxKept = 8 << 20

// maxLag is how many commits a running Follow may be behind. If one is further behind, each
// commit takes slowdown longer: commits in memory are faster than Follow.
const (
	maxLag   = 256
	slowdown = time.Millisecond
)

// NewDatabase returns an empty database.
func NewDatabase() *Database { return newDatabase("") }

func newDatabase(fault string) *Database {
	return &Database{
		fault: fault, epoch: "e1", changed: make(chan struct{}), content: content{},
		heard: map[*memory]store.Seq{}, kept: map[string]receipt{}, dropped: map[string]uint64{},
	}
}

// Open opens another store on the database.
func (d *Database) Open() store.Shared {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fault == "receipts do not last" {
		clear(d.kept)
	}
	return &memory{Database: d, ended: make(chan struct{})}
}

// entry is a commit in the log.
type entry struct {
	changes []store.Change
	bytes   int
	at      time.Time // a time before the commit was acknowledged
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
	own     store.Seq // the last commit that this store has made
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

// head returns the last commit. The caller holds mu, as for all methods below that do not
// lock it.
func (d *Database) head() store.Seq { return d.gone + store.Seq(len(d.log)) }

// followed returns the lowest position of the running Follows, or the head if none runs.
func (d *Database) followed() store.Seq {
	least := d.head()
	for _, seq := range d.heard {
		least = min(least, seq)
	}
	return least
}

// wake makes every Follow look for new commits.
func (d *Database) wake() {
	close(d.changed)
	d.changed = make(chan struct{})
}

func (m *memory) Commit(ctx context.Context, changes []store.Change, receipts ...store.Receipt) (store.Seq, error) {
	if err := errors.Join(ctx.Err(), store.CheckBatch(changes, receipts)); err != nil {
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

// add adds a commit to the log, and drops old commits from it.
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

// repeated returns the kept receipts whose keys new receipts have.
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

// counts reports whether a receipt belongs to the collection that has the name now.
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

func (m *memory) view() *memoryView {
	p := &memoryView{fault: m.fault, at: store.CommitID{Epoch: m.epoch, Seq: m.head()}, content: m.content.show()}
	if m.fault == "views move" {
		p.moves = m
	}
	return p
}

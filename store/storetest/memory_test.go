package storetest_test

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

// database is a store in memory, the plainest that keeps the contract. It is here to
// show that the suite can be passed by a store that merges commits into steps, and
// to be spoiled.
type database struct {
	fault   string // what it does wrong; "" for nothing
	epoch   store.Epoch
	mu      sync.Mutex
	changed chan struct{} // closed and replaced by every commit
	content content
	log     []entry // the commit i+1 is log[i]
	kept    map[string]receipt
	dropped map[string]uint64 // versions of before, for a fault
}

type content map[string]*collection

type collection struct {
	definition    []byte
	items         map[string]item.Item
	born, defined uint64
}

type entry struct {
	changes []store.Change
	by      *memory
}

type receipt struct {
	store.Receipt
	by *memory
}

func newDatabase(fault string) *database {
	return &database{
		fault: fault, epoch: "e1", changed: make(chan struct{}), content: content{},
		kept: map[string]receipt{}, dropped: map[string]uint64{},
	}
}

// memory is one store on a database.
type memory struct {
	*database
	ended   chan struct{}
	inspect atomic.Bool
	own     store.Seq // last commit from here
}

var _ store.Shared = (*memory)(nil)

func (d *database) open() *memory {
	if d.fault == "receipts do not last" {
		clear(d.kept)
	}
	return &memory{database: d, ended: make(chan struct{})}
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

func (m *memory) Commit(ctx context.Context, changes []store.Change, receipts ...store.Receipt) (store.Seq, error) {
	if err := errors.Join(ctx.Err(), store.CheckReceipts(receipts)); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	head := store.Seq(len(m.log))
	if m.closed() {
		return 0, store.ErrClosed
	}
	if len(changes) == 0 && (len(receipts) == 0 || m.fault == "receipts alone are no commit") {
		return head, nil
	}
	var refused store.RepeatedError
	for _, r := range receipts {
		old, ok := m.kept[m.key(r)]
		ok = ok && m.counts(old.Receipt)
		if ok && m.fault != "keys are taken again" && (m.fault != "keys of others are taken again" || old.by == m) {
			refused.Receipts = append(refused.Receipts, old.Receipt)
		}
	}
	stale := false
	for _, ch := range changes {
		if !ch.Expects || m.fault == "expectations are ignored" || m.fault == "expectations of deletions are ignored" && ch.Op == store.DeleteItem ||
			m.fault == "bases of definitions are ignored" && ch.Op == store.PutCollection {
			continue
		}
		newest := m.version(ch.Collection, ch.Item.ID)
		stale = stale || newest != uint64(ch.Expected) && (m.fault != "expectations of others are ignored" || m.log[newest-1].by == m)
	}
	next := m.content.clone()
	seq := head + 1
	own := make([]store.Change, len(changes))
	var err error
	for i, ch := range changes {
		ch.Collection, ch.Definition = strings.Clone(ch.Collection), bytes.Clone(ch.Definition)
		ch.Item.ID, ch.Item.Properties, ch.Item.Seq = strings.Clone(ch.Item.ID), bytes.Clone(ch.Item.Properties), uint64(seq)
		own[i] = ch
		if err = next.change(&ch); err != nil {
			break
		}
		if m.fault == "a stale commit is made in part" && stale && !ch.Expects {
			_ = m.content.change(&ch)
		}
		if m.fault == "versions outlive their collection" {
			m.dropped[ch.Collection+"/"+ch.Item.ID] = uint64(seq)
		}
	}
	for _, r := range receipts {
		if next[r.Collection] == nil {
			return 0, fmt.Errorf("%w: %q", store.ErrNoCollection, r.Collection)
		}
	}
	if m.fault == "receipts of refused commits are kept" {
		m.keep(seq, receipts)
	}
	switch {
	case err != nil:
		return 0, err
	case len(refused.Receipts) > 0 && (!stale || m.fault != "stale before repeated"):
		return 0, &refused
	case stale && m.fault == "the head of a refusal is too low":
		return 0, &store.StaleError{}
	case stale:
		return 0, &store.StaleError{Head: head}
	}
	m.keep(seq, receipts)
	m.content, m.own = next, seq
	m.log = append(m.log, entry{own, m})
	close(m.changed)
	m.changed = make(chan struct{})
	return seq, nil
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

func (c content) clone() content {
	own := content{}
	for name, col := range c {
		own[name] = &collection{col.definition, maps.Clone(col.items), col.born, col.defined}
	}
	return own
}

func (c content) change(ch *store.Change) error {
	col := c[ch.Collection]
	if col == nil && ch.Op != store.PutCollection {
		return fmt.Errorf("%w: %q", store.ErrNoCollection, ch.Collection)
	}
	switch {
	case ch.Op == store.PutItem && ch.Item.ID != "":
		col.items[ch.Item.ID] = ch.Item
	case ch.Op == store.DeleteItem:
		delete(col.items, ch.Item.ID)
	case ch.Op == store.PutCollection && col == nil:
		c[ch.Collection] = &collection{ch.Definition, map[string]item.Item{}, ch.Item.Seq, ch.Item.Seq}
	case ch.Op == store.PutCollection:
		col.definition, col.defined = ch.Definition, ch.Item.Seq
	case ch.Op == store.DropCollection:
		delete(c, ch.Collection)
	default:
		return fmt.Errorf("bad change %+v", ch)
	}
	return nil
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

func (m *memory) Head(ctx context.Context) (store.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed() {
		return store.Position{}, store.ErrClosed
	}
	if m.fault == "the head is that of own commits" {
		return store.Position{Epoch: m.epoch, Seq: m.own}, nil
	}
	return store.Position{Epoch: m.epoch, Seq: store.Seq(len(m.log))}, ctx.Err()
}

func (m *memory) Inspect() { m.inspect.Store(true) }

func (m *memory) View(ctx context.Context) (store.View, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed() {
		return nil, store.ErrClosed
	}
	return m.view(), ctx.Err()
}

// view is called with mu held.
func (m *memory) view() *picture {
	p := &picture{fault: m.fault, at: store.Position{Epoch: m.epoch, Seq: store.Seq(len(m.log))}, content: m.content}
	if m.fault == "views move" {
		p.moves = m
	}
	return p
}

func (m *memory) Follow(ctx context.Context, after store.Position, deliver func(*store.Step) error) error {
	if after.Epoch != m.epoch && m.fault != "any epoch will do" {
		return store.ErrForked
	}
	seq := after.Seq
	for n := 1; ; n++ {
		m.mu.Lock()
		if m.closed() {
			m.mu.Unlock()
			return store.ErrClosed
		}
		changed := m.changed
		news := m.log[min(seq, store.Seq(len(m.log))):]
		news = news[:min(len(news), 1+n%4)]
		step := store.Step{Seq: seq + store.Seq(len(news)), At: time.Now()}
		if int(step.Seq) < len(m.log) {
			step.At = time.Unix(1, 0) // nothing is known of the time of what comes next
		}
		if m.fault == "steps have too late a time" {
			step.At = time.Now()
		}
		view := m.inspect.Load() && int(step.Seq) == len(m.log) && m.inspect.Swap(false)
		if view {
			step.View = m.view()
		}
		m.mu.Unlock()
		if view && m.fault == "inspected views are newer" {
			time.Sleep(time.Millisecond)
			m.mu.Lock()
			step.View.(*picture).content = m.content
			m.mu.Unlock()
		}
		if len(news) == 0 && !view {
			select {
			case <-changed:
				continue
			case <-m.ended:
				return store.ErrClosed
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		for i, e := range news {
			if m.fault == "a commit is skipped" && (int(seq)+i)%40 == 17 || m.fault == "commits of others are skipped" && e.by != m && len(e.changes) > 1 {
				continue
			}
			step.Changes = append(step.Changes, e.changes...)
		}
		seq = step.Seq
		if err := m.deliver(step, n, deliver); err != nil {
			return err
		}
	}
}

// deliver leaves out what later changes take back, and delivers in small pieces.
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
	for len(changes) > 2 && n%2 == 0 {
		part := store.Step{Seq: step.Seq, Changes: changes[:2], At: step.At, More: m.fault != "unfinished steps are shown"}
		if err := deliver(&part); err != nil {
			return err
		}
		changes = changes[2:]
		if m.fault == "unfinished steps are shown" {
			changes = nil
		}
	}
	step.Changes = changes
	return deliver(&step)
}

// picture is a view: contents are never written to.
type picture struct {
	fault   string
	at      store.Position
	content content
	moves   *memory
	closed  atomic.Bool
}

func (p *picture) now() content {
	if p.moves != nil {
		p.moves.mu.Lock()
		defer p.moves.mu.Unlock()
		return p.moves.content
	}
	return p.content
}

func (p *picture) Position() store.Position { return p.at }

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
		return store.ErrNoCollection
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

func (p *picture) Close() error {
	if p.closed.Swap(true) {
		return store.ErrClosed
	}
	return nil
}

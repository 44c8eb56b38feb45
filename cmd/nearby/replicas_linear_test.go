package main

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"nearby/store/postgres/pgtest"
)

// action is what a client asks of an item, outcome what it was told. Every version is
// written once, so that a version names its entity tag, and the other way round.
type action struct {
	id      string
	do      deed
	version int // that is written
	base    int // replace: that must be there
}

type deed int

const (
	get     deed = iota
	put          // in whatever version the item is, or none
	insert       // if there is none
	replace      // if it is in the version base
	remove
)

func (d deed) String() string { return [...]string{"get", "put", "insert", "replace", "delete"}[d] }

type outcome struct {
	unknown bool
	done    bool // and not refused
	created bool // put: there was none
	version int  // get: what was there
}

// oneItem is what an item does: its state is its version.
var oneItem = porcupine.Model{
	Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		at := map[string]int{}
		for _, op := range history {
			id := op.Input.(action).id
			if _, known := at[id]; !known {
				at[id] = len(parts)
				parts = append(parts, nil)
			}
			parts[at[id]] = append(parts[at[id]], op)
		}
		return parts
	},
	Init: func() any { return absent },
	Step: func(state, input, output any) (bool, any) {
		v, a, o := state.(int), input.(action), output.(outcome)
		next, done := v, true
		switch a.do {
		case get:
			return o.version == v, v
		case put:
			next = a.version
		case insert:
			if done = v == absent; done {
				next = a.version
			}
		case replace:
			if done = v == a.base; done {
				next = a.version
			}
		case remove:
			done, next = v != absent, absent
		}
		if o.unknown { // it may also be the last of all
			return true, next
		}
		return o.done == done && (a.do != put || o.created == (v == absent)), next
	},
}

// jar keeps the newest token that any client was given.
type jar struct {
	t     *testing.T
	mu    sync.Mutex
	token string
	seq   uint64
}

func (j *jar) put(token string) {
	if token == "" {
		return
	}
	_, seq := seqOf(j.t, token)
	j.mu.Lock()
	defer j.mu.Unlock()
	if seq > j.seq {
		j.token, j.seq = token, seq
	}
}

func (j *jar) get() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.token
}

// historian lets clients act on a few items and writes down what they saw.
type historian struct {
	rs    *replicas
	begun time.Time
	path  string // of the collection's items
	name  string // of the history
	items int
	jar   *jar
	// strong: reads ask for consistency=strong; else they show the jar's token, as
	// writes always do. blind: they demand nothing.
	strong, blind bool
	versions      atomic.Int64

	mu      sync.Mutex
	history []porcupine.Operation
}

// client does n deeds, one after the other.
func (h *historian) client(number, n int, rng *rand.Rand, which ...int) {
	c := newClient(h.rs.t)
	c.Timeout = 3 * time.Second
	tags := map[string]map[int]string{} // by id and version
	for range n {
		a := action{id: fmt.Sprintf("%s-%d", h.name, rng.IntN(h.items))}
		seen := tags[a.id]
		switch rng.IntN(12) {
		case 0, 1, 2, 3, 4:
			a.do = get
		case 5, 6:
			a.do = put
		case 7:
			a.do = insert
		case 8, 9:
			a.do = put
			for a.base = range seen {
				a.do = replace
				break
			}
		default:
			a.do = remove
		}
		op := h.act(c, number, a, seen[a.base], which[rng.IntN(len(which))])
		if op == nil {
			continue
		}
		if tag := op.Metadata.(string); tag != "" {
			v := op.Output.(outcome).version
			if a.do != get {
				v = op.Input.(action).version
			}
			tags[a.id] = map[int]string{v: tag}
		}
	}
}

// act does one deed and writes it down; nil: a read that failed, of which there is
// nothing to say.
func (h *historian) act(c *http.Client, number int, a action, tag string, replica int) *porcupine.Operation {
	method, path, kind, body := http.MethodPut, h.path+"/"+a.id, geojson, ""
	if a.do != get && a.do != remove {
		a.version = int(h.versions.Add(1))
		body = featureOf(a.id, a.version)
	}
	op := porcupine.Operation{ClientId: number, Call: int64(time.Since(h.begun)), Metadata: ""} // before the token is taken
	headers := []string{}
	if token := h.jar.get(); token != "" && !h.blind && (a.do != get || !h.strong) {
		headers = append(headers, afterHeader, token)
	}
	switch a.do {
	case get:
		method, kind = http.MethodGet, ""
		if h.strong {
			path += "?consistency=strong"
		}
	case insert:
		method, path = http.MethodPost, h.path
	case replace:
		headers = append(headers, "If-Match", tag)
	case remove:
		method, kind = http.MethodDelete, ""
	}
	r := h.rs.send(c, replica, method, path, kind, body, headers...)
	h.jar.put(r.header.Get(tokenHeader))
	op.Return = int64(time.Since(h.begun))
	o := outcome{done: r.status/100 == 2, created: r.status == http.StatusCreated}
	switch r.status {
	case http.StatusOK, http.StatusCreated, http.StatusNoContent, http.StatusConflict, http.StatusPreconditionFailed, http.StatusNotFound:
		if a.do == get {
			var err error
			if o.version, err = versionOf(r); err != nil {
				h.rs.t.Errorf("replica %d: reading %s: %v", replica+1, a.id, err)
			}
		}
		op.Metadata = r.header.Get("ETag")
	case 0, http.StatusServiceUnavailable, http.StatusTooManyRequests:
		if a.do == get {
			return nil
		}
		o = outcome{unknown: true}
		op.Return = math.MaxInt64
	default:
		h.rs.t.Errorf("replica %d: %s of %s: %d %.300s", replica+1, a.do, a.id, r.status, r.body)
	}
	op.Input, op.Output = a, o
	h.mu.Lock()
	defer h.mu.Unlock()
	h.history = append(h.history, op)
	return &op
}

// check says whether the history could be that of a single copy, and else returns
// what was seen of an item that could not.
func (h *historian) check() (porcupine.CheckResult, string) {
	for _, part := range oneItem.Partition(h.history) {
		if result := porcupine.CheckOperationsTimeout(oneItem, part, 10*time.Minute); result != porcupine.Ok {
			slices.SortFunc(part, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
			var text strings.Builder
			for _, op := range part {
				fmt.Fprintf(&text, "%v-%v client %d: %+v %+v %v\n", time.Duration(op.Call), time.Duration(op.Return), op.ClientId, op.Input, op.Output, op.Metadata)
			}
			return result, text.String()
		}
	}
	return porcupine.Ok, ""
}

// What clients see of three replicas, they could have seen of a single copy, if they
// show each other's tokens or ask for consistency=strong, whatever fails meanwhile.
// NEARBY_TEST_HISTORIES sets the number of histories.
func TestReplicasAreLinearizable(t *testing.T) {
	histories := setting(t, "NEARBY_TEST_HISTORIES", strconv.Atoi, 20)
	rng := seeded(t)
	db := pgtest.Start(t, pgtest.NoFsync())
	proxy := pgtest.StartProxy(t, db.Address())
	rs := startReplicas(t, []string{db.URL(), db.URL(), proxy.URL(db.URL())})
	createCollection(t, rs.at(0), "linear", `{}`)
	for i := range rs.start {
		rs.must(newClient(t), http.StatusOK, i, http.MethodGet, "/v1/collections/linear?consistency=strong", "", "")
	}
	faults := []struct {
		name string
		do   func()
	}{
		{"none", func() {}},
		{"latency", func() {
			proxy.Latency(5*time.Millisecond, 5*time.Millisecond)
			moment(rng, 200*time.Millisecond)
			proxy.Heal()
		}},
		{"replica paused", func() {
			pid := rs.at(rng.IntN(3)).cmd.Process
			_ = pid.Signal(syscall.SIGSTOP)
			moment(rng, 400*time.Millisecond)
			_ = pid.Signal(syscall.SIGCONT)
		}},
		{"connections reset", func() {
			for range 3 {
				proxy.Reset()
				moment(rng, 50*time.Millisecond)
			}
		}},
		{"connections held", func() {
			proxy.HalfOpen()
			moment(rng, 400*time.Millisecond)
			proxy.Heal()
		}},
		{"PostgreSQL restarted", func() { db.Restart(pgtest.Immediate) }},
		{"replica killed", func() {
			i := rng.IntN(3)
			rs.at(i).kill()
			rs.again(i)
		}},
	}
	const clients = 5
	ops, unknown := 0, 0
	for n := range histories {
		fault := faults[n%len(faults)]
		h := &historian{
			rs: rs, begun: time.Now(), path: "/v1/collections/linear/items", name: "h" + strconv.Itoa(n), items: 3,
			jar: &jar{t: t}, strong: n%2 == 1,
		}
		var wg sync.WaitGroup
		for number := range clients {
			rng := rand.New(rand.NewPCG(rng.Uint64(), 5))
			wg.Go(func() { h.client(number, 20, rng, 0, 1, 2) })
		}
		moment(rng, 30*time.Millisecond)
		fault.do()
		wg.Wait()
		if result, seen := h.check(); result != porcupine.Ok {
			t.Errorf("history %d, with the fault %q, is %s:\n%s", n, fault.name, result, seen)
		}
		ops += len(h.history)
		for _, op := range h.history {
			if op.Output.(outcome).unknown {
				unknown++
			}
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d histories of %d operations, %d without an outcome", histories, ops, unknown)

	// Reads without demands at a replica that hears nothing are not those of a single
	// copy, and are found not to be.
	proxy.HalfOpen()
	h := &historian{rs: rs, begun: time.Now(), path: "/v1/collections/linear/items", name: "blind", items: 1, jar: &jar{t: t}, blind: true}
	c := newClient(t)
	h.act(c, 0, action{id: "blind-0", do: put}, "", 0)
	h.act(c, 1, action{id: "blind-0", do: get}, "", 2)
	if result, seen := h.check(); result != porcupine.Illegal {
		t.Errorf("a history with a stale read is %s:\n%s", result, seen)
	}
}

package bench

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"nearby/bench/peer"
)

// TestPeersAreMeasured: all stand in the tables, those on the sphere are right,
// the planar ones are wrong somewhere, and that fails nothing.
func TestPeersAreMeasured(t *testing.T) {
	o := small()
	o.Peers, o.Points, o.Sets, o.peerTime = true, 500, []string{"uniform", "duplicates"}, 2*time.Minute
	var last Progress
	r, err := Run(context.Background(), o, func(p Progress) { last = p })
	if err != nil {
		t.Fatal(err)
	}
	if last.Done != last.Total {
		t.Errorf("the last progress is %+v", last)
	}
	var out bytes.Buffer
	for _, write := range []func() error{
		func() error { return r.WriteText(&out) },
		func() error { return r.WriteMarkdown(&out) },
		func() error { return r.WriteHTML(&out) },
	} {
		out.Reset()
		if err := write(); err != nil {
			t.Fatal(err)
		}
		for _, s := range r.Sets {
			if !strings.Contains(out.String(), s.PeersVerdict) || !strings.Contains(s.PeersVerdict, "near the points, where the ") {
				t.Errorf("%s: the peers' verdict %q is missing", s.Name, s.PeersVerdict)
			}
		}
		for _, p := range peer.All() {
			if n := strings.Count(out.String(), p.Name+" (peer)"); n != len(r.Sets)*(1+len(peerWorkloads())) {
				t.Errorf("%s stands in %d rows", p.Name, n)
			}
		}
	}
	for _, s := range r.Sets {
		if len(s.Peers) != len(peer.All()) {
			t.Fatalf("%s: %d peers", s.Name, len(s.Peers))
		}
		for i, p := range peer.All() {
			x := s.Peers[i]
			if x.BuildRate <= 0 || len(x.Rows) != len(peerWorkloads()) {
				t.Errorf("%s, %s: %+v", s.Name, p.Name, x)
			}
			right := true
			for _, row := range x.Rows {
				right = right && row.Recall == 1
				if row.Sampled == 0 || row.Operations < minOperations || row.P50 <= 0 || row.Recall < 0 || row.Recall > 1 {
					t.Errorf("%s, %s: %+v", s.Name, p.Name, row)
				}
			}
			if right == p.Planar {
				t.Errorf("%s, %s: all answers right: %v, planar: %v", s.Name, p.Name, right, p.Planar)
			}
		}
	}
}

// TestPeersAreBuiltInTimeOrNotAtAll: a peer that takes too long leaves a reason.
func TestPeersAreBuiltInTimeOrNotAtAll(t *testing.T) {
	o := small()
	o.Peers, o.Points, o.Sets, o.RowTime = true, 500, []string{"duplicates"}, 1
	r, err := Run(context.Background(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	late := 0
	for _, x := range r.Sets[0].Peers {
		if strings.HasPrefix(x.Reason, "not built within") {
			late++
			if len(x.Rows) != 0 {
				t.Errorf("%s was not built and has rows", x.name())
			}
		}
	}
	if late == 0 {
		t.Error("every peer was built within 100 ns")
	}
}

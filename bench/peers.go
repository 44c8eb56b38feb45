package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"

	"nearby/bench/dataset"
	"nearby/bench/peer"
	"nearby/index"
	"nearby/sphere"
)

// peerBuildTime bounds the building of a peer by as many row times: orb's tree
// is a list of all points where they lie at one place.
const peerBuildTime = 100

// peerWorkloads are the ones that peers are given.
func peerWorkloads() []workload {
	return slices.DeleteFunc(workloads(), func(w workload) bool {
		return !slices.Contains([]string{nearTen, anywhereTen, emptiestTen}, w.name)
	})
}

// measurePeers asks every peer the same questions. A peer that was not built in
// time has a reason and no rows; its wrong answers are figures, not errors.
func measurePeers(ctx context.Context, s dataset.Set, o Options, qs *questions, t *truth, step func(string) error) ([]IndexResult, error) {
	var results []IndexResult
	for _, p := range peer.All() {
		if err := step(s.Name + ": build " + p.Name); err != nil {
			return nil, err
		}
		x := IndexResult{Kind: p.Name, Setting: "(peer)", Peer: true, Reason: p.Note}
		ix, err := buildPeer(ctx, p, s, o.peerTime, &x)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			x.Reason = fmt.Sprintf("not built within %v", o.peerTime)
		case err != nil:
			return nil, fmt.Errorf("bench: set %s: build %s: %w", s.Name, p.Name, err)
		}
		for _, w := range peerWorkloads() {
			if err := step(s.Name + ": " + p.Name + ", " + w.name); err != nil {
				return nil, err
			}
			if x.BuildRate == 0 {
				continue
			}
			runtime.GC()
			row, err := measurePeer(ix, qs, w, t, o.RowTime)
			if err != nil {
				return nil, fmt.Errorf("bench: set %s: %s, %s: %w", s.Name, p.Name, w.name, err)
			}
			x.Rows = append(x.Rows, *row)
		}
		results = append(results, x)
	}
	return results, nil
}

// buildPeer builds a peer and notes what that took. Its memory is what the heap
// has grown by, with the points' positions where the peer keeps them.
func buildPeer(ctx context.Context, p peer.Peer, s dataset.Set, limit time.Duration, x *IndexResult) (peer.Index, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	before := heap()
	start := time.Now()
	ix, err := p.Build(ctx, s.Positions)
	took := time.Since(start)
	if err != nil {
		return nil, err
	}
	n := float64(len(s.Positions))
	x.BytesPerPoint = max(heap()-before, 0) / n
	x.BuildRate = n / max(took.Seconds(), 1e-9)
	runtime.KeepAlive(ix)
	return ix, nil
}

// heap returns the bytes in use. The second collection takes what pools kept
// over the first.
func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// measurePeer is measureReads for a peer.
func measurePeer(ix peer.Index, qs *questions, w workload, t *truth, limit time.Duration) (*Row, error) {
	row := &Row{Workload: w.name, Recall: 1}
	var refs []index.Ref
	for i := range sampleSize {
		q := qs.query(w, i)
		refs = ix.Nearest(refs[:0], dataset.Position{Lon: q.Lon, Lat: q.Lat}, q.K)
		recall, err := t.recallOfRefs(q, refs)
		if err != nil {
			return nil, err
		}
		row.Sampled++
		row.Recall += (recall - 1) / sampleSize
	}
	times := make([]float64, 0, maxQueries)
	before := mallocs()
	start := time.Now()
	for last := start; len(times) < maxQueries; {
		q := qs.query(w, len(times))
		refs = ix.Nearest(refs[:0], dataset.Position{Lon: q.Lon, Lat: q.Lat}, q.K)
		times = append(times, float64(time.Since(last)))
		last = time.Now()
		if last.Sub(start) > limit && len(times) >= minOperations {
			break
		}
	}
	row.Allocs = float64(mallocs()-before) / float64(len(times))
	row.setTimes(times)
	return row, nil
}

// recallOfRefs returns the share of the right answer that refs has, in any
// order. A point as far as the last right one counts as right, since a peer
// knows no order among those.
func (t *truth) recallOfRefs(q index.Query, refs []index.Ref) (float64, error) {
	want, err := t.answer(q, 0, nil)
	if err != nil {
		return 0, err
	}
	most := max(len(want), len(refs))
	if most == 0 {
		return 1, nil
	}
	if len(want) == 0 {
		return 0, nil
	}
	// Metrics may differ in the last bits.
	last := want[len(want)-1].Distance
	last += 1e-6 + 1e-9*last
	centre := sphere.FromDegrees(q.Lon, q.Lat)
	same := 0
	for _, ref := range refs {
		lon, lat := t.items.Position(ref)
		if sphere.Distance(centre, sphere.FromDegrees(lon, lat)) <= last {
			same++
		}
	}
	return float64(same) / float64(most), nil
}

// comparePeers says how many times as long the peers take as the quicker of the
// two indexes, at k = 10, or returns "" if none was measured.
func (s *SetResult) comparePeers() string {
	var parts []string
	for _, j := range judged()[:3] {
		c, ok := s.contest(j.workload)
		if !ok {
			continue
		}
		kind, own := kindGeohash, c.geohash
		if c.quadtree < c.geohash {
			kind, own = kindQuadtree, c.quadtree
		}
		var peers []string
		for i := range s.Peers {
			x := &s.Peers[i]
			row := x.row(j.workload)
			if row == nil || row.P50 <= 0 {
				continue
			}
			text := fmt.Sprintf("%s %s ×", x.Kind, factor(row.P50/own))
			if row.Recall != 1 {
				text += fmt.Sprintf(" (recall %.2f)", floored(row.Recall, 100))
			}
			peers = append(peers, text)
		}
		if len(peers) > 0 {
			parts = append(parts, fmt.Sprintf("%s, where the %s takes %s, %s", j.where, kind, duration(own), and(peers)))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "Peers, p50 at k = 10 in times of the quicker index: " + strings.Join(parts, "; ") + "."
}

// floored rounds a share down to a whole number of parts, so that nothing but 1
// is called 1; a share of 1 is not for it. The sum of a mean may lack the last bits of such a number.
func floored(share, parts float64) float64 { return min(math.Floor(share*parts+1e-6), parts-1) / parts }

package servers

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"time"

	redigo "github.com/gomodule/redigo/redis"

	"nearby/bench/dataset"
)

// tile38 is Tile38: points with the properties and the lot as fields.
type tile38 struct {
	resp
	title string
}

// keyTile38 is Tile38's key of the points; the owner has a key of its own.
const (
	keyTile38      = "nearby-bench"
	keyTile38Owner = "nearby-bench-owner"
)

func openTile38(ctx context.Context, u *url.URL, allowRemote bool) (service, error) {
	r, err := openRESP(ctx, u, allowRemote)
	if err != nil {
		return nil, err
	}
	s := &tile38{resp: r}
	fail := func(err error) (service, error) {
		r.close()
		return nil, fmt.Errorf("servers: %s: %w", u.Redacted(), err)
	}
	about, err := s.server(ctx)
	if err != nil {
		return fail(err)
	}
	s.title = "Tile38 " + about["version"]
	stats, err := redigo.Values(r.do(ctx, "STATS", keyTile38, keyTile38Owner))
	if err != nil {
		return fail(err)
	}
	var exists []string
	for i, key := range []string{keyTile38, keyTile38Owner} {
		if i < len(stats) && stats[i] != nil {
			exists = append(exists, key)
		}
	}
	owner, err := r.do(ctx, "GET", keyTile38Owner, "owner")
	if err != nil && len(exists) == 0 {
		err = nil // versions differ in what they say of a key that is not there
	}
	if err == nil {
		err = checkOwn(text(owner), exists)
	}
	if err != nil {
		return fail(err)
	}
	return s, s.remove(ctx)
}

// server is what SERVER says.
func (s *tile38) server(ctx context.Context) (map[string]string, error) {
	words, err := redigo.Strings(s.do(ctx, "SERVER"))
	if err != nil {
		return nil, fmt.Errorf("servers: SERVER: %w", err)
	}
	about := map[string]string{}
	for i := 0; i+1 < len(words); i += 2 {
		about[words[i]] = words[i+1]
	}
	return about, nil
}

func (s *tile38) name() string { return s.title }

func (s *tile38) how() string { return "NEARBY … LIMIT k DISTANCE POINTS, properties in a field" }

// set is the command that stores a point.
func set(i int, at dataset.Position, properties []byte) command {
	return command{"SET", keyTile38, id(i), "FIELD", "lot", strconv.Itoa(lot(i)), "FIELD", "properties", string(properties),
		"POINT", degrees(at.Lat), degrees(at.Lon)}
}

func (s *tile38) load(ctx context.Context, w *world) (refused int, err error) {
	if _, err := s.do(ctx, "SET", keyTile38Owner, "owner", "STRING", ownerText); err != nil {
		return 0, fmt.Errorf("servers: %s: %w", s.title, err)
	}
	err = s.each(ctx, len(w.at), func(from, to int) []command {
		list := make([]command, 0, to-from)
		for i := from; i < to; i++ {
			list = append(list, set(i, w.at[i], appendProperties(nil, i)))
		}
		return list
	}, func(_ int, got []reply) error {
		for _, one := range got {
			if one.refusal != nil {
				refused++
			}
		}
		return nil
	})
	return refused, err
}

func (s *tile38) memory(ctx context.Context) (float64, string, error) {
	least := math.Inf(1)
	for range 3 { // GC returns before all is collected
		if _, err := s.do(ctx, "GC"); err != nil {
			return 0, "", fmt.Errorf("servers: %s: GC: %w", s.title, err)
		}
		time.Sleep(200 * time.Millisecond)
		about, err := s.server(ctx)
		if err != nil {
			return 0, "", err
		}
		heap, err := strconv.ParseFloat(about["heap_size"], 64)
		if err != nil {
			return 0, "", fmt.Errorf("servers: %s: heap_size: %w", s.title, err)
		}
		least = min(least, heap)
	}
	return least, "heap_size", nil
}

func (s *tile38) durability(context.Context) (string, bool) {
	return "each second", false
}

func (s *tile38) can(w workload) string {
	if w.planar {
		return "one metric"
	}
	return ""
}

func (s *tile38) remove(ctx context.Context) error {
	for _, key := range []string{keyTile38, keyTile38Owner} {
		if _, err := s.do(ctx, "DROP", key); err != nil {
			return fmt.Errorf("servers: %s: DROP: %w", s.title, err)
		}
	}
	return nil
}

func (s *tile38) dial(ctx context.Context) (conn, error) {
	c, err := s.connect(ctx)
	return &tile38Conn{c}, err
}

type tile38Conn struct{ redigo.Conn }

func (c *tile38Conn) close() { _ = c.Close() }

func (c *tile38Conn) ask(ctx context.Context, qs []query, answers *[][]int) error {
	searches := make([]command, len(qs))
	for i, q := range qs {
		words := command{"NEARBY", keyTile38, "LIMIT", strconv.Itoa(q.k), "DISTANCE"}
		if q.lot >= 0 {
			value := strconv.Itoa(q.lot)
			words = append(words, "WHERE", "lot", value, value)
		}
		searches[i] = append(words, "POINTS", "POINT", degrees(q.at.Lat), degrees(q.at.Lon))
	}
	replies, err := pipeline(ctx, c, searches)
	if err != nil {
		return err
	}
	found := make([][]string, len(qs))
	for i, r := range replies {
		if r.refusal != nil {
			return r.refusal
		}
		answer, err := redigo.Values(r.value, nil)
		if err != nil || len(answer) != 2 { // a cursor and the points
			return errForm
		}
		hits, err := redigo.Values(answer[1], nil)
		if err != nil {
			return errForm
		}
		if answers == nil {
			continue
		}
		for _, h := range hits {
			fields, err := redigo.Values(h, nil)
			if err != nil || len(fields) != 4 { // id, position, fields, distance
				return errForm
			}
			found[i] = append(found[i], text(fields[0]))
		}
	}
	return numbers(found, answers)
}

func (c *tile38Conn) put(ctx context.Context, i int, at dataset.Position, properties []byte) error {
	replies, err := pipeline(ctx, c, []command{set(i, at, properties)})
	if err != nil {
		return err
	}
	return replies[0].refusal
}

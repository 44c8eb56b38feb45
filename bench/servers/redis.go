package servers

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"

	redigo "github.com/gomodule/redigo/redis"

	"nearby/bench/dataset"
)

// redis is Redis or Valkey: a sorted set made by GEOADD, and the properties of
// all points as JSON in one hash. The k nearest are looked for within a radius
// that widens until there are k; one HMGET fetches their properties.
type redis struct {
	resp
	title string
	start func(k int) float64 // the first radius for k, in metres
}

// widest reaches every point; what Redis calls the Earth is a little larger.
const widest = 20_100_000.0

func openRedis(ctx context.Context, u *url.URL, allowRemote bool) (service, error) {
	r, err := openRESP(ctx, u, allowRemote)
	if err != nil {
		return nil, err
	}
	s := &redis{resp: r}
	info, err := redigo.String(r.do(ctx, "INFO", "server"))
	if err != nil {
		r.close()
		return nil, fmt.Errorf("servers: %s: INFO: %w", u.Redacted(), err)
	}
	s.title = "Redis " + line(info, "redis_version")
	if v := line(info, "valkey_version"); v != "" {
		s.title = "Valkey " + v
	}
	var exists []string
	for _, key := range []string{keyOwner, keyPlaces, keyProperties} {
		n, err := redigo.Int(r.do(ctx, "EXISTS", key))
		if err != nil {
			r.close()
			return nil, fmt.Errorf("servers: %s: %w", u.Redacted(), err)
		}
		if n > 0 {
			exists = append(exists, key)
		}
	}
	owner, err := r.do(ctx, "GET", keyOwner)
	if err == nil {
		err = checkOwn(text(owner), exists)
	}
	if err != nil {
		r.close()
		return nil, fmt.Errorf("servers: %s: %w", u.Redacted(), err)
	}
	return s, s.remove(ctx)
}

func (s *redis) name() string { return s.title }

func (s *redis) how() string {
	return fmt.Sprintf("GEOSEARCH within %.0f m (k = 10) that widen threefold, then HMGET", s.start(10))
}

func (s *redis) load(ctx context.Context, w *world) (refused int, err error) {
	s.start = w.within
	if _, err := s.do(ctx, "SET", keyOwner, ownerText); err != nil {
		return 0, fmt.Errorf("servers: %s: %w", s.title, err)
	}
	add := func(i int) []string { return []string{degrees(w.at[i].Lon), degrees(w.at[i].Lat), id(i)} }
	err = s.each(ctx, len(w.at), func(from, to int) []command {
		places, properties := command{"GEOADD", keyPlaces}, command{"HSET", keyProperties}
		for i := from; i < to; i++ {
			places = append(places, add(i)...)
			properties = append(properties, id(i), string(appendProperties(nil, i)))
		}
		return []command{places, properties}
	}, func(from int, got []reply) error {
		if got[1].refusal != nil || got[0].refusal == nil {
			return got[1].refusal
		}
		// One point that is refused refuses all of its command.
		var single []command
		for i := from; i < min(from+loadChunk, len(w.at)); i++ {
			single = append(single, append(command{"GEOADD", keyPlaces}, add(i)...))
		}
		again, err := pipeline(ctx, s, single)
		for _, one := range again {
			if one.refusal != nil {
				refused++
			}
		}
		return err
	})
	return refused, err
}

func (s *redis) memory(ctx context.Context) (float64, string, error) {
	info, err := redigo.String(s.do(ctx, "INFO", "memory"))
	if err != nil {
		return 0, "", fmt.Errorf("servers: %s: INFO memory: %w", s.title, err)
	}
	used, err := strconv.ParseFloat(line(info, "used_memory"), 64)
	if err != nil {
		return 0, "", fmt.Errorf("servers: %s: used_memory: %w", s.title, err)
	}
	return used, "used_memory", nil
}

func (s *redis) durability(ctx context.Context) (string, bool) {
	switch only := s.setting(ctx, "appendonly"); only {
	case "":
		return "not told", false
	case "yes":
		fsync := s.setting(ctx, "appendfsync")
		return "appendfsync " + fsync, fsync == "always"
	default:
		return "appendonly " + only, false
	}
}

func (s *redis) can(w workload) string {
	switch {
	case w.filter:
		return "no filters"
	case w.planar:
		return "one metric"
	}
	return ""
}

func (s *redis) remove(ctx context.Context) error {
	if _, err := s.do(ctx, "UNLINK", keyPlaces, keyProperties, keyOwner); err != nil {
		return fmt.Errorf("servers: %s: UNLINK: %w", s.title, err)
	}
	return nil
}

func (s *redis) dial(ctx context.Context) (conn, error) {
	c, err := s.connect(ctx)
	return &redisConn{c, s.start}, err
}

type redisConn struct {
	redigo.Conn
	start func(k int) float64
}

func (c *redisConn) close() { _ = c.Close() }

// ask pipelines: the searches of all queries, those again that found too few
// with a wider radius, then the properties of all that was found.
func (c *redisConn) ask(ctx context.Context, qs []query, answers *[][]int) error {
	found := make([][]string, len(qs))
	radius := make([]float64, len(qs))
	pending := make([]int, len(qs))
	for i, q := range qs {
		pending[i], radius[i] = i, c.start(q.k)
	}
	for len(pending) > 0 {
		searches := make([]command, 0, len(pending))
		for _, i := range pending {
			q := qs[i]
			searches = append(searches, command{"GEOSEARCH", keyPlaces, "FROMLONLAT", degrees(q.at.Lon), degrees(q.at.Lat),
				"BYRADIUS", strconv.FormatFloat(radius[i], 'f', 3, 64), "m", "ASC", "COUNT", strconv.Itoa(q.k), "WITHCOORD", "WITHDIST"})
		}
		replies, err := pipeline(ctx, c, searches)
		if err != nil {
			return err
		}
		var again []int
		for j, r := range replies {
			if r.refusal != nil {
				continue // a centre that it does not know: found nothing
			}
			i := pending[j]
			hits, err := redigo.Values(r.value, nil)
			if err != nil {
				return errForm
			}
			if len(hits) < qs[i].k && radius[i] < widest {
				radius[i] = min(max(3*radius[i], 1), widest)
				again = append(again, i)
				continue
			}
			for _, h := range hits {
				fields, err := redigo.Values(h, nil)
				if err != nil || len(fields) != 3 {
					return errForm
				}
				found[i] = append(found[i], text(fields[0]))
			}
		}
		pending = again
	}
	var fetches []command
	for _, ids := range found {
		if len(ids) > 0 {
			fetches = append(fetches, append(command{"HMGET", keyProperties}, ids...))
		}
	}
	if len(fetches) > 0 {
		replies, err := pipeline(ctx, c, fetches)
		if err != nil {
			return err
		}
		for _, r := range replies {
			values, err := redigo.Values(r.value, r.refusal)
			if err != nil || slices.ContainsFunc(values, func(v any) bool { return v == nil }) {
				return fmt.Errorf("servers: HMGET: properties are missing: %w", errors.Join(err, errForm))
			}
		}
	}
	return numbers(found, answers)
}

// put is one transaction, in one round trip.
func (c *redisConn) put(ctx context.Context, i int, at dataset.Position, properties []byte) error {
	replies, err := pipeline(ctx, c, []command{{"MULTI"},
		{"GEOADD", keyPlaces, degrees(at.Lon), degrees(at.Lat), id(i)}, {"HSET", keyProperties, id(i), string(properties)}, {"EXEC"}})
	for _, r := range replies {
		err = errors.Join(err, r.refusal)
	}
	return err
}

// numbers turns the ids of answers into the points' numbers, where they are
// wanted.
func numbers(found [][]string, answers *[][]int) error {
	if answers == nil {
		return nil
	}
	*answers = (*answers)[:0]
	for _, ids := range found {
		list := make([]int, 0, len(ids))
		for _, s := range ids {
			i, err := number(s)
			if err != nil {
				return err
			}
			list = append(list, i)
		}
		*answers = append(*answers, list)
	}
	return nil
}

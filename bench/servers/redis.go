package servers

import (
	"context"
	"fmt"
	"net/url"
	"strconv"

	"github.com/redis/rueidis"

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
	info, err := r.do(ctx, "INFO", "server").ToString()
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
		n, err := r.do(ctx, "EXISTS", key).AsInt64()
		if err != nil {
			r.close()
			return nil, fmt.Errorf("servers: %s: %w", u.Redacted(), err)
		}
		if n > 0 {
			exists = append(exists, key)
		}
	}
	owner, _ := r.do(ctx, "GET", keyOwner).ToString()
	if err := checkOwn(owner, exists); err != nil {
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
	if err := s.do(ctx, "SET", keyOwner, ownerText).Error(); err != nil {
		return 0, fmt.Errorf("servers: %s: %w", s.title, err)
	}
	add := func(i int) []string { return []string{degrees(w.at[i].Lon), degrees(w.at[i].Lat), id(i)} }
	err = s.each(ctx, len(w.at), func(from, to int) []rueidis.Completed {
		places, properties := []string{"GEOADD", keyPlaces}, []string{"HSET", keyProperties}
		for i := from; i < to; i++ {
			places = append(places, add(i)...)
			properties = append(properties, id(i), string(appendProperties(nil, i)))
		}
		return []rueidis.Completed{command(s.client, places...), command(s.client, properties...)}
	}, func(from int, got []rueidis.RedisResult) error {
		if err := got[1].Error(); err != nil {
			return fmt.Errorf("servers: %s: HSET: %w", s.title, err)
		}
		err := got[0].Error()
		if err == nil {
			return nil
		}
		if !refusal(err) {
			return fmt.Errorf("servers: %s: GEOADD: %w", s.title, err)
		}
		// One point that is refused refuses all of its command.
		var single []rueidis.Completed
		for i := from; i < min(from+loadChunk, len(w.at)); i++ {
			single = append(single, command(s.client, append([]string{"GEOADD", keyPlaces}, add(i)...)...))
		}
		ctx, cancel := context.WithTimeout(ctx, connTimeout)
		defer cancel()
		for _, result := range s.client.DoMulti(ctx, single...) {
			switch err := result.Error(); {
			case refusal(err):
				refused++
			case err != nil:
				return fmt.Errorf("servers: %s: GEOADD: %w", s.title, err)
			}
		}
		return nil
	})
	return refused, err
}

func (s *redis) memory(ctx context.Context) (float64, string, error) {
	info, err := s.do(ctx, "INFO", "memory").ToString()
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
	if err := s.do(ctx, "UNLINK", keyPlaces, keyProperties, keyOwner).Error(); err != nil {
		return fmt.Errorf("servers: %s: UNLINK: %w", s.title, err)
	}
	return nil
}

func (s *redis) dial(context.Context) (conn, error) {
	c, release := s.client.Dedicate()
	return &redisConn{c, release, s.start}, nil
}

type redisConn struct {
	rueidis.DedicatedClient
	release func()
	start   func(k int) float64
}

func (c *redisConn) close() { c.release() }

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
		commands := make([]rueidis.Completed, 0, len(pending))
		for _, i := range pending {
			q := qs[i]
			commands = append(commands, command(c, "GEOSEARCH", keyPlaces, "FROMLONLAT", degrees(q.at.Lon), degrees(q.at.Lat),
				"BYRADIUS", strconv.FormatFloat(radius[i], 'f', 3, 64), "m", "ASC", "COUNT", strconv.Itoa(q.k), "WITHCOORD", "WITHDIST"))
		}
		var again []int
		for j, result := range c.DoMulti(ctx, commands...) {
			i := pending[j]
			hits, err := result.ToArray()
			if refusal(err) {
				continue // a centre that it does not know: found nothing
			}
			if err != nil {
				return fmt.Errorf("servers: GEOSEARCH: %w", err)
			}
			if len(hits) < qs[i].k && radius[i] < widest {
				radius[i] = min(max(3*radius[i], 1), widest)
				again = append(again, i)
				continue
			}
			for _, h := range hits {
				fields, err := h.ToArray()
				if err != nil || len(fields) != 3 {
					return unexpected("GEOSEARCH", err)
				}
				name, err := fields[0].ToString()
				if err != nil {
					return fmt.Errorf("servers: GEOSEARCH: %w", err)
				}
				found[i] = append(found[i], name)
			}
		}
		pending = again
	}
	var fetches []rueidis.Completed
	for _, ids := range found {
		if len(ids) > 0 {
			fetches = append(fetches, command(c, append([]string{"HMGET", keyProperties}, ids...)...))
		}
	}
	if len(fetches) > 0 {
		for _, result := range c.DoMulti(ctx, fetches...) {
			values, err := result.ToArray()
			if err != nil {
				return fmt.Errorf("servers: HMGET: %w", err)
			}
			for _, v := range values {
				if v.IsNil() {
					return fmt.Errorf("servers: HMGET: properties are missing")
				}
			}
		}
	}
	return numbers(found, answers)
}

// put is one transaction, in one round trip.
func (c *redisConn) put(ctx context.Context, i int, at dataset.Position, properties []byte) error {
	for _, result := range c.DoMulti(ctx, command(c, "MULTI"),
		command(c, "GEOADD", keyPlaces, degrees(at.Lon), degrees(at.Lat), id(i)),
		command(c, "HSET", keyProperties, id(i), string(properties)), command(c, "EXEC")) {
		if err := result.Error(); err != nil {
			return fmt.Errorf("servers: write: %w", err)
		}
	}
	return nil
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

package servers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"nearby/bench/dataset"
	"nearby/bench/httpbench"
)

// postgis is PostgreSQL with PostGIS: a table in a schema of its own, with a
// GiST index of the geography, and a B-tree of the property that filters ask for.
type postgis struct {
	config *pgx.ConnConfig
	admin  *pgx.Conn
	title  string
}

// schema is the name of what a run makes in a database.
const schema = "nearby_bench"

func openPostGIS(ctx context.Context, u *url.URL, allowRemote bool) (service, error) {
	config, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, fmt.Errorf("servers: %s: not the address of a PostgreSQL database", u.Redacted())
	}
	hosts := []string{config.Host}
	for _, f := range config.Fallbacks {
		hosts = append(hosts, f.Host)
	}
	for _, host := range hosts {
		if allowRemote || strings.HasPrefix(host, "/") { // a socket of this machine
			continue
		}
		if err := httpbench.CheckLoopback(ctx, host); err != nil {
			return nil, err
		}
	}
	config.ConnectTimeout = 10 * time.Second
	s := &postgis{config: config}
	if s.admin, err = pgx.ConnectConfig(ctx, config); err != nil {
		return nil, fmt.Errorf("servers: %s: %w", u.Redacted(), err)
	}
	var version, extension string
	err = s.admin.QueryRow(ctx, "SELECT current_setting('server_version'), coalesce((SELECT extversion FROM pg_extension WHERE extname = 'postgis'), '')").Scan(&version, &extension)
	if err == nil && extension == "" {
		err = errors.New("the database has no PostGIS: CREATE EXTENSION postgis")
	}
	version, _, _ = strings.Cut(version, " ")
	s.title = fmt.Sprintf("PostGIS %s (%s)", extension, version)
	if err == nil {
		var exists bool
		var owner string
		err = s.admin.QueryRow(ctx, "SELECT to_regnamespace($1) IS NOT NULL, coalesce(obj_description(to_regnamespace($1), 'pg_namespace'), '')", schema).Scan(&exists, &owner)
		if err == nil && exists {
			err = checkOwn(owner, []string{"the schema " + schema})
		}
	}
	if err == nil {
		err = s.remove(ctx)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("servers: %s: %w", u.Redacted(), err)
	}
	return s, nil
}

func (s *postgis) close() { _ = s.admin.Close(context.Background()) }

func (s *postgis) name() string { return s.title }

func (s *postgis) how() string {
	return "ORDER BY geography <-> point LIMIT k, GiST; B-tree of the lot"
}

func (s *postgis) exec(ctx context.Context, statements ...string) error {
	for _, sql := range statements {
		if _, err := s.admin.Exec(ctx, sql); err != nil {
			return fmt.Errorf("servers: %s: %s: %w", s.title, sql, err)
		}
	}
	return nil
}

// load copies the points into a table and makes its indexes. The index of the
// planar variant is no part of it.
func (s *postgis) load(ctx context.Context, w *world) (refused int, err error) {
	if err := s.exec(ctx, "CREATE SCHEMA "+schema, "COMMENT ON SCHEMA "+schema+" IS '"+ownerText+"'",
		"CREATE TABLE "+schema+".places (id text NOT NULL, lon float8 NOT NULL, lat float8 NOT NULL, lot int NOT NULL, properties text NOT NULL,"+
			" place geography(Point) NOT NULL)"); err != nil {
		return 0, err
	}
	// A geography is sent as it is, in PostGIS' binary form.
	var oid uint32
	if err := s.admin.QueryRow(ctx, "SELECT 'geography'::regtype::oid").Scan(&oid); err != nil {
		return 0, fmt.Errorf("servers: %s: %w", s.title, err)
	}
	s.admin.TypeMap().RegisterType(&pgtype.Type{Name: "geography", OID: oid, Codec: pgtype.ByteaCodec{}})
	var text []byte
	i := -1
	_, err = s.admin.CopyFrom(ctx, pgx.Identifier{schema, "places"}, []string{"id", "lon", "lat", "lot", "properties", "place"}, pgx.CopyFromFunc(func() ([]any, error) {
		if i++; i == len(w.at) {
			return nil, nil
		}
		text = appendProperties(text[:0], i)
		p := w.at[i]
		return []any{id(i), p.Lon, p.Lat, int32(lot(i)), string(text), ewkb(p)}, nil
	}))
	if err != nil {
		return 0, fmt.Errorf("servers: %s: COPY: %w", s.title, err)
	}
	return 0, s.exec(ctx, "ALTER TABLE "+schema+".places ADD PRIMARY KEY (id)",
		"CREATE INDEX ON "+schema+".places USING gist (place)", "CREATE INDEX ON "+schema+".places (lot)")
}

// settle is what a load leaves to do before queries are measured.
func (s *postgis) settle(ctx context.Context) error {
	return s.exec(ctx, "CREATE INDEX planar ON "+schema+".places USING gist ((place::geometry))", "VACUUM (ANALYZE) "+schema+".places", "CHECKPOINT")
}

// ewkb is the extended well-known binary form of a point in WGS 84.
func ewkb(p dataset.Position) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{1}, 0x20000001)
	b = binary.LittleEndian.AppendUint32(b, 4326)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(p.Lon))
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(p.Lat))
}

func (s *postgis) memory(ctx context.Context) (float64, string, error) {
	var size int64
	err := s.admin.QueryRow(ctx, "SELECT coalesce(pg_total_relation_size(to_regclass($1)), 0)", schema+".places").Scan(&size)
	if err != nil {
		return 0, "", fmt.Errorf("servers: %s: %w", s.title, err)
	}
	return float64(size), "pg_total_relation_size", nil
}

func (s *postgis) durability(ctx context.Context) (string, bool) {
	var fsync, commit string
	err := s.admin.QueryRow(ctx, "SELECT current_setting('fsync'), current_setting('synchronous_commit')").Scan(&fsync, &commit)
	if err != nil {
		return "not told", false
	}
	return fmt.Sprintf("fsync %s, synchronous_commit %s", fsync, commit), fsync == "on" && commit != "off"
}

func (s *postgis) can(workload) string { return "" }

func (s *postgis) remove(ctx context.Context) error {
	return s.exec(ctx, "DROP SCHEMA IF EXISTS "+schema+" CASCADE")
}

func (s *postgis) dial(ctx context.Context) (conn, error) {
	c, err := pgx.ConnectConfig(ctx, s.config)
	if err != nil {
		return nil, fmt.Errorf("servers: %s: %w", s.title, err)
	}
	return &postgisConn{c}, nil
}

type postgisConn struct{ pg *pgx.Conn }

func (c *postgisConn) close() { _ = c.pg.Close(context.Background()) }

// point is made of the first two parameters.
const point = "ST_SetSRID(ST_MakePoint($1, $2), 4326)"

// statement asks a question. The limit stands in it, since a plan for any limit
// would be another one.
func statement(q query) string {
	where := ""
	if q.lot >= 0 {
		where = " WHERE lot = $3"
	}
	return "SELECT id, lon, lat, properties, place <-> " + point + "::geography AS distance FROM " + schema + ".places" + where +
		" ORDER BY place <-> " + point + "::geography LIMIT " + strconv.Itoa(q.k)
}

// planarStatement takes four times as many candidates from the plane of degrees
// and puts them in order on the sphere.
func planarStatement(k int) string {
	return "SELECT id, lon, lat, properties, place <-> " + point + "::geography AS distance FROM" +
		" (SELECT * FROM " + schema + ".places ORDER BY place::geometry <-> " + point + " LIMIT " + strconv.Itoa(4*k) + ") candidates" +
		" ORDER BY distance LIMIT " + strconv.Itoa(k)
}

func (c *postgisConn) ask(ctx context.Context, qs []query, answers *[][]int) error {
	if answers != nil {
		*answers = (*answers)[:0]
	}
	one := func(rows pgx.Rows) error {
		defer rows.Close()
		var found []int
		for rows.Next() {
			raw := rows.RawValues()
			if answers == nil {
				continue
			}
			i, err := number(string(raw[0]))
			if err != nil {
				return err
			}
			found = append(found, i)
		}
		if answers != nil {
			*answers = append(*answers, found)
		}
		return rows.Err()
	}
	send := func(q query) (string, []any) {
		switch {
		case q.planar:
			return planarStatement(q.k), []any{q.at.Lon, q.at.Lat}
		case q.lot >= 0:
			return statement(q), []any{q.at.Lon, q.at.Lat, int32(q.lot)}
		}
		return statement(q), []any{q.at.Lon, q.at.Lat}
	}
	if len(qs) == 1 {
		sql, values := send(qs[0])
		rows, err := c.pg.Query(ctx, sql, values...)
		if err == nil {
			err = one(rows)
		}
		if err != nil {
			return fmt.Errorf("servers: query: %w", err)
		}
		return nil
	}
	var batch pgx.Batch
	for _, q := range qs {
		sql, values := send(q)
		batch.Queue(sql, values...)
	}
	results := c.pg.SendBatch(ctx, &batch)
	for range qs {
		rows, err := results.Query()
		if err == nil {
			err = one(rows)
		}
		if err != nil {
			_ = results.Close() // the first error is the one
			return fmt.Errorf("servers: batch: %w", err)
		}
	}
	if err := results.Close(); err != nil {
		return fmt.Errorf("servers: batch: %w", err)
	}
	return nil
}

func (c *postgisConn) put(ctx context.Context, i int, at dataset.Position, properties []byte) error {
	_, err := c.pg.Exec(ctx, "INSERT INTO "+schema+".places (id, lon, lat, lot, properties, place) VALUES ($3, $1, $2, $4, $5, "+point+"::geography)"+
		" ON CONFLICT (id) DO UPDATE SET lon = excluded.lon, lat = excluded.lat, lot = excluded.lot, properties = excluded.properties, place = excluded.place",
		at.Lon, at.Lat, id(i), int32(lot(i)), string(properties))
	if err != nil {
		return fmt.Errorf("servers: write: %w", err)
	}
	return nil
}

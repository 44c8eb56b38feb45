package attach

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"nearby/store/postgres/database"
)

// table is a table or view of the database, with the SQL that makes items of its rows.
type table struct {
	name    string // with its schema, quoted
	key     string // the column of the id, quoted
	keyType string // its type, for a cast
	unique  bool   // a unique index has this column alone
	change  string // poll: the column with the time of the last change, quoted
	changes string // its type
	values  string // SQL for key, id, lon, lat and properties of the row s
	point   string // the SQL that makes nearby.point_of, which reads the geometry column; "": there is none

	role       string // the role of the connection
	superuser  bool   // role is a superuser
	owner      string // the role that owns the table
	mayTrigger bool   // the role may make triggers
}

// checkTrust fails if a superuser attaches a table of another role without naming that role
// as trusted, or if the trusted role is not the owner. A function that a view calls, or a
// cast of a type, runs with the rights of the role that reads the table.
func (t *table) checkTrust(trusted string) error {
	if t.owner == t.role || !t.superuser && trusted == "" || t.owner == trusted {
		return nil
	}
	if trusted != "" {
		return fmt.Errorf("%s belongs to the role %s, not to %s", t.name, t.owner, trusted)
	}
	return fmt.Errorf("%s belongs to the role %[2]s, which could run code through it as %[3]s, a superuser: "+
		"run nearby as a role that is not a superuser, or trust the owner with --trust-owner %[2]s", t.name, t.owner, t.role)
}

// maxID is the greatest length of an id in bytes. Rows with longer ids are not copied, not
// even as bad rows.
const maxID = 1024

// usable returns the SQL condition that the row s has an id that can be stored.
func (t *table) usable() string {
	return fmt.Sprintf("s.%[1]s IS NOT NULL AND octet_length(s.%[1]s::text) <= %[2]d", t.key, maxID)
}

// rows returns the SQL that selects the items of a relation: the table, or the transition
// table of a trigger. and is a further condition.
func (t *table) rows(relation, and string) string {
	return "SELECT " + t.values + " FROM " + relation + " s WHERE " + t.usable() + and
}

// column is a column of a table.
type column struct {
	name, kind string // kind: its type, for messages
	base       string // the base type under all domains: PostgreSQL's own name, "text" for an enum, otherwise ""
	cast       string // its type, for a cast
	raw        string // the name of the base type, even if it is not one of PostgreSQL's own
	unique     bool   // a unique index has this column alone
	readable   bool   // the role may read it
}

const tableSQL = `
SELECT c.oid, format('%I.%I', n.nspname, c.relname), n.nspname, c.relkind::text, c.relpersistence::text,
       EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = c.oid OR h.inhparent = c.oid),
       has_table_privilege(c.oid, 'TRIGGER'), has_table_privilege(c.oid, 'UPDATE'), row_security_active(c.oid),
       current_user::text, pg_get_userbyid(c.relowner)::text, EXISTS (SELECT FROM pg_roles r WHERE r.rolname = current_user AND r.rolsuper)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = (SELECT to_regclass(w.name) FROM unnest($1::text[]) WITH ORDINALITY w (name, n) WHERE to_regclass(w.name) IS NOT NULL ORDER BY w.n LIMIT 1)`

const columnsSQL = `
WITH RECURSIVE types AS (
    SELECT a.attnum, a.atttypid AS type FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT t.attnum, d.typbasetype FROM types t JOIN pg_type d ON d.oid = t.type AND d.typtype = 'd')
SELECT a.attname, format_type(a.atttypid, a.atttypmod), format_type(a.atttypid, -1),
       CASE WHEN b.typnamespace = 'pg_catalog'::regnamespace THEN b.typname::text WHEN b.typtype = 'e' THEN 'text' ELSE '' END, b.typname::text,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                  AND i.indexprs IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum),
       has_column_privilege(a.attrelid, a.attnum, 'SELECT')
  FROM types JOIN pg_type b ON b.oid = types.type AND b.typtype <> 'd'
  JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = types.attnum
 ORDER BY a.attnum`

// errNoTable: a table does not exist, or the role cannot see it.
var errNoTable = errors.New("there is no such table or view, or the role may not use its schema")

// spellings returns the tables that a name may stand for, in three groups: the name exactly,
// in each schema of the role's search_path; the name as SQL reads it, in the same schemas;
// and the name exactly in the schema nearby, where tables of other programs get by mistake.
// The first table that exists counts.
func spellings(conn *pgx.Conn, name string) [][]string {
	schemas, _ := conn.PgConn().CustomData()[schemasKey].([]string)
	var asIs, asSQL []string
	for _, schema := range schemas {
		asIs = append(asIs, schema+"."+quoted(name))
		asSQL = append(asSQL, schema+"."+name)
	}
	if strings.Contains(name, ".") {
		asSQL = []string{name}
	}
	return [][]string{asIs, asSQL, {"nearby." + quoted(name)}}
}

// findTable looks up the table and the columns that an attachment names. It replaces the
// names in a by the exact ones, the table's with its schema. If a names no properties, it
// adds all other columns.
func findTable(ctx context.Context, conn *pgx.Conn, a *Attachment) (*table, error) {
	var oid uint32
	var name, schema, kind, persistence, role, owner string
	var inherits, mayTrigger, mayLock, rowSecurity, superuser bool
	err := pgx.ErrNoRows
	for _, written := range spellings(conn, a.Table) {
		err = conn.QueryRow(ctx, tableSQL, written).Scan(&oid, &name, &schema, &kind, &persistence, &inherits, &mayTrigger, &mayLock, &rowSecurity, &role, &owner, &superuser)
		if err == nil {
			break
		}
	}
	switch {
	case errors.Is(err, pgx.ErrNoRows) || database.IsCode(err, "42602", "42601", "3F000", "0A000"):
		return nil, fmt.Errorf("%s: %w", a.Table, errNoTable)
	case err != nil:
		return nil, database.ReadError(err)
	case schema == "nearby" && database.OwnTable(strings.TrimPrefix(name, "nearby.")):
		return nil, fmt.Errorf("%s is a table of nearby's own", name)
	case schema == "nearby":
		return nil, fmt.Errorf("%s is in the schema of nearby's own tables: move it, as by ALTER TABLE %[1]s SET SCHEMA public. %s", name, database.PathAdvice)
	case persistence == "t":
		return nil, fmt.Errorf("%s is a temporary table, which only its session sees", name)
	case !slices.Contains([]string{"r", "p", "v", "m", "f"}, kind):
		return nil, fmt.Errorf("%s is neither a table nor a view", name)
	case rowSecurity:
		return nil, fmt.Errorf("%s: row-level security hides rows from the role %s: give the role BYPASSRLS, or attach a view", name, role)
	}
	columns, err := readColumns(ctx, conn, oid)
	if err != nil {
		return nil, database.ReadError(err)
	}
	t := &table{name: name, role: role, superuser: superuser, owner: owner, mayTrigger: mayTrigger}
	a.Table = name
	if a.Follow == FollowTrigger {
		if err := canTrigger(name, kind, role, inherits, mayLock); err != nil {
			return nil, err
		}
	}
	return t, t.complete(ctx, conn, a, columns, role)
}

// canTrigger fails if a table cannot be followed by triggers.
func canTrigger(name, kind, role string, inherits, mayLock bool) error {
	const poll = "; use --follow poll"
	switch {
	case kind != "r" && kind != "p":
		return fmt.Errorf("%s is a view or a foreign table: triggers do not see its changes%s", name, poll)
	case kind == "p" || inherits:
		return fmt.Errorf("%s has partitions or child tables, or is one: triggers would not see what is written to the others%s", name, poll)
	case !mayLock:
		return fmt.Errorf("the role %[1]s lacks a privilege, which it needs to lock rows while they are copied: GRANT UPDATE ON %[2]s TO %[1]s%[3]s", role, name, "; or use --follow poll")
	}
	return nil
}

func readColumns(ctx context.Context, conn *pgx.Conn, oid uint32) ([]column, error) {
	rows, err := conn.Query(ctx, columnsSQL, oid)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c column, err error) {
		err = row.Scan(&c.name, &c.kind, &c.cast, &c.base, &c.raw, &c.unique, &c.readable)
		return c, err
	})
}

// The types that positions and times of changes may have, and the types whose values as JSON
// are always valid jsonb. Values of other types go through nearby.sound.
var (
	numberTypes = []string{"float4", "float8", "numeric", "int2", "int4", "int8"}
	timeTypes   = []string{"timestamptz", "timestamp"}
	soundTypes  = append([]string{
		"bool", "text", "varchar", "bpchar", "name", "uuid", "date", "time", "timetz", "timestamp", "timestamptz",
		"interval", "jsonb", "inet", "cidr", "bytea", "_text", "_varchar", "_int2", "_int4", "_int8", "_float8", "_numeric",
	}, numberTypes...)
)

// complete looks up the columns that a names, replaces the names by the exact ones, and
// makes the table's SQL.
func (t *table) complete(ctx context.Context, conn *pgx.Conn, a *Attachment, columns []column, role string) error {
	var errs []error
	find := func(flag string, name *string, types []string) column {
		c, err := findColumn(columns, *name)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s has %w (%s); its columns are %s", t.name, err, flag, listColumns(columns)))
			return c
		case !c.readable:
			errs = append(errs, fmt.Errorf("the role %[1]s lacks a privilege: GRANT SELECT (%[2]s) ON %[3]s TO %[1]s", role, quoted(c.name), t.name))
		case types != nil && !slices.Contains(types, c.base):
			errs = append(errs, fmt.Errorf("%s: the column %s (%s) is of type %s, must be %s", t.name, quoted(c.name), flag, c.kind, strings.Join(types, ", ")))
		}
		*name = c.name
		return c
	}
	used := []string{}
	key := find("the id", &a.ID, nil)
	t.key, t.keyType, t.unique = quoted(key.name), key.cast, key.unique
	used = append(used, a.ID)
	if a.Follow == FollowTrigger && !key.unique && key.name != "" {
		errs = append(errs, fmt.Errorf("%s: the column %s is not the primary key and has no unique index of its own; triggers need one", t.name, t.key))
	}
	var lon, lat string
	if a.Geom != "" {
		geom := find("the geometry", &a.Geom, nil)
		if geom.name != "" && geom.raw != "geometry" && geom.raw != "geography" {
			errs = append(errs, fmt.Errorf("%s: the column %s (the geometry) is of type %s, must be geometry or geography of PostGIS", t.name, quoted(geom.name), geom.kind))
		}
		schema, function, err := pointFunction(ctx, conn)
		if err != nil {
			errs = append(errs, err)
		}
		t.point = function
		of := "nearby.point_of(s." + quoted(geom.name)
		if geom.raw == "geography" {
			of += "::" + schema + ".geometry"
		}
		lon, lat = "("+of+"))[1]", "("+of+"))[2]"
		used = append(used, a.Geom)
	} else {
		lon = asDegrees(find("the longitude", &a.Lon, numberTypes))
		lat = asDegrees(find("the latitude", &a.Lat, numberTypes))
		used = append(used, a.Lon, a.Lat)
	}
	if a.Follow == FollowPoll {
		change := find("the time of the last change", &a.Column, timeTypes)
		t.change, t.changes = quoted(change.name), change.base
	}
	if a.Properties == nil {
		a.Properties = []string{}
		for _, c := range columns {
			if !slices.Contains(used, c.name) {
				a.Properties = append(a.Properties, c.name)
			}
		}
	} else {
		a.Properties = slices.Clone(a.Properties)
	}
	var list []string
	guarded := false
	for i := range a.Properties {
		c := find("a property", &a.Properties[i], nil)
		if slices.Contains(a.Properties[:i], c.name) && c.name != "" {
			errs = append(errs, fmt.Errorf("the property %s is named twice", quoted(c.name)))
		}
		list = append(list, "s."+quoted(c.name))
		guarded = guarded || !slices.Contains(soundTypes, c.base)
	}
	properties := "NULL::json"
	if len(list) > 0 {
		properties = "(SELECT row_to_json(p) FROM (SELECT " + strings.Join(list, ", ") + ") p)"
	}
	if guarded {
		properties = "nearby.sound(" + properties + ")"
	}
	t.values = fmt.Sprintf(`s.%[1]s AS key, s.%[1]s::text COLLATE "C" AS id, %[2]s AS lon, %[3]s AS lat, %[4]s AS properties`, t.key, lon, lat, properties)
	return errors.Join(errs...)
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// asDegrees returns the SQL that reads a column of any number type as float8. A numeric may be
// too large for float8; such a value becomes NULL.
func asDegrees(c column) string {
	s := "s." + quoted(c.name)
	if c.base == "numeric" {
		return "CASE WHEN " + s + " BETWEEN -1000000 AND 1000000 THEN " + s + "::float8 END"
	}
	return s + "::float8"
}

// findColumn finds a column by its exact name, or by its name as SQL reads it.
func findColumn(columns []column, name string) (column, error) {
	for _, spelled := range []string{name, strings.ToLower(name)} {
		for _, c := range columns {
			if c.name == spelled {
				return c, nil
			}
		}
	}
	return column{}, fmt.Errorf("no column %s", quoted(name))
}

func listColumns(columns []column) string {
	var all []string
	for _, c := range columns {
		all = append(all, quoted(c.name)+" "+c.kind)
	}
	return strings.Join(all, ", ")
}

// pointFunction returns the schema of PostGIS, and the SQL that makes nearby.point_of. That
// function returns the longitude and latitude of a point in degrees, and NULL for another
// geometry or one that cannot be transformed.
func pointFunction(ctx context.Context, conn *pgx.Conn) (schema, function string, err error) {
	err = conn.QueryRow(ctx, `SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'postgis'`).Scan(&schema)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", "", errors.New("a geometry column needs PostGIS, which this database does not have")
	}
	if err != nil {
		return "", "", database.ReadError(err)
	}
	return schema, strings.ReplaceAll(`CREATE OR REPLACE FUNCTION nearby.point_of(g postgis.geometry) RETURNS float8[] LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF postgis.GeometryType(g) IS DISTINCT FROM 'POINT' OR postgis.ST_IsEmpty(g) THEN
        RETURN NULL;
    END IF;
    IF postgis.ST_SRID(g) NOT IN (0, 4326) THEN
        g := postgis.ST_Transform(g, 4326);
    END IF;
    RETURN ARRAY[postgis.ST_X(g), postgis.ST_Y(g)];
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$`, "postgis.", schema+"."), nil
}

package database

import (
	"context"
	"fmt"
	"io/fs"
	"regexp"
	"slices"

	"github.com/jackc/pgx/v5"
)

// CheckOwner fails if the role is not the owner of nearby's tables or a member of that role.
// The error says to do what as the owner.
func CheckOwner(ctx context.Context, conn *pgx.Conn, what string) error {
	var owner, role string
	var is bool
	if err := conn.QueryRow(ctx, `SELECT pg_get_userbyid(c.relowner)::text, current_user::text, pg_has_role(c.relowner, 'USAGE') FROM pg_class c
 WHERE c.oid = to_regclass('nearby.migrations')`).Scan(&owner, &role, &is); err != nil {
		return ReadError(err)
	}
	if !is {
		return fmt.Errorf("%s as %s, the owner of nearby's tables: the role %s may not change them", what, owner, role)
	}
	return nil
}

// PathAdvice is advice for a database with a role named nearby, the name of the schema.
const PathAdvice = `PostgreSQL's search_path, "$user", public, begins with the schema nearby for a role of that name: ` +
	`let programs log in as another role, or ALTER ROLE nearby SET search_path = public`

// checkSchema logs a warning if tables of other programs are in the schema nearby, or would
// get there, and one if the role is a superuser.
func (d *Database) checkSchema(ctx context.Context, conn *pgx.Conn) error {
	var here *string
	var tables []string
	var superuser bool
	if err := conn.QueryRow(ctx, `SELECT current_schema(),
       ARRAY (SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'nearby'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1),
       EXISTS (SELECT FROM pg_roles r WHERE r.rolname = current_user AND r.rolsuper)`).Scan(&here, &tables, &superuser); err != nil {
		return ReadError(err)
	}
	tables = slices.DeleteFunc(tables, OwnTable)
	if here != nil && *here == "nearby" || len(tables) > 0 {
		d.opt.Log.Warn("tables of other programs get into the schema nearby", "tables", tables, "advice", PathAdvice)
	}
	if superuser {
		d.opt.Log.Warn("nearby runs as a superuser of the database, and needs not: who owns an attached table or view could run code as one")
	}
	return nil
}

var createTable = regexp.MustCompile(`CREATE (?:UNLOGGED )?TABLE nearby\.(\w+)`)

// OwnTable reports whether a table of the schema nearby is one that the migrations make.
func OwnTable(name string) bool {
	if name == "migrations" {
		return true
	}
	files, _ := fs.Glob(migrations, "migrations/*.sql")
	for _, file := range files {
		text, _ := fs.ReadFile(migrations, file) // it does not fail: the file is in the program
		for _, m := range createTable.FindAllSubmatch(text, -1) {
			if string(m[1]) == name {
				return true
			}
		}
	}
	return false
}

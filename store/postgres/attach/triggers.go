package attach

import (
	"fmt"
	"strings"

	"nearby/store/postgres/database"
)

// triggerSettings are the settings of the trigger function, which runs in the sessions of other
// programs. They agree with copying.
const triggerSettings = `SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO, YMD' SET "IntervalStyle" = 'postgres' SET bytea_output = 'hex' SET extra_float_digits = 1 SET jit = off`

// triggers returns the statements that make the triggers on a table. A trigger runs once for
// each statement, and copies the changes of ids, positions and properties to the collection.
//
// A trigger catches every error. After an error it notes the ids of the rows in
// nearby.attached_later, and a Refresher compares these rows when the transaction has
// committed. In a transaction at REPEATABLE READ or SERIALIZABLE it always notes the ids:
// such a transaction cannot replace items that others have committed since it began.
func (t *table) triggers(collection string, number int32) []string {
	fill := strings.NewReplacer(
		"$collection", database.Literal(collection), "$table", database.Literal(t.name),
		"$new", t.rows("new_rows", ""), "$old", t.rows("old_rows", ""),
		"$put", "INSERT INTO nearby.items (collection, id, lon, lat, properties) SELECT "+database.Literal(collection)+", r.id, r.lon, r.lat, r.properties",
		"$replace", "ON CONFLICT (collection, id) DO UPDATE SET lon = excluded.lon, lat = excluded.lat, properties = excluded.properties",
		"$ids_new", "SELECT s."+t.key+"::text FROM new_rows s WHERE "+t.usable(),
		"$ids_old", "SELECT s."+t.key+"::text FROM old_rows s WHERE "+t.usable(),
		"$changed", `WHERE NOT EXISTS (SELECT FROM before o WHERE o.id = r.id AND o.lon IS NOT DISTINCT FROM r.lon
                AND o.lat IS NOT DISTINCT FROM r.lat AND o.properties::text IS NOT DISTINCT FROM r.properties::text)`,
	)
	function := fmt.Sprintf("nearby.attached_%d()", number)
	create := func(event, rows string) string {
		return fmt.Sprintf(`CREATE TRIGGER nearby_%d_%s AFTER %s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION %s`,
			number, strings.ToLower(event), event, t.name, rows, function)
	}
	return []string{
		"CREATE FUNCTION " + function + " RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER " + triggerSettings + " AS " + database.Literal(fill.Replace(triggerBody)),
		"REVOKE ALL ON FUNCTION " + function + " FROM PUBLIC",
		create("INSERT", "REFERENCING NEW TABLE AS new_rows"),
		create("UPDATE", "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows"),
		create("DELETE", "REFERENCING OLD TABLE AS old_rows"),
		create("TRUNCATE", ""),
	}
}

const triggerBody = `
BEGIN
    IF TG_RELID <> to_regclass($table) THEN
        RAISE WARNING 'nearby: the table % has a trigger that is for %', TG_RELID::regclass, $table;
        RETURN NULL;
    END IF;
    IF current_setting('transaction_isolation') = 'read committed' THEN
        BEGIN
            IF TG_OP = 'INSERT' THEN
                $put FROM ($new) r $replace;
            ELSIF TG_OP = 'UPDATE' THEN
                DELETE FROM nearby.items i USING ($ids_old EXCEPT $ids_new) o (id)
                 WHERE i.collection = $collection AND i.id = o.id;
                WITH before AS MATERIALIZED ($old), r AS MATERIALIZED ($new)
                $put FROM r $changed $replace;
            ELSIF TG_OP = 'DELETE' THEN
                DELETE FROM nearby.items i USING ($ids_old) o (id) WHERE i.collection = $collection AND i.id = o.id;
            ELSE
                DELETE FROM nearby.items i WHERE i.collection = $collection;
            END IF;
            RETURN NULL;
        EXCEPTION WHEN OTHERS THEN
            NULL; -- all of it is noted
        END;
    END IF;
    BEGIN
        IF TG_OP = 'INSERT' THEN
            INSERT INTO nearby.attached_later (collection, id) SELECT $collection, r.id FROM ($ids_new) r (id);
        ELSIF TG_OP = 'UPDATE' THEN
            INSERT INTO nearby.attached_later (collection, id) SELECT $collection, r.id FROM ($ids_old UNION $ids_new) r (id);
        ELSIF TG_OP = 'DELETE' THEN
            INSERT INTO nearby.attached_later (collection, id) SELECT $collection, r.id FROM ($ids_old) r (id);
        ELSE
            INSERT INTO nearby.attached_later (collection, id) VALUES ($collection, NULL);
        END IF;
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'nearby: collection % does not learn of this change of %: %', $collection, $table, SQLERRM;
    END;
    RETURN NULL;
END`

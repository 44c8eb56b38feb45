-- +goose Up

-- A backup that is put back brings rows, and cannot bring the transactions that wrote
-- them: the row of nearby.head names its own, and a copy of it, however it came here,
-- was written by another. Such a database may be half restored. It is neither read nor
-- written until someone says by nearby.release that everything is back.

ALTER TABLE nearby.head ADD COLUMN written_by xid, ADD COLUMN objects int;
COMMENT ON COLUMN nearby.head.written_by IS 'the transaction that wrote this row: its xmin. Where it is not, the row comes from a backup, and the database is not used until SELECT nearby.release()';
COMMENT ON COLUMN nearby.head.objects IS 'how many indexes and triggers the tables have, at least';

-- +goose StatementBegin
CREATE FUNCTION nearby.sign_head() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.written_by IS NOT DISTINCT FROM OLD.written_by THEN
        IF OLD.written_by IS DISTINCT FROM OLD.xmin THEN
            RAISE EXCEPTION 'the database is being restored, or was restored and is not released'
                USING ERRCODE = 'NB006', HINT = 'When everything is restored: SELECT nearby.release()';
        END IF;
        NEW.written_by := pg_catalog.pg_current_xact_id()::xid;
    END IF;
    RETURN NEW;
END $$;

-- In a subtransaction xmin is that of the subtransaction, which only the row tells.
CREATE FUNCTION nearby.correct_head() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE nearby.head SET written_by = NEW.xmin;
    RETURN NULL;
END $$;

CREATE FUNCTION nearby.keep_head() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'nearby.head has one row, which stays' USING ERRCODE = 'NB006', HINT = 'A backup is restored by pg_restore --clean.';
END $$;

-- objects counts the indexes and the active triggers of the tables. pg_restore makes
-- them after it has filled the tables.
CREATE FUNCTION nearby.objects() RETURNS int
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT (SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'nearby'::regnamespace)::int
         + (SELECT count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
             WHERE c.relnamespace = 'nearby'::regnamespace AND NOT t.tgisinternal AND t.tgenabled <> 'D')::int;
$$;

-- release begins another history, since a backup has the name of the one that it was
-- made in, and lets the database be used.
CREATE FUNCTION nearby.release() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted int;
    lost text;
BEGIN
    SELECT h.objects INTO wanted FROM nearby.head h FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the database is not restored: nearby.head has no row' USING ERRCODE = 'NB006', HINT = 'Restore it anew.';
    END IF;
    SELECT c.relname INTO lost FROM pg_class c
     WHERE c.relnamespace = 'nearby'::regnamespace AND c.relkind = 'r' AND c.relname <> 'pending'
       AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) ORDER BY c.relname LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the database is not restored: nearby.% has no primary key', lost USING ERRCODE = 'NB006', HINT = 'Restore it anew.';
    END IF;
    IF nearby.objects() < wanted THEN
        RAISE EXCEPTION 'the database is not restored: % of % indexes and triggers are there', nearby.objects(), wanted USING ERRCODE = 'NB006', HINT = 'Restore it anew.';
    END IF;
    UPDATE nearby.head SET epoch = (random() * 1e15)::bigint, written_by = pg_current_xact_id()::xid;
    UPDATE nearby.writers SET fence = fence + 1; -- no writer goes on without having heard of it
    PERFORM pg_notify('nearby', '');
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION nearby.sign_head(), nearby.correct_head(), nearby.keep_head(), nearby.objects(), nearby.release() FROM PUBLIC;
COMMENT ON FUNCTION nearby.release IS 'Says that a restored database is complete: replicas read it anew, as another history. To be called after each restore, whichever way it was done.';

CREATE TRIGGER sign_head BEFORE UPDATE ON nearby.head FOR EACH ROW EXECUTE FUNCTION nearby.sign_head();
CREATE TRIGGER correct_head AFTER UPDATE ON nearby.head FOR EACH ROW
    WHEN (NEW.written_by IS DISTINCT FROM NEW.xmin) EXECUTE FUNCTION nearby.correct_head();
CREATE TRIGGER keep_head BEFORE INSERT OR DELETE OR TRUNCATE ON nearby.head FOR EACH STATEMENT
    EXECUTE FUNCTION nearby.keep_head();

UPDATE nearby.head SET written_by = pg_current_xact_id()::xid, objects = nearby.objects();

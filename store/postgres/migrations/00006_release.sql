-- +goose Up

-- A backup that is put back brings rows, and cannot bring the transactions that wrote
-- them: the row of nearby.head names its own, and a copy of it, however it came here,
-- was written by another. Such a database may be half restored. It is neither read nor
-- written until someone says by nearby.release that everything is back.

ALTER TABLE nearby.head ADD COLUMN written_by xid, ADD COLUMN tables oid[];
COMMENT ON COLUMN nearby.head.written_by IS 'the transaction that wrote this row: its xmin. Where it is not, the row comes from a backup, and the database is not used until SELECT nearby.release()';

COMMENT ON COLUMN nearby.head.tables IS 'the oids of nearby''s tables: where a table has another, a backup has brought it alone, and the database is not used either';

-- +goose StatementBegin

-- tables are the oids of nearby's own tables, which VACUUM FULL, CLUSTER and TRUNCATE
-- leave as they are. The store asks for the same ones (released in epoch.go).
CREATE FUNCTION nearby.tables() RETURNS oid[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN ARRAY['nearby.attached_later'::regclass, 'nearby.attachments'::regclass, 'nearby.collections'::regclass, 'nearby.head'::regclass,
        'nearby.items'::regclass, 'nearby.migrations'::regclass, 'nearby.pending'::regclass, 'nearby.receipts'::regclass,
        'nearby.replicas'::regclass, 'nearby.tombstones'::regclass, 'nearby.writers'::regclass]::oid[];
END $$;

CREATE FUNCTION nearby.sign_head() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (NEW.written_by, NEW.tables) IS DISTINCT FROM (OLD.written_by, OLD.tables) THEN
        NEW.tables := nearby.tables();
        RETURN NEW;
    END IF;
    IF OLD.written_by IS DISTINCT FROM OLD.xmin OR OLD.tables IS DISTINCT FROM nearby.tables() THEN
        RAISE EXCEPTION 'the database is being restored, or was restored and is not released'
            USING ERRCODE = 'NB006', HINT = 'When everything is restored: SELECT nearby.release()';
    END IF;
    NEW.written_by := pg_current_xact_id()::xid;
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

-- lost names an index or an active trigger that a table of nearby's own does not have,
-- NULL if it has all. pg_restore makes them after it has filled the tables. A migration
-- that makes one, or removes one, replaces this function.
CREATE FUNCTION nearby.lost() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH own (relation, indexes, triggers) AS (VALUES
        ('attached_later', '{attached_later_pkey}'::text[], '{}'::text[]),
        ('attachments', '{attachments_pkey, attachments_number_key}', '{}'),
        ('collections', '{collections_pkey}', '{refuse_collection, keep_source}'),
        ('head', '{head_pkey}', '{sign_head, correct_head, keep_head}'),
        ('items', '{items_pkey, items_seq, items_unnumbered}', '{take_row, rows_inserted, rows_updated, rows_deleted, rows_emptied}'),
        ('migrations', '{migrations_pkey}', '{}'),
        ('pending', '{pending_xid}', '{number_rows}'),
        ('receipts', '{receipts_pkey, receipts_at}', '{}'),
        ('replicas', '{replicas_pkey}', '{}'),
        ('tombstones', '{tombstones_pkey, tombstones_seq, tombstones_unnumbered}', '{}'),
        ('writers', '{writers_pkey}', '{}'))
    SELECT format('nearby.%s has no index %s', o.relation, name) FROM own o, unnest(o.indexes) name
     WHERE NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = to_regclass('nearby.' || o.relation) AND i.indisvalid
                          AND (i.indexrelid = to_regclass('nearby.' || name) OR i.indisprimary AND name LIKE '%pkey'))
    UNION ALL
    SELECT format('nearby.%s has no active trigger %s', o.relation, name) FROM own o, unnest(o.triggers) name
     WHERE NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = to_regclass('nearby.' || o.relation) AND t.tgname = name AND t.tgenabled <> 'D')
    LIMIT 1;
$$;

-- release begins another history, since a backup has the name of the one that it was
-- made in, and lets the database be used.
CREATE FUNCTION nearby.release() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    lost text := nearby.lost();
BEGIN
    PERFORM FROM nearby.head FOR UPDATE;
    IF NOT FOUND THEN
        lost := 'nearby.head has no row';
    END IF;
    IF lost IS NOT NULL THEN
        RAISE EXCEPTION 'the database is not restored: %', lost USING ERRCODE = 'NB006', HINT = 'Restore it anew.';
    END IF;
    UPDATE nearby.head SET epoch = (random() * 1e15)::bigint, written_by = pg_current_xact_id()::xid, tables = NULL;
    UPDATE nearby.writers SET fence = fence + 1; -- no writer goes on without having heard of it
    -- What was written to attached tables meanwhile was perhaps not noted.
    INSERT INTO nearby.attached_later (collection, id) SELECT a.collection, NULL FROM nearby.attachments a WHERE a.copied;
    PERFORM pg_notify('nearby', '');
END $$;

CREATE FUNCTION nearby.released() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM nearby.head h WHERE h.written_by = h.xmin AND h.tables = nearby.tables());
END $$;

-- enlist makes the transaction one that gets a number: at once, if its constraints are
-- immediate. Its caller has done all else. What could get none when the transaction
-- commits is refused here, where the trigger of an attached table can still note it.
DROP FUNCTION nearby.enlist();
CREATE FUNCTION nearby.enlist(emptied boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (SELECT FROM nearby.pending p WHERE p.xid = pg_current_xact_id() AND p.emptied = enlist.emptied) THEN
        RETURN;
    END IF;
    IF NOT nearby.released() THEN
        RAISE EXCEPTION 'the database is being restored, or was restored and is not released'
            USING ERRCODE = 'NB006', HINT = 'When everything is restored: SELECT nearby.release()';
    END IF;
    INSERT INTO nearby.pending (emptied) VALUES (enlist.emptied);
END $$;

CREATE OR REPLACE FUNCTION nearby.rows_emptied() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Tombstones for all would take as long as a deletion: all collections begin anew.
    IF nearby.foreign_rows(TG_RELID) THEN
        PERFORM nearby.enlist(true);
    END IF;
    RETURN NULL;
END $$;

-- define gives a collection a definition, or drops it for NULL, as a commit of its own
-- number. It locks the head: nothing slow may follow it. Before the release there is no
-- number, and none is needed: all is read anew after it.
CREATE OR REPLACE FUNCTION nearby.define(collection text, definition jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    number bigint;
BEGIN
    IF nearby.released() THEN
        UPDATE nearby.head SET seq = seq + 1 RETURNING seq INTO number;
    ELSE
        SELECT h.seq INTO number FROM nearby.head h FOR UPDATE;
    END IF;
    PERFORM set_config('nearby.mark', nextval('nearby.marks') || '/attach', true);
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    IF define.definition IS NULL THEN
        UPDATE nearby.collections c SET dropped = true, seq = number, at = now() WHERE c.name = define.collection AND NOT c.dropped;
    ELSE
        INSERT INTO nearby.collections AS c (name, definition, born, seq, dropped, swept)
        VALUES (define.collection, define.definition::text::json, number, number, false, number)
            ON CONFLICT (name) DO UPDATE SET
               definition = excluded.definition, seq = excluded.seq, dropped = false, at = now(),
               born = CASE WHEN c.dropped THEN excluded.born ELSE c.born END;
    END IF;
    PERFORM set_config('nearby.mark', '', true), pg_notify('nearby', '');
    RETURN number;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION nearby.sign_head(), nearby.correct_head(), nearby.keep_head(), nearby.lost(), nearby.release(),
    nearby.tables(), nearby.released(), nearby.enlist(boolean) FROM PUBLIC;
COMMENT ON FUNCTION nearby.release IS 'Says that a restored database is complete: replicas read it anew, as another history. To be called after each restore, whichever way it was done.';

CREATE TRIGGER sign_head BEFORE UPDATE ON nearby.head FOR EACH ROW EXECUTE FUNCTION nearby.sign_head();
CREATE TRIGGER correct_head AFTER UPDATE ON nearby.head FOR EACH ROW
    WHEN (NEW.written_by IS DISTINCT FROM NEW.xmin) EXECUTE FUNCTION nearby.correct_head();
CREATE TRIGGER keep_head BEFORE INSERT OR DELETE OR TRUNCATE ON nearby.head FOR EACH STATEMENT
    EXECUTE FUNCTION nearby.keep_head();

UPDATE nearby.head SET written_by = pg_current_xact_id()::xid;

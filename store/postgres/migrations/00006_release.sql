-- +goose Up

-- A backup that is put back brings rows, and cannot bring the transactions that wrote
-- them: the row of nearby.head names its own, and a copy of it, however it came here,
-- was written by another. Such a database may be half restored. It is neither read nor
-- written until someone says by nearby.release that everything is back.

ALTER TABLE nearby.head ADD COLUMN written_by xid;
COMMENT ON COLUMN nearby.head.written_by IS 'the transaction that wrote this row: its xmin. Where it is not, the row comes from a backup, and the database is not used until SELECT nearby.release()';

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
    UPDATE nearby.head SET epoch = (random() * 1e15)::bigint, written_by = pg_current_xact_id()::xid;
    UPDATE nearby.writers SET fence = fence + 1; -- no writer goes on without having heard of it
    PERFORM pg_notify('nearby', '');
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION nearby.sign_head(), nearby.correct_head(), nearby.keep_head(), nearby.lost(), nearby.release() FROM PUBLIC;
COMMENT ON FUNCTION nearby.release IS 'Says that a restored database is complete: replicas read it anew, as another history. To be called after each restore, whichever way it was done.';

CREATE TRIGGER sign_head BEFORE UPDATE ON nearby.head FOR EACH ROW EXECUTE FUNCTION nearby.sign_head();
CREATE TRIGGER correct_head AFTER UPDATE ON nearby.head FOR EACH ROW
    WHEN (NEW.written_by IS DISTINCT FROM NEW.xmin) EXECUTE FUNCTION nearby.correct_head();
CREATE TRIGGER keep_head BEFORE INSERT OR DELETE OR TRUNCATE ON nearby.head FOR EACH STATEMENT
    EXECUTE FUNCTION nearby.keep_head();

UPDATE nearby.head SET written_by = pg_current_xact_id()::xid;

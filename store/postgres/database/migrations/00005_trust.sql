-- +goose Up

-- Who may do what follows from roles and privileges alone.
--
-- Whoever may call nearby.commit may write anything: it runs as the owner of the tables.
-- The triggers of nearby.items leave alone what it writes, which they know by its mark:
-- a number that this session has drawn from the sequence nearby.marks last. Nobody but
-- the owner may draw one. A session can set nearby.mark to what it likes, but then its
-- statement fails.

CREATE SEQUENCE nearby.marks CACHE 1000;
COMMENT ON SEQUENCE nearby.marks IS 'Marks the transactions in which nearby itself writes items. A role that may use it can write past the triggers: grant it to nobody.';

-- By its transaction a row is found among the dead ones of others.
ALTER TABLE nearby.pending ADD numbering boolean NOT NULL DEFAULT false, ADD xid xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX pending_xid ON nearby.pending (xid);
COMMENT ON COLUMN nearby.pending.numbering IS 'the rows of the transaction are being given their number';

-- Who compares an attached table holds an advisory lock that nobody knows before. One that
-- is known any role could hold, and stop all polls.
ALTER TABLE nearby.attachments ADD COLUMN holder int, ADD COLUMN ticket bigint;
COMMENT ON COLUMN nearby.attachments.number IS 'its trigger function is nearby.attached_<number>';
COMMENT ON COLUMN nearby.attachments.holder IS 'the process that compares the table, as long as it holds the advisory lock ticket';
COMMENT ON COLUMN nearby.attachments.ticket IS 'a random number, another each time';

-- A backup that is put back brings rows, and cannot bring the transactions that wrote
-- them: the row of nearby.head names its own, and a copy of it, however it came here,
-- was written by another. Such a database may be half restored. It is neither read nor
-- written until someone says by nearby.release that everything is back.

ALTER TABLE nearby.head ADD COLUMN written_by xid, ADD COLUMN tables oid[];
COMMENT ON COLUMN nearby.head.written_by IS 'the transaction that wrote this row: its xmin. Where it is not, the row comes from a backup, and the database is not used until SELECT nearby.release()';

COMMENT ON COLUMN nearby.head.tables IS 'the oids of nearby''s tables: where a table has another, a backup has brought it alone, and the database is not used either';

-- A receipt goes with its collection, whose name begins its key, and a change of a
-- collection may rest on a version of the definition.
COMMENT ON COLUMN nearby.receipts.key IS 'name of the collection, a slash, and the key of the request';
COMMENT ON COLUMN nearby.receipts.seq IS 'of the commit; a receipt from before its collection was created does not count';
COMMENT ON COLUMN nearby.collections.seq IS 'seq of the commit that last changed this row: the version of the definition';

-- +goose StatementBegin
-- tables are the oids of nearby's own tables, which VACUUM FULL, CLUSTER and TRUNCATE
-- leave as they are. What is called often has its own list of the same ones, for a call
-- would take longer than the rest of the question: nearby.commit, nearby.number_rows, and
-- the store (Released in history.go).
CREATE FUNCTION nearby.tables() RETURNS oid[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN ARRAY['nearby.attached_later'::regclass, 'nearby.attachments'::regclass, 'nearby.collections'::regclass, 'nearby.head'::regclass,
        'nearby.items'::regclass, 'nearby.migrations'::regclass, 'nearby.pending'::regclass, 'nearby.receipts'::regclass,
        'nearby.replicas'::regclass, 'nearby.tombstones'::regclass, 'nearby.writers'::regclass]::oid[];
END $$;

CREATE OR REPLACE FUNCTION nearby.commit(
    writer uuid, fence bigint, batch bigint, commits int,
    need text[],
    def_name text[], def_json text[], def_fresh boolean[],
    put_collection text[], put_id text[], put_lon float8[], put_lat float8[], put_properties text[],
    put_created timestamptz[], put_updated timestamptz[], put_nth int[],
    del_collection text[], del_id text[], del_nth int[],
    rest_collection text[], rest_id text[], rest_base bigint[],
    receipt_key text[], receipt_outcome bytea[], receipt_nth int[],
    OUT last bigint, OUT epoch bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    before bigint;
    missing text;
    n bigint;
    gone record;
BEGIN
    -- From here to the end of the transaction nobody else commits.
    UPDATE nearby.head h SET seq = h.seq + commits, written_by = pg_current_xact_id()::xid
     WHERE h.written_by = h.xmin AND h.tables = ARRAY['nearby.attached_later'::regclass, 'nearby.attachments'::regclass, 'nearby.collections'::regclass,
       'nearby.head'::regclass, 'nearby.items'::regclass, 'nearby.migrations'::regclass, 'nearby.pending'::regclass, 'nearby.receipts'::regclass,
       'nearby.replicas'::regclass, 'nearby.tombstones'::regclass, 'nearby.writers'::regclass]::oid[]
    RETURNING h.seq, h.epoch INTO commit.last, commit.epoch;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the database is being restored, or was restored and is not released'
            USING ERRCODE = 'NB006', HINT = 'When everything is restored: SELECT nearby.release()';
    END IF;
    before := commit.last - commits;
    UPDATE nearby.writers w SET batch = commit.batch, seq = commit.last, at = now()
     WHERE w.writer = commit.writer AND w.fence = commit.fence;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the writer has another connection' USING ERRCODE = 'NB001';
    END IF;
    -- A row that another program's open transaction holds must not hold all others.
    PERFORM set_config('lock_timeout', '100ms', true), set_config('nearby.mark', nextval('nearby.marks')::text, true);

    IF cardinality(need) > 0 THEN
        SELECT name INTO missing FROM unnest(need) name
         WHERE NOT EXISTS (SELECT FROM nearby.collections c WHERE c.name = name.name AND NOT c.dropped)
         LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'no such collection' USING ERRCODE = 'NB002', DETAIL = missing;
        END IF;
    END IF;

    -- Before the versions, for what is repeated rests on some that its first time has
    -- replaced. A receipt of a collection before this one of the same name gives way;
    -- one that does not exist yet is made by this commit.
    IF cardinality(receipt_key) > 0 THEN
        INSERT INTO nearby.receipts AS k (key, outcome, seq)
        SELECT r.key, r.outcome, before + r.nth FROM unnest(receipt_key, receipt_outcome, receipt_nth) r (key, outcome, nth)
            ON CONFLICT (key) DO UPDATE SET outcome = excluded.outcome, seq = excluded.seq, at = excluded.at
             WHERE k.seq < coalesce((SELECT c.born FROM nearby.collections c WHERE c.name = split_part(k.key, '/', 1) AND NOT c.dropped), commit.last);
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n < cardinality(receipt_key) THEN
            RAISE EXCEPTION 'a receipt has a key that is taken' USING ERRCODE = 'NB004';
        END IF;
    END IF;

    IF cardinality(rest_id) > 0 THEN
        -- Row by row by the key, whatever the planner believes of the table. Without an
        -- id it is the version of the collection's definition.
        PERFORM FROM unnest(rest_collection, rest_id, rest_base) r (collection, id, base)
         WHERE r.base <> coalesce(CASE WHEN r.id = '' THEN (
            SELECT c.seq FROM nearby.collections c WHERE c.name = r.collection AND NOT c.dropped)
         ELSE (
            SELECT CASE WHEN i.seq <= before AND i.seq >= (SELECT c.born FROM nearby.collections c WHERE c.name = r.collection AND NOT c.dropped) THEN i.seq END
              FROM nearby.items i WHERE i.collection = r.collection AND i.id = r.id AND i.bad IS NULL) END, 0);
        IF FOUND THEN
            RAISE EXCEPTION 'a change rests on a version that was replaced' USING ERRCODE = 'NB003', DETAIL = before;
        END IF;
    END IF;

    -- A commit that changes collections comes alone: its number is the last.
    IF cardinality(def_name) > 0 THEN
        UPDATE nearby.collections c SET dropped = true, seq = commit.last, at = now()
          FROM unnest(def_name, def_json) d (name, definition)
         WHERE c.name = d.name AND d.definition IS NULL AND NOT c.dropped;
        -- What exists and is not dropped on the way keeps its birth and its items.
        UPDATE nearby.collections c SET definition = d.definition::json, seq = commit.last, dropped = false, at = now(),
               born = CASE WHEN c.dropped OR d.fresh THEN commit.last ELSE c.born END
          FROM unnest(def_name, def_json, def_fresh) d (name, definition, fresh)
         WHERE c.name = d.name AND d.definition IS NOT NULL;
        INSERT INTO nearby.collections (name, definition, born, seq, dropped, swept)
        SELECT d.name, d.definition::json, commit.last, commit.last, false, commit.last
          FROM unnest(def_name, def_json) d (name, definition)
         WHERE d.definition IS NOT NULL
            ON CONFLICT (name) DO NOTHING;
    END IF;

    IF cardinality(put_id) > 0 THEN
        INSERT INTO nearby.items AS i (collection, id, lon, lat, properties, created, updated, seq)
        SELECT p.collection, p.id, p.lon, p.lat, p.properties::json, p.created, p.updated, before + p.nth
          FROM unnest(put_collection, put_id, put_lon, put_lat, put_properties, put_created, put_updated, put_nth)
               p (collection, id, lon, lat, properties, created, updated, nth)
            ON CONFLICT (collection, id) DO UPDATE SET
               lon = excluded.lon, lat = excluded.lat, properties = excluded.properties,
               created = excluded.created, updated = excluded.updated, seq = excluded.seq, bad = NULL;
    END IF;

    FOR gone IN SELECT d.collection, d.id, d.nth FROM unnest(del_collection, del_id, del_nth) d (collection, id, nth) LOOP
        DELETE FROM nearby.items i WHERE i.collection = gone.collection AND i.id = gone.id;
        IF FOUND THEN
            INSERT INTO nearby.tombstones (collection, id, seq) VALUES (gone.collection, gone.id, before + gone.nth)
                ON CONFLICT (collection, id) DO UPDATE SET seq = excluded.seq, at = excluded.at;
        END IF;
    END LOOP;

    -- What the transaction does after this is anybody's.
    PERFORM set_config('nearby.mark', '', true), pg_notify('nearby', '');
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

-- sweep removes items of one collection that is no more, or of its predecessors, as
-- many as most. What is written to them meanwhile is another version of the row, or
-- another row, and stays. It returns the collection, or NULL if there is nothing to do.
CREATE FUNCTION nearby.sweep(most int, OUT swept text, OUT removed bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before bigint; -- NULL: all
BEGIN
    SELECT c.name, CASE WHEN NOT c.dropped THEN c.born END INTO swept, before FROM nearby.collections c
     WHERE CASE WHEN c.dropped THEN EXISTS (SELECT FROM nearby.items i WHERE i.collection = c.name AND i.seq IS NOT NULL) ELSE c.swept < c.born END
     LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM set_config('nearby.mark', nextval('nearby.marks')::text, true);
    DELETE FROM nearby.items WHERE ctid = ANY (ARRAY (
        SELECT i.ctid FROM nearby.items i WHERE i.collection = sweep.swept AND i.seq IS NOT NULL AND (before IS NULL OR i.seq < before) LIMIT most))
       AND collection = sweep.swept AND (before IS NULL OR seq < before);
    GET DIAGNOSTICS removed = ROW_COUNT;
    IF removed < most AND before IS NOT NULL THEN
        UPDATE nearby.collections c SET swept = before WHERE c.name = sweep.swept AND c.born >= before;
    END IF;
    PERFORM set_config('nearby.mark', '', true);
END $$;

-- forget_collection removes the row of a dropped collection, if all know of that.
CREATE FUNCTION nearby.forget_collection(name text, seq bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('nearby.mark', nextval('nearby.marks')::text, true);
    DELETE FROM nearby.collections c
     WHERE c.name = forget_collection.name AND c.seq = forget_collection.seq AND c.dropped
       AND c.seq <= (SELECT h.floor FROM nearby.head h) AND NOT EXISTS (SELECT FROM nearby.items i WHERE i.collection = c.name);
    PERFORM set_config('nearby.mark', '', true);
END $$;

-- It runs for each row, and a path of its own would cost an eighth of a load. So it names
-- the schema of each function, operator and type: whoever writes may have made others of
-- the same names, and types of pg_temp are found before PostgreSQL's own.
CREATE OR REPLACE FUNCTION nearby.take_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    given pg_catalog.jsonb := NEW.properties::pg_catalog.jsonb;
BEGIN
    NEW.seq := NULL;
    IF TG_OP OPERATOR(pg_catalog.=) 'INSERT' THEN
        NEW.created := coalesce(NEW.created, pg_catalog.now());
        NEW.updated := coalesce(NEW.updated, pg_catalog.now());
    ELSE
        NEW.created := coalesce(NEW.created, OLD.created);
        IF NEW.updated IS NULL OR NEW.updated OPERATOR(pg_catalog.=) OLD.updated THEN
            NEW.updated := pg_catalog.now();
        END IF;
    END IF;
    NEW.lon := NEW.lon OPERATOR(pg_catalog.+) '0'::pg_catalog.float8; -- -0 becomes 0
    NEW.lat := NEW.lat OPERATOR(pg_catalog.+) '0'::pg_catalog.float8;
    NEW.properties := given::pg_catalog.text::pg_catalog.json;
    IF NEW.properties::pg_catalog.text OPERATOR(pg_catalog.=) '{}' OR NEW.properties::pg_catalog.text OPERATOR(pg_catalog.=) 'null' THEN
        NEW.properties := NULL;
    END IF;
    NEW.bad := CASE
        WHEN NEW.lon IS NULL OR NOT (NEW.lon OPERATOR(pg_catalog.>=) '-180'::pg_catalog.float8 AND NEW.lon OPERATOR(pg_catalog.<=) '180'::pg_catalog.float8)
            THEN 'lon must be a number from -180 to 180'
        WHEN NEW.lat IS NULL OR NOT (NEW.lat OPERATOR(pg_catalog.>=) '-90'::pg_catalog.float8 AND NEW.lat OPERATOR(pg_catalog.<=) '90'::pg_catalog.float8)
            THEN 'lat must be a number from -90 to 90'
        WHEN NEW.id OPERATOR(pg_catalog.=) '' OR pg_catalog.octet_length(NEW.id) OPERATOR(pg_catalog.>) 256 THEN 'id must have 1 to 256 bytes'
        WHEN NEW.id OPERATOR(pg_catalog.=) '.' OR NEW.id OPERATOR(pg_catalog.=) '..' THEN 'id must not be "." or ".."'
        WHEN NEW.id OPERATOR(pg_catalog.~) '[\u0001-\u001f\u007f-\u009f]' THEN 'id must not contain control characters'
        WHEN pg_catalog.json_typeof(NEW.properties) OPERATOR(pg_catalog.<>) 'object' THEN 'properties must be a JSON object'
        WHEN pg_catalog.octet_length(NEW.properties::pg_catalog.text) OPERATOR(pg_catalog.>) 65536 THEN 'properties must have at most 65536 bytes'
        WHEN pg_catalog.octet_length(NEW.properties::pg_catalog.text) OPERATOR(pg_catalog.>) 64 -- or it has no room for them
            AND pg_catalog.jsonb_path_exists(given, 'strict $.**{32} ? (@.type() == "object" || @.type() == "array")') THEN 'properties must nest at most 32 deep'
    END;
    RETURN NEW;
END $$;

ALTER FUNCTION nearby.sound(json) SET search_path = pg_catalog, pg_temp;

-- Most definitions have no source, and one from before may have a NUL in its texts, which
-- PostgreSQL does not look past.
CREATE OR REPLACE FUNCTION nearby.keep_source() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    shown text;
BEGIN
    IF NEW.dropped AND NOT OLD.dropped THEN
        SELECT a.relation INTO shown FROM nearby.attachments a WHERE a.collection = NEW.name;
        IF FOUND THEN
            RAISE EXCEPTION 'collection % shows the table %, and is deleted by "nearby detach"', NEW.name, shown USING ERRCODE = 'NB005';
        END IF;
    ELSIF NOT NEW.dropped AND NOT OLD.dropped AND strpos(NEW.definition::text || OLD.definition::text, '"source"') > 0 THEN
        IF (NEW.definition -> 'source')::text IS DISTINCT FROM (OLD.definition -> 'source')::text THEN
            NEW.definition := jsonb_strip_nulls(NEW.definition::jsonb - 'source' || jsonb_build_object('source', OLD.definition -> 'source'))::text::json;
        END IF;
    END IF;
    RETURN NEW;
END $$;

-- foreign_rows reports whether a trigger of nearby.items sees rows of another program,
-- and not those that nearby.number_rows writes in the same transaction.
CREATE FUNCTION nearby.foreign_rows(relation oid) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF relation <> 'nearby.items'::regclass THEN
        RAISE insufficient_privilege USING MESSAGE = format('the table %s has a trigger that is for nearby.items', relation::regclass);
    END IF;
    RETURN current_setting('nearby.mark', true) IS DISTINCT FROM 'numbering'
        OR NOT EXISTS (SELECT FROM nearby.pending p WHERE p.xid = pg_current_xact_id() AND p.numbering);
END $$;

-- enlist makes the transaction one that gets a number: at once, if its constraints are
-- immediate. Its caller has done all else. What could get none when the transaction
-- commits is refused here, where the trigger of an attached table can still note it.
DROP FUNCTION nearby.enlist();
CREATE FUNCTION nearby.enlist(emptied boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
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

CREATE OR REPLACE FUNCTION nearby.rows_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    missing text;
BEGIN
    IF EXISTS (SELECT FROM new_rows) AND nearby.foreign_rows(TG_RELID) THEN
        SELECT n.collection INTO missing FROM (SELECT DISTINCT r.collection FROM new_rows r) n
         WHERE NOT EXISTS (SELECT FROM nearby.collections c WHERE c.name = n.collection AND NOT c.dropped) LIMIT 1;
        IF FOUND THEN
            RAISE foreign_key_violation USING MESSAGE = format('there is no collection %L', missing), HINT = 'Collections are created over HTTP.';
        END IF;
        IF EXISTS (SELECT FROM new_rows n WHERE n.seq IS NOT NULL) THEN
            RAISE insufficient_privilege USING MESSAGE = 'the column seq of nearby.items is filled in by nearby', HINT = 'RESET nearby.mark, a setting that is nearby''s own.';
        END IF;
        PERFORM nearby.enlist();
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION nearby.rows_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM old_rows) AND nearby.foreign_rows(TG_RELID) THEN
        INSERT INTO nearby.tombstones (collection, id, seq)
        SELECT o.collection, o.id, NULL FROM old_rows o
            ON CONFLICT (collection, id) DO UPDATE SET seq = NULL, at = now();
        PERFORM nearby.enlist();
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION nearby.rows_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    missing text;
BEGIN
    IF EXISTS (SELECT FROM new_rows) AND nearby.foreign_rows(TG_RELID) THEN
        SELECT n.collection INTO missing FROM (SELECT DISTINCT r.collection FROM new_rows r) n
         WHERE NOT EXISTS (SELECT FROM nearby.collections c WHERE c.name = n.collection AND NOT c.dropped) LIMIT 1;
        IF FOUND THEN
            RAISE foreign_key_violation USING MESSAGE = format('there is no collection %L', missing), HINT = 'Collections are created over HTTP.';
        END IF;
        IF EXISTS (SELECT FROM new_rows n WHERE n.seq IS NOT NULL) THEN
            RAISE insufficient_privilege USING MESSAGE = 'the column seq of nearby.items is filled in by nearby', HINT = 'RESET nearby.mark, a setting that is nearby''s own.';
        END IF;
        -- Rows that were given another key have left their old place.
        INSERT INTO nearby.tombstones (collection, id, seq)
        SELECT o.collection, o.id, NULL FROM (
            SELECT collection, id FROM old_rows EXCEPT SELECT collection, id FROM new_rows) o
            ON CONFLICT (collection, id) DO UPDATE SET seq = NULL, at = now();
        PERFORM nearby.enlist();
    END IF;
    RETURN NULL;
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

-- A bitmap scan for rows without a number reads again and again what was numbered since
-- the last vacuum; an index scan marks it as dead. The costs of what is off would call
-- for jit.
CREATE OR REPLACE FUNCTION nearby.number_rows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_bitmapscan = off SET enable_seqscan = off SET jit = off AS $$
DECLARE
    emptied boolean;
    number bigint;
BEGIN
    IF TG_RELID <> 'nearby.pending'::regclass THEN
        RAISE insufficient_privilege USING MESSAGE = format('the table %s has a trigger that is for nearby.pending', TG_RELID::regclass);
    END IF;
    -- Only this transaction sees its rows of nearby.items without a number.
    WITH taken AS (UPDATE nearby.pending p SET numbering = true WHERE p.xid = pg_current_xact_id() RETURNING p.emptied)
    SELECT bool_or(t.emptied) INTO emptied FROM taken t;
    IF emptied IS NULL THEN
        RETURN NULL; -- done for an earlier statement
    END IF;
    UPDATE nearby.head h SET seq = h.seq + 1, written_by = pg_current_xact_id()::xid
     WHERE h.written_by = h.xmin AND h.tables = ARRAY['nearby.attached_later'::regclass, 'nearby.attachments'::regclass, 'nearby.collections'::regclass,
       'nearby.head'::regclass, 'nearby.items'::regclass, 'nearby.migrations'::regclass, 'nearby.pending'::regclass, 'nearby.receipts'::regclass,
       'nearby.replicas'::regclass, 'nearby.tombstones'::regclass, 'nearby.writers'::regclass]::oid[]
    RETURNING h.seq INTO number;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the database is being restored, or was restored and is not released'
            USING ERRCODE = 'NB006', HINT = 'When everything is restored: SELECT nearby.release()';
    END IF;
    -- A program that asked for its number before its transaction ends holds up all who
    -- write: it must not be idle.
    IF extract(epoch FROM current_setting('idle_in_transaction_session_timeout')::interval) NOT BETWEEN 0.001 AND 2 THEN
        PERFORM set_config('idle_in_transaction_session_timeout', '2s', true);
    END IF;
    -- What a crash might take back must not be seen: its number would be given out again.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    PERFORM set_config('nearby.mark', 'numbering', true);
    IF emptied THEN
        UPDATE nearby.collections SET born = number, seq = number, swept = number, at = now() WHERE NOT dropped;
    END IF;
    UPDATE nearby.items SET seq = number WHERE seq IS NULL;
    UPDATE nearby.tombstones SET seq = number, at = now() WHERE seq IS NULL;
    DELETE FROM nearby.pending p WHERE p.xid = pg_current_xact_id();
    PERFORM set_config('nearby.mark', '', true), pg_notify('nearby', '');
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION nearby.refuse_collection() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM nearby.pending p WHERE p.xid = pg_current_xact_id() AND p.numbering) THEN
        RETURN NULL; -- nearby.number_rows, and nothing else then
    END IF;
    RAISE insufficient_privilege USING MESSAGE = 'collections are made, changed and dropped over HTTP only';
END $$;

-- sign_head signs a row that was written here, with its xmin, which in a subtransaction
-- only the row tells. nearby.commit and nearby.number_rows have done so themselves, as far
-- as they can, after the same checks: they are what is called often.
CREATE FUNCTION nearby.sign_head() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_RELID <> 'nearby.head'::regclass THEN
        RAISE insufficient_privilege USING MESSAGE = format('the table %s has a trigger that is for nearby.head', TG_RELID::regclass);
    END IF;
    -- A release leaves it to this to name the transaction.
    IF NEW.written_by IS NOT NULL AND (OLD.written_by IS DISTINCT FROM OLD.xmin OR OLD.tables IS DISTINCT FROM nearby.tables()) THEN
        RAISE EXCEPTION 'the database is being restored, or was restored and is not released'
            USING ERRCODE = 'NB006', HINT = 'When everything is restored: SELECT nearby.release()';
    END IF;
    IF NEW.written_by IS DISTINCT FROM NEW.xmin THEN
        UPDATE nearby.head SET written_by = NEW.xmin;
    END IF;
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
        ('head', '{head_pkey}', '{sign_head, keep_head}'),
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
    UPDATE nearby.head SET epoch = (random() * 1e15)::bigint, written_by = NULL, tables = nearby.tables();
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

-- for_servers takes a function from all and gives it to the roles that nearby's servers
-- run as: those that may change nearby.head. Migrations call it for each function that
-- servers call.
CREATE PROCEDURE nearby.for_servers(function regprocedure)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    server record;
BEGIN
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', function);
    FOR server IN SELECT DISTINCT a.grantee::regrole AS role FROM pg_class c, aclexplode(c.relacl) a
                   WHERE c.oid = 'nearby.head'::regclass AND a.privilege_type = 'UPDATE' AND a.grantee NOT IN (0, c.relowner) LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', function, server.role);
    END LOOP;
END $$;

-- +goose StatementEnd

COMMENT ON FUNCTION nearby.release IS 'Says that a restored database is complete: replicas read it anew, as another history. To be called after each restore, whichever way it was done.';

REVOKE ALL ON ALL ROUTINES IN SCHEMA nearby FROM PUBLIC;

-- Servers do what nearby.attachments says with the rights of whoever they run as. So only
-- the owner says which table is attached; other servers write how far they are.
-- +goose StatementBegin
DO $$
DECLARE
    server record;
BEGIN
    FOR server IN SELECT DISTINCT c.oid::regclass AS of, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS role
                    FROM pg_class c, aclexplode(c.relacl) a
                   WHERE c.oid IN ('nearby.attachments'::regclass, 'nearby.migrations'::regclass)
                     AND a.privilege_type <> 'SELECT' AND a.grantee <> c.relowner LOOP
        EXECUTE format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON %s FROM %s', server.of, server.role);
        IF server.of = 'nearby.attachments'::regclass AND server.role <> 'PUBLIC' THEN
            EXECUTE format('GRANT UPDATE (last, error, next_poll, next_sweep, holder, ticket) ON %s TO %s', server.of, server.role);
        END IF;
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
DECLARE
    function regprocedure;
BEGIN
    FOR function IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'nearby'::regnamespace
                        AND p.proname IN ('commit', 'sweep', 'forget_collection', 'sound', 'point_of') LOOP
        CALL nearby.for_servers(function);
    END LOOP;
END $$;
-- +goose StatementEnd

DROP TRIGGER take_row ON nearby.items;
DROP TRIGGER rows_inserted ON nearby.items;
DROP TRIGGER rows_updated ON nearby.items;
DROP TRIGGER rows_deleted ON nearby.items;
DROP TRIGGER refuse_collection ON nearby.collections;
DROP TRIGGER keep_source ON nearby.collections;

-- A row that comes with a number under any mark is left as it is. Whether the mark was a
-- true one is found out once for the statement; where it was not, the statement fails.
CREATE TRIGGER take_row BEFORE INSERT OR UPDATE ON nearby.items FOR EACH ROW
    WHEN (NEW.seq IS NULL OR coalesce(current_setting('nearby.mark', true), '') = '')
    EXECUTE FUNCTION nearby.take_row();
CREATE TRIGGER rows_inserted AFTER INSERT ON nearby.items REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
    WHEN (CASE WHEN coalesce(current_setting('nearby.mark', true), '') IN ('', 'numbering') THEN true
               ELSE current_setting('nearby.mark') <> currval('nearby.marks')::text END)
    EXECUTE FUNCTION nearby.rows_inserted();
CREATE TRIGGER rows_updated AFTER UPDATE ON nearby.items REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT
    WHEN (CASE WHEN coalesce(current_setting('nearby.mark', true), '') IN ('', 'numbering') THEN true
               ELSE current_setting('nearby.mark') <> currval('nearby.marks')::text END)
    EXECUTE FUNCTION nearby.rows_updated();
CREATE TRIGGER rows_deleted AFTER DELETE ON nearby.items REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT
    WHEN (CASE WHEN coalesce(current_setting('nearby.mark', true), '') IN ('', 'numbering') THEN true
               ELSE current_setting('nearby.mark') <> currval('nearby.marks')::text END)
    EXECUTE FUNCTION nearby.rows_deleted();
CREATE TRIGGER refuse_collection BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON nearby.collections FOR EACH STATEMENT
    WHEN (CASE WHEN coalesce(current_setting('nearby.mark', true), '') IN ('', 'numbering') THEN true
               ELSE split_part(current_setting('nearby.mark'), '/', 1) <> currval('nearby.marks')::text END)
    EXECUTE FUNCTION nearby.refuse_collection();
-- What comes here was not refused: its mark is a true one.
CREATE TRIGGER keep_source BEFORE UPDATE ON nearby.collections FOR EACH ROW
    WHEN (current_setting('nearby.mark', true) NOT LIKE '%/attach')
    EXECUTE FUNCTION nearby.keep_source();

CREATE TRIGGER sign_head AFTER UPDATE ON nearby.head FOR EACH ROW
    WHEN (NEW.written_by IS DISTINCT FROM NEW.xmin OR NEW.written_by IS NOT DISTINCT FROM OLD.written_by)
    EXECUTE FUNCTION nearby.sign_head();
CREATE TRIGGER keep_head BEFORE INSERT OR DELETE OR TRUNCATE ON nearby.head FOR EACH STATEMENT
    EXECUTE FUNCTION nearby.keep_head();

UPDATE nearby.head SET written_by = NULL, tables = nearby.tables();

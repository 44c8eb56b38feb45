-- +goose Up

-- What other programs write to nearby.items is numbered as the replicas' own
-- commits are: when their transaction commits, so that one that stays open holds
-- nobody up.

-- +goose StatementBegin
CREATE FUNCTION nearby.take_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.seq := NULL;
    IF TG_OP = 'INSERT' THEN
        NEW.created := coalesce(NEW.created, now());
        NEW.updated := coalesce(NEW.updated, now());
    ELSE
        NEW.created := coalesce(NEW.created, OLD.created);
        IF NEW.updated IS NULL OR NEW.updated = OLD.updated THEN
            NEW.updated := now();
        END IF;
    END IF;
    NEW.lon := NEW.lon + 0.0; -- -0 becomes 0
    NEW.lat := NEW.lat + 0.0;
    NEW.properties := NEW.properties::jsonb::text::json;
    IF NEW.properties::text IN ('{}', 'null') THEN
        NEW.properties := NULL;
    END IF;
    NEW.bad := CASE
        WHEN NEW.lon IS NULL OR NOT (NEW.lon >= -180 AND NEW.lon <= 180) THEN 'lon must be a number from -180 to 180'
        WHEN NEW.lat IS NULL OR NOT (NEW.lat >= -90 AND NEW.lat <= 90) THEN 'lat must be a number from -90 to 90'
        WHEN NEW.id = '' OR octet_length(NEW.id) > 256 THEN 'id must have 1 to 256 bytes'
        WHEN NEW.id IN ('.', '..') THEN 'id must not be "." or ".."'
        WHEN NEW.id ~ '[\x01-\x1f\x7f]' THEN 'id must not contain control characters'
        WHEN json_typeof(NEW.properties) <> 'object' THEN 'properties must be a JSON object'
        WHEN octet_length(NEW.properties::text) > 65536 THEN 'properties must have at most 65536 bytes'
    END;
    RETURN NEW;
END $$;

-- enlist makes the transaction one that gets a number. Its caller has found the
-- collections that it wrote to.
CREATE FUNCTION nearby.enlist() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = nearby, pg_temp AS $$
    INSERT INTO nearby.pending (emptied) SELECT false WHERE NOT EXISTS (SELECT FROM nearby.pending WHERE NOT emptied);
$$;

CREATE FUNCTION nearby.rows_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = nearby, pg_temp AS $$
DECLARE
    missing text;
BEGIN
    SELECT DISTINCT n.collection INTO missing FROM new_rows n
     WHERE NOT EXISTS (SELECT FROM nearby.collections c WHERE c.name = n.collection AND NOT c.dropped) LIMIT 1;
    IF FOUND THEN
        RAISE foreign_key_violation USING MESSAGE = format('there is no collection %L', missing), HINT = 'Collections are created over HTTP.';
    END IF;
    IF EXISTS (SELECT FROM new_rows) THEN
        PERFORM nearby.enlist();
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION nearby.rows_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = nearby, pg_temp AS $$
BEGIN
    INSERT INTO nearby.tombstones (collection, id, seq)
    SELECT o.collection, o.id, NULL FROM old_rows o
        ON CONFLICT (collection, id) DO UPDATE SET seq = NULL, at = now();
    IF FOUND THEN
        PERFORM nearby.enlist();
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION nearby.rows_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = nearby, pg_temp AS $$
DECLARE
    missing text;
BEGIN
    SELECT DISTINCT n.collection INTO missing FROM new_rows n
     WHERE NOT EXISTS (SELECT FROM nearby.collections c WHERE c.name = n.collection AND NOT c.dropped) LIMIT 1;
    IF FOUND THEN
        RAISE foreign_key_violation USING MESSAGE = format('there is no collection %L', missing), HINT = 'Collections are created over HTTP.';
    END IF;
    -- Rows that were given another key have left their old place.
    INSERT INTO nearby.tombstones (collection, id, seq)
    SELECT o.collection, o.id, NULL FROM (
        SELECT collection, id FROM old_rows EXCEPT SELECT collection, id FROM new_rows) o
        ON CONFLICT (collection, id) DO UPDATE SET seq = NULL, at = now();
    IF EXISTS (SELECT FROM new_rows) THEN
        PERFORM nearby.enlist();
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION nearby.rows_emptied() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = nearby, pg_temp AS $$
BEGIN
    -- Tombstones for all would take as long as a deletion: all collections begin anew.
    INSERT INTO nearby.pending (emptied) VALUES (true);
    RETURN NULL;
END $$;

-- A bitmap scan for rows without a number reads again and again what was numbered since
-- the last vacuum; an index scan marks it as dead. The costs of what is off would call
-- for jit.
CREATE FUNCTION nearby.number_rows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = nearby, pg_temp
SET enable_bitmapscan = off SET enable_seqscan = off SET jit = off AS $$
DECLARE
    emptied boolean;
    number bigint;
BEGIN
    -- Only this transaction sees its rows of nearby.pending and those without a number.
    WITH taken AS (DELETE FROM nearby.pending p RETURNING p.emptied)
    SELECT bool_or(t.emptied) INTO emptied FROM taken t;
    IF emptied IS NULL THEN
        RETURN NULL; -- done for an earlier statement
    END IF;
    UPDATE nearby.head SET seq = seq + 1 RETURNING seq INTO number;
    PERFORM set_config('nearby.writer', 'on', true);
    -- What a crash might take back must not be seen: its number would be given out again.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    IF emptied THEN
        UPDATE nearby.collections SET born = number, seq = number, swept = number, at = now() WHERE NOT dropped;
    END IF;
    UPDATE nearby.items SET seq = number WHERE seq IS NULL;
    UPDATE nearby.tombstones SET seq = number, at = now() WHERE seq IS NULL;
    PERFORM set_config('nearby.writer', '', true);
    PERFORM pg_notify('nearby', '');
    RETURN NULL;
END $$;

CREATE FUNCTION nearby.refuse_collection() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE insufficient_privilege USING MESSAGE = 'collections are made, changed and dropped over HTTP only';
END $$;
-- +goose StatementEnd

CREATE TRIGGER take_row BEFORE INSERT OR UPDATE ON nearby.items FOR EACH ROW
    WHEN (current_setting('nearby.writer', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION nearby.take_row();
CREATE TRIGGER rows_inserted AFTER INSERT ON nearby.items REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
    WHEN (current_setting('nearby.writer', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION nearby.rows_inserted();
CREATE TRIGGER rows_updated AFTER UPDATE ON nearby.items REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT
    WHEN (current_setting('nearby.writer', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION nearby.rows_updated();
CREATE TRIGGER rows_deleted AFTER DELETE ON nearby.items REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT
    WHEN (current_setting('nearby.writer', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION nearby.rows_deleted();
CREATE TRIGGER rows_emptied AFTER TRUNCATE ON nearby.items FOR EACH STATEMENT
    EXECUTE FUNCTION nearby.rows_emptied();
CREATE CONSTRAINT TRIGGER number_rows AFTER INSERT ON nearby.pending DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION nearby.number_rows();
CREATE TRIGGER refuse_collection BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON nearby.collections FOR EACH STATEMENT
    WHEN (current_setting('nearby.writer', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION nearby.refuse_collection();

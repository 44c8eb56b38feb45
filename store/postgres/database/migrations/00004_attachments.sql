-- +goose Up

-- Tables and views of the database that are shown as collections.

CREATE TABLE nearby.attachments (
    collection text COLLATE "C" PRIMARY KEY,
    number int GENERATED ALWAYS AS IDENTITY UNIQUE,
    relation text NOT NULL,
    id_column text NOT NULL,
    lon_column text,
    lat_column text,
    geom_column text,
    properties text[] NOT NULL,
    follow text NOT NULL CHECK (follow IN ('trigger', 'poll')),
    change_column text,
    every interval,
    overlap interval,
    sweep interval,
    copied boolean NOT NULL DEFAULT false,
    last text,
    next_poll timestamptz,
    next_sweep timestamptz,
    error text,
    CHECK ((lon_column IS NULL) = (lat_column IS NULL) AND (lon_column IS NULL) <> (geom_column IS NULL)),
    CHECK (follow = 'trigger' OR (change_column IS NOT NULL AND every IS NOT NULL AND overlap IS NOT NULL))
);
COMMENT ON TABLE nearby.attachments IS 'Tables and views that are shown as collections. Made and removed by "nearby attach" and "nearby detach".';
COMMENT ON COLUMN nearby.attachments.number IS 'its trigger function is nearby.attached_<number>, its advisory lock (1635021923, number)';
COMMENT ON COLUMN nearby.attachments.relation IS 'the table or view, with its schema, quoted where that is needed';
COMMENT ON COLUMN nearby.attachments.every IS 'poll: how often it is asked for rows with a new change_column';
COMMENT ON COLUMN nearby.attachments.overlap IS 'poll: how far before the newest row that was seen it is asked from';
COMMENT ON COLUMN nearby.attachments.sweep IS 'how often all rows are compared; NULL for never';
COMMENT ON COLUMN nearby.attachments.copied IS 'the first copy is finished; until then nothing is polled';
COMMENT ON COLUMN nearby.attachments.last IS 'poll: the greatest change_column that was seen';
COMMENT ON COLUMN nearby.attachments.error IS 'why the last poll or sweep failed; NULL if it did not';

CREATE TABLE nearby.attached_later (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    collection text COLLATE "C" NOT NULL,
    id text COLLATE "C"
);
COMMENT ON TABLE nearby.attached_later IS 'Rows of attached tables that a trigger could not write through: they are compared a moment later. An id of NULL stands for all rows.';

-- define gives a collection a definition, or drops it for NULL, as a commit of its own
-- number. It locks the head: nothing slow may follow it.
-- +goose StatementBegin
CREATE FUNCTION nearby.define(collection text, definition jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    number bigint;
BEGIN
    UPDATE nearby.head SET seq = seq + 1 RETURNING seq INTO number;
    PERFORM set_config('nearby.writer', 'on', true), set_config('nearby.attaching', 'on', true);
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
    PERFORM set_config('nearby.writer', '', true), set_config('nearby.attaching', '', true);
    PERFORM pg_notify('nearby', '');
    RETURN number;
END $$;

-- keep_source leaves it to define to attach and detach a collection.
CREATE FUNCTION nearby.keep_source() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    shown text;
BEGIN
    IF NEW.dropped AND NOT OLD.dropped THEN
        SELECT a.relation INTO shown FROM nearby.attachments a WHERE a.collection = NEW.name;
        IF FOUND THEN
            RAISE EXCEPTION 'collection % shows the table %, and is deleted by "nearby detach"', NEW.name, shown USING ERRCODE = 'NB005';
        END IF;
    ELSIF NOT NEW.dropped AND NOT OLD.dropped AND (NEW.definition -> 'source')::text IS DISTINCT FROM (OLD.definition -> 'source')::text THEN
        NEW.definition := jsonb_strip_nulls(NEW.definition::jsonb - 'source' || jsonb_build_object('source', OLD.definition -> 'source'))::text::json;
    END IF;
    RETURN NEW;
END $$;

-- sound returns JSON that jsonb can hold as it is, and for other JSON a string, which
-- makes its row a bad one.
CREATE FUNCTION nearby.sound(value json) RETURNS json LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    PERFORM value::jsonb;
    RETURN value;
EXCEPTION WHEN OTHERS THEN
    RETURN to_json('a value is no JSON that can be stored: ' || SQLERRM);
END $$;
-- +goose StatementEnd

CREATE TRIGGER keep_source BEFORE UPDATE ON nearby.collections FOR EACH ROW
    WHEN (current_setting('nearby.attaching', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION nearby.keep_source();

-- +goose Up

-- +goose StatementBegin
CREATE FUNCTION nearby.commit(
    writer uuid, fence bigint, batch bigint, commits int,
    need text[],
    def_name text[], def_json text[], def_fresh boolean[],
    put_collection text[], put_id text[], put_lon float8[], put_lat float8[], put_properties text[],
    put_created timestamptz[], put_updated timestamptz[], put_nth int[],
    del_collection text[], del_id text[], del_nth int[],
    rest_collection text[], rest_id text[], rest_base bigint[],
    receipt_key text[], receipt_outcome bytea[], receipt_nth int[],
    OUT last bigint, OUT epoch bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    before bigint;
    missing text;
    n bigint;
    gone record;
BEGIN
    -- From here to the end of the transaction nobody else commits.
    UPDATE nearby.head h SET seq = h.seq + commits RETURNING h.seq, h.epoch INTO commit.last, commit.epoch;
    before := commit.last - commits;
    UPDATE nearby.writers w SET batch = commit.batch, seq = commit.last, at = now()
     WHERE w.writer = commit.writer AND w.fence = commit.fence;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the writer has another connection' USING ERRCODE = 'NB001';
    END IF;
    -- A row that another program's open transaction holds must not hold all others.
    PERFORM set_config('lock_timeout', '100ms', true), set_config('nearby.writer', 'on', true);

    -- First, for what is repeated rests on versions that its first time has replaced.
    IF cardinality(receipt_key) > 0 THEN
        INSERT INTO nearby.receipts (key, outcome, seq)
        SELECT r.key, r.outcome, before + r.nth FROM unnest(receipt_key, receipt_outcome, receipt_nth) r (key, outcome, nth)
            ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n < cardinality(receipt_key) THEN
            RAISE EXCEPTION 'a receipt has a key that is taken' USING ERRCODE = 'NB004';
        END IF;
    END IF;

    IF cardinality(need) > 0 THEN
        SELECT name INTO missing FROM unnest(need) name
         WHERE NOT EXISTS (SELECT FROM nearby.collections c WHERE c.name = name.name AND NOT c.dropped)
         LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'no such collection' USING ERRCODE = 'NB002', DETAIL = missing;
        END IF;
    END IF;

    IF cardinality(rest_id) > 0 THEN
        -- Row by row by the key, whatever the planner believes of the table.
        PERFORM FROM unnest(rest_collection, rest_id, rest_base) r (collection, id, base)
         WHERE r.base <> coalesce((
            SELECT CASE WHEN i.seq >= (SELECT c.born FROM nearby.collections c WHERE c.name = r.collection AND NOT c.dropped) THEN i.seq END
              FROM nearby.items i WHERE i.collection = r.collection AND i.id = r.id AND i.bad IS NULL), 0);
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

    PERFORM pg_notify('nearby', '');
END $$;
-- +goose StatementEnd
COMMENT ON FUNCTION nearby.commit IS 'Makes a batch of commits of one replica and gives them their numbers. One statement, so that no lock ever waits for a client.';

-- +goose Up

CREATE TABLE nearby.head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    seq bigint NOT NULL,
    epoch bigint NOT NULL,
    floor bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO nearby.head (seq, epoch, floor) VALUES (0, (random() * 1e15)::bigint, 0);
COMMENT ON TABLE nearby.head IS 'One row: how far the history of this database has come. Whoever commits locks it until the end of the transaction.';
COMMENT ON COLUMN nearby.head.seq IS 'number of the newest commit';
COMMENT ON COLUMN nearby.head.epoch IS 'part of the name of this history; another number makes all replicas read everything anew';
COMMENT ON COLUMN nearby.head.floor IS 'tombstones and dropped collections up to this seq may be gone';

CREATE TABLE nearby.collections (
    name text COLLATE "C" PRIMARY KEY,
    definition json NOT NULL,
    born bigint NOT NULL,
    seq bigint NOT NULL,
    dropped boolean NOT NULL,
    swept bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE nearby.collections IS 'The collections. They are made, changed and dropped over HTTP only.';
COMMENT ON COLUMN nearby.collections.born IS 'seq of the commit that created it; rows of nearby.items with a lower one belong to a predecessor of the same name and do not count';
COMMENT ON COLUMN nearby.collections.seq IS 'seq of the commit that last changed this row';
COMMENT ON COLUMN nearby.collections.swept IS 'rows with a lower seq were removed';
COMMENT ON COLUMN nearby.collections.dropped IS 'the collection is no more; its rows in nearby.items do not count and are removed in the background';

CREATE TABLE nearby.items (
    collection text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    lon double precision,
    lat double precision,
    properties json,
    created timestamptz NOT NULL,
    updated timestamptz NOT NULL,
    seq bigint,
    bad text,
    PRIMARY KEY (collection, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX items_seq ON nearby.items (seq) WHERE seq IS NOT NULL;
CREATE INDEX items_unnumbered ON nearby.items ((true)) WHERE seq IS NULL;
COMMENT ON TABLE nearby.items IS 'The items of all collections. Other programs may insert, update and delete rows: give collection, id, lon, lat and properties, the rest is filled in.';
COMMENT ON COLUMN nearby.items.id IS '1 to 256 bytes without control characters, unique in its collection';
COMMENT ON COLUMN nearby.items.lon IS 'degrees, -180 to 180';
COMMENT ON COLUMN nearby.items.lat IS 'degrees, -90 to 90';
COMMENT ON COLUMN nearby.items.properties IS 'a JSON object of at most 64 KiB; NULL for none';
COMMENT ON COLUMN nearby.items.created IS 'when the item was first written; shown in milliseconds';
COMMENT ON COLUMN nearby.items.updated IS 'when the item was last written; shown in milliseconds';
COMMENT ON COLUMN nearby.items.seq IS 'number of the commit that wrote this version; NULL until the transaction commits';
COMMENT ON COLUMN nearby.items.bad IS 'why this row is not served; NULL for good ones';

CREATE TABLE nearby.tombstones (
    collection text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    seq bigint,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (collection, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX tombstones_seq ON nearby.tombstones (seq) WHERE seq IS NOT NULL;
CREATE INDEX tombstones_unnumbered ON nearby.tombstones ((true)) WHERE seq IS NULL;
COMMENT ON TABLE nearby.tombstones IS 'What was deleted, for replicas that have not heard of it yet. An item put back since has a row in nearby.items with a seq at least as high.';

CREATE TABLE nearby.receipts (
    key text COLLATE "C" PRIMARY KEY,
    outcome bytea,
    seq bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX receipts_at ON nearby.receipts (at);
COMMENT ON TABLE nearby.receipts IS 'What became of requests that came with a key, so that a repeated one is not made twice.';

CREATE TABLE nearby.writers (
    writer uuid PRIMARY KEY,
    fence bigint NOT NULL,
    batch bigint NOT NULL,
    seq bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
COMMENT ON TABLE nearby.writers IS 'The last batch of each replica, which tells it whether one was committed whose answer was lost.';
COMMENT ON COLUMN nearby.writers.fence IS 'raised by each connection; a batch sent over a former one is refused';

CREATE TABLE nearby.replicas (
    name text PRIMARY KEY,
    applied bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
COMMENT ON TABLE nearby.replicas IS 'How far each replica has followed. Tombstones are kept for those heard of within a day.';

CREATE UNLOGGED TABLE nearby.pending (emptied boolean NOT NULL);
COMMENT ON TABLE nearby.pending IS 'Empty but inside a transaction of another program that has changed items: its rows get their seq when it commits.';

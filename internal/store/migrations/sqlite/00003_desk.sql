-- +goose Up

-- A saved view is its maker's own, or shared.
ALTER TABLE views ADD COLUMN shared SMALLINT NOT NULL DEFAULT 0;

-- What operators want to be told of by mail, as JSON, by e-mail address.
CREATE TABLE preferences (
    email TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Mails and what became of them.
CREATE TABLE deliveries (
    n        INTEGER PRIMARY KEY,
    id       TEXT NOT NULL,         -- Message-ID
    first_at BIGINT NOT NULL,
    at       BIGINT NOT NULL,       -- of the latest try
    to_addr  TEXT NOT NULL,
    subject  TEXT NOT NULL,
    kind     TEXT NOT NULL,
    alerts   BIGINT NOT NULL,
    state    TEXT NOT NULL,         -- sent, deferred, failed, file
    attempts BIGINT NOT NULL,
    answer   TEXT NOT NULL
);
CREATE UNIQUE INDEX deliveries_id ON deliveries (id);
CREATE INDEX deliveries_at ON deliveries (first_at);
CREATE INDEX deliveries_to ON deliveries (to_addr, first_at);
CREATE INDEX deliveries_state ON deliveries (state, at);

-- When something worked with less than it should, and when the program ran.
CREATE TABLE conditions (
    n        INTEGER PRIMARY KEY,
    reason   TEXT NOT NULL,         -- 'running' for the program itself
    detail   TEXT NOT NULL,
    from_at  BIGINT NOT NULL,
    seen_at  BIGINT NOT NULL,       -- true up to here at least
    until_at BIGINT NOT NULL        -- 0: still
);
CREATE INDEX conditions_from ON conditions (from_at);
CREATE INDEX conditions_open ON conditions (reason) WHERE until_at = 0;

-- The queue of automatic Blocks that nobody looked at.
CREATE INDEX blocks_queue ON blocks (from_at) WHERE reviewed_at = 0 AND lifted_at = 0 AND observed = 0 AND origin = 'rule';
CREATE INDEX blocks_lifts ON blocks (lifted_at) WHERE lifted_at > 0;

-- How many Blocks without an end stand, and how many were made in each quarter
-- of an hour: counting a million rows for every look at the dashboard would
-- cost more than everything else on it.
CREATE TABLE block_counts (
    one        SMALLINT PRIMARY KEY CHECK (one = 1),
    live       BIGINT NOT NULL,
    unreviewed BIGINT NOT NULL      -- automatic ones among them
);
INSERT INTO block_counts (one, live, unreviewed)
    SELECT 1, count(*), coalesce(sum(CASE WHEN reviewed_at = 0 AND origin = 'rule' THEN 1 ELSE 0 END), 0)
    FROM blocks WHERE until_at = 0 AND lifted_at = 0 AND ended_at = 0 AND observed = 0;

CREATE TABLE block_rollups (
    bucket BIGINT NOT NULL,         -- start of 15 minutes
    origin TEXT NOT NULL,
    n      BIGINT NOT NULL,
    PRIMARY KEY (bucket, origin)
) WITHOUT ROWID;
INSERT INTO block_rollups (bucket, origin, n)
    SELECT from_at - from_at % 900000000, origin, count(*) FROM blocks WHERE observed = 0 GROUP BY 1, 2;

-- +goose StatementBegin
CREATE TRIGGER blocks_counted AFTER INSERT ON blocks WHEN NEW.observed = 0
BEGIN
    UPDATE block_counts SET live = live + 1, unreviewed = unreviewed + (NEW.reviewed_at = 0 AND NEW.origin = 'rule')
        WHERE NEW.until_at = 0 AND NEW.lifted_at = 0 AND NEW.ended_at = 0;
    INSERT INTO block_rollups (bucket, origin, n) VALUES (NEW.from_at - NEW.from_at % 900000000, NEW.origin, 1)
        ON CONFLICT (bucket, origin) DO UPDATE SET n = block_rollups.n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER blocks_recounted AFTER UPDATE OF until_at, lifted_at, ended_at, reviewed_at ON blocks WHEN NEW.observed = 0
BEGIN
    UPDATE block_counts SET
        live = live + (NEW.until_at = 0 AND NEW.lifted_at = 0 AND NEW.ended_at = 0)
            - (OLD.until_at = 0 AND OLD.lifted_at = 0 AND OLD.ended_at = 0),
        unreviewed = unreviewed
            + (NEW.until_at = 0 AND NEW.lifted_at = 0 AND NEW.ended_at = 0 AND NEW.reviewed_at = 0 AND NEW.origin = 'rule')
            - (OLD.until_at = 0 AND OLD.lifted_at = 0 AND OLD.ended_at = 0 AND OLD.reviewed_at = 0 AND OLD.origin = 'rule');
END;
-- +goose StatementEnd

CREATE INDEX addresses_marked ON addresses (address) WHERE fraudulent = 1;

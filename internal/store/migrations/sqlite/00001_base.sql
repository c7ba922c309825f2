-- +goose Up

-- Instants are Unix microseconds UTC, 0 meaning none. Addresses are 16 bytes
-- that sort (IPv4 as ::ffff:a.b.c.d); an address key is its first address, any
-- other prefix is its first and its last. JSON is TEXT. Released migrations are
-- never edited.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE events (
    seq         INTEGER PRIMARY KEY,
    time        BIGINT NOT NULL,
    arrival     BIGINT NOT NULL,
    id          TEXT NOT NULL,
    app         TEXT NOT NULL,
    own_id      SMALLINT NOT NULL,
    name        TEXT NOT NULL,
    severity    SMALLINT NOT NULL,
    ip          BLOB,              -- NULL: unknown
    address     BLOB,              -- address key; NULL: degraded
    realm       TEXT NOT NULL,
    account     TEXT NOT NULL,     -- as reported
    account_key TEXT NOT NULL,     -- folded, without the realm
    session     TEXT NOT NULL,
    device      TEXT NOT NULL,
    user_agent  TEXT NOT NULL,
    method      TEXT NOT NULL,
    path        TEXT NOT NULL,
    reason      TEXT NOT NULL,
    guess       TEXT,              -- same and popular, parted by a space
    details     TEXT,
    action      SMALLINT NOT NULL,
    why         TEXT NOT NULL,
    rule        TEXT NOT NULL,
    block_id    TEXT NOT NULL,
    reference   TEXT NOT NULL,
    flags       SMALLINT NOT NULL, -- 1 eligible, 2 completed a sign-in, 4 failed one
    source      TEXT NOT NULL,
    extra       TEXT,              -- JSON: takes, emptied, replaces
    facts       TEXT,              -- JSON: what a replay must know
    digest      BLOB,
    answer      TEXT
);
-- Also read by itself, to count the sign-ins of the last day at the start.
CREATE INDEX events_time ON events (time, flags, realm, address);
CREATE INDEX events_id ON events (id);
CREATE INDEX events_name ON events (name, time);
CREATE INDEX events_severity ON events (severity, time) WHERE severity >= 2;
CREATE INDEX events_address ON events (address, time) WHERE address IS NOT NULL;
CREATE INDEX events_account ON events (account_key, time) WHERE account_key <> '';
CREATE INDEX events_path ON events (path, time) WHERE path <> '';
CREATE INDEX events_rule ON events (rule, time) WHERE rule <> '';
CREATE INDEX events_reference ON events (reference) WHERE reference <> '';

-- Statistics, all written in the transaction of their events.
CREATE TABLE rollups (
    bucket   BIGINT NOT NULL,      -- start of 15 minutes
    name     TEXT NOT NULL,
    severity SMALLINT NOT NULL,
    realm    TEXT NOT NULL,
    n        BIGINT NOT NULL,
    PRIMARY KEY (bucket, name, severity, realm)
) WITHOUT ROWID;

-- Only addresses that something bad came from, that were blocked or marked have a
-- row, and what goes well moves it once in a quarter of an hour: a row that stays
-- as it is costs no write. The rest is counted from the events on demand.
CREATE TABLE addresses (
    address      BLOB PRIMARY KEY,
    first_seen   BIGINT NOT NULL,
    last_seen    BIGINT NOT NULL,
    seen         BIGINT NOT NULL,           -- quarter hour of last_seen, so that the index moves seldom
    bad          BIGINT NOT NULL,           -- events of severity warning and above, ever
    worst        SMALLINT NOT NULL,
    blocks       BIGINT NOT NULL DEFAULT 0,
    suspicious   SMALLINT NOT NULL,
    account      TEXT NOT NULL,
    realm        TEXT NOT NULL,
    event        TEXT NOT NULL,
    fraudulent   SMALLINT NOT NULL DEFAULT 0,
    note         TEXT NOT NULL DEFAULT '',
    marked_by    TEXT NOT NULL DEFAULT '',
    marked_at    BIGINT NOT NULL DEFAULT 0,
    cleared_day  BIGINT NOT NULL DEFAULT 0, -- failures count from this day on
    cleared_bad  BIGINT NOT NULL DEFAULT 0, -- and not those that day already had
    day          BIGINT NOT NULL,           -- days since 1970-01-01 UTC; the next three are of this day
    day_bad      BIGINT NOT NULL,           -- severity warning and above
    day_failed   BIGINT NOT NULL,           -- *_FAILURE that may count
    day_last     BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX addresses_suspicious ON addresses (seen) WHERE suspicious = 1;
CREATE INDEX addresses_bad ON addresses (day, day_bad) WHERE day_bad > 0;

-- The days before: a row moves here when its address is bad on a later day.
CREATE TABLE address_days (
    address BLOB NOT NULL,
    day     BIGINT NOT NULL,
    bad     BIGINT NOT NULL,
    failed  BIGINT NOT NULL,
    last    BIGINT NOT NULL,
    PRIMARY KEY (address, day)
) WITHOUT ROWID;
CREATE INDEX address_days_bad ON address_days (day, bad) WHERE bad > 0;

CREATE TABLE good (
    address     BLOB NOT NULL,
    account_key TEXT NOT NULL,     -- with the realm
    at          BIGINT NOT NULL,
    PRIMARY KEY (address, account_key)
) WITHOUT ROWID;

CREATE TABLE accounts (
    account_key TEXT NOT NULL,     -- folded, without the realm
    realm       TEXT NOT NULL,
    account     TEXT NOT NULL,
    first_seen  BIGINT NOT NULL,
    last_seen   BIGINT NOT NULL,
    bad         BIGINT NOT NULL,
    suspicious  SMALLINT NOT NULL,
    address     BLOB,
    event       TEXT NOT NULL,
    seen        BIGINT NOT NULL,   -- quarter hour of last_seen
    PRIMARY KEY (account_key, realm)
) WITHOUT ROWID;
CREATE INDEX accounts_suspicious ON accounts (seen) WHERE suspicious = 1;

CREATE TABLE blocks (
    n           INTEGER PRIMARY KEY,
    id          TEXT NOT NULL,
    reference   TEXT NOT NULL,
    ip_first    BLOB,
    ip_last     BLOB,
    account     TEXT NOT NULL,     -- account key
    source      TEXT NOT NULL,
    realm       TEXT NOT NULL,
    session     TEXT NOT NULL,
    origin      TEXT NOT NULL,
    rule        TEXT NOT NULL,
    event       TEXT NOT NULL,
    event_seq   BIGINT NOT NULL,
    reason      TEXT NOT NULL,
    made_by     TEXT NOT NULL,
    from_at     BIGINT NOT NULL,
    until_at    BIGINT NOT NULL,   -- 0: until lifted
    cut         TEXT NOT NULL,
    observed    SMALLINT NOT NULL,
    good        BIGINT NOT NULL,
    threshold   BIGINT NOT NULL,
    span        BIGINT NOT NULL,   -- seconds
    lifted_at   BIGINT NOT NULL,
    ended_at    BIGINT NOT NULL,
    lifted_by   TEXT NOT NULL,
    verdict     TEXT NOT NULL,
    lift_reason TEXT NOT NULL,
    hits        BIGINT NOT NULL,
    last_hit    BIGINT NOT NULL,
    reviewed_by TEXT NOT NULL,
    reviewed_at BIGINT NOT NULL,
    note        TEXT NOT NULL,
    plain       SMALLINT NOT NULL  -- 1: the subject is an address alone
);
CREATE UNIQUE INDEX blocks_id ON blocks (id);
CREATE INDEX blocks_reference ON blocks (reference) WHERE reference <> '';
CREATE INDEX blocks_from ON blocks (from_at);
CREATE INDEX blocks_expired ON blocks (from_at) WHERE until_at > 0 AND lifted_at = 0 AND observed = 0;
CREATE INDEX blocks_parts ON blocks (n) WHERE plain = 0;
CREATE INDEX blocks_lifted ON blocks (from_at) WHERE lifted_at > 0;
CREATE INDEX blocks_observed ON blocks (from_at) WHERE observed = 1;
CREATE INDEX blocks_live ON blocks (until_at, observed, reviewed_at) WHERE lifted_at = 0 AND ended_at = 0;
CREATE INDEX blocks_ending ON blocks (until_at) WHERE until_at > 0;
CREATE INDEX blocks_ip ON blocks (ip_first, from_at) WHERE ip_first IS NOT NULL;
CREATE INDEX blocks_account ON blocks (account, from_at) WHERE account <> '';
CREATE INDEX blocks_rule ON blocks (rule, from_at);
CREATE INDEX blocks_origin ON blocks (origin, from_at);

-- Large and seldom read, so kept out of the rows that are scanned.
CREATE TABLE block_evidence (
    block_id TEXT PRIMARY KEY REFERENCES blocks (id) ON DELETE CASCADE,
    also     TEXT NOT NULL,
    evidence TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE demands (
    n         INTEGER PRIMARY KEY,
    id        TEXT NOT NULL,
    ip_first  BLOB,
    ip_last   BLOB,
    account   TEXT NOT NULL,
    source    TEXT NOT NULL,
    realm     TEXT NOT NULL,
    session   TEXT NOT NULL,
    action    SMALLINT NOT NULL,
    rule      TEXT NOT NULL,
    from_at   BIGINT NOT NULL,
    until_at  BIGINT NOT NULL,
    observed  SMALLINT NOT NULL,
    event_seq BIGINT NOT NULL,
    ended     SMALLINT NOT NULL
);
CREATE UNIQUE INDEX demands_id ON demands (id);
CREATE INDEX demands_live ON demands (from_at) WHERE ended = 0;

CREATE TABLE known (
    account_key TEXT NOT NULL,     -- with the realm
    source      TEXT NOT NULL,
    realm       TEXT NOT NULL,
    address     BLOB,
    at          BIGINT NOT NULL,
    PRIMARY KEY (account_key, source)
) WITHOUT ROWID;
CREATE INDEX known_at ON known (at);

CREATE TABLE sessions (
    id          TEXT PRIMARY KEY,
    account     TEXT NOT NULL,
    account_key TEXT NOT NULL,     -- with the realm
    realm       TEXT NOT NULL,
    opening     BLOB,
    latest      BLOB,
    agent       TEXT NOT NULL,
    opened      BIGINT NOT NULL,
    last_used   BIGINT NOT NULL,
    revoked_at  BIGINT NOT NULL,
    reason      TEXT NOT NULL,
    used        BIGINT NOT NULL    -- quarter hour of last_used
) WITHOUT ROWID;
CREATE INDEX sessions_account ON sessions (account_key) WHERE revoked_at = 0;
CREATE INDEX sessions_opening ON sessions (opening) WHERE revoked_at = 0;
CREATE INDEX sessions_latest ON sessions (latest) WHERE revoked_at = 0 AND (opening IS NULL OR latest <> opening);
CREATE INDEX sessions_used ON sessions (used);

CREATE TABLE revocations (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT, -- in commit order, never used again
    session     TEXT NOT NULL,
    account     TEXT NOT NULL,
    account_key TEXT NOT NULL,
    realm       TEXT NOT NULL,
    address     BLOB,
    reason      TEXT NOT NULL,
    at          BIGINT NOT NULL
);

CREATE TABLE trusted (
    id       TEXT PRIMARY KEY,
    ip_first BLOB NOT NULL,
    ip_last  BLOB NOT NULL,
    note     TEXT NOT NULL,
    made_by  TEXT NOT NULL,
    from_at  BIGINT NOT NULL,
    until_at BIGINT NOT NULL,
    ended    SMALLINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE clears (
    seq       INTEGER PRIMARY KEY,
    at        BIGINT NOT NULL,
    selection TEXT NOT NULL,
    restart   SMALLINT NOT NULL
);

CREATE TABLE refusals (
    reference TEXT PRIMARY KEY,
    time      BIGINT NOT NULL,
    ip_first  BLOB,
    ip_last   BLOB,
    account   TEXT NOT NULL,
    why       TEXT NOT NULL,
    rule      TEXT NOT NULL,
    details   TEXT
) WITHOUT ROWID;
CREATE INDEX refusals_time ON refusals (time);

CREATE TABLE shards (
    n    INTEGER PRIMARY KEY,
    seq  BIGINT NOT NULL,
    data BLOB NOT NULL
);

CREATE TABLE revisions (
    n        INTEGER PRIMARY KEY,
    time     BIGINT NOT NULL,
    made_by  TEXT NOT NULL,
    comment  TEXT NOT NULL,
    document BLOB NOT NULL
);

-- The outbox. Numbers are never used again, also after rows were deleted.
CREATE TABLE alerts (
    n       INTEGER PRIMARY KEY AUTOINCREMENT,
    id      TEXT NOT NULL,
    time    BIGINT NOT NULL,
    payload TEXT NOT NULL
);
CREATE UNIQUE INDEX alerts_id ON alerts (id);
CREATE INDEX alerts_time ON alerts (time);

-- How far the sender of mails got, by recipient.
CREATE TABLE mail_states (
    name  TEXT PRIMARY KEY,
    state BLOB NOT NULL
) WITHOUT ROWID;

-- The audit trail. Rows below the oldest checkpoint have been deleted by
-- retention; the checkpoint carries the hash that the rest continues from.
CREATE TABLE audit (
    seq       INTEGER PRIMARY KEY,
    time      BIGINT NOT NULL,
    actor     TEXT NOT NULL,
    action    TEXT NOT NULL,
    target    TEXT NOT NULL,
    reason    TEXT NOT NULL,
    from_addr TEXT NOT NULL,
    before    TEXT,
    after     TEXT,
    hash      BLOB NOT NULL
);
CREATE INDEX audit_time ON audit (time);
CREATE INDEX audit_actor ON audit (actor, seq);
CREATE INDEX audit_action ON audit (action, seq);

CREATE TABLE audit_checkpoint (
    one  SMALLINT PRIMARY KEY CHECK (one = 1),
    seq  BIGINT NOT NULL,          -- the last row deleted
    hash BLOB NOT NULL,            -- of that row
    time BIGINT NOT NULL,
    mac  BLOB NOT NULL
);

CREATE TABLE api_keys (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    hash       BLOB NOT NULL,
    scopes     TEXT NOT NULL,      -- JSON
    prefixes   TEXT NOT NULL,      -- JSON
    can        TEXT NOT NULL,      -- JSON
    created    BIGINT NOT NULL,
    last_used  BIGINT NOT NULL,
    revoked_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX api_keys_hash ON api_keys (hash);
CREATE UNIQUE INDEX api_keys_name ON api_keys (name) WHERE revoked_at = 0;

CREATE TABLE operators (
    n           INTEGER PRIMARY KEY,
    id          TEXT NOT NULL,
    email       TEXT NOT NULL,
    role        TEXT NOT NULL,
    hash        TEXT NOT NULL,
    created     BIGINT NOT NULL,
    disabled_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX operators_id ON operators (id);
CREATE UNIQUE INDEX operators_email ON operators (email);

CREATE TABLE notes (
    n       INTEGER PRIMARY KEY,
    id      TEXT NOT NULL,
    topic   TEXT NOT NULL,
    text    TEXT NOT NULL,
    made_by TEXT NOT NULL,
    time    BIGINT NOT NULL
);
CREATE UNIQUE INDEX notes_id ON notes (id);
CREATE INDEX notes_topic ON notes (topic, time);

CREATE TABLE views (
    id      TEXT PRIMARY KEY,
    name    TEXT NOT NULL,
    list    TEXT NOT NULL,
    query   TEXT NOT NULL,
    made_by TEXT NOT NULL,
    created BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE repeats (
    actor  TEXT NOT NULL,
    key    TEXT NOT NULL,
    digest BLOB NOT NULL,
    status BIGINT NOT NULL,
    body   BLOB NOT NULL,
    at     BIGINT NOT NULL,
    PRIMARY KEY (actor, key)
) WITHOUT ROWID;
CREATE INDEX repeats_at ON repeats (at);

CREATE TABLE spends (
    id       TEXT PRIMARY KEY,
    until_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX spends_until ON spends (until_at);

INSERT INTO meta (name, value) VALUES ('last_no', 0), ('shown', 0), ('revoked_gone', 0), ('probe', 0);

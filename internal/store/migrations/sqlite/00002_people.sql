-- +goose Up
-- Operators sign in: sessions, devices, second factors, links. Tokens and codes
-- are kept as hashes only.

ALTER TABLE operators ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE operators ADD COLUMN time_zone TEXT NOT NULL DEFAULT '';
ALTER TABLE operators ADD COLUMN last_sign_in BIGINT NOT NULL DEFAULT 0;
ALTER TABLE operators ADD COLUMN expires_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE operators ADD COLUMN totp BIGINT NOT NULL DEFAULT 0;
ALTER TABLE operators ADD COLUMN totp_secret BLOB NOT NULL DEFAULT x'';
ALTER TABLE operators ADD COLUMN totp_step BIGINT NOT NULL DEFAULT 0;

CREATE TABLE operator_sessions (
    id          TEXT PRIMARY KEY,
    hash        BLOB NOT NULL,
    operator_id TEXT NOT NULL,
    signed_in   BIGINT NOT NULL,
    created     BIGINT NOT NULL,
    last_seen   BIGINT NOT NULL,
    expires     BIGINT NOT NULL,
    ip          TEXT NOT NULL,
    agent       TEXT NOT NULL,
    device      TEXT NOT NULL,
    failures    BIGINT NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX operator_sessions_hash ON operator_sessions (hash);
CREATE INDEX operator_sessions_operator ON operator_sessions (operator_id, created);

CREATE TABLE operator_devices (
    operator_id TEXT NOT NULL,
    device      TEXT NOT NULL,
    last_seen   BIGINT NOT NULL,
    PRIMARY KEY (operator_id, device)
) WITHOUT ROWID;

CREATE TABLE operator_passkeys (
    id          TEXT PRIMARY KEY,
    operator_id TEXT NOT NULL,
    name        TEXT NOT NULL,
    site        TEXT NOT NULL,
    credential  BLOB NOT NULL,
    record      TEXT NOT NULL,
    created     BIGINT NOT NULL,
    last_used   BIGINT NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX operator_passkeys_credential ON operator_passkeys (credential);
CREATE INDEX operator_passkeys_operator ON operator_passkeys (operator_id, created);

CREATE TABLE operator_recovery (
    operator_id TEXT NOT NULL,
    hash        BLOB NOT NULL,
    PRIMARY KEY (operator_id, hash)
) WITHOUT ROWID;

CREATE TABLE operator_links (
    id               TEXT PRIMARY KEY,
    hash             BLOB NOT NULL,
    kind             TEXT NOT NULL,
    email            TEXT NOT NULL,
    role             TEXT NOT NULL,
    operator_id      TEXT NOT NULL,
    operator_expires BIGINT NOT NULL,
    made_by          TEXT NOT NULL,
    created          BIGINT NOT NULL,
    expires          BIGINT NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX operator_links_hash ON operator_links (hash);
CREATE INDEX operator_links_email ON operator_links (email);

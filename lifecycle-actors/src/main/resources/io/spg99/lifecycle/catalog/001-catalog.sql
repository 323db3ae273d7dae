-- What users own. The journal is the truth about a database's life; catalog.database is its shadow for lists and logins.

CREATE TABLE catalog.account (
    id          text        PRIMARY KEY,
    plan        text        NOT NULL,
    email       text,
    name        text,
    company     text,
    created_at  timestamptz NOT NULL
);

CREATE TABLE catalog.tenant (
    id               text        PRIMARY KEY,
    account_id       text        NOT NULL REFERENCES catalog.account,
    name             text        NOT NULL,
    pg_user          text        NOT NULL UNIQUE,
    sealed_password  bytea       NOT NULL,
    verifier         text        NOT NULL,
    deleting         boolean     NOT NULL DEFAULT false,
    created_at       timestamptz NOT NULL,
    UNIQUE (account_id, name)
);

CREATE TABLE catalog.api_key (
    id          text        PRIMARY KEY,
    account_id  text        NOT NULL REFERENCES catalog.account,
    name        text        NOT NULL,
    hash        bytea       NOT NULL UNIQUE,
    scope       text        NOT NULL,
    permissions text[]      NOT NULL,
    created_at  timestamptz NOT NULL
);

CREATE TABLE catalog.database (
    id          text        PRIMARY KEY,
    tenant_id   text        NOT NULL REFERENCES catalog.tenant,
    name        text        NOT NULL,
    -- As it was asked for: enough to create it again if the first attempt was cut short.
    spec        jsonb       NOT NULL,
    state       text        NOT NULL,
    generation  integer     NOT NULL,
    -- What is shown in lists, and the number of the event it was made after.
    view        jsonb,
    sequence    bigint      NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL,
    UNIQUE (tenant_id, name)
);

CREATE INDEX database_state ON catalog.database (state);

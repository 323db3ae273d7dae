-- What happened to databases, for whoever follows GET /v2/events. The numbers rise in the order in which rows become visible: whoever
-- enters one holds a lock until then.
CREATE TABLE catalog.event (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL,
    -- As it is sent.
    body        jsonb       NOT NULL
);

CREATE INDEX event_at ON catalog.event (at);

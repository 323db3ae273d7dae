-- The spg99 extension: part of the base image, and so of every database. It is made before the first ordinary object, with
-- object ids below 16384, as plpgsql is: pg_dump takes it for a part of PostgreSQL and leaves it out, so that a dump can be
-- restored anywhere. Everything here reads; whoever may log in may use it.

CREATE SCHEMA spg99;
GRANT USAGE ON SCHEMA spg99 TO PUBLIC;
COMMENT ON SCHEMA spg99 IS 'what SPG99 knows of this database';

CREATE FUNCTION spg99.agent_status() RETURNS json
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN nullif(pg_read_file('spg99_status', true), '')::json;
COMMENT ON FUNCTION spg99.agent_status() IS 'what the agent of this generation says, every second';

CREATE FUNCTION spg99.quorum_lsn() RETURNS pg_lsn
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN (SELECT flush_lsn FROM pg_stat_replication
            WHERE application_name IN ('sk1', 'sk2', 'sk3') AND flush_lsn IS NOT NULL
            ORDER BY flush_lsn DESC OFFSET 1 LIMIT 1);
COMMENT ON FUNCTION spg99.quorum_lsn() IS 'up to here two Safekeepers have the WAL on disk; null while fewer than two follow';

CREATE VIEW spg99.status AS
    SELECT (agent ->> 'generation')::integer AS generation,
           agent ->> 'profile' AS profile,
           agent ->> 'timeline' AS timeline,
           pg_current_wal_lsn() AS wal_lsn,
           spg99.quorum_lsn() AS quorum_lsn,
           '0/0'::pg_lsn + (agent ->> 'snapshot_lsn')::numeric AS snapshot_lsn
    FROM spg99.agent_status() AS agent;
COMMENT ON VIEW spg99.status IS 'the running generation and how far its WAL has come';
COMMENT ON COLUMN spg99.status.generation IS 'number of the generation: the TLI that this server writes';
COMMENT ON COLUMN spg99.status.profile IS 'its size';
COMMENT ON COLUMN spg99.status.timeline IS 'id of the durable history of this database';
COMMENT ON COLUMN spg99.status.wal_lsn IS 'up to here this server has written WAL';
COMMENT ON COLUMN spg99.status.quorum_lsn IS 'up to here two Safekeepers have the WAL on disk; null while fewer than two follow';
COMMENT ON COLUMN spg99.status.snapshot_lsn IS 'end of the newest snapshot that this generation has heard of';

CREATE VIEW spg99.cache AS
    SELECT (agent ->> 'cache_hits')::bigint AS hits,
           (agent ->> 'cache_misses')::bigint AS misses,
           (agent ->> 'cache_read_ahead')::bigint AS read_ahead,
           (agent ->> 'cache_evictions')::bigint AS evictions,
           (agent ->> 'cache_resident')::bigint * 8192 AS resident_bytes,
           (agent ->> 'cache_changed')::bigint * 8192 AS changed_bytes,
           (agent ->> 'cache_limit')::bigint AS limit_bytes
    FROM spg99.agent_status() AS agent;
COMMENT ON VIEW spg99.cache IS 'the read-through cache of this generation; all zero while its files are whole';
COMMENT ON COLUMN spg99.cache.hits IS 'blocks that were on the local disk when PostgreSQL read them';
COMMENT ON COLUMN spg99.cache.misses IS 'blocks that were waited for';
COMMENT ON COLUMN spg99.cache.read_ahead IS 'blocks fetched before anybody waited for them';
COMMENT ON COLUMN spg99.cache.evictions IS 'blocks given back for want of space';
COMMENT ON COLUMN spg99.cache.resident_bytes IS 'of the files of the snapshot and of those made since, on the local disk now';
COMMENT ON COLUMN spg99.cache.changed_bytes IS 'of these, newer than the snapshot that is read: not given back before a newer one has them';
COMMENT ON COLUMN spg99.cache.limit_bytes IS 'beyond it what was not used for longest is given back';

GRANT SELECT ON spg99.status, spg99.cache TO PUBLIC;

package io.spg99.compute.generation;

import io.spg99.compute.image.BaseImages;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.safekeeper.WriterNames;
import io.spg99.storage.tls.TlsIdentity;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * The configuration files of a server, written whole: nothing is inherited from an image or an earlier run. What differs from
 * one generation to the next is who may connect; its port and its directories are settings it is started with.
 */
final class ServerConfiguration {

    private final ComputeSettings settings;
    private final OsUser user;
    private final Optional<Path> guard;
    private final TlsFiles tls;

    ServerConfiguration(ComputeSettings settings, OsUser user, Optional<Path> guard, TlsFiles tls) {
        this.settings = settings;
        this.user = user;
        this.guard = guard;
        this.tls = tls;
    }

    /** Writes what all servers of a node and a profile have in common. */
    void write(Path pgdata, Profile profile) throws IOException {
        put(pgdata, "postgresql.conf", postgresqlConf(profile));
        put(pgdata, "postgresql.auto.conf", "");
        put(pgdata, "standby.signal", "");
    }

    /** Writes who may connect to a generation, and as whom. */
    void writeAccess(GenerationSpec spec, Path pgdata) throws IOException {
        requireName("database", spec.databaseName());
        requireName("role", spec.roleName());
        if (spec.roleName().startsWith("spg99_") || spec.roleName().startsWith("pg_")) {
            throw new IllegalArgumentException("reserved role name: role=" + spec.roleName());
        }
        put(pgdata, "pg_hba.conf", hba(spec));
        put(pgdata, "pg_ident.conf", ident(spec));
    }

    private void put(Path pgdata, String name, String content) throws IOException {
        user.writePrivate(pgdata.resolve(name), content.getBytes(StandardCharsets.UTF_8));
    }

    private String postgresqlConf(Profile profile) {
        String standbys = SafekeeperId.ALL.stream().map(SafekeeperId::value).collect(Collectors.joining(", "));
        return """
                # Written by the agent for one generation. It sets the port and the directories at the start.

                # Connections: TLS for anything remote, see pg_hba.conf.
                listen_addresses = %s
                unix_socket_permissions = 0700
                ssl = on
                ssl_cert_file = %s
                ssl_key_file = %s
                ssl_ca_file = %s
                max_connections = %d
                # Each takes 1.3 kB of shared memory. Recovery needs as many places as were taken.
                max_prepared_transactions = 100
                tcp_keepalives_idle = 30
                tcp_keepalives_interval = 5
                tcp_keepalives_count = 3

                # Said because the guard makes a server begin without, until this is read again.
                autovacuum = on

                # Size.
                shared_buffers = %dMB
                work_mem = %dMB
                huge_pages = off
                # Dynamic segments that are more than what is kept for them live in PGDATA, so that nothing is left in /dev/shm.
                # Of what is kept the statistics take their part: otherwise each start writes a file of 1 MB for them.
                min_dynamic_shared_memory = 2MB
                dynamic_shared_memory_type = mmap
                # Logical replication workers would be one more process at every start; tenants cannot subscribe.
                max_logical_replication_workers = 0

                # Durability is with the Safekeepers. Nothing is ever recovered from this disk.
                fsync = off
                full_page_writes = off
                synchronous_commit = on
                synchronous_standby_names = 'ANY %d (%s)'
                # A compute whose postmaster or backend crashes is thrown away, never recovered in place (W8).
                restart_after_crash = off
                shared_preload_libraries = %s

                # WAL for the Safekeepers. What no two of them have must not be removed: their replication slot keeps it, whatever
                # its size. Beyond that, wal_keep_size spares one that lags a little the way to a peer, and covers the time between
                # the promotion and the slot, when only the agent writes.
                wal_level = replica
                max_wal_senders = 10
                max_replication_slots = 10
                max_slot_wal_keep_size = -1
                wal_keep_size = 128MB
                wal_sender_timeout = 10s
                wal_init_zero = off
                wal_recycle = off
                min_wal_size = 32MB
                max_wal_size = %dMB
                checkpoint_timeout = %ds
                # Nothing is synced: there is nothing to be spread over time, and the sooner a checkpoint is over, the less is replayed.
                checkpoint_completion_target = 0
                # They are meant to be frequent: a snapshot ends at one, and a crash replays what came after that.
                checkpoint_warning = 0

                # Recovery: as a standby that has all its WAL in pg_wal already, along the parent's TLI, which is told when it is
                # known; the agent promotes it at once. Unlike recovery.signal this needs no restore_command, which PostgreSQL would run for every
                # generation there ever was, and no checkpoint before the first connection.
                hot_standby = off

                # Redo looks this many blocks, and this much WAL, ahead: what it changes comes from object storage, and takes a while.
                maintenance_io_concurrency = 256
                wal_decode_buffer_size = 2MB

                # Log: lines go to the agent. WARNING is the least that the guard can work with. Terse, and without
                # statements: they are the tenant's, and may hold secrets.
                log_min_messages = warning
                log_min_error_statement = panic
                log_error_verbosity = terse
                log_line_prefix = '[%%p] %%b '
                log_checkpoints = off
                log_timezone = 'UTC'

                timezone = 'UTC'
                datestyle = 'iso, mdy'
                lc_messages = 'C'
                lc_monetary = 'C'
                lc_numeric = 'C'
                lc_time = 'C'
                default_text_search_config = 'pg_catalog.english'
                """.formatted(
                        quoteValue(settings.listenHost()),
                        quoteValue(tls.certificate().toString()),
                        quoteValue(tls.key().toString()),
                        quoteValue(tls.ca().toString()),
                        profile.maxConnections(),
                        profile.sharedBuffersMb(),
                        profile.workMemMb(),
                        SafekeeperId.QUORUM,
                        standbys,
                        quoteValue(guard.map(Path::toString).orElse("")),
                        profile.maxWalSizeMb(),
                        profile.checkpointTimeout().toSeconds());
    }

    /** The first line that matches a connection decides; there is no line without authentication. */
    private static String hba(GenerationSpec spec) {
        return """
                local   all          %s  peer map=local
                local   replication  %s  peer map=local
                local   %s %s  peer map=local
                hostssl replication  %s  all  cert map=safekeeper
                hostssl %s %s all  cert map=gateway
                local   all          all  reject
                host    all          all  all  reject
                host    replication  all  all  reject
                """.formatted(
                        BaseImages.SUPERUSER,
                        WriterNames.SAFEKEEPER_ROLE,
                        quoteWord(spec.databaseName()),
                        quoteWord(spec.roleName()),
                        WriterNames.SAFEKEEPER_ROLE,
                        quoteWord(spec.databaseName()),
                        quoteWord(spec.roleName()));
    }

    /** Who may be whom: our own system user every role we use, a certificate's common name one role each. */
    private static String identLine(String map, String systemName, String role) {
        return "%s %s %s%n".formatted(map, quoteWord(systemName), quoteWord(role));
    }

    private static String ident(GenerationSpec spec) throws IOException {
        return identLine("local", OsUser.own(), BaseImages.SUPERUSER)
                + identLine("local", OsUser.own(), WriterNames.SAFEKEEPER_ROLE)
                + identLine("local", OsUser.own(), spec.roleName())
                + identLine("safekeeper", TlsIdentity.SAFEKEEPER, WriterNames.SAFEKEEPER_ROLE)
                + identLine("gateway", TlsIdentity.GATEWAY, spec.roleName());
    }

    /** In quotes no word is a keyword (all, replication), and a quote is written twice. */
    private static String quoteWord(String word) {
        return '"' + word.replace("\"", "\"\"") + '"';
    }

    private static String quoteValue(String value) {
        return '\'' + value.replace("\\", "\\\\").replace("'", "''") + '\'';
    }

    /** A line feed ends a line of pg_hba.conf even in quotes, and a leading slash begins a regular expression there. */
    private static void requireName(String what, String name) {
        int bytes = name.getBytes(StandardCharsets.UTF_8).length;
        if (bytes < 1 || bytes > 63 || name.startsWith("/") || name.chars().anyMatch(Character::isISOControl)) {
            throw new IllegalArgumentException(
                    "not a " + what + " name (1 to 63 bytes, no control characters, no leading slash): name=" + name);
        }
    }
}

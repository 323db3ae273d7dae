package io.spg99.compute.image;

import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.postgres.PgControl;
import io.spg99.storage.postgres.PostgresBinaries;
import io.spg99.storage.postgres.PostgresProcess;
import io.spg99.storage.postgres.Programs;
import io.spg99.storage.postgres.WalFiles;
import io.spg99.storage.safekeeper.WriterNames;
import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Stream;

/** Makes a base image: initdb, then the first databases, the extension and roles in single-user mode. */
final class ImageBuilder {

    private static final Duration DEADLINE = Duration.ofMinutes(2);

    /** From a segment's start to the end of a shutdown checkpoint record behind the page header, aligned to 8 bytes. */
    private static final int FIRST_WAL = 160;

    /** xl_tot_len of that record: 24 bytes of header, 2 of data header, 88 of checkpoint. */
    private static final int CHECKPOINT_RECORD = 114;

    private static final List<String> INITDB = List.of(
            "--username=" + BaseImages.SUPERUSER,
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--encoding=UTF8",
            // The default of 16 MB costs 7 ms at every start, when PostgreSQL copies the segment in which a TLI begins,
            // and
            // four times the space for each generation.
            "--wal-segsize=4",
            "--auth=reject",
            "--no-sync",
            "--no-instructions");

    private static final List<String> SETTINGS = List.of(
            "-c", "fsync=off",
            "-c", "full_page_writes=off",
            "-c", "wal_init_zero=off",
            "-c", "dynamic_shared_memory_type=mmap",
            "-c", "log_min_messages=error",
            "-c", "log_checkpoints=off");

    /**
     * template1 and template0 would be 15 MB and 600 files more in every generation's directory, for a CREATE DATABASE that
     * nobody may run. "postgres" is a name that users may want; one with a dash is none of theirs.
     */
    private static final List<String> IN_TEMPLATE1 = List.of(
            // Before any ordinary object: its object ids are below 16384, and pg_dump leaves it out.
            "CREATE EXTENSION " + Extension.NAME,
            "CREATE DATABASE " + BaseImages.USER_DATABASE + " TEMPLATE template1",
            "CREATE DATABASE \"" + BaseImages.AGENT_DATABASE + "\" TEMPLATE template0",
            "DROP DATABASE postgres");

    private static final List<String> IN_AGENT_DATABASE = List.of(
            "UPDATE pg_database SET datistemplate = false",
            "DROP DATABASE template1",
            "DROP DATABASE template0",
            "REVOKE ALL ON DATABASE \"" + BaseImages.AGENT_DATABASE + "\" FROM PUBLIC",
            "CREATE ROLE " + WriterNames.SAFEKEEPER_ROLE + " LOGIN REPLICATION",
            // Every writer has it from the start, and keeps its WAL until two Safekeepers say that they have it.
            "SELECT pg_create_physical_replication_slot('" + WriterNames.QUORUM_SLOT + "', true)",
            // What follows in the next segment is the shutdown checkpoint.
            "SELECT pg_switch_wal()");

    private final PostgresBinaries binaries;
    private final OsUser user;

    ImageBuilder(PostgresBinaries binaries, OsUser user) {
        this.binaries = binaries;
        this.user = user;
    }

    /** Makes the image's files in {@code pgdata}, which must not exist; its parent must be the PostgreSQL user's. */
    ImageInfo build(String key, Path pgdata) throws IOException {
        List<String> initdb = new ArrayList<>(List.of(binaries.program("initdb").toString(), "--pgdata=" + pgdata));
        initdb.addAll(INITDB);
        run("", initdb);
        Extension.install(binaries);
        singleUser(pgdata, "template1", IN_TEMPLATE1);
        singleUser(pgdata, BaseImages.AGENT_DATABASE, IN_AGENT_DATABASE);
        ImageInfo info = inspect(key, pgdata);
        strip(pgdata);
        return info;
    }

    private void singleUser(Path pgdata, String database, List<String> statements) throws IOException {
        List<String> command =
                new ArrayList<>(List.of(binaries.program("postgres").toString(), "--single", "-D", pgdata.toString()));
        command.addAll(SETTINGS);
        command.add(database);
        String output = run(String.join("\n", statements) + "\n", command);
        // Single-user mode goes on after an error and exits with 0.
        if (output.contains("ERROR:") || output.contains("FATAL:")) {
            throw new IOException("base image: a statement failed: database=" + database + " output=" + output);
        }
    }

    /** What images are made of, beside PostgreSQL: those with the same are the same. */
    static String fingerprint() throws IOException {
        String all = List.of(INITDB, SETTINGS, IN_TEMPLATE1, IN_AGENT_DATABASE, Extension.contents())
                .toString();
        try {
            byte[] hash = MessageDigest.getInstance("SHA-256").digest(all.getBytes(StandardCharsets.UTF_8));
            return HexFormat.of().formatHex(hash, 0, 8);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java has it", e);
        }
    }

    private String run(String input, List<String> command) throws IOException {
        return Programs.run(user.command(command), PostgresProcess.environment(), input, DEADLINE);
    }

    /** Checks that the shutdown checkpoint is the first record of a segment, and takes the bytes up to its end. */
    private ImageInfo inspect(String key, Path pgdata) throws IOException {
        PgControl control = PgControl.read(pgdata);
        int segmentSize = control.segmentSize();
        Lsn start = control.checkpoint().segmentStart(segmentSize);
        if (!control.isShutDown()
                || control.timeline() != 1
                || !control.redo().equals(control.checkpoint())
                || control.checkpoint().minus(start) != WalFiles.LONG_HEADER) {
            throw new IOException("base image: expected a shutdown checkpoint at the head of a segment: checkpoint="
                    + control.checkpoint() + " redo=" + control.redo() + " timeline=" + control.timeline()
                    + " shutDown=" + control.isShutDown());
        }
        Path segment =
                pgdata.resolve("pg_wal").resolve(WalFiles.segmentName(1, start.segment(segmentSize), segmentSize));
        byte[] firstWal;
        try (InputStream in = Files.newInputStream(segment)) {
            firstWal = in.readNBytes(FIRST_WAL);
        }
        WalFiles.SegmentHeader header = WalFiles.SegmentHeader.read(firstWal);
        WalFiles.SegmentHeader expected =
                new WalFiles.SegmentHeader(WalFiles.PAGE_MAGIC, 1, start, control.systemIdentifier(), segmentSize);
        int recordLength = firstWal[WalFiles.LONG_HEADER] & 0xFF;
        if (!header.equals(expected) || recordLength != CHECKPOINT_RECORD) {
            throw new IOException("base image: unexpected WAL: expected=" + expected + " actual=" + header
                    + " recordLength=" + recordLength);
        }
        return new ImageInfo(
                key,
                binaries.version(),
                PgControl.CONTROL_VERSION,
                PgControl.CATALOG_VERSION,
                control.systemIdentifier(),
                segmentSize,
                start,
                firstWal);
    }

    /** Empties what each generation gets anew: WAL and configuration. */
    private static void strip(Path pgdata) throws IOException {
        try (Stream<Path> files = Files.list(pgdata.resolve("pg_wal"))) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                Files.delete(file);
            }
        }
        for (String name : List.of(
                "postgresql.conf",
                "postgresql.auto.conf",
                "pg_hba.conf",
                "pg_ident.conf",
                "postmaster.opts",
                BaseImages.STATUS_FILE)) {
            Files.write(pgdata.resolve(name), new byte[0]);
        }
        Files.deleteIfExists(pgdata.resolve("postmaster.pid"));
    }
}

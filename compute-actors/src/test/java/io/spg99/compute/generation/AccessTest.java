package io.spg99.compute.generation;

import static io.spg99.compute.testing.TestClients.ask;
import static io.spg99.compute.testing.TestClients.run;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.compute.image.BaseImages;
import io.spg99.compute.testing.TestCertificates;
import io.spg99.compute.testing.TestClients;
import io.spg99.compute.testing.TestPlatform;
import io.spg99.storage.safekeeper.WriterAddress;
import io.spg99.storage.safekeeper.WriterNames;
import io.spg99.storage.tls.TlsIdentity;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.Properties;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.postgresql.Driver;

/** Who gets in, as whom, and what they may do there. */
class AccessTest {

    private static final ActorTestKit KIT = ActorTestKit.create();

    @AfterAll
    static void stopKit() {
        KIT.shutdownTestKit();
    }

    private static void refused(
            String state, WriterAddress writer, TlsIdentity identity, String database, String role) {
        SQLException e = assertThrows(
                SQLException.class,
                () -> TestClients.connect(writer, identity, database, role).close());
        assertEquals(state, e.getSQLState(), e.getMessage());
    }

    /** @return what the client is told */
    private static String denied(Connection client, String sql) {
        SQLException e = assertThrows(SQLException.class, () -> run(client, sql), sql);
        assertEquals("42501", e.getSQLState(), e.getMessage());
        return String.valueOf(e.getMessage());
    }

    @Test
    void givenWriter_whenAnybodyElseConnects_thenRefused() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        TestPlatform platform = database.platform;
        TestDatabase.Run generation = database.start(2);
        WriterAddress writer = generation.configured().writer();

        String invalid = "28000";
        refused(invalid, writer, platform.gateway(), "app", BaseImages.SUPERUSER);
        refused(invalid, writer, platform.gateway(), BaseImages.AGENT_DATABASE, "tnt_test");
        refused(invalid, writer, platform.gateway(), BaseImages.AGENT_DATABASE, BaseImages.SUPERUSER);
        refused(invalid, writer, platform.gateway(), "app", WriterNames.SAFEKEEPER_ROLE);
        refused(invalid, writer, platform.safekeeper(), "app", "tnt_test");
        refused(invalid, writer, platform.safekeeper(), "app", WriterNames.SAFEKEEPER_ROLE);
        refused(invalid, writer, platform.compute(), "app", "tnt_test");
        TlsIdentity forged =
                new TestCertificates(platform.directory("forged"), "another CA").issue(TlsIdentity.GATEWAY);
        TlsIdentity mixed = new TlsIdentity(
                forged.certificate(),
                forged.key(),
                forged.keyDer(),
                platform.gateway().ca());
        assertThrows(
                SQLException.class,
                () -> TestClients.connect(writer, mixed, "app", "tnt_test").close());
        for (String role : List.of("tnt_test", BaseImages.SUPERUSER)) {
            Properties plain = new Properties();
            plain.setProperty("user", role);
            plain.setProperty("sslmode", "disable");
            SQLException e = assertThrows(
                    SQLException.class,
                    () -> new Driver()
                            .connect("jdbc:postgresql://" + writer.host() + ":" + writer.port() + "/app", plain));
            assertEquals(invalid, e.getSQLState(), e.getMessage());
        }
        assertTrue(generation.stop().orderly());
    }

    @Test
    void givenTenant_whenReachingForTheServer_thenDenied() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        TestDatabase.Run generation = database.start(2);
        try (Connection client = database.connect(generation.configured().writer())) {
            denied(client, "ALTER SYSTEM SET fsync = on");
            denied(client, "SET log_min_messages = panic");
            denied(client, "SET session_preload_libraries = 'x'");
            denied(client, "LOAD 'dblink'");
            denied(client, "COPY (SELECT 1) TO PROGRAM 'cat'");
            denied(client, "COPY (SELECT 1) TO '/tmp/x'");
            denied(client, "SELECT pg_read_file('PG_VERSION')");
            denied(client, "SELECT pg_ls_dir('.')");
            denied(client, "SELECT lo_import('/etc/passwd')");
            denied(client, "SELECT pg_switch_wal()");
            denied(client, "SELECT pg_reload_conf()");
            denied(client, "CREATE ROLE other");
            denied(client, "CREATE DATABASE other");
            denied(client, "ALTER ROLE CURRENT_USER SUPERUSER");
            String tablespace = denied(client, "CREATE TABLESPACE mine LOCATION '/tmp/mine'");
            assertTrue(
                    tablespace.contains("permission denied to create tablespace \"mine\"")
                            && tablespace.contains("Must be superuser to create a tablespace."),
                    tablespace);
            denied(client, "GRANT pg_execute_server_program TO CURRENT_USER");
            denied(client, "SET ROLE spg99_agent");
            denied(client, "SELECT rolpassword FROM pg_authid");
            denied(client, "CREATE EXTENSION dblink");
            run(client, "CREATE EXTENSION pgcrypto");
            run(client, "CREATE SCHEMA mine");
            run(client, "CREATE TABLE public.t (n int)");
        }
        assertTrue(generation.stop().orderly());
    }

    @ParameterizedTest
    @CsvSource({
        "Upper$Case, tnt_Upper$",
        "all, tnt_all",
        "replication, replication",
        "postgres, user",
        "template1, select",
        "spg99_user, tnt_x",
        "a123456789_123456789_123456789_123456789_123456789_123456789_12, tnt_abcdefghij",
        "'quote\"s'' and spaces', 'tnt \"q\" $'",
    })
    void givenUnusualNames_whenStartedTwice_thenTheyAreTakenAsTheyAre(String name, String role) throws Exception {
        TestDatabase database = new TestDatabase(KIT, name, role);
        for (int number : new int[] {2, 3}) {
            database.known = 0; // looked at anew, and found to hold
            TestDatabase.Run generation = database.start(number);
            try (Connection client = database.connect(generation.configured().writer())) {
                assertEquals(name, ask(client, "SELECT current_database()"));
                assertEquals(role, ask(client, "SELECT session_user"));
                assertEquals(
                        role,
                        ask(
                                client,
                                "SELECT pg_get_userbyid(datdba) FROM pg_database"
                                        + " WHERE datname = current_database()"));
                run(client, "CREATE TABLE t" + number + " (n int)");
            }
            assertTrue(generation.stop().orderly());
        }
    }

    @ParameterizedTest
    @CsvSource({"app, spg99_agent", "app, pg_read_all_data", "/x, tnt_x", "'line\nfeed', tnt_x"})
    void givenReservedOrImpossibleNames_whenStarted_thenRefused(String name, String role) throws Exception {
        GenerationEvent.Ended ended = new TestDatabase(KIT, name, role).start(2).ended();

        assertTrue(ended.reason().contains("name"), ended.reason());
    }

    @Test
    void givenLongRunDirectory_whenStarted_thenSocketIsElsewhereAndRemovedAfterwards() throws Exception {
        TestDatabase database = new TestDatabase(KIT, "app", "tnt_test", "d".repeat(90));
        TestDatabase.Run generation = database.start(2);
        generation.configured();
        java.nio.file.Path sockets = io.spg99.storage.postgres.OsUser.recorded(
                        database.run.resolve(database.id).resolve("2").resolve("spg99_socket_directory"))
                .orElseThrow();
        assertTrue(java.nio.file.Files.isDirectory(sockets));

        assertTrue(generation.stop().orderly());

        assertTrue(java.nio.file.Files.notExists(sockets));
    }
}

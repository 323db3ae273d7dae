package io.spg99.tests.fault;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Base64;
import java.util.HexFormat;

/**
 * Makes the journal take its time over one kind of event of one database, so that the state which that event ends lasts long
 * enough for somebody to die in it.
 */
final class SlowJournal implements AutoCloseable {

    /** Less than a drain may take. */
    private static final String DELAY_SECONDS = "0.3";

    private final Path data;

    /** @param data of the platform */
    SlowJournal(Path data) {
        this.data = data;
    }

    /** Until this is closed. */
    void slowDown(String databaseId, String event) throws IOException, SQLException {
        execute(
                "CREATE FUNCTION wait_a_moment() RETURNS trigger LANGUAGE plpgsql AS" + " 'BEGIN PERFORM pg_sleep("
                        + DELAY_SECONDS + "); RETURN NEW; END'",
                "CREATE TRIGGER slow BEFORE INSERT ON event_journal FOR EACH ROW WHEN (NEW.persistence_id = 'Database|"
                        + databaseId + "' AND NEW.event_ser_manifest LIKE '%" + event
                        + "') EXECUTE FUNCTION wait_a_moment()");
    }

    /** The server is another one, at another port, after the program was started again. */
    private void execute(String... statements) throws IOException, SQLException {
        String port = Files.readAllLines(
                        data.resolve("postgres").resolve("journal").resolve("postmaster.pid"))
                .get(3);
        byte[] secret = Base64.getDecoder()
                .decode(Files.readString(data.resolve("secrets").resolve("journal.password"))
                        .strip());
        try (Connection connection = DriverManager.getConnection(
                        "jdbc:postgresql://127.0.0.1:" + port + "/postgres?sslmode=disable",
                        "spg99",
                        HexFormat.of().formatHex(secret));
                Statement statement = connection.createStatement()) {
            for (String sql : statements) {
                statement.execute(sql);
            }
        }
    }

    @Override
    public void close() throws IOException, SQLException {
        execute("DROP FUNCTION IF EXISTS wait_a_moment CASCADE");
    }
}

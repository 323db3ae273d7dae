package io.spg99.cluster.journal;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import java.util.regex.Pattern;

/** Makes pekko-persistence-jdbc's tables, from the script that its jar carries. */
public final class JournalSchema {

    private static final String SCRIPT = "/schema/postgres/postgres-create-schema.sql";

    /** Arbitrary, the same in every node: only one of them makes the tables. */
    private static final long ADVISORY_LOCK = 0x5350473939L;

    /** The script's indexes cannot be made twice; and CONCURRENTLY has no use on empty tables. */
    private static final Pattern INDEX = Pattern.compile("^CREATE (UNIQUE )?INDEX (?:CONCURRENTLY )?(?!IF )");

    private JournalSchema() {}

    /** Makes the tables unless they are there. */
    public static void create(Connection connection) throws SQLException, IOException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("SELECT pg_advisory_lock(" + ADVISORY_LOCK + ")");
            try {
                if (!exists(statement)) {
                    for (String sql : statements()) {
                        statement.execute(sql);
                    }
                }
            } finally {
                statement.execute("SELECT pg_advisory_unlock(" + ADVISORY_LOCK + ")");
            }
        }
    }

    /** The script's last relation: with it, all is there (what a crash left half made can be made again). */
    private static boolean exists(Statement statement) throws SQLException {
        try (ResultSet rows =
                statement.executeQuery("SELECT to_regclass('public.state_global_offset_idx') IS NOT NULL")) {
            rows.next();
            return rows.getBoolean(1);
        }
    }

    private static List<String> statements() throws IOException {
        try (InputStream script = JournalSchema.class.getResourceAsStream(SCRIPT)) {
            if (script == null) {
                throw new IOException("pekko-persistence-jdbc has no schema script: resource=" + SCRIPT);
            }
            return Pattern.compile(";")
                    .splitAsStream(new String(script.readAllBytes(), StandardCharsets.UTF_8))
                    .map(String::strip)
                    .filter(sql -> !sql.isEmpty())
                    .map(sql -> INDEX.matcher(sql)
                            .replaceFirst(
                                    m -> "CREATE " + (m.group(1) == null ? "" : m.group(1)) + "INDEX IF NOT EXISTS "))
                    .toList();
        }
    }
}

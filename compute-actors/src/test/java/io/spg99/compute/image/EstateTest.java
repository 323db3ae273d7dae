package io.spg99.compute.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.spg99.storage.object.LocalObjectStore;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What one generation leaves to the next, when it is much. */
class EstateTest {

    private static final TimelineId TIMELINE = new TimelineId("0123456789abcdef0123456789abcdef");
    private static final Lsn END = new Lsn(0x2000000);
    private static final OsUser SELF = new OsUser("self", 0, 0, false);
    private static final int MEGABYTE = 1 << 20;

    @TempDir
    Path root;

    private Path directory(String name) throws IOException {
        Path pgdata = root.resolve(name);
        Files.createDirectories(pgdata.resolve("base/5"));
        Files.createDirectories(pgdata.resolve("global"));
        Files.createDirectories(pgdata.resolve("pg_stat"));
        Files.write(pgdata.resolve("pg_hba.conf"), new byte[0]);
        return pgdata;
    }

    private static byte[] write(Path file, int bytes) throws IOException {
        byte[] content = new byte[bytes];
        new Random(bytes).nextBytes(content);
        Files.write(file, content);
        return content;
    }

    @Test
    void givenLargeStatisticsAndALargeFreeSpaceMap_whenInherited_thenOnlyThatMapIsMissing() throws IOException {
        Estate estate = new Estate(new LocalObjectStore(root.resolve("objects")), TIMELINE, Optional.empty());
        Path before = directory("before");
        byte[] statistics = write(before.resolve("pg_stat/pgstat.stat"), 17 * MEGABYTE);
        byte[] map = write(before.resolve("base/5/16384_fsm"), 3 * MEGABYTE);
        write(before.resolve("base/5/16385_fsm"), 17 * MEGABYTE);
        byte[] shared = write(before.resolve("global/1260_fsm"), MEGABYTE);

        estate.take(3, END, before);
        Path after = directory("after");
        estate.give(3, END, after, SELF);

        assertArrayEquals(statistics, Files.readAllBytes(after.resolve("pg_stat/pgstat.stat")));
        assertArrayEquals(map, Files.readAllBytes(after.resolve("base/5/16384_fsm")));
        assertFalse(Files.exists(after.resolve("base/5/16385_fsm")));
        assertArrayEquals(shared, Files.readAllBytes(after.resolve("global/1260_fsm")));
    }
}

package io.spg99.tests.fault;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.spg99.storage.file.FileTree;
import io.spg99.storage.wal.Lsn;
import io.spg99.tests.ledger.Ledger;
import io.spg99.tests.process.ProcessSignal;
import io.spg99.tests.process.Program;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Rule W7: a Safekeeper whose disk fails stops, says why, acknowledges nothing, and recovers. */
@ExtendWith(SharedPlatform.class)
class DiskFaultsIT {

    private static final Duration SOON = Duration.ofSeconds(30);

    private static final int CLIENTS = 4;

    private final Platform platform;

    DiskFaultsIT(Platform platform) {
        this.platform = platform;
    }

    /** Which file's sync fails. */
    enum Synced {
        /** The sync that a commit waits for. */
        SEGMENT("/0000"),
        /** The sync that a promise waits for. */
        CONTROL("/control");

        private final String file;

        Synced(String file) {
            this.file = file;
        }
    }

    /** Two Safekeepers only, so that each commit and each promise needs the one whose disk fails. */
    @Test
    void givenALoad_whenASyncFailsOnce_thenItIsNotRetriedAndNothingIsLost() throws Exception {
        Path order = platform.data().resolve("fail-sync");
        Path library = compile();
        platform.kill("sk2");
        platform.start("sk2", List.of(), Map.of("LD_PRELOAD", library.toString(), "SPG99_FAIL_SYNC", order.toString()));
        TestDatabase database = platform.createDatabase();
        try (Ledger ledger = database.openLedger(CLIENTS, 50)) {
            database.awaitAllFollow();
            platform.kill("sk3");
            for (int round = 0; round < Rounds.of(1, 10); round++) {
                for (Synced synced : Synced.values()) {
                    failOnce(synced, order, database, ledger);
                    ledger.awaitProgress(100);
                    assertFalse(Files.exists(order.resolveSibling("fail-sync.retried")), "the sync was repeated");
                }
            }
            // What was acknowledged is on the disk that failed.
            platform.start("sk3");
            database.awaitAllFollow();
            platform.kill("sk1");
            ledger.awaitProgress(50);
            ledger.stop();
            ledger.verify();
        }
    }

    private void failOnce(Synced synced, Path order, TestDatabase database, Ledger ledger) throws Exception {
        int said = count(platform.log("sk2"), reason(synced));
        Path draft = order.resolveSibling("fail-sync.draft");
        Files.writeString(draft, database.timeline() + synced.file);
        Files.move(draft, order, StandardCopyOption.ATOMIC_MOVE);
        if (synced == Synced.CONTROL) {
            ProcessSignal.KILL.send(database.postmaster());
        }
        Awaitility.await("the sync fails")
                .pollInterval(Duration.ofMillis(1))
                .atMost(SOON)
                .until(() -> !Files.exists(order));
        int acknowledged = ledger.acknowledged();
        Awaitility.await("it stops, and says why")
                .atMost(SOON)
                .until(() -> count(platform.log("sk2"), reason(synced)) > said);
        assertTrue(ledger.acknowledged() <= acknowledged + CLIENTS, "acknowledged without the quorum");
    }

    private static int count(String text, String words) {
        return text.split(Pattern.quote(words), -1).length - 1;
    }

    private static String reason(Synced synced) {
        return switch (synced) {
            case SEGMENT -> "failed, is opened anew later: cannot sync WAL: Input/output error";
            case CONTROL -> "failed, is opened anew later: cannot write the control file: Input/output error";
        };
    }

    private Path compile() throws Exception {
        Path source = platform.data().resolve("failing_sync.c");
        Path library = platform.data().resolve("failing_sync.so");
        try (InputStream in = Objects.requireNonNull(getClass().getResourceAsStream("failing_sync.c"))) {
            Files.copy(in, source, StandardCopyOption.REPLACE_EXISTING);
        }
        assumeTrue(
                Program.succeeds("cc", "-shared", "-fPIC", "-o", library.toString(), source.toString(), "-ldl"),
                "no C compiler: a failing fsync cannot be made");
        return library;
    }

    /** As little as a Safekeeper of one database can live on. */
    private static final int SMALL_MEGABYTES = 64;

    @Test
    void givenALoad_whenTheDiskOfASafekeeperIsFull_thenNothingIsAcknowledgedUntilThereIsRoom() throws Exception {
        SmallDisk.assumePossible();
        Path logs = Files.createDirectory(platform.data().resolve("sk3-logs"));
        Path home = platform.safekeeperDirectory("sk3");
        TestDatabase database = platform.createDatabase();
        database.execute("CREATE TABLE big (filler text)");
        try (Ledger ledger = database.openLedger(4, 50)) {
            platform.kill("sk3");
            FileTree.delete(home);
            Files.createDirectories(home);
            platform.start("sk3", SmallDisk.wrapper(home, logs, SMALL_MEGABYTES), Map.of());
            database.awaitAllFollow();
            platform.kill("sk2");
            ledger.awaitProgress(50);

            Path filler = SmallDisk.seenBy(platform.safekeeper("sk3").pid(), home)
                    .resolve("timelines")
                    .resolve("filler");
            SmallDisk.Filler full = SmallDisk.fill(filler);
            CompletableFuture<Void> load = CompletableFuture.runAsync(
                    () -> write(database), work -> Thread.ofPlatform().daemon().start(work));
            try {
                Awaitility.await("it says that the disk is full")
                        .atMost(SOON)
                        .until(() -> Files.readAllLines(logs.resolve("spg99.log")).stream()
                                .anyMatch(line -> line.contains("is opened anew later")
                                        && line.contains("No space left on device")));
                // Until then it may use up what it had in reserve, and what a snapshot allows to be removed.
                AtomicInteger acknowledged = new AtomicInteger();
                Awaitility.await("nothing is acknowledged")
                        .during(Duration.ofSeconds(Rounds.of(2, 20)))
                        .atMost(Duration.ofSeconds(60))
                        .until(() -> {
                            int now = ledger.acknowledged();
                            return acknowledged.getAndSet(now) == now;
                        });
                assertFalse(load.isDone(), "the load needs more room than there was");
            } finally {
                full.end();
            }
            load.get(60, TimeUnit.SECONDS);
            ledger.awaitProgress(50);
            platform.start("sk2");
            database.awaitAllFollow();
            ledger.stop();
            ledger.verify();
            assertEquals(BIG_ROWS, database.number("SELECT count(*) FROM big"));
        } finally {
            // What was on its disk is lost: it must not come back with an older one.
            platform.kill("sk3");
            FileTree.delete(home);
            FileTree.delete(logs);
        }
    }

    private static final int BIG_ROWS = 40_000;

    /** 40 MB: more than the segments that a Safekeeper has in reserve. */
    private static void write(TestDatabase database) {
        try {
            database.execute(
                    "INSERT INTO big SELECT repeat(md5(g::text), 30) FROM generate_series(1, " + BIG_ROWS + ") g");
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    /** What is found on the disk of a Safekeeper that comes up. */
    enum Damage {
        TORN_SEGMENT {
            @Override
            byte[] make(byte[] segment, int at) {
                return Arrays.copyOf(segment, at);
            }
        },
        FLIPPED_BIT {
            @Override
            byte[] make(byte[] segment, int at) {
                segment[at] ^= 0x10;
                return segment;
            }
        };

        abstract byte[] make(byte[] segment, int at);
    }

    /** Damages the last segment, some records before its end. */
    private static Lsn damage(Path timeline, Damage damage) throws IOException {
        Path segment;
        try (Stream<Path> files = Files.list(timeline)) {
            segment = files.filter(file -> file.getFileName().toString().matches("[0-9A-F]{24}"))
                    .max(Comparator.comparing(file -> file.getFileName().toString()))
                    .orElseThrow();
        }
        byte[] bytes = Files.readAllBytes(segment);
        int end = bytes.length;
        while (bytes[end - 1] == 0) {
            end--;
        }
        int at = end - 3000;
        int segmentSize = bytes.length;
        Files.write(segment, damage.make(bytes, at));
        String name = segment.getFileName().toString();
        long high = Long.parseLong(name.substring(8, 16), 16);
        long low = Long.parseLong(name.substring(16), 16);
        return new Lsn((high << 32) + low * segmentSize + at);
    }

    /** Where the log of a timeline ended when the Safekeeper opened it last. */
    private Lsn openedAt(String id, TestDatabase database) throws IOException {
        Matcher opened = Pattern.compile("timeline=" + database.timeline() + " .* open: .* flushed=(\\S+)")
                .matcher(platform.log(id));
        return opened.results()
                .map(result -> Lsn.parse(result.group(1)))
                .reduce((first, next) -> next)
                .orElseThrow();
    }

    /** Three databases, each damaged in its own way on the disk of one Safekeeper. */
    @Test
    void givenDamagedFiles_whenTheSafekeeperComesUp_thenItBelievesNothingDamagedAndIsFilledFromAPeer()
            throws Exception {
        Map<Damage, TestDatabase> damagedWal = new EnumMap<>(Damage.class);
        List<Ledger> ledgers = new ArrayList<>();
        for (Damage damage : Damage.values()) {
            TestDatabase database = platform.createDatabase();
            damagedWal.put(damage, database);
            ledgers.add(database.openLedger(2, 300));
            database.awaitAllFollow();
        }
        TestDatabase damagedControl = platform.createDatabase();
        ledgers.add(damagedControl.openLedger(2, 300));
        damagedControl.awaitAllFollow();
        platform.kill("sk3");
        Map<TestDatabase, Lsn> damagedAt = new HashMap<>();
        for (Map.Entry<Damage, TestDatabase> entry : damagedWal.entrySet()) {
            TestDatabase database = entry.getValue();
            damagedAt.put(database, damage(platform.timelineDirectory("sk3", database), entry.getKey()));
        }
        Path control = platform.timelineDirectory("sk3", damagedControl).resolve("control");
        byte[] bytes = Files.readAllBytes(control);
        bytes[bytes.length / 2] ^= 0x10;
        Files.write(control, bytes);

        platform.start("sk3");

        for (Map.Entry<TestDatabase, Lsn> entry : damagedAt.entrySet()) {
            entry.getKey().awaitAllFollow();
            Lsn opened = openedAt("sk3", entry.getKey());
            assertFalse(opened.isAfter(entry.getValue()), "opened=" + opened + " damaged=" + entry.getValue());
        }
        Awaitility.await("a clear error")
                .atMost(SOON)
                .until(() -> platform.log("sk3")
                        .contains(damagedControl.timeline()
                                + " safekeeper=sk3 failed, is opened anew later: control file damaged"));
        assertEquals(
                0,
                damagedControl
                        .agent()
                        .number("SELECT count(*) FROM pg_stat_replication WHERE application_name = 'sk3'"));
        for (Ledger ledger : ledgers) {
            ledger.awaitProgress(50);
        }
        // As the operator does it with a file that nobody can read: it is filled from the others then.
        FileTree.delete(control.resolveSibling(".").normalize());
        damagedControl.awaitAllFollow();
        platform.kill("sk1");
        for (Ledger ledger : ledgers) {
            ledger.awaitProgress(50);
            ledger.stop();
            ledger.verify();
        }
    }
}

package io.spg99.tests.fault;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.spg99.storage.file.FileTree;
import io.spg99.tests.process.ApiClient;
import io.spg99.tests.process.DevProcess;
import io.spg99.tests.process.PostgresProcesses;
import io.spg99.tests.process.ProcessSignal;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * The whole program gets SIGKILL at a random moment. Each time it hits five databases: one that is being created, one that
 * boots, one that is at work, one that stops and one that is being deleted.
 */
class ProgramKilledIT {

    private static final String TENANT = "killed";
    private static final long SEED = Long.getLong("spg99.seed", System.nanoTime());

    /** Longer than any of the five takes. */
    private static final int LATEST_KILL_MILLIS = 700;

    /** Of an image, or of WAL segments on one Safekeeper. */
    private static final int MOST_SPARES = 16;

    private static final Duration ORPHAN_LIMIT = Duration.ofSeconds(5);
    private static final Duration SETTLE_LIMIT = Duration.ofSeconds(30);

    private final Random random = new Random(SEED);

    /** How many kills came before the end of what. */
    private final Map<String, Integer> inTheMiddle = new TreeMap<>();

    private Path directory;
    private Path data;
    private DevProcess dev;
    private String user = "";
    private String password = "";

    /** One database of a round, and what its clients know. */
    private static final class Known {

        final String name;
        final Set<Integer> acknowledged = new ConcurrentSkipListSet<>();
        final Set<Integer> asked = new ConcurrentSkipListSet<>();

        /** Answered by the API: it is there. */
        volatile boolean created;

        /** The API said so. */
        volatile boolean stopped;

        volatile boolean deletionAsked;

        /** Answered by the API: it will be gone. */
        volatile boolean deleted;

        Known(String name) {
            this.name = name;
        }
    }

    @BeforeEach
    void start() throws IOException {
        directory = DevProcess.temporaryDirectory();
        data = directory.resolve("data");
        dev = DevProcess.start(data);
    }

    @AfterEach
    void endEverything() throws IOException {
        dev.process().destroyForcibly();
        FileTree.delete(directory);
    }

    @Test
    void givenDatabasesInEveryState_whenTheProgramIsKilled_thenItComesBackToARightState() throws Exception {
        JsonNode tenant =
                dev.api().post("/v2/tenants", "{\"name\":\"" + TENANT + "\"}").body();
        user = tenant.path("pg_user").asText();
        password = tenant.path("pg_password").asText();
        Set<String> clean = files();
        long[] back = new long[Rounds.of(3, 50)];
        for (int round = 0; round < back.length; round++) {
            String context = "seed=" + SEED + " round=" + round;
            List<Known> databases = begin(round);
            killWhileAtWork(databases, context);
            if (Rounds.all() && round % 3 == 0) {
                killWhileItStarts();
            }
            long started = System.nanoTime();
            dev = DevProcess.start(data);
            back[round] = Platform.millisSince(started);
            try {
                for (Known database : databases) {
                    check(database);
                }
                removeAll(databases);
                assertNothingLeft(clean);
            } catch (AssertionError | Exception e) {
                throw new AssertionError(context + " log=" + data + ": " + e.getMessage(), e);
            }
        }
        Rounds.report("dev is ready again after it was killed", back);
        System.out.println("[figures] killed in the middle of: " + inTheMiddle);
    }

    /** Four databases as the five victims need them; the fifth is yet to be made. */
    private List<Known> begin(int round) throws SQLException {
        List<Known> databases = new ArrayList<>();
        for (String state : List.of("created", "boots", "works", "stops", "deleted")) {
            databases.add(new Known(state + "_" + round));
        }
        for (Known database : databases.subList(1, 5)) {
            create(database);
            assertTrue(database.created, database.name);
            insert(database, 3);
        }
        stop(databases.get(1));
        return databases;
    }

    private void killWhileAtWork(List<Known> databases, String context) throws Exception {
        CountDownLatch go = new CountDownLatch(1);
        List<Thread> clients = List.of(
                client(go, () -> create(databases.get(0))),
                client(go, () -> insert(databases.get(1), 10)),
                client(go, () -> insert(databases.get(2), 100_000)),
                client(go, () -> stop(databases.get(3))),
                client(go, () -> delete(databases.get(4))));
        // Rather sooner than later: most of it happens in the first 200 ms.
        double part = random.nextDouble();
        int after = (int) (LATEST_KILL_MILLIS * part * part);
        go.countDown();
        long begin = System.nanoTime();
        Awaitility.await("moment to kill")
                .pollInterval(Duration.ofMillis(1))
                .until(() -> Platform.millisSince(begin) >= after);
        List<ProcessHandle> all = dev.process().toHandle().descendants().toList();
        ProcessSignal.KILL.send(dev.process().pid());
        assertTrue(dev.process().waitFor(5, TimeUnit.SECONDS));
        inTheMiddle.merge("create", databases.get(0).created ? 0 : 1, Integer::sum);
        inTheMiddle.merge("boot", databases.get(1).acknowledged.size() > 3 ? 0 : 1, Integer::sum);
        inTheMiddle.merge("stop", databases.get(3).stopped ? 0 : 1, Integer::sum);
        inTheMiddle.merge("delete", databases.get(4).deleted ? 0 : 1, Integer::sum);
        assertNoOrphans(all, context + " after=" + after + " ms");
        for (Thread client : clients) {
            client.join(Duration.ofSeconds(70));
        }
    }

    /** It is not back yet when it is killed once more. */
    private void killWhileItStarts() throws Exception {
        Process starting = DevProcess.launch(data);
        int after = random.nextInt(4000);
        long begin = System.nanoTime();
        Awaitility.await("moment to kill").until(() -> Platform.millisSince(begin) >= after);
        List<ProcessHandle> all = starting.toHandle().descendants().toList();
        starting.destroyForcibly().waitFor();
        assertNoOrphans(all, "while it started, after=" + after + " ms");
    }

    private void assertNoOrphans(List<ProcessHandle> children, String context) {
        Awaitility.await("end of every process: " + context)
                .atMost(ORPHAN_LIMIT)
                .until(() -> children.stream().noneMatch(ProcessHandle::isAlive)
                        && PostgresProcesses.workingBelow(data).isEmpty());
    }

    private interface Work {
        void run() throws SQLException;
    }

    private static Thread client(CountDownLatch go, Work work) {
        return Thread.ofPlatform().daemon().start(() -> {
            try {
                go.await();
                work.run();
            } catch (SQLException | RuntimeException e) {
                // The program is killed under it: what was not answered is not known.
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
    }

    private void create(Known database) {
        ApiClient.Answer answer =
                dev.api().post("/v2/tenants/" + TENANT + "/dbs", "{\"name\":\"" + database.name + "\"}");
        database.created = answer.status() == 201;
    }

    private void stop(Known database) {
        dev.api().stop(TENANT, database.name);
        database.stopped = true;
    }

    private void delete(Known database) {
        database.deletionAsked = true;
        database.deleted = dev.api().delete(path(database) + "?force=true").status() == 202;
    }

    private static String path(Known database) {
        return "/v2/tenants/" + TENANT + "/dbs/" + database.name;
    }

    private Connection connect(Known database) throws SQLException {
        return DriverManager.getConnection(dev.jdbcUrl(database.name), user, password);
    }

    /** Commits numbers one by one, which wakes the database if it sleeps. */
    private void insert(Known database, int count) throws SQLException {
        try (Connection connection = connect(database);
                Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE IF NOT EXISTS numbers (n int)");
            for (int i = 0; i < count; i++) {
                int number = database.asked.size() + 1;
                database.asked.add(number);
                statement.execute("INSERT INTO numbers VALUES (" + number + ")");
                database.acknowledged.add(number);
            }
        }
    }

    private void check(Known database) throws SQLException {
        boolean there = awaitSettled(database);
        if (database.deleted) {
            assertTrue(!there, "deleted, and there again: " + database.name);
        } else if (database.created && !database.deletionAsked) {
            assertTrue(there, "lost: " + database.name);
        }
        if (!there && !database.created) {
            // Its name is free.
            create(database);
            assertTrue(database.created, "cannot be created: " + database.name);
            there = true;
        }
        if (there) {
            database.created = true;
            checkNumbers(database);
            insert(database, 1);
        } else {
            database.created = false;
        }
    }

    /** By itself: nobody connects to it or calls the API meanwhile. */
    private boolean awaitSettled(Known database) {
        Set<String> settled = Set.of("stopped", "ready");
        ApiClient.Answer[] last = new ApiClient.Answer[1];
        Awaitility.await("right state of " + database.name)
                .atMost(SETTLE_LIMIT)
                .pollInterval(Duration.ofMillis(20))
                .until(() -> {
                    last[0] = dev.api().get(path(database));
                    return last[0].status() == 404
                            || settled.contains(last[0].body().path("state").asText());
                });
        return last[0].status() != 404;
    }

    private void checkNumbers(Known database) throws SQLException {
        List<Integer> found = new ArrayList<>();
        try (Connection connection = connect(database);
                Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE IF NOT EXISTS numbers (n int)");
            try (ResultSet row = statement.executeQuery("SELECT n FROM numbers")) {
                while (row.next()) {
                    found.add(row.getInt(1));
                }
            }
        }
        Set<Integer> distinct = new HashSet<>(found);
        assertEquals(found.size(), distinct.size(), "written twice: " + database.name + " " + found);
        assertTrue(distinct.containsAll(database.acknowledged), "lost: " + database.name + " found=" + found);
        assertTrue(database.asked.containsAll(distinct), "invented: " + database.name + " found=" + found);
    }

    private void removeAll(List<Known> databases) {
        databases.stream().filter(database -> database.created).forEach(this::delete);
        for (Known database : databases) {
            Awaitility.await("deletion of " + database.name)
                    .atMost(SETTLE_LIMIT)
                    .until(() -> dev.api().get(path(database)).status() == 404);
        }
    }

    private void assertNothingLeft(Set<String> clean) throws IOException {
        Awaitility.await("directories as before").atMost(SETTLE_LIMIT).untilAsserted(() -> {
            Set<String> now = files();
            Set<String> leaked = new TreeSet<>(now);
            leaked.removeAll(clean);
            Set<String> missing = new TreeSet<>(clean);
            missing.removeAll(now);
            assertEquals(Set.of(), leaked, "leaked");
            assertEquals(Set.of(), missing, "missing");
        });
        // One server may wait for the next generation.
        Path run = data.resolve("postgres").toRealPath().resolve("run");
        Path spare = run.resolve(".spare");
        try (Stream<Path> waiting = Files.list(spare)) {
            assertTrue(waiting.count() <= 1, "more than one waiting server");
        }
        assertEquals(PostgresProcesses.workingIn(spare), PostgresProcesses.workingIn(run));
        Path shared = run.resolve(".readthrough");
        if (Files.isDirectory(shared)) {
            try (Stream<Path> maps = Files.list(shared)) {
                assertTrue(maps.count() <= 1, "more maps than the waiting server's");
            }
        }
    }

    /** Everything that a database might leave; spare files count only if there are more than are ever kept. */
    private Set<String> files() throws IOException {
        Set<String> found = new TreeSet<>();
        for (String place : List.of("objects", "safekeepers", "postgres/run", "postgres/images")) {
            Path root = data.resolve(place).toRealPath();
            try (Stream<Path> tree = Files.walk(root, 4)) {
                for (Path path : tree.toList()) {
                    String name = place + "/" + root.relativize(path);
                    if (!name.matches(".*/(spare|files/|[.]tls/|[.]spare|[.]readthrough).*")) {
                        found.add(name);
                    } else if (name.endsWith("/spare") || name.endsWith("/files")) {
                        spares(path).forEach(found::add);
                    }
                }
            }
        }
        return found;
    }

    /** Beside the files of an image, or in the Safekeeper's directory of them. */
    private static List<String> spares(Path path) throws IOException {
        Path place = path.endsWith("files") ? path.resolveSibling(".").normalize() : path;
        try (Stream<Path> content = Files.list(place)) {
            List<String> spares = content.map(spare -> spare.getFileName().toString())
                    .filter(name -> name.matches("spare-.*|[0-9]+-.*"))
                    .sorted()
                    .toList();
            boolean unfinished = spares.stream().anyMatch(name -> name.endsWith(".tmp"));
            return unfinished || spares.size() > MOST_SPARES ? spares : List.of();
        }
    }
}

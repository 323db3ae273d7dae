package io.spg99.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.file.FileTree;
import io.spg99.tests.ledger.Ledger;
import io.spg99.tests.process.DevProcess;
import io.spg99.tests.process.SafekeeperProcess;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;

/** Three Safekeepers in processes of their own, beside a program that stops and dies; what only they can see goes wrong. */
class SafekeeperProcessesIT {

    private static final List<String> ALL = List.of("sk1", "sk2", "sk3");

    private final Map<String, SafekeeperProcess> safekeepers = new HashMap<>();
    private final List<Process> launched = new ArrayList<>();
    private Path directory;
    private Path data;
    private int clusterPort;

    @BeforeEach
    void makeDirectory() throws IOException {
        directory = DevProcess.temporaryDirectory();
        data = directory.resolve("data");
        clusterPort = DevProcess.freePort();
    }

    @AfterEach
    void endEverything() throws IOException {
        launched.forEach(Process::destroyForcibly);
        safekeepers.values().forEach(SafekeeperProcess::close);
        FileTree.delete(directory);
    }

    private Process launchDev() throws IOException {
        Process dev =
                DevProcess.launch(data, "--safekeepers", "external", "--cluster-port", String.valueOf(clusterPort));
        launched.add(dev);
        return dev;
    }

    private void start(String id) throws IOException {
        safekeepers.put(id, SafekeeperProcess.start(data, id, clusterPort));
    }

    private SafekeeperProcess safekeeper(String id) {
        return Objects.requireNonNull(safekeepers.get(id), id);
    }

    private void kill(String id) {
        safekeeper(id).kill();
    }

    /** As a user does it for the first time: dev first, which makes the certificates, then the Safekeepers. */
    private DevProcess startEverything() throws IOException {
        Process dev = launchDev();
        Awaitility.await("certificate authority")
                .atMost(Duration.ofSeconds(30))
                .until(() -> Files.exists(data.resolve("pki").resolve("ca.crt")));
        for (String id : ALL) {
            start(id);
        }
        return DevProcess.ready(dev, data);
    }

    private static Ledger openLedger(DevProcess dev) throws Exception {
        Ledger ledger = new Ledger(dev.jdbcUrl(), dev.user(), dev.password());
        ledger.createTable();
        ledger.start(4);
        ledger.awaitProgress(100);
        return ledger;
    }

    /** One scenario, because a platform of four JVMs takes seconds to start. */
    @Test
    void givenALedger_whenTheRestOrEverythingDies_thenNothingAcknowledgedIsMissing() throws Exception {
        Ledger ledger;
        try (DevProcess dev = startEverything()) {
            safekeepers.values().forEach(SafekeeperProcess::awaitReady);
            ledger = openLedger(dev);
            dev.kill();
        }
        ledger.stop();

        // The Safekeepers have stayed up.
        try (DevProcess dev = DevProcess.ready(launchDev(), data)) {
            ledger.at(dev.jdbcUrl()).verify();
            ledger.dropTable();
            ledger = openLedger(dev);
            ALL.forEach(this::kill);
            dev.kill();
        }
        ledger.stop();

        // The Safekeepers first this time: they wait for their seed.
        for (String id : ALL) {
            start(id);
        }
        try (DevProcess dev = DevProcess.ready(launchDev(), data)) {
            ledger.at(dev.jdbcUrl()).verify();
        }
        if (Boolean.getBoolean("spg99.long")) {
            // It has stopped in order this time, and they have stayed up.
            try (DevProcess dev = DevProcess.ready(launchDev(), data)) {
                ledger.at(dev.jdbcUrl()).verify();
            }
        }
        SafekeeperProcess.stopAll(safekeepers.values());
    }

    /** Frozen in mid-stream: its connection to the writer stays until that gives it up. */
    @Test
    @EnabledIfSystemProperty(named = "spg99.long", matches = "true", disabledReason = "24 s: mvn verify -Plong")
    void givenAFrozenSafekeeper_whenALoadGoesOn_thenItsWalIsNotKeptAndItFillsUpFromAPeer() throws Exception {
        try (DevProcess dev = startEverything()) {
            safekeepers.values().forEach(SafekeeperProcess::awaitReady);
            assertEquals(1, BulkLoad.number(dev, "SELECT 1"));
            BulkLoad load = new BulkLoad(dev);
            Awaitility.await("all three follow")
                    .atMost(Duration.ofSeconds(30))
                    .until(() -> load.writer().number("SELECT count(*) FROM pg_stat_replication") == 3);

            safekeeper("sk3").freeze();
            load.run();
            load.awaitWalRemoved();
            safekeeper("sk3").thaw();

            Awaitility.await("sk3 has what the others have")
                    .atMost(Duration.ofMinutes(2))
                    .until(() -> load.writer()
                                    .number("SELECT count(*) FROM pg_stat_replication WHERE application_name = 'sk3'"
                                            + " AND flush_lsn >= (SELECT max(flush_lsn) FROM pg_stat_replication)")
                            == 1);
            kill("sk1");
            load.verify();
            Ledger ledger = openLedger(dev);
            ledger.stop();
            ledger.verify();
        }
    }

    /** What must not happen: the slot is dropped while nobody takes WAL. The transaction is lost, the database is not. */
    @Test
    @EnabledIfSystemProperty(named = "spg99.long", matches = "true", disabledReason = "16 s: mvn verify -Plong")
    void givenAWriterThatRemovedWhatNobodyHas_whenTheSafekeepersComeBack_thenItIsReplaced() throws Exception {
        try (DevProcess dev = startEverything()) {
            safekeepers.values().forEach(SafekeeperProcess::awaitReady);
            assertEquals(1, BulkLoad.number(dev, "SELECT 1"));
            BulkLoad load = new BulkLoad(dev);
            for (String id : ALL) {
                safekeeper(id).freeze();
            }
            load.writer().number("SELECT 1 FROM pg_drop_replication_slot('spg99_quorum')");

            CompletableFuture<Void> lost = load.runAhead();
            for (String id : ALL) {
                safekeeper(id).thaw();
            }

            assertThrows(ExecutionException.class, () -> lost.get(90, TimeUnit.SECONDS));
            assertEquals(0, BulkLoad.number(dev, "SELECT count(*) FROM pg_class WHERE relname = 'loaded'"));
            assertTrue(
                    Files.readString(data.resolve("logs").resolve("spg99.log"))
                            .contains("writer lost: the writer no longer has the WAL that its Safekeepers lack"),
                    "the reason is logged");
        }
    }

    private void assertRefused(String hint, String... options) throws Exception {
        Process process = SafekeeperProcess.launch(options);
        launched.add(process);
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertTrue(process.waitFor(30, TimeUnit.SECONDS), "did not end: " + output);
        assertEquals(1, process.exitValue(), output);
        assertEquals(1, output.lines().count(), output);
        assertTrue(output.startsWith("spg99: ") && output.contains(hint), output);
    }

    @Test
    void givenAWrongCall_whenStarted_thenOneLineSaysWhatToDo() throws Exception {
        Path pki = Files.createDirectory(directory.resolve("pki"));
        Files.createFile(pki.resolve("ca.crt"));
        Path foreign = Files.createDirectory(directory.resolve("foreign"));
        Files.writeString(foreign.resolve("thesis.txt"), "years of work");
        Path another = Files.createDirectory(directory.resolve("another"));
        Files.writeString(another.resolve("node.json"), "{\"safekeeper\":\"sk2\"}");
        try (ServerSocket busy = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            String port = String.valueOf(busy.getLocalPort());
            String mine = directory.resolve("mine").toString();
            assertRefused("use dev", call("compute", "sk1", mine, pki));
            assertRefused("--safekeeper-id", call("safekeeper", "sk4", mine, pki));
            assertRefused("--pki", call("safekeeper", "sk1", mine, foreign));
            assertRefused("--data", call("safekeeper", "sk1", foreign.toString(), pki));
            assertRefused("Safekeeper sk2", call("safekeeper", "sk1", another.toString(), pki));
            assertRefused("--port", call("safekeeper", "sk1", mine, pki, "--port", port));
            assertRefused("--wal-port", call("safekeeper", "sk1", mine, pki, "--wal-port", port));
            assertRefused("--seeds", call("safekeeper", "sk1", mine, pki, "--seeds", "nowhere"));
            assertRefused("--host", call("safekeeper", "sk1", mine, pki, "--host", "192.0.2.1"));
        }
    }

    private static String[] call(String role, String id, String data, Path pki, String... more) {
        List<String> options = new ArrayList<>(
                List.of("--roles", role, "--safekeeper-id", id, "--data", data, "--pki", pki.toString()));
        if (!List.of(more).contains("--seeds")) {
            options.addAll(List.of("--seeds", "127.0.0.1:1"));
        }
        options.addAll(List.of(more));
        return options.toArray(String[]::new);
    }
}

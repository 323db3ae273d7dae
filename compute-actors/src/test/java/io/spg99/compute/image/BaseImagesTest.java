package io.spg99.compute.image;

import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.compute.testing.TestPlatform;
import io.spg99.storage.postgres.PgControl;
import io.spg99.storage.postgres.PostgresBinaries;
import io.spg99.storage.postgres.WalFiles;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.wal.TimelineId;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class BaseImagesTest {

    private static final TimelineId TIMELINE = new TimelineId("0".repeat(32));

    private final TestPlatform platform = TestPlatform.shared();

    @Test
    void givenImage_whenTimelinesBegin_thenEachHasAnIdentityOfItsOwn() throws Exception {
        platform.images().ensure();

        TimelineBase one = platform.images().newBase(TIMELINE);
        TimelineBase two = platform.images().newBase(TIMELINE);

        assertNotEquals(one.systemIdentifier(), two.systemIdentifier());
        WalFiles.SegmentHeader header = WalFiles.SegmentHeader.read(one.firstWal());
        assertEquals(
                new WalFiles.SegmentHeader(
                        WalFiles.PAGE_MAGIC, 1, one.start(), one.systemIdentifier(), one.segmentSize()),
                header);
        assertEquals(0, one.start().offset(one.segmentSize()));
        assertEquals(160, one.firstWal().length);
        // The record is a shutdown checkpoint: info 0, resource manager 0.
        assertEquals(0, one.firstWal()[WalFiles.LONG_HEADER + 16]);
        assertEquals(0, one.firstWal()[WalFiles.LONG_HEADER + 17]);
        // But for the system identifier the bytes are those that initdb wrote.
        assertArrayEquals(Arrays.copyOfRange(one.firstWal(), 32, 160), Arrays.copyOfRange(two.firstWal(), 32, 160));
    }

    @Test
    void givenImage_whenMaterialized_thenFilesHaveTheTimelinesIdentityAndASecretOfTheirOwn() throws Exception {
        String key = platform.images().ensure();
        TimelineBase base = platform.images().newBase(TIMELINE);
        Path directory = platform.directory("materialize");

        for (String name : new String[] {"a", "b", "c", "d", "e"}) { // more than there are spares
            platform.images().layOut(key, directory.resolve(name));
            platform.images().materialize(key, base, directory.resolve(name));
        }

        PgControl control = PgControl.read(directory.resolve("a"));
        assertEquals(base.systemIdentifier(), control.systemIdentifier());
        assertTrue(control.isShutDown());
        assertEquals(base.start().plus(WalFiles.LONG_HEADER), control.checkpoint());
        byte[] a = Files.readAllBytes(directory.resolve("a/global/pg_control"));
        byte[] b = Files.readAllBytes(directory.resolve("b/global/pg_control"));
        assertFalse(Arrays.equals(a, b), "nonces differ");
        assertEquals(
                "rwx------",
                java.nio.file.attribute.PosixFilePermissions.toString(
                        Files.getPosixFilePermissions(directory.resolve("d"))));
        assertEquals(platform.user().uid(), Files.getAttribute(directory.resolve("d/PG_VERSION"), "unix:uid"));
        try (Stream<Path> wal = Files.walk(directory.resolve("a/pg_wal"))) {
            assertTrue(wal.noneMatch(Files::isRegularFile), "no WAL in the image");
        }
        await("spares are made again").until(() -> platform.images().spares(key) >= 3);
    }

    @Test
    void givenImageInObjectStorage_whenAnotherNodeNeedsIt_thenItComesFromThereWithoutInitdb() throws Exception {
        String key = platform.images().ensure();
        PostgresBinaries broken = new PostgresBinaries(
                Path.of("/nonexistent"), platform.binaries().version());
        try (BaseImages other = new BaseImages(
                broken,
                platform.user(),
                platform.objects(),
                platform.directory("other").resolve("images"))) {
            assertEquals(key, other.ensure());
            assertEquals(
                    platform.images().newBase(TIMELINE).start(),
                    other.newBase(TIMELINE).start());
        }
        assertTrue(platform.objects().exists("images/" + key + ".json"));
    }

    @Test
    void givenTwoNodesWithoutImage_whenBothMakeIt_thenTheyAgree() throws Exception {
        var objects = new io.spg99.storage.object.LocalObjectStore(platform.directory("objects"));
        try (BaseImages one = new BaseImages(
                        platform.binaries(),
                        platform.user(),
                        objects,
                        platform.directory("n1").resolve("images"));
                BaseImages two = new BaseImages(
                        platform.binaries(),
                        platform.user(),
                        objects,
                        platform.directory("n2").resolve("images"))) {
            CompletableFuture<byte[]> first = CompletableFuture.supplyAsync(() -> firstWal(one));
            CompletableFuture<byte[]> second = CompletableFuture.supplyAsync(() -> firstWal(two));
            assertArrayEquals(first.get(), second.get());
        }
    }

    @Test
    void givenAnImageThatWasPrepared_whenAnotherPlatformNeedsIt_thenItIsNotMadeAgain() throws Exception {
        Path directory = platform.directory("prepared");
        String before = System.getProperty(PREPARED);
        System.setProperty(PREPARED, directory.toString());
        try {
            byte[] made = ensure(platform.binaries());
            byte[] again = ensure(new PostgresBinaries(
                    Path.of("/nonexistent"), platform.binaries().version()));
            assertArrayEquals(made, again);
            try (Stream<Path> files = Files.list(directory.resolve("images"))) {
                assertEquals(1, files.count());
            }
        } finally {
            if (before == null) {
                System.clearProperty(PREPARED);
            } else {
                System.setProperty(PREPARED, before);
            }
        }
    }

    private static final String PREPARED = "spg99.prepared";

    private byte[] ensure(PostgresBinaries binaries) throws IOException {
        Path directory = platform.directory("platform");
        var objects = new io.spg99.storage.object.LocalObjectStore(directory.resolve("objects"));
        try (BaseImages images = new BaseImages(binaries, platform.user(), objects, directory.resolve("images"))) {
            return firstWal(images);
        }
    }

    @Test
    void givenACacheOfAnEarlierBoot_whenUsed_thenItComesFromObjectStorageAgain() throws Exception {
        String key = platform.images().ensure();
        Path cache = platform.directory("boot");
        try (BaseImages first =
                new BaseImages(platform.binaries(), platform.user(), platform.objects(), cache.resolve("images"))) {
            first.ensure();
        }
        Path files = cache.resolve("images").resolve(key);
        Files.writeString(files.resolve("boot"), "another");
        Files.delete(files.resolve("files/PG_VERSION"));
        try (BaseImages second =
                new BaseImages(platform.binaries(), platform.user(), platform.objects(), cache.resolve("images"))) {
            assertTrue(Files.exists(second.files(second.ensure()).resolve("PG_VERSION")));
        }
    }

    private static byte[] firstWal(BaseImages images) {
        try {
            byte[] wal = images.newBase(TIMELINE).firstWal();
            return Arrays.copyOfRange(
                    wal, 32, wal.length); // behind the system identifier; the checkpoint's time differs
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void givenAUsedDirectory_whenDiscarded_thenItIsASpareThatEqualsTheImage() throws Exception {
        String key = platform.images().ensure();
        TimelineBase base = platform.images().newBase(TIMELINE);
        Path directory = platform.directory("discard");
        Path pgdata = directory.resolve("pgdata");
        try (BaseImages images =
                new BaseImages(platform.binaries(), platform.user(), platform.objects(), directory.resolve("images"))) {
            images.ensure();
            await().until(() -> images.spares(key) == 3);
            images.layOut(key, pgdata);
            images.materialize(key, base, pgdata);
            Files.writeString(pgdata.resolve("base/secret"), "a tenant's");
            Files.createDirectories(pgdata.resolve("base/4711/deep"));
            Files.writeString(pgdata.resolve("base/4711/deep/file"), "a tenant's");
            Files.write(pgdata.resolve("global/pg_filenode.map"), new byte[20_000]);
            Files.write(pgdata.resolve("PG_VERSION"), new byte[0]);
            Files.createSymbolicLink(pgdata.resolve("pg_tblspc/1"), directory);

            images.discard(key, pgdata);

            assertFalse(Files.exists(pgdata));
            Path files = directory.resolve("images").resolve(key).resolve("files");
            try (Stream<Path> spares = Files.list(files.getParent())) {
                for (Path spare : spares.filter(f -> f.getFileName().toString().startsWith("spare-"))
                        .toList()) {
                    assertEquals(content(files), content(spare));
                }
            }
            assertTrue(Files.isDirectory(directory), "links are not followed");
        }
    }

    @Test
    void givenADirectoryThatLacksAFile_whenDiscarded_thenItIsDeleted() throws Exception {
        String key = platform.images().ensure();
        TimelineBase base = platform.images().newBase(TIMELINE);
        Path pgdata = platform.directory("lacks").resolve("pgdata");
        platform.images().layOut(key, pgdata);
        platform.images().materialize(key, base, pgdata);
        await().until(() -> platform.images().spares(key) >= 3);
        int before = platform.images().spares(key);
        Files.delete(pgdata.resolve("global/pg_filenode.map"));

        platform.images().discard(key, pgdata);

        assertFalse(Files.exists(pgdata));
        assertEquals(before, platform.images().spares(key));
    }

    /** Every path below the directory, with what it holds. */
    private static Map<Path, String> content(Path directory) throws IOException {
        Map<Path, String> content = new TreeMap<>();
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path file : files.toList()) {
                content.put(
                        directory.relativize(file),
                        Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)
                                ? HexFormat.of().formatHex(Files.readAllBytes(file))
                                : "directory");
            }
        }
        return content;
    }

    @Test
    void givenUnknownImage_whenLaidOut_thenErrorNamesIt() throws Exception {
        Path pgdata = platform.directory("unknown").resolve("pgdata");

        IOException e = assertThrows(IOException.class, () -> platform.images().layOut("pg1", pgdata));

        assertTrue(e.toString().contains("images/pg1"), e.getMessage());
    }

    @Test
    void givenDamagedControlFile_whenRead_thenItIsRefused() throws Exception {
        String key = platform.images().ensure();
        TimelineBase base = platform.images().newBase(TIMELINE);
        Path pgdata = platform.directory("damaged").resolve("pgdata");
        platform.images().layOut(key, pgdata);
        platform.images().materialize(key, base, pgdata);
        Path file = pgdata.resolve("global/pg_control");
        byte[] bytes = Files.readAllBytes(file);

        bytes[40] ^= 1;
        Files.write(file, bytes);
        assertTrue(assertThrows(IOException.class, () -> PgControl.read(pgdata))
                .toString()
                .contains("checksum"));
        bytes[8] ^= 1;
        Files.write(file, bytes);
        assertTrue(assertThrows(IOException.class, () -> PgControl.read(pgdata))
                .toString()
                .contains("version"));
    }
}

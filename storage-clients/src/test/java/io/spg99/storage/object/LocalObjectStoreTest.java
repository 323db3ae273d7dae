package io.spg99.storage.object;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.file.FileTree;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LocalObjectStoreTest {

    @TempDir
    Path directory;

    private LocalObjectStore store;

    @BeforeEach
    void open() throws IOException {
        store = new LocalObjectStore(directory.resolve("store"));
    }

    private byte[] read(String key) throws IOException {
        try (InputStream in = store.open(key)) {
            return in.readAllBytes();
        }
    }

    @Test
    void givenAName_whenPutTwice_thenTheFirstStays() throws IOException {
        assertTrue(store.putIfAbsent("images/a", new byte[] {1}));
        Path file = Files.write(directory.resolve("file"), new byte[] {2, 3});

        assertFalse(store.putIfAbsent("images/a", file));
        assertTrue(store.putIfAbsent("images/b", file));

        assertArrayEquals(new byte[] {1}, read("images/a"));
        assertArrayEquals(new byte[] {2, 3}, read("images/b"));
    }

    @Test
    void givenATimeline_whenDeletedWhole_thenNothingOfItIsLeft() throws IOException {
        store.putIfAbsent("timelines/a/layers/x", new byte[] {1});
        store.putIfAbsent("timelines/ab/layers/x", new byte[] {1});
        Files.createDirectories(directory.resolve("store/timelines/a/wal"));

        store.deleteAll("timelines/a/");
        store.deleteAll("timelines/none/");

        assertEquals(List.of("timelines/ab/layers/x"), store.list(""));
        assertFalse(Files.exists(directory.resolve("store/timelines/a")));
    }

    @Test
    void givenAFileThatAKilledProcessLeft_whenOpened_thenItIsRemoved() throws IOException {
        Path temporary = directory.resolve("store/.tmp");
        Path abandoned = Files.write(temporary.resolve("abandoned"), new byte[] {1});
        Path held = Files.write(temporary.resolve("held"), new byte[] {1});

        try (FileChannel channel = FileChannel.open(held, StandardOpenOption.WRITE);
                FileLock lock = channel.lock()) {
            new LocalObjectStore(directory.resolve("store"));
            assertTrue(lock.isValid());
        }

        assertFalse(Files.exists(abandoned));
        assertTrue(Files.exists(held));
    }

    @Test
    void givenTheLastObjectOfADirectory_whenDeleted_thenTheDirectoryIsGoneToo() throws IOException {
        store.putIfAbsent("timelines/a/layers/x", new byte[] {1});
        store.putIfAbsent("timelines/b", new byte[] {1});

        store.delete("timelines/a/layers/x");

        assertFalse(Files.exists(directory.resolve("store/timelines/a")));
        assertTrue(store.exists("timelines/b"));
        assertTrue(store.putIfAbsent("timelines/a/layers/x", new byte[] {2}));
    }

    @Test
    void givenManyWriters_whenPuttingOneName_thenExactlyOneWinsAndNoTemporaryFileIsLeft() throws Exception {
        try (ExecutorService executor = Executors.newFixedThreadPool(8)) {
            List<Callable<Boolean>> writers = new ArrayList<>();
            for (int i = 0; i < 16; i++) {
                byte[] content = {(byte) i};
                writers.add(() -> store.putIfAbsent("contested", content));
            }
            int won = 0;
            for (Future<Boolean> result : executor.invokeAll(writers)) {
                won += result.get() ? 1 : 0;
            }
            assertEquals(1, won);
        }
        try (Stream<Path> left = Files.list(directory.resolve("store/.tmp"))) {
            assertEquals(0, left.count());
        }
    }

    @Test
    void givenObjects_whenTheirSizeIsAsked_thenThoseWithThePrefixCount() throws IOException {
        store.putIfAbsent("t/a", new byte[3]);
        store.putIfAbsent("t/b/1", new byte[5]);
        store.putIfAbsent("tt", new byte[7]);

        assertEquals(8, store.size("t/"));
        assertEquals(0, store.size("nothing/here"));
    }

    @Test
    void givenObjects_whenListed_thenThoseWithThePrefixComeSorted() throws IOException {
        for (String key : List.of("t/b/2", "t/b/1", "t/a", "tt", "u/x")) {
            store.putIfAbsent(key, new byte[0]);
        }

        assertEquals(List.of("t/a", "t/b/1", "t/b/2", "tt"), store.list("t"));
        assertEquals(List.of("t/b/1", "t/b/2"), store.list("t/b/"));
        assertEquals(List.of("t/a", "t/b/1", "t/b/2", "tt", "u/x"), store.list(""));
        assertEquals(List.of(), store.list("nothing/here"));
    }

    @Test
    void givenObjectsThatAreDeletedMeanwhile_whenListed_thenTheOthersAreFound() throws Exception {
        store.putIfAbsent("t/there", new byte[0]);
        Path listed = directory.resolve("store/t");
        AtomicBoolean over = new AtomicBoolean();
        try (ExecutorService executor = Executors.newFixedThreadPool(2)) {
            // Without the store: it syncs, which is too slow to be met often.
            List<Future<Boolean>> others = new ArrayList<>();
            for (int i = 0; i < 2; i++) {
                Path other = listed.resolve("other-" + i);
                others.add(executor.submit(() -> {
                    while (!over.get()) {
                        for (int j = 0; j < 20; j++) {
                            Files.write(
                                    Files.createDirectories(other.resolve("" + j))
                                            .resolve("x"),
                                    new byte[0]);
                        }
                        FileTree.delete(other);
                    }
                    return true;
                }));
            }
            try {
                for (int i = 0; i < 2000; i++) {
                    assertTrue(store.list("t/").contains("t/there"));
                }
            } finally {
                over.set(true);
            }
            for (Future<Boolean> other : others) {
                assertTrue(other.get());
            }
        }
    }

    @Test
    void givenNoObject_whenOpenedOrDeleted_thenOnlyOpeningFails() throws IOException {
        assertThrows(FileNotFoundException.class, () -> store.open("missing"));
        store.delete("missing");
        store.putIfAbsent("there", new byte[0]);
        store.delete("there");
        assertFalse(store.exists("there"));
    }

    @Test
    void givenAKeyThatWouldEscape_whenUsed_thenRefused() {
        for (String key :
                List.of("", "/", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", ".tmp/x", "a b", "a\0b", "ä")) {
            assertThrows(IllegalArgumentException.class, () -> store.putIfAbsent(key, new byte[0]), key);
            assertThrows(IllegalArgumentException.class, () -> store.open(key), key);
        }
    }
}

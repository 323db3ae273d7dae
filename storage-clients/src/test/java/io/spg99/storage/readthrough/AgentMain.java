package io.spg99.storage.readthrough;

import io.spg99.storage.postgres.OsUser;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.slf4j.LoggerFactory;

/**
 * An agent in a process of its own that uses up its file descriptors, says so, and gives them back when it is told to:
 * {@code <data directory> <shared directory>}.
 */
final class AgentMain {

    static final String NONE_LEFT = "no descriptors are left";

    private AgentMain() {}

    /** @param descriptors that it may have */
    static Process start(Path pgdata, Path shared, int descriptors) throws IOException {
        return new ProcessBuilder(
                        "/bin/sh",
                        "-c",
                        "ulimit -n " + descriptors + " && exec \"$0\" \"$@\"",
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-XX:-MaxFDLimit",
                        "-XX:TieredStopAtLevel=1",
                        "-cp",
                        System.getProperty("java.class.path"),
                        AgentMain.class.getName(),
                        pgdata.toString(),
                        shared.toString())
                .redirectErrorStream(true)
                .start();
    }

    public static void main(String[] arguments) throws Exception {
        Path shared = Path.of(arguments[1]);
        ReadThroughSettings settings =
                new ReadThroughSettings(Duration.ofSeconds(9), Duration.ofSeconds(9), Duration.ofMillis(20), 1L << 30);
        ReadThrough agent = ReadThrough.open(
                Path.of(arguments[0]), shared, new OsUser("self", 0, 0, false), new PatternSource(), settings);
        warmUp(agent, shared);
        Deque<InputStream> open = new ArrayDeque<>();
        try {
            while (true) {
                open.add(new FileInputStream(new File("/dev/null")));
            }
        } catch (FileNotFoundException e) {
            System.out.println(NONE_LEFT);
        }
        int told = System.in.read();
        for (InputStream one : open) {
            one.close();
        }
        if (told >= 0) {
            new CountDownLatch(1).await();
        }
    }

    /** Classes are files: those that are needed later are loaded now. */
    private static void warmUp(ReadThrough agent, Path shared) throws Exception {
        LoggerFactory.getLogger(AgentMain.class).warn("warming up", new IOException("none"));
        try (SocketChannel process = SocketChannel.open(UnixDomainSocketAddress.of(shared.resolve("socket")))) {
            for (int i = 0; i < 2; i++) {
                agent.fetch(List.of(new BlockRange(ReadThroughTest.TABLE, 50, 1)))
                        .toCompletableFuture()
                        .get();
            }
            process.shutdownOutput();
            if (process.read(ByteBuffer.allocate(1)) >= 0) {
                throw new IOException("not expected to say anything");
            }
        }
    }
}

package io.spg99.storage.postgres;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;

/** A program that owns a PostgreSQL server and is killed by a test: {@code <binaries> <run directory> <signal|watchdog>}. */
final class OwnerMain {

    private OwnerMain() {}

    public static void main(String[] arguments) throws Exception {
        PostgresBinaries binaries = new PostgresBinaries(Path.of(arguments[0]), "test");
        OsUser user = OsUser.forPostgres();
        Path pgdata = user.createPrivateDirectory(Path.of(arguments[1]).resolve("pgdata"));
        Programs.run(
                user.command(List.of(
                        binaries.program("initdb").toString(), "-D", pgdata.toString(), "--no-sync", "--auth=reject")),
                PostgresProcess.environment(),
                "",
                Duration.ofMinutes(1));
        PostgresProcess server = PostgresProcess.start(
                new PostgresProcess.Launch(
                        binaries,
                        user,
                        pgdata,
                        Map.of(
                                "listen_addresses",
                                "",
                                "unix_socket_directories",
                                ".",
                                "dynamic_shared_memory_type",
                                "mmap"),
                        false,
                        System.err::println),
                arguments[2].equals("signal"));
        server.ready().toCompletableFuture().get();
        System.out.println(server.pid());
        new CountDownLatch(1).await();
    }
}

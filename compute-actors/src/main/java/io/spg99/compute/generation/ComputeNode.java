package io.spg99.compute.generation;

import io.spg99.compute.image.StartFiles;
import io.spg99.storage.file.FileTree;
import io.spg99.storage.postgres.NativeLibrary;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.postgres.PgControl;
import io.spg99.storage.postgres.PgWalDirectory;
import io.spg99.storage.postgres.PostgresBinaries;
import io.spg99.storage.postgres.PostgresLog;
import io.spg99.storage.postgres.PostgresProcess;
import io.spg99.storage.readthrough.ReadThroughFigures;
import io.spg99.storage.safekeeper.WriterAddress;
import io.spg99.storage.socket.UnixSocket;
import io.spg99.storage.tls.TlsIdentity;
import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.time.Clock;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What the generations of one node share, and the blocking steps they are made of. One per node: everything in its run
 * directory is its own.
 *
 * <pre>
 * &lt;run&gt;/&lt;databaseId&gt;/&lt;generation&gt;   PGDATA
 * &lt;run&gt;/.tls                        the node's identity, for PostgreSQL to read
 * </pre>
 */
public class ComputeNode implements AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(ComputeNode.class);

    /** What PostgreSQL's startup process says once it runs. */
    private static final String RECOVERING = "entering standby mode";

    /** What PostgreSQL's startup process says, once for each position, when what follows it is no WAL. */
    private static final Pattern END_OF_WAL = Pattern.compile(
            "LOG:  (?:invalid (?:record length|magic number|resource manager ID|info bits|contrecord length)|"
                    + "unexpected pageaddr|record with incorrect prev-link|incorrect resource manager data checksum|"
                    + "there is no contrecord flag|contrecord is requested).*?(?:at |LSN )([0-9A-F]+/[0-9A-F]+)");

    /** How often a candidate looks for more WAL. */
    private static final Duration CANDIDATE_POLL = Duration.ofMillis(10);

    /** For a candidate's word that it has replayed everything; some positions, at the end of a page, it never names. */
    private static final Duration REPLAY_WAIT = Duration.ofMillis(100);

    /** In the run directory; no database id begins like this. */
    private static final String TLS_DIRECTORY = ".tls";

    /** In the run directory; nor like this. */
    private static final String SPARE_DIRECTORY = ".spare";

    /** In PGDATA: names the socket directory where that is not PGDATA itself. */
    private static final String SOCKET_DIRECTORY = "spg99_socket_directory";

    private final PostgresBinaries binaries;
    private final OsUser user;
    private final StartFiles images;
    /** Directories of generations that may have processes. */
    private final Set<Path> running = ConcurrentHashMap.newKeySet();

    private final Path run;
    private final WalProvider wal;
    private final Executor blocking;
    private final Clock clock;
    private final ComputeSettings settings;
    private final Optional<Path> guard;
    private final ServerConfiguration configuration;
    private final SpareServers spares;
    private final Optional<Cgroups> limits = Cgroups.ofThisProcess();

    /**
     * @param run      directory for the generations, made if missing; the PostgreSQL user must be able to reach it
     * @param tls      the identity {@link TlsIdentity#COMPUTE}
     * @param blocking for steps that block, some seconds each; several run at once
     * @throws IOException if the PostgreSQL user cannot reach the binaries or the run directory
     */
    public ComputeNode(
            PostgresBinaries binaries,
            OsUser user,
            StartFiles images,
            Path run,
            TlsIdentity tls,
            WalProvider wal,
            Executor blocking,
            Clock clock,
            ComputeSettings settings)
            throws IOException {
        this.binaries = binaries;
        this.user = user;
        this.images = images;
        this.run = Files.createDirectories(run.toAbsolutePath()).toRealPath();
        this.wal = wal;
        this.blocking = blocking;
        this.clock = clock;
        this.settings = settings;
        for (Path directory : List.of(binaries.home(), this.run)) {
            if (!user.canReach(directory)) {
                throw new IOException(
                        "PostgreSQL's user cannot reach a directory it needs: user=" + user.name() + " directory="
                                + directory + "; make all its parents accessible (mode 755) or use another place");
            }
        }
        Path tlsDirectory = this.run.resolve(TLS_DIRECTORY);
        if (!Files.isDirectory(tlsDirectory)) {
            user.createPrivateDirectory(tlsDirectory);
        }
        this.guard = NativeLibrary.install("spg99_guard", binaries.home().resolveSibling("native"));
        this.configuration = new ServerConfiguration(settings, user, guard, TlsFiles.copy(tls, tlsDirectory, user));
        this.spares = new SpareServers(this.run.resolve(SPARE_DIRECTORY), this::launchSpare, this::removeDirectory);
        if (guard.isEmpty()) {
            LOG.warn(
                    "running without the guard, for it was not built: a commit that is cancelled while it waits for the"
                            + " quorum becomes visible without it (W8); install a C compiler and build again");
        }
    }

    /** Whether commits are guarded as W8 demands. */
    boolean guarded() {
        return guard.isPresent();
    }

    Executor blocking() {
        return blocking;
    }

    Clock clock() {
        return clock;
    }

    ComputeSettings settings() {
        return settings;
    }

    /**
     * Removes what an earlier run of the program left in the run directory: processes and files. Blocks. To be called once,
     * before the first generation.
     */
    public void sweep() throws IOException {
        for (Path database : directories(run)) {
            if (database.endsWith(TLS_DIRECTORY)) {
                continue;
            }
            for (Path directory : directories(database)) {
                LOG.info("removing a generation that an earlier run left: directory={}", directory);
                removeDirectory(directory);
            }
            deleteIfEmpty(database);
        }
    }

    Path pgdata(GenerationSpec spec) {
        return directory(spec).resolve(Integer.toString(spec.generation()));
    }

    private Path directory(GenerationSpec spec) {
        return run.resolve(fileName(spec.databaseId()));
    }

    /**
     * A directory with the files of the newest state.
     *
     * @param held     a server that is held in it, where there can be one
     * @param snapshot end of the snapshot that the files are
     */
    record Directory(Optional<PostgresProcess> held, Lsn snapshot) {}

    /** Step: a directory with the files of the newest state and the configuration. */
    Directory prepare(GenerationSpec spec) throws IOException {
        wal.prepare(spec);
        Path pgdata = pgdata(spec);
        running.add(pgdata);
        Files.createDirectories(directory(spec));
        // A held server is promoted by the guard as soon as it has replayed what is there, and its memory is made
        // already.
        boolean held = canHold() && !spec.prepareOnly();
        Optional<PostgresProcess> spare = held && spec.profile().equals(settings.spareProfile())
                ? spares.take(spec.image(), pgdata)
                : Optional.empty();
        if (spare.isEmpty()) {
            images.layOut(spec.image(), pgdata);
            configuration.write(pgdata, spec.profile());
        }
        Lsn snapshot;
        try {
            long cacheLimit = spec.profile().cacheLimitBytes();
            snapshot = images.materialize(spec.image(), spec.base(), spec.generation(), cacheLimit, pgdata);
            configuration.writeAccess(spec, pgdata);
            AgentStatus.of(spec, snapshot, Optional.empty()).write(pgdata);
        } catch (IOException | RuntimeException e) {
            spare.ifPresent(PostgresProcess::kill);
            throw e;
        }
        spare.ifPresent(server -> server.logTo(log(spec)));
        return new Directory(spare.isPresent() || !held ? spare : Optional.of(launchHeld(pgdata, log(spec))), snapshot);
    }

    /**
     * Tells the extension what is known of a generation; does not block for long.
     *
     * @return what its cache has done
     */
    ReadThroughFigures report(GenerationSpec spec, Lsn snapshot) throws IOException {
        Path pgdata = pgdata(spec);
        Optional<ReadThroughFigures> cache = images.cache(pgdata);
        AgentStatus.of(spec, snapshot, cache).write(pgdata);
        return cache.orElse(ReadThroughFigures.NONE);
    }

    /** Step: WAL up to R. */
    void fetchWal(GenerationSpec spec, Recovery recovery) throws IOException {
        // Where recovery begins on the files that are there.
        Lsn redo = PgControl.read(pgdata(spec)).redo();
        if (redo.isAfter(recovery.end())) {
            throw new IOException("the files are newer than the WAL is to be: redo=" + redo + " end=" + recovery.end());
        }
        PgWalDirectory pgWal = walDirectory(spec, recovery, redo);
        if (recovery.end().isBefore(spec.base().end())) {
            throw new IOException("WAL would end before the image does: end=" + recovery.end() + " image="
                    + spec.base().end());
        }
        Future<?> inherited = inherit(spec, recovery);
        try {
            wal.fetch(spec, recovery, pgWal.start(), pgWal.directory());
        } finally {
            await(inherited);
        }
        pgWal.prepare();
        pgWal.writeHistories(spec.generation());
        user.ownTree(pgWal.directory());
        images.foresee(pgWal, redo, pgdata(spec));
    }

    /** Beside the WAL: either waits for somebody else most of the time. */
    private Future<?> inherit(GenerationSpec spec, Recovery recovery) {
        FutureTask<Boolean> task = new FutureTask<>(() -> {
            images.inherit(spec.base(), recovery.parent(), recovery.end(), pgdata(spec));
            return true;
        });
        blocking.execute(task);
        return task;
    }

    private static void await(Future<?> work) throws IOException {
        try {
            work.get();
        } catch (InterruptedException e) {
            work.cancel(true);
            throw new InterruptedIOException("interrupted while the estate was fetched");
        } catch (ExecutionException e) {
            throw new IOException(String.valueOf(e.getCause()), e);
        }
    }

    private PgWalDirectory walDirectory(GenerationSpec spec, Recovery recovery, Lsn redo) {
        int segmentSize = spec.base().segmentSize();
        return new PgWalDirectory(
                pgdata(spec).resolve("pg_wal"),
                spec.base().systemIdentifier(),
                segmentSize,
                recovery.history(),
                redo.segmentStart(segmentSize),
                recovery.end());
    }

    /** Whether PostgreSQL can be launched before its WAL is there, and be held until then. */
    private boolean canHold() {
        return guarded();
    }

    /** Called where there is nothing to start: the first start is as fast as the later ones. */
    public void warmUp(String image) {
        if (canHold()) {
            spares.refill(image, Duration.ZERO);
        }
    }

    /** Process id of the server that waits for the next start. */
    Optional<Long> waitingServer() {
        return spares.waiting();
    }

    private PostgresProcess launchSpare(String image, Path directory) throws IOException {
        images.layOut(image, directory);
        configuration.write(directory, settings.spareProfile());
        return launchHeld(directory, PostgresLog.sink(Map.of()));
    }

    private PostgresProcess launchHeld(Path directory, Consumer<String> log) throws IOException {
        return PostgresProcess.start(new PostgresProcess.Launch(
                binaries, user, directory, images.environment(directory), Map.of(), true, log));
    }

    /**
     * Step: lets a held server recover and be promoted, on a port that is free now.
     *
     * @throws IOException if it has ended meanwhile
     */
    void release(PostgresProcess server, GenerationSpec spec, Recovery recovery, int port) throws IOException {
        Path pgdata = pgdata(spec);
        Map<String, String> settings = startSettings(spec, recovery, port);
        settings.put("data_directory", pgdata.toString());
        settings.put("config_file", pgdata.resolve("postgresql.conf").toString());
        settings.put("hba_file", pgdata.resolve("pg_hba.conf").toString());
        settings.put("ident_file", pgdata.resolve("pg_ident.conf").toString());
        limit(spec, server);
        server.proceed(settings);
    }

    /** Before it has children, or when it has none but the first. */
    private void limit(GenerationSpec spec, PostgresProcess server) {
        limits.ifPresent(groups -> groups.limit(groupName(spec), spec.profile(), server.pid()));
    }

    private static String groupName(GenerationSpec spec) {
        return "spg99-" + fileName(spec.databaseId()) + "-" + spec.generation();
    }

    /** Whether processors and memory of a profile are enforced here; else there are PostgreSQL's own settings only. */
    public boolean enforcesLimits() {
        return limits.isPresent();
    }

    private Map<String, String> startSettings(GenerationSpec spec, Recovery recovery, int port) throws IOException {
        Map<String, String> settings = new HashMap<>();
        settings.put("port", Integer.toString(port));
        settings.put("unix_socket_directories", socketDirectory(pgdata(spec)).toString());
        // What operators see of it in a list of processes.
        settings.put("cluster_name", spec.databaseId() + "/" + spec.generation());
        settings.put("recovery_target_timeline", Integer.toString(recovery.parent()));
        return settings;
    }

    /**
     * Step: starts PostgreSQL on a port that is free now, with its WAL there. It recovers and is promoted.
     */
    PostgresProcess launch(GenerationSpec spec, Recovery recovery, int port) throws IOException {
        if (canHold()) {
            PostgresProcess server = launchHeld(pgdata(spec), log(spec));
            release(server, spec, recovery, port);
            return server;
        }
        Consumer<String> log = log(spec);
        CompletableFuture<PostgresProcess> started = new CompletableFuture<>();
        PostgresProcess server = PostgresProcess.start(new PostgresProcess.Launch(
                binaries,
                user,
                pgdata(spec),
                images.environment(pgdata(spec)),
                startSettings(spec, recovery, port),
                false,
                line -> {
                    if (line.endsWith(RECOVERING)) {
                        started.thenAccept(ComputeNode::promote);
                    }
                    log.accept(line);
                }));
        started.complete(server);
        return server;
    }

    private static Consumer<String> log(GenerationSpec spec) {
        return PostgresLog.sink(
                Map.of("database", spec.databaseId(), "generation", Integer.toString(spec.generation())));
    }

    private static void promote(PostgresProcess server) {
        try {
            server.promote();
        } catch (IOException | UncheckedIOException e) {
            LOG.error("PostgreSQL cannot be promoted: pid={}", server.pid(), e);
            server.kill();
        }
    }

    int freePort() throws IOException {
        return PostgresProcess.freePort(InetAddress.getByName(settings.listenHost()));
    }

    /**
     * Step: checks that PostgreSQL is on the new generation's TLI and that it continues the parent at exactly R: that is what
     * the history file says which it writes when it begins a TLI, and of that number there was none before.
     *
     * @return where it takes connections
     * @throws IOException if not: the server must not be used
     */
    WriterAddress verify(GenerationSpec spec, Recovery recovery, int port) throws IOException {
        Path pgdata = pgdata(spec);
        walDirectory(spec, recovery, spec.base().start()).verifyHistory(spec.generation());
        Path sockets = recordedSocketDirectory(pgdata).orElse(pgdata);
        return new WriterAddress(settings.listenHost(), port, sockets.toString());
    }

    /** Step: lets WAL come in, from where {@link #fetchWal} has ended. */
    WalProvider.Following follow(GenerationSpec spec, Recovery recovery) {
        return wal.follow(spec, recovery, pgdata(spec).resolve("pg_wal"));
    }

    /**
     * Step: starts PostgreSQL as a standby that replays whatever comes to its pg_wal, on a port that is free now.
     *
     * @param replayed told each position up to which it has found WAL and no more
     */
    PostgresProcess launchCandidate(GenerationSpec spec, Recovery recovery, int port, Consumer<Lsn> replayed)
            throws IOException {
        Map<String, String> settings = startSettings(spec, recovery, port);
        settings.put("wal_retrieve_retry_interval", CANDIDATE_POLL.toMillis() + "ms");
        Consumer<String> log = log(spec);
        Consumer<String> watched = line -> endOfWal(line).ifPresentOrElse(replayed, () -> log.accept(line));
        PostgresProcess server = PostgresProcess.start(new PostgresProcess.Launch(
                binaries, user, pgdata(spec), images.environment(pgdata(spec)), settings, false, watched));
        limit(spec, server);
        return server;
    }

    /** Where PostgreSQL's startup process has found that there is no more WAL, if that is what the line of its log says. */
    static Optional<Lsn> endOfWal(String line) {
        Matcher found = END_OF_WAL.matcher(line);
        return found.find() ? Optional.of(Lsn.parse(found.group(1))) : Optional.empty();
    }

    /**
     * Step: brings a candidate the rest of the WAL and lets it begin its own TLI when it has replayed it.
     *
     * @param replayed what it has said last
     * @throws IOException if the candidate has followed another writer, or the rest cannot be had
     */
    void takeOver(
            GenerationSpec spec,
            Recovery followed,
            Recovery recovery,
            WalProvider.Following following,
            Supplier<Lsn> replayed,
            PostgresProcess server)
            throws IOException, InterruptedException {
        if (recovery.parent() != followed.parent()) {
            throw new IOException("the candidate has followed another writer: expected=" + recovery.parent()
                    + " actual=" + followed.parent());
        }
        Lsn received = following.stop();
        if (received.isAfter(recovery.end())) {
            throw new IOException(
                    "the candidate has WAL beyond the end: end=" + recovery.end() + " actual=" + received);
        }
        if (received.isBefore(recovery.end())) {
            Path pgWal = pgdata(spec).resolve("pg_wal");
            wal.fetch(spec, recovery, received, pgWal);
            user.ownTree(pgWal);
        }
        // It ends recovery where it finds no more WAL. Asked too early it could miss what it had looked for a moment
        // before.
        long limit = System.nanoTime() + REPLAY_WAIT.toNanos();
        while (!replayed.get().equals(recovery.end()) && System.nanoTime() < limit) {
            TimeUnit.MILLISECONDS.sleep(1);
        }
        server.promote();
    }

    /** Step: gets ready for a handoff that may come soon. */
    Farewell farewell(GenerationSpec spec, WriterAddress writer) throws SQLException {
        return Farewell.open(spec, writer.socket().orElseThrow());
    }

    /** What a server's processes use; does not block for long. */
    static Optional<ServerUsage> usage(long postmaster) {
        return ServerUsage.ofTree(postmaster);
    }

    /** Step: managed configuration. */
    void configure(GenerationSpec spec, WriterAddress writer) throws IOException, SQLException {
        ManagedConfiguration.apply(spec, writer.socket().orElseThrow());
    }

    /** The generation serves. Does not block. */
    void serving(GenerationSpec spec) {
        images.serving(pgdata(spec));
    }

    /**
     * Step, now and then while the generation serves: what it reads through comes from the newest snapshot. What does not work is tried
     * again the next time.
     */
    void advance(GenerationSpec spec, WriterAddress writer, Lsn snapshot) {
        try {
            images.advance(
                    pgdata(spec),
                    snapshot,
                    () -> ManagedConfiguration.runningTransactions(
                            writer.socket().orElseThrow()));
        } catch (IOException e) {
            LOG.info(
                    "the generation goes on reading an older snapshot for now: database={} generation={} reason={}",
                    spec.databaseId(),
                    spec.generation(),
                    e.toString());
        }
    }

    /** A candidate will start beside the generation. Does not block. */
    void share(GenerationSpec spec) {
        images.share(pgdata(spec));
    }

    /** The generation is a candidate that follows its writer. Does not block. */
    void following(GenerationSpec spec) {
        images.following(pgdata(spec));
    }

    /** Step, before an orderly stop: sequences will go on without a gap. */
    void settle(GenerationSpec spec, WriterAddress writer) throws SQLException {
        ManagedConfiguration.settleSequences(spec, writer.socket().orElseThrow());
    }

    /**
     * Step: nothing of the generation is left afterwards.
     *
     * @param bequeath what it leaves is of use to a generation that starts here
     * @return true if PostgreSQL had shut down in order, or was never started
     */
    boolean remove(GenerationSpec spec, boolean bequeath) throws IOException {
        wal.forget(spec);
        Path pgdata = pgdata(spec);
        boolean orderly = isShutDown(pgdata);
        removeRemains(pgdata);
        running.remove(pgdata);
        limits.ifPresent(groups -> groups.remove(groupName(spec)));
        if (bequeath && orderly && Files.exists(pgdata.resolve("global").resolve("pg_control"))) {
            bequeath(spec, pgdata);
        }
        images.discard(spec.image(), pgdata);
        deleteIfEmpty(directory(spec));
        return orderly;
    }

    /** Ends what is left of a server whose postmaster has died. Files stay. Blocks. */
    void endProcesses(GenerationSpec spec) throws IOException {
        PostgresProcess.removeRemains(pgdata(spec));
    }

    /** What is left over is no loss but of statistics: the next generation begins without. */
    private void bequeath(GenerationSpec spec, Path pgdata) {
        try {
            images.bequeath(spec.base(), pgdata);
        } catch (IOException e) {
            LOG.warn(
                    "statistics and free space map are lost: database={} generation={} reason={}",
                    spec.databaseId(),
                    spec.generation(),
                    e.toString());
        }
    }

    private static boolean isShutDown(Path pgdata) {
        if (!Files.exists(pgdata.resolve("postgresql.conf"))) {
            return true;
        }
        try {
            return PgControl.read(pgdata).isShutDown();
        } catch (IOException e) {
            LOG.debug("pg_control cannot be read: pgdata={}", pgdata, e);
            return false;
        }
    }

    private void removeDirectory(Path directory) throws IOException {
        removeRemains(directory);
        images.remove(directory);
    }

    /** Ends what runs there, and removes what lies elsewhere. */
    private static void removeRemains(Path directory) throws IOException {
        PostgresProcess.removeRemains(directory);
        Optional<Path> sockets = recordedSocketDirectory(directory);
        if (sockets.isPresent()) {
            FileTree.delete(sockets.get());
        }
    }

    /**
     * Ends the server that waits for the next start, and whatever the generations' actors had no time to: a process that is
     * frozen outlives its postmaster.
     */
    @Override
    public void close() {
        spares.close();
        for (Path pgdata : running) {
            try {
                PostgresProcess.removeRemains(pgdata);
            } catch (IOException e) {
                LOG.warn("processes of a generation are left: pgdata={} reason={}", pgdata, e.toString());
            }
        }
    }

    /** PGDATA itself if its path is short enough for a socket's name, or else a private directory elsewhere. */
    private Path socketDirectory(Path pgdata) throws IOException {
        Optional<Path> recorded = recordedSocketDirectory(pgdata);
        if (recorded.isPresent()) {
            return recorded.get();
        }
        if (UnixSocket.fits(pgdata.resolve(".s.PGSQL.65535"))) {
            return pgdata;
        }
        Path directory = user.createShortPrivateDirectory();
        user.record(pgdata.resolve(SOCKET_DIRECTORY), directory);
        return directory;
    }

    private static Optional<Path> recordedSocketDirectory(Path pgdata) throws IOException {
        return OsUser.recorded(pgdata.resolve(SOCKET_DIRECTORY));
    }

    private static String fileName(String databaseId) {
        if (!databaseId.matches("[A-Za-z0-9][A-Za-z0-9._-]{0,99}")) {
            throw new IllegalArgumentException("database id is no file name: databaseId=" + databaseId);
        }
        return databaseId;
    }

    private static List<Path> directories(Path parent) throws IOException {
        try (Stream<Path> children = Files.list(parent)) {
            return children.filter(Files::isDirectory).sorted().toList();
        }
    }

    private static void deleteIfEmpty(Path directory) throws IOException {
        try {
            Files.deleteIfExists(directory);
        } catch (DirectoryNotEmptyException e) {
            LOG.debug("directory is still in use: directory={}", directory);
        }
    }
}

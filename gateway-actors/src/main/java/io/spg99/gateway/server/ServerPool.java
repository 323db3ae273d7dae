package io.spg99.gateway.server;

import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.channel.EventLoop;
import io.netty.util.collection.LongObjectHashMap;
import io.netty.util.concurrent.Future;
import io.spg99.gateway.console.PoolLook;
import io.spg99.gateway.lease.GatewayRegistry;
import io.spg99.gateway.lease.Lease;
import io.spg99.gateway.lease.LeaseEvent;
import io.spg99.gateway.lease.LeaseHolder;
import io.spg99.gateway.session.Settings;
import io.spg99.gateway.session.StatementCache;
import io.spg99.gateway.wire.SqlError;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The server connections of one database (and so of one user) on this Gateway, and the sessions that share them. All of
 * it, the channels of its clients and backends included, belongs to one event loop: lending and giving back are plain
 * calls, in the order in which sessions came. The lease is asked for when somebody waits, and given back some time after
 * the last session has gone.
 */
final class ServerPool implements LeaseHolder {

    private static final Logger LOG = LoggerFactory.getLogger(ServerPool.class);

    /** A writer that is just starting or stopping answers so; the lease will tell what comes of it. */
    private static final Set<String> RETRIED = Set.of("57P01", "57P02", "57P03");

    /** The server has no room: those who wait go on waiting for the connections there are. */
    private static final String TOO_MANY = "53300";

    /**
     * Connections made ahead of the lease: a starting PostgreSQL is not to be kept busy with a herd. The others connect
     * when there is a lease.
     */
    private static final int MAX_AHEAD = 20;

    /** Of settings, reported values and shapes remembered; beyond it they are learned anew. */
    private static final int MAX_REMEMBERED = 10_000;

    /** Names with two parts in statements that set something; more of them pin the sessions that use them. */
    private static final int MAX_CUSTOM_NAMES = 200;

    private static final SqlError WAKE_TIMEOUT = new SqlError(
            "57P03", "the database did not become ready in time", "It may still be waking up. Retry in some seconds.");
    private static final SqlError FROZEN_TOO_LONG =
            new SqlError("57P03", "the database is moving to another writer", "Retry in some seconds.");
    private static final SqlError PAUSED_TOO_LONG =
            new SqlError("57P03", "the database is paused by an administrator", "Retry in some seconds.");
    private static final SqlError EXHAUSTED = new SqlError(
            "53300",
            "no server connection became free in time",
            "Retry in some seconds, hold transactions shorter, or choose a larger profile.");

    final GatewayContext gateway;
    final EventLoop loop;
    private final String databaseId;
    private final Map<String, String> login;
    private final GatewaySettings.Pool limits;

    private final Set<ClientSession> sessions = new HashSet<>();
    /** First come, first served. */
    private final LinkedHashSet<ClientSession> waiting = new LinkedHashSet<>();

    private final Set<ServerConnection> servers = new HashSet<>();
    /** Free ones; the one used last is lent first, so that the others may end. */
    private final ArrayDeque<ServerConnection> idle = new ArrayDeque<>();

    private @Nullable Lease lease;
    /** A lease is asked for. */
    private boolean asked;
    /** The database freezes: nothing is lent. Empty if it does not. */
    private Optional<LeaseEvent.Frozen> freeze = Optional.empty();

    private @Nullable Future<?> thaw;
    /** What was last told of what runs, and of what is pinned, while frozen. */
    private int toldRunning;

    private int toldPinned;
    /** No new connections before this time: the last was refused for want of room. */
    private long noConnectsBeforeNanos = System.nanoTime();

    /** By the admin console. */
    private boolean paused;
    /** Who waits until nothing runs. */
    private final List<CompletableFuture<Boolean>> whenQuiet = new ArrayList<>();

    /** Since it was made: transactions ended, bytes from and to clients, waits for a server connection. */
    long transactions;

    long received;
    long sent;
    long waitedNanos;

    private boolean closed;
    /** Sessions that count as activity, as told to the database. */
    private int counted;
    /** Sessions that had waited for longer than the reserve delay, as told to the database. */
    private int queued;

    private @Nullable Future<?> tick;
    private @Nullable Future<?> linger;

    /** What a client with these settings is shown at login; valid for one generation. */
    private final Map<Settings, Map<String, String>> welcomes = new HashMap<>();

    private final Map<Map<String, String>, Map<String, String>> reportedValues = new HashMap<>();
    private final Map<Settings, Settings> settings = new HashMap<>();
    final StatementCache statements;
    /** Fingerprints of texts that left nothing behind when PostgreSQL was asked after them. */
    private final LongObjectHashMap<Boolean> harmless = new LongObjectHashMap<>();
    /** Names of parameters that may have been set and that PostgreSQL does not list. */
    private final Set<String> customNames = new LinkedHashSet<>();

    /** Somebody reads what was last taken from a sequence: that is forgotten before another session comes. */
    boolean sequences;

    ServerPool(GatewayContext gateway, EventLoop loop, String databaseId, Map<String, String> login) {
        this.gateway = gateway;
        this.loop = loop;
        this.databaseId = databaseId;
        this.login = login;
        limits = gateway.settings().pool();
        statements = new StatementCache(limits.statementBytes());
    }

    ByteBufAllocator allocator() {
        return PooledByteBufAllocator.DEFAULT;
    }

    // ---- what is shared

    Map<String, String> intern(Map<String, String> values) {
        if (reportedValues.size() > MAX_REMEMBERED) {
            reportedValues.clear();
        }
        Map<String, String> known = reportedValues.putIfAbsent(values, values);
        return known == null ? values : known;
    }

    Map<String, String> reportedWith(Map<String, String> values, String name, String value) {
        Map<String, String> changed = new TreeMap<>(values);
        changed.put(name, value);
        return intern(changed);
    }

    Settings intern(Settings values) {
        if (settings.size() > MAX_REMEMBERED) {
            settings.clear();
        }
        Settings known = settings.putIfAbsent(values, values);
        return known == null ? values : known;
    }

    /** @return whether it can be asked for from now on */
    boolean addCustomName(String name) {
        return customNames.contains(name) || (customNames.size() < MAX_CUSTOM_NAMES && customNames.add(name));
    }

    Set<String> customNames() {
        return customNames;
    }

    boolean isHarmless(long shape) {
        return harmless.containsKey(shape);
    }

    void harmless(long shape) {
        if (harmless.size() > MAX_REMEMBERED) {
            harmless.clear();
        }
        harmless.put(shape, Boolean.TRUE);
    }

    /** What a client with such settings is shown, if that is known and the database is there for it. */
    Optional<Map<String, String>> welcome(Settings base) {
        return lease == null || frozen() ? Optional.empty() : Optional.ofNullable(welcomes.get(base));
    }

    void learnedWelcome(Settings base, Map<String, String> reported) {
        if (welcomes.size() > MAX_REMEMBERED) {
            welcomes.clear();
        }
        welcomes.put(base, reported);
    }

    // ---- sessions

    /** A pool that was closed meanwhile opens again; should there be another by now, both serve. */
    void join(ClientSession session) {
        if (closed) {
            closed = false;
            gateway.pools().restore(databaseId, this);
        }
        if (linger != null) {
            linger.cancel(false);
            linger = null;
        }
        sessions.add(session);
        startTick();
        if (session.counted()) {
            counted++;
            tellCount();
        }
    }

    void leave(ClientSession session) {
        waiting.remove(session);
        if (!sessions.remove(session)) {
            return;
        }
        if (session.dedicated()) {
            List.copyOf(servers).stream()
                    .filter(server -> server.owner() == session)
                    .forEach(this::drop);
        }
        if (session.counted()) {
            counted--;
            tellCount();
        }
        if (sessions.isEmpty()) {
            long after = limits.linger().toMillis();
            if (after == 0 || lease == null) {
                close();
            } else {
                linger = loop.schedule(this::onLingered, after, TimeUnit.MILLISECONDS);
            }
        }
    }

    private void tellCount() {
        gateway.registry().tell(new GatewayRegistry.Count(databaseId, this, counted, queued));
    }

    private void onLingered() {
        linger = null;
        if (sessions.isEmpty()) {
            close();
        }
    }

    private void close() {
        closed = true;
        gateway.pools().remove(databaseId, this);
        if (tick != null) {
            tick.cancel(false);
            tick = null;
        }
        lease = null;
        asked = false;
        unfreeze();
        for (ServerConnection server : List.copyOf(servers)) {
            drop(server);
        }
        gateway.registry().tell(new GatewayRegistry.Return(databaseId, this));
    }

    private void startTick() {
        if (tick == null) {
            long millis = Math.clamp(gateway.settings().times().wakeNotice().toMillis() / 5, 20, 1_000);
            tick = loop.scheduleWithFixedDelay(this::onTick, millis, millis, TimeUnit.MILLISECONDS);
        }
    }

    /** Free server connections. From any thread: a number that may be out of date. */
    int idle() {
        return idle.size();
    }

    // ---- lending

    /** A free server connection for a session that is not waiting; null if there is none, or others wait. */
    @Nullable
    ServerConnection take(ClientSession session) {
        return lease == null || frozen() || !waiting.isEmpty() ? null : pick(session);
    }

    /** One that has the settings already, or the one used last. */
    private @Nullable ServerConnection pick(ClientSession session) {
        ServerConnection last = idle.peekLast();
        if (last == null) {
            return null;
        }
        if (last.settings.equals(session.wantedSettings())) {
            return idle.pollLast();
        }
        Iterator<ServerConnection> candidates = idle.descendingIterator();
        while (candidates.hasNext()) {
            ServerConnection candidate = candidates.next();
            if (candidate.settings.equals(session.wantedSettings())) {
                candidates.remove();
                return candidate;
            }
        }
        return idle.pollLast();
    }

    /** The session is called when there is one for it. */
    void enqueue(ClientSession session) {
        waiting.add(session);
        serve();
    }

    /** It does not want to wait any longer. */
    void withdraw(ClientSession session) {
        waiting.remove(session);
    }

    /** Lends what is free to those who wait. */
    void serve() {
        if (closed || waiting.isEmpty()) {
            return;
        }
        if (lease == null) {
            ask();
            return;
        }
        while (!waiting.isEmpty() && !frozen()) {
            ClientSession head = waiting.getFirst();
            if (head.dedicated()) {
                if (!connectFor(head)) {
                    return;
                }
                continue;
            }
            ServerConnection server = pick(head);
            if (server == null) {
                grow(head);
                return;
            }
            waiting.remove(head);
            head.lent(server);
        }
    }

    private void ask() {
        if (!asked) {
            asked = true;
            gateway.registry().tell(new GatewayRegistry.Checkout(databaseId, this, counted));
        }
    }

    /** A session that keeps its connection: it is made for it, in place of a free one if need be. */
    private boolean connectFor(ClientSession session) {
        Lease current = lease;
        if (current == null) {
            return false;
        }
        if (servers.size() >= current.serverConnections()) {
            ServerConnection free = idle.pollFirst();
            if (free == null) {
                return false;
            }
            drop(free);
        }
        waiting.remove(session);
        Optional<ServerConnection> ahead =
                servers.stream().filter(server -> server.owner() == session).findAny();
        if (ahead.isPresent()) {
            return true;
        }
        servers.add(ServerConnection.connect(this, current, session.parameters(), session, loop, false));
        return true;
    }

    /** As many new connections as there are sessions waiting, within the limits. */
    private void grow(ClientSession head) {
        Lease current = lease;
        if (current == null || System.nanoTime() - noConnectsBeforeNanos < 0) {
            return;
        }
        int connecting = 0;
        int pinned = 0;
        for (ServerConnection server : servers) {
            if (!server.connected()) {
                connecting++;
            } else {
                ClientSession user = server.session();
                pinned += user != null && user.holds() ? 1 : 0;
            }
        }
        boolean patient = head.waitedNanos() < limits.reserveDelay().toNanos();
        int shared = servers.size() - pinned;
        int wanted = waiting.size() - connecting;
        while (wanted > 0
                && servers.size() < current.serverConnections()
                && (shared < limits.size() || (!patient && connecting == 0))) {
            servers.add(ServerConnection.connect(this, current, login, null, loop, false));
            connecting++;
            shared++;
            wanted--;
        }
    }

    /** Nobody uses it any more, and what its session holds is known. */
    void giveBack(ServerConnection server) {
        server.detach();
        Lease current = lease;
        boolean old = server.outdated
                || System.nanoTime() - server.bornNanos > limits.lifetime().toNanos();
        if (closed || current == null || server.generation() != current.generation() || old) {
            drop(server);
            serve();
            return;
        }
        if (server.cancelling()) {
            // Whoever has it next must not be hit.
            return;
        }
        server.idleSinceNanos = System.nanoTime();
        idle.addLast(server);
        tellDraining();
        if (!waiting.isEmpty()) {
            serve();
        }
    }

    /** A cancel request for it has been delivered. What it meant to stop may be over: the next may not be hit. */
    void cancelled(ServerConnection server) {
        if (servers.contains(server) && server.session() == null && !server.cancelling()) {
            server.run("", ignored -> giveBack(server));
        }
    }

    /** Nobody uses it any more, its session is outside a transaction, and holds anybody knows what. */
    void clean(ServerConnection server) {
        server.detach();
        gateway.metrics().resets.increment();
        server.run("DISCARD ALL", result -> {
            if (result.failed()) {
                drop(server);
                serve();
            } else {
                server.settings = Settings.NONE;
                server.unnamed = null;
                server.channels = List.of();
                server.forgetStatements();
                giveBack(server);
            }
        });
    }

    /** Closes a server connection; nobody is told. */
    void drop(ServerConnection server) {
        if (!servers.remove(server)) {
            return;
        }
        idle.remove(server);
        server.detach();
        server.backend().terminate();
        server.release();
        tellDraining();
    }

    /** Closes it at once, whatever is under way in it. */
    void cut(ServerConnection server) {
        if (servers.remove(server)) {
            idle.remove(server);
            server.detach();
            server.backend().close();
            server.release();
            tellDraining();
        }
        serve();
    }

    // ---- server connections

    void onConnected(ServerConnection server) {
        if (closed || !servers.contains(server)) {
            drop(server);
            return;
        }
        ClientSession owner = server.owner();
        if (owner == null) {
            giveBack(server);
        } else {
            owner.lent(server);
        }
    }

    void onRefusedLogin(ServerConnection server, SqlError error) {
        servers.remove(server);
        server.release();
        if (server.backend().ahead()) {
            LOG.debug("database {}: login ahead of the lease refused, {}", databaseId, error.message());
            onAheadFailed(server);
        } else if (RETRIED.contains(error.sqlState())) {
            askAgain(server, error.sqlState() + " " + error.message());
        } else if (error.sqlState().equals(TOO_MANY) && !servers.isEmpty()) {
            LOG.warn("database {}: the server has no room for another connection", databaseId);
            noConnectsBeforeNanos = System.nanoTime() + TimeUnit.SECONDS.toNanos(1);
            ownerWaitsAgain(server);
        } else {
            ClientSession owner = server.owner();
            List<ClientSession> refused = owner != null ? List.of(owner) : List.copyOf(waiting);
            refused.forEach(session -> session.fail(error));
        }
    }

    void onFailedConnect(ServerConnection server, String reason) {
        if (!servers.remove(server)) {
            return;
        }
        idle.remove(server);
        server.release();
        if (server.backend().ahead()) {
            LOG.debug("database {}: connection ahead of the lease failed, {}", databaseId, reason);
            onAheadFailed(server);
        } else {
            askAgain(server, reason);
        }
    }

    private void onAheadFailed(ServerConnection server) {
        ownerWaitsAgain(server);
        serve();
    }

    private void ownerWaitsAgain(ServerConnection server) {
        ClientSession owner = server.owner();
        if (owner != null && sessions.contains(owner)) {
            waiting.add(owner);
        }
    }

    /** The writer said to be there does not take connections: the database confirms it or names another. */
    private void askAgain(ServerConnection server, String reason) {
        ownerWaitsAgain(server);
        Lease current = lease;
        if (current != null && current.generation() == server.generation()) {
            LOG.info(
                    "database {}: cannot use the writer of generation {}, {}; retrying",
                    databaseId,
                    server.generation(),
                    reason);
            lease = null;
            asked = true;
            gateway.registry().tell(new GatewayRegistry.ConnectFailed(databaseId, this, server.generation()));
        }
    }

    /** It is about to end, or its settings have changed: either way a new connection is better. */
    void onUnasked(ServerConnection server) {
        LOG.debug("database {}: a free server connection spoke, closed", databaseId);
        cut(server);
    }

    void onClosed(ServerConnection server) {
        if (!servers.remove(server)) {
            return;
        }
        idle.remove(server);
        ClientSession user = server.session();
        server.detach();
        server.release();
        if (user != null) {
            user.serverClosed(server);
        }
        tellDraining();
        serve();
    }

    // ---- the lease

    @Override
    public void coming(LeaseEvent.Coming coming) {
        loop.execute(() -> onComing(coming));
    }

    private void onComing(LeaseEvent.Coming coming) {
        if (closed || lease != null) {
            return;
        }
        dropAhead("another writer is coming up");
        Lease expected = new Lease(coming.generation(), coming.writer(), MAX_AHEAD);
        int ahead = 0;
        for (ClientSession session : waiting) {
            if (ahead++ == MAX_AHEAD) {
                break;
            }
            ClientSession owner = session.dedicated() ? session : null;
            Map<String, String> parameters = owner == null ? login : owner.parameters();
            servers.add(ServerConnection.connect(this, expected, parameters, owner, loop, true));
        }
    }

    private void dropAhead(String reason) {
        for (ServerConnection server : List.copyOf(servers)) {
            if (server.backend().ahead() && !server.backend().admitted()) {
                LOG.debug("database {}: drops its connection to the coming generation, {}", databaseId, reason);
                drop(server);
            }
        }
    }

    @Override
    public void granted(Lease granted) {
        loop.execute(() -> onGranted(granted));
    }

    private void onGranted(Lease granted) {
        if (closed) {
            return;
        }
        asked = false;
        Lease before = lease;
        lease = granted;
        if (before != null && before.generation() != granted.generation()) {
            unfreeze();
        }
        if (before == null || before.generation() != granted.generation()) {
            welcomes.clear();
        }
        for (ServerConnection server : List.copyOf(servers)) {
            boolean same = server.generation() == granted.generation()
                    && server.lease().writer().equals(granted.writer());
            if (!same && server.session() == null) {
                ownerWaitsAgain(server);
                drop(server);
            } else if (same && server.backend().ahead() && !server.backend().admitted()) {
                ClientSession owner = server.owner();
                if (owner != null) {
                    waiting.remove(owner);
                }
                server.backend().admit();
            }
        }
        serve();
    }

    @Override
    public void frozen(LeaseEvent.Frozen frozen) {
        loop.execute(() -> onFrozen(frozen));
    }

    private void onFrozen(LeaseEvent.Frozen next) {
        Lease current = lease;
        if (closed || current == null || current.generation() != next.generation()) {
            return;
        }
        unfreeze();
        freeze = Optional.of(next);
        // Should the word to go on be lost.
        thaw = loop.schedule(() -> onResumed(next.freeze()), next.limit().toMillis(), TimeUnit.MILLISECONDS);
        toldRunning = -1;
        tellDraining();
    }

    @Override
    public void resumed(LeaseEvent.Resumed resumed) {
        loop.execute(() -> onResumed(resumed.freeze()));
    }

    private void onResumed(int number) {
        if (freeze.filter(current -> current.freeze() <= number).isPresent()) {
            unfreeze();
            if (!paused) {
                serve();
                List.copyOf(sessions).forEach(ClientSession::thawed);
            }
        }
    }

    private void unfreeze() {
        freeze = Optional.empty();
        if (thaw != null) {
            thaw.cancel(false);
            thaw = null;
        }
    }

    boolean frozen() {
        return paused || freeze.isPresent();
    }

    // ---- the admin console

    /** As it is now. From any thread. */
    CompletionStage<PoolLook> look() {
        return CompletableFuture.supplyAsync(
                () -> new PoolLook(
                        databaseId,
                        login.getOrDefault("database", ""),
                        login.getOrDefault("user", ""),
                        Optional.ofNullable(lease),
                        paused,
                        freeze.isPresent(),
                        sessions.stream().map(ClientSession::look).toList(),
                        servers.stream().map(ServerConnection::look).toList(),
                        transactions,
                        received,
                        sent,
                        waitedNanos / 1000),
                loop);
    }

    /**
     * Nothing begins any more, until {@link #unpause}. From any thread.
     *
     * @return true when nothing runs and nothing is pinned; false if that has not come within the limit: it is not paused then
     */
    CompletionStage<Boolean> pause(Duration limit) {
        CompletableFuture<Boolean> quiet = new CompletableFuture<>();
        loop.execute(() -> {
            paused = true;
            whenQuiet.add(quiet);
            loop.schedule(() -> onPauseLimit(quiet), limit.toMillis(), TimeUnit.MILLISECONDS);
            tellDraining();
        });
        return quiet;
    }

    private void onPauseLimit(CompletableFuture<Boolean> quiet) {
        if (quiet.complete(false)) {
            whenQuiet.removeIf(CompletableFuture::isDone);
            onUnpause();
        }
    }

    /** @return true once it is done */
    CompletionStage<Boolean> unpause() {
        return onLoop(this::onUnpause);
    }

    private CompletionStage<Boolean> onLoop(Runnable task) {
        return CompletableFuture.runAsync(task, loop).thenApply(nothing -> true);
    }

    private void onUnpause() {
        paused = false;
        if (!frozen()) {
            serve();
            List.copyOf(sessions).forEach(ClientSession::thawed);
        }
    }

    /**
     * Ends all clients. From any thread.
     *
     * @return true once it is done
     */
    CompletionStage<Boolean> kill() {
        return onLoop(() -> {
            List.copyOf(sessions).forEach(ClientSession::shutdown);
            List.copyOf(idle).forEach(this::drop);
        });
    }

    /**
     * Nobody gets a server connection of before. From any thread.
     *
     * @return true once it is done
     */
    CompletionStage<Boolean> reconnect() {
        return onLoop(() -> {
            servers.forEach(server -> server.outdated = true);
            List.copyOf(idle).forEach(this::drop);
            serve();
        });
    }

    /** Something may have ended: tells what is left, if that has changed. */
    void tellDraining() {
        if (!frozen()) {
            return;
        }
        int running = 0;
        int pinned = 0;
        for (ServerConnection server : servers) {
            ClientSession user = server.session();
            if (user != null && user.running()) {
                running++;
            } else if (user != null && user.inTheWay()) {
                pinned++;
            }
        }
        if (running + pinned == 0) {
            whenQuiet.forEach(quiet -> quiet.complete(true));
            whenQuiet.clear();
        }
        if (freeze.isPresent() && (running != toldRunning || pinned != toldPinned)) {
            toldRunning = running;
            toldPinned = pinned;
            gateway.registry()
                    .tell(new GatewayRegistry.Draining(
                            databaseId, this, freeze.get().freeze(), running, pinned));
        }
    }

    @Override
    public void refused(LeaseEvent.Refused refusal) {
        SqlError error = new SqlError(refusal.sqlState(), refusal.message(), refusal.hint());
        loop.execute(() -> {
            asked = false;
            List.copyOf(waiting).forEach(session -> session.fail(error));
            dropAhead("refused");
        });
    }

    @Override
    public void revoked(int generation, LeaseEvent.Reason reason) {
        loop.execute(() -> onRevoked(generation, reason));
    }

    private void onRevoked(int generation, LeaseEvent.Reason reason) {
        if (closed) {
            return;
        }
        Lease current = lease;
        boolean ours = current != null && current.generation() <= generation;
        if (ours) {
            lease = null;
            unfreeze();
        }
        for (ServerConnection server : List.copyOf(servers)) {
            if (server.generation() > generation) {
                continue;
            }
            ClientSession user = server.session();
            servers.remove(server);
            idle.remove(server);
            server.detach();
            if (user != null) {
                user.writerLost(server, reason);
            } else {
                ownerWaitsAgain(server);
            }
            server.backend().terminate();
            server.release();
        }
        if (reason == LeaseEvent.Reason.DELETED) {
            List.copyOf(sessions).forEach(ClientSession::databaseGone);
        }
        if (ours && !asked) {
            serve();
        }
    }

    // ---- time

    /** Only a wait for more server connections is load; the others are for the database to end. */
    private void lookAtQueue() {
        int late = lease == null || frozen()
                ? 0
                : (int) waiting.stream()
                        .takeWhile(session ->
                                session.waitedNanos() > limits.reserveDelay().toNanos())
                        .count();
        if (late != queued) {
            queued = late;
            tellCount();
        }
    }

    private void onTick() {
        long now = System.nanoTime();
        lookAtQueue();
        Duration notice = gateway.settings().times().wakeNotice();
        Duration limit = lease == null
                ? gateway.settings().times().wake()
                : frozen() ? limits.freezeTimeout() : limits.checkoutTimeout();
        List<ClientSession> late = new ArrayList<>();
        for (ClientSession session : waiting) {
            long waited = session.waitedNanos();
            if (waited >= limit.toNanos()) {
                late.add(session);
            } else if (waited >= notice.toNanos()) {
                session.tellThatItWaits(
                        lease == null
                                ? "is waking up"
                                : freeze.isPresent() ? "is moving" : paused ? "is paused" : "has no free connection");
            } else {
                break;
            }
        }
        SqlError error = lease == null
                ? WAKE_TIMEOUT
                : freeze.isPresent() ? FROZEN_TOO_LONG : paused ? PAUSED_TOO_LONG : EXHAUSTED;
        late.forEach(session -> {
            gateway.metrics().checkoutTimeouts.increment();
            session.fail(error);
        });
        Duration longestIdle = gateway.settings().times().idleTransaction();
        if (!longestIdle.isZero()) {
            List.copyOf(servers).forEach(server -> {
                ClientSession user = server.session();
                if (user != null) {
                    user.endIfIdleInTransaction(now, longestIdle);
                }
            });
        }
        for (ServerConnection first = idle.peekFirst();
                first != null
                        && now - first.idleSinceNanos > limits.serverIdle().toNanos();
                first = idle.peekFirst()) {
            drop(first);
        }
        if (!waiting.isEmpty()) {
            serve();
        }
    }
}

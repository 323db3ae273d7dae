package io.spg99.gateway.server;

import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.ssl.SslHandler;
import io.spg99.gateway.console.PoolLook;
import io.spg99.gateway.lease.LeaseEvent;
import io.spg99.gateway.session.PinReason;
import io.spg99.gateway.session.SessionReport;
import io.spg99.gateway.session.Settings;
import io.spg99.gateway.wire.BackendStream;
import io.spg99.gateway.wire.Effects;
import io.spg99.gateway.wire.InternalQuery;
import io.spg99.gateway.wire.Protocol;
import io.spg99.gateway.wire.RequestTracker;
import io.spg99.gateway.wire.ResponseQueue;
import io.spg99.gateway.wire.ServerMessages;
import io.spg99.gateway.wire.SqlError;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import org.apache.pekko.Done;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A logged-in client. It has a server connection from the first message of a transaction to its end, and longer if its
 * session holds something that cannot be carried to another one; what can be carried is put up again on the next.
 *
 * <pre>
 * JOINING   -- on the pool's event loop --> WAITING, or IDLE at once if what to show the client is known
 * IDLE      -- a message ----------------> ACTIVE, or WAITING if no server connection is free
 * WAITING   -- lent ---------------------> PREPARING (the session is put up there), or ACTIVE
 * PREPARING -- answered -----------------> ACTIVE; the first time the client is let in
 * ACTIVE    -- transaction ended --------> IDLE, or ASKING if it may have left something behind
 * ASKING    -- answered -----------------> IDLE, or ACTIVE: pinned until the reason is gone
 * ACTIVE    -- client gone, query runs --> ABANDONED (the query may end, then is cancelled)
 * WAITING   -- wait limit, refused ------> CLOSED with an error
 * any with a server connection -- that is lost -> CLOSED with an error that tells of a commit in flight
 * any       -- client gone --------------> CLOSED
 * </pre>
 *
 * A writer that is lost ends only sessions that have a server connection, and not even those that merely listen.
 */
final class ClientSession extends ChannelInboundHandlerAdapter implements BackendStream.Listener {

    private static final Logger LOG = LoggerFactory.getLogger(ClientSession.class);

    /** Clients whose connections are no sign of the database being used. */
    private static final Set<String> UNCOUNTED = Set.of("postgres_exporter", "pgbouncer_exporter", "spg99_health");

    /** Bytes a client may send before there is a server connection for it; then it is not read from. */
    private static final int MAX_EARLY_BYTES = 65_536;

    private static final SqlError CANCELED =
            new SqlError("57014", "canceling the wait for the database due to user request");
    private static final SqlError CANCELED_STATEMENT = new SqlError("57014", "canceling statement due to user request");
    private static final SqlError WRITER_LOST = new SqlError("57P01", "the writer was lost; reconnect");
    private static final SqlError STOPPING =
            new SqlError("57P01", "terminating connection due to administrator command");
    private static final SqlError IDLE_IN_TRANSACTION =
            new SqlError("25P03", "terminating connection due to idle-in-transaction timeout");
    private static final SqlError UNKNOWN = new SqlError(
            "08007",
            "transaction resolution unknown: the connection was lost while a commit may have been in progress",
            "The transaction may or may not have been committed. Reconnect and check before retrying.");

    private enum Phase {
        JOINING,
        IDLE,
        WAITING,
        PREPARING,
        ACTIVE,
        ASKING,
        ABANDONED,
        CLOSED
    }

    private final ClientConnection connection;
    private final GatewayContext gateway;
    private final Channel client;
    private final Map<String, String> parameters;
    private final boolean dedicated;
    private final boolean counted;
    private final long number;
    private final ServerPool pool;

    private final RequestTracker tracker = new RequestTracker();
    private final ResponseQueue responses = new ResponseQueue();
    private final BackendStream answers = new BackendStream(tracker, responses, this);
    private final ClientRequests requests;

    private Phase phase = Phase.JOINING;
    private Optional<CancelKeys.Key> key;
    /** What the client has sent and was not passed on. */
    private @Nullable ByteBuf early;

    private @Nullable ServerConnection server;
    private boolean welcomed;
    private boolean told;
    private long waitingSinceNanos = System.nanoTime();
    /** When it was first seen idle in the transaction it is in; zero if it was not, or has sent something since. */
    private long idleInTransactionNanos;
    /** A channel's read is being handled: its end flushes. */
    private boolean reading;
    /** The client's query was cancelled while it waited: what is left of it is skipped. */
    private boolean skipping;
    /** What is left of the message that is being skipped; zero before the first. */
    private long skipBytes;
    /** It is the one that ends the request. */
    private boolean skipsLast;

    /** As the client's startup packet has them; what RESET goes back to. */
    private Settings base;
    /** As the session has them. */
    private Settings settings;

    private Map<String, String> sqlPrepared = Map.of();
    private List<String> channels = List.of();
    /** What the client has been told of the parameters that PostgreSQL reports. */
    private Map<String, String> reported = Map.of();

    private final Set<PinReason> held = EnumSet.noneOf(PinReason.class);
    /** Of them, what lasts until the session ends. */
    private final Set<PinReason> lasting = EnumSet.noneOf(PinReason.class);

    /**
     * @param parameters startup packet as a backend of its own would get it
     * @param base       settings asked for there
     * @param dedicated  session mode: a server connection of its own, for as long as it lasts
     */
    ClientSession(
            ClientConnection connection,
            ServerPool pool,
            Map<String, String> parameters,
            Settings base,
            boolean dedicated) {
        this.connection = connection;
        this.pool = pool;
        this.gateway = connection.gateway;
        this.client = connection.channel;
        this.parameters = parameters;
        this.base = base;
        this.settings = base;
        this.dedicated = dedicated;
        counted = !UNCOUNTED.contains(parameters.getOrDefault("application_name", ""));
        number = gateway.ids().incrementAndGet();
        requests = new ClientRequests(pool, dedicated, tracker, responses, answers);
        key = Optional.of(gateway.cancelKeys().register(this));
    }

    /** What the client sends to cancel its query; empty when the session has ended. */
    Optional<CancelKeys.Key> key() {
        return key;
    }

    boolean dedicated() {
        return dedicated;
    }

    boolean counted() {
        return counted;
    }

    Map<String, String> parameters() {
        return parameters;
    }

    Settings wantedSettings() {
        return settings;
    }

    /** It keeps its server connection beyond transactions. */
    boolean holds() {
        return dedicated || !held.isEmpty();
    }

    /** Something of it is under way in its server connection. */
    boolean running() {
        return switch (phase) {
            case PREPARING, ASKING, ABANDONED -> true;
            case ACTIVE -> !transactionOver();
            case JOINING, IDLE, WAITING, CLOSED -> false;
        };
    }

    /** It cannot move to another writer. */
    boolean inTheWay() {
        return !movable(LeaseEvent.Reason.WRITER_LOST);
    }

    /** The freeze is over. */
    void thawed() {
        proceed();
    }

    long waitedNanos() {
        return System.nanoTime() - waitingSinceNanos;
    }

    String id() {
        return connection.id;
    }

    /** For the admin console. */
    PoolLook.Client look() {
        ServerConnection current = server;
        PoolLook.State state = switch (phase) {
            case JOINING -> PoolLook.State.LOGIN;
            case WAITING -> PoolLook.State.WAITING;
            case PREPARING, ASKING, ABANDONED -> PoolLook.State.ACTIVE;
            case ACTIVE -> transactionOver() ? PoolLook.State.IDLE : PoolLook.State.ACTIVE;
            case IDLE, CLOSED -> PoolLook.State.IDLE;
        };
        InetSocketAddress from = client.remoteAddress() instanceof InetSocketAddress address
                ? address
                : InetSocketAddress.createUnresolved("", 0);
        SslHandler tls = client.pipeline().get(SslHandler.class);
        return new PoolLook.Client(
                connection.id,
                state,
                from.getHostString(),
                from.getPort(),
                connection.began,
                state == PoolLook.State.WAITING ? waitedNanos() / 1000 : 0,
                current != null && current.connected() ? current.key().processId() : 0,
                tls == null ? "" : tls.engine().getSession().getProtocol(),
                parameters.getOrDefault("application_name", ""),
                dedicated,
                held.stream().map(PinReason::label).toList());
    }

    // ---- joining

    /** Moves the client's channel to the pool's event loop, where all else happens. */
    @Override
    public void handlerAdded(ChannelHandlerContext ctx) {
        if (!client.isActive()) {
            end();
            return;
        }
        client.config().setAutoRead(false);
        if (pool.loop.inEventLoop()) {
            joined();
            return;
        }
        client.deregister()
                .addListener(deregistered -> pool.loop.register(client).addListener(registered -> {
                    if (registered.isSuccess()) {
                        pool.loop.execute(this::joined);
                    } else {
                        client.close();
                        pool.loop.execute(this::end);
                    }
                }));
    }

    private void joined() {
        if (phase != Phase.JOINING) {
            return;
        }
        if (!client.isActive()) {
            end();
            return;
        }
        pool.join(this);
        base = pool.intern(base);
        base.customNames().forEach(pool::addCustomName);
        settings = base;
        client.config().setAutoRead(true);
        Optional<Map<String, String>> known = dedicated ? Optional.empty() : pool.welcome(base);
        if (known.isPresent()) {
            phase = Phase.IDLE;
            welcome(known.get());
            proceed();
        } else {
            waitForServer();
        }
    }

    private void welcome(Map<String, String> values) {
        welcomed = true;
        reported = values;
        gateway.metrics().checkoutWait.record(Duration.ofNanos(waitedNanos()));
        connection.send(out -> {
            values.forEach((name, value) -> ServerMessages.parameterStatus(out, name, value));
            ServerMessages.readyForQuery(out, Protocol.STATUS_IDLE);
        });
    }

    // ---- waiting for a server connection

    private void waitForServer() {
        phase = Phase.WAITING;
        told = false;
        waitingSinceNanos = System.nanoTime();
        pool.enqueue(this);
    }

    void tellThatItWaits(String why) {
        if (!told) {
            told = true;
            SqlError notice = new SqlError("00000", "database \"" + parameters.get("database") + "\" " + why);
            connection.send(out -> ServerMessages.notice(out, notice));
        }
    }

    /** The pool lends a server connection. */
    void lent(ServerConnection lent) {
        if (phase != Phase.WAITING) {
            pool.giveBack(lent);
            return;
        }
        pool.waitedNanos += waitedNanos();
        take(lent);
        if (phase != Phase.PREPARING) {
            proceed();
        }
    }

    private void take(ServerConnection lent) {
        server = lent;
        lent.attach(this);
        if (dedicated) {
            phase = Phase.ACTIVE;
            welcomed = true;
            gateway.metrics().checkoutWait.record(Duration.ofNanos(waitedNanos()));
            lent.takeWelcome().ifPresent(client::writeAndFlush);
            return;
        }
        lent.ownSequences = lent.lastUser == number;
        List<String> queries = missing(lent);
        lent.lastUser = number;
        if (queries.isEmpty()) {
            ready(lent);
        } else {
            gateway.metrics().resets.increment();
            prepare(lent, queries);
        }
    }

    /** Runs what is missing, a query after the other. */
    private void prepare(ServerConnection on, List<String> queries) {
        phase = Phase.PREPARING;
        on.run(queries.getFirst(), result -> {
            if (queries.size() > 1 && !result.failed() && server == on && phase == Phase.PREPARING) {
                prepare(on, queries.subList(1, queries.size()));
            } else {
                onPrepared(on, result);
            }
        });
    }

    /** What has to be run in a server connection so that its session is this one. */
    private List<String> missing(ServerConnection on) {
        boolean forget = pool.sequences && !on.ownSequences;
        if (!forget
                && on.settings.equals(settings)
                && on.sqlPrepared.equals(sqlPrepared)
                && on.channels.equals(channels)) {
            return List.of();
        }
        List<String> queries = new ArrayList<>();
        List<String> statements = new ArrayList<>();
        if (forget) {
            statements.add("DISCARD SEQUENCES");
        }
        on.settings.sqlTo(settings).ifPresent(statements::add);
        on.sqlPrepared.forEach((name, text) -> {
            if (!text.equals(sqlPrepared.get(name))) {
                statements.add("DEALLOCATE " + quoted(name));
            }
        });
        sqlPrepared.forEach((name, text) -> {
            if (!text.equals(on.sqlPrepared.get(name))) {
                // By itself: PostgreSQL keeps the whole text of the query.
                queries.add(text);
            }
        });
        if (!on.channels.equals(channels)) {
            channels.forEach(channel -> statements.add("LISTEN " + quoted(channel)));
        }
        if (!statements.isEmpty()) {
            queries.addFirst(String.join("\n;", statements));
        }
        return queries;
    }

    private static String quoted(String name) {
        return '"' + name.replace("\"", "\"\"") + '"';
    }

    private void onPrepared(ServerConnection on, InternalQuery.Result result) {
        if (server != on || phase != Phase.PREPARING) {
            return;
        }
        if (result.failed()) {
            SqlError error = result.error().orElseThrow();
            LOG.info("session {}: cannot be put up on a server connection", connection.id);
            server = null;
            pool.cut(on);
            fail(error);
            return;
        }
        on.settings = settings;
        on.sqlPrepared = sqlPrepared;
        on.channels = channels;
        on.ownSequences |= pool.sequences;
        ready(on);
        proceed();
        if (phase == Phase.ACTIVE && early == null && transactionOver()) {
            // What it was wanted for has been cancelled.
            settle();
        }
    }

    private void ready(ServerConnection on) {
        phase = Phase.ACTIVE;
        if (!welcomed) {
            pool.learnedWelcome(base, on.reported);
            welcome(on.reported);
            settle();
        } else if (!reported.equals(on.reported)) {
            tellParameters(on.reported);
        }
    }

    private void tellParameters(Map<String, String> now) {
        connection.send(out -> now.forEach((name, value) -> {
            if (!value.equals(reported.get(name))) {
                ServerMessages.parameterStatus(out, name, value);
            }
        }));
        reported = now;
    }

    // ---- client to server

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
        ByteBuf bytes = (ByteBuf) message;
        if (phase == Phase.CLOSED || connection.closing()) {
            bytes.release();
            return;
        }
        reading = true;
        pool.received += bytes.readableBytes();
        idleInTransactionNanos = 0;
        ByteBuf before = early;
        if (before == null) {
            early = bytes;
        } else if (before.refCnt() == 1 && before.isWritable(bytes.readableBytes())) {
            before.writeBytes(bytes);
            bytes.release();
        } else {
            early = client.alloc()
                    .buffer(Math.max(before.readableBytes() + bytes.readableBytes(), before.readableBytes() * 2))
                    .writeBytes(before)
                    .writeBytes(bytes);
            before.release();
            bytes.release();
        }
        proceed();
    }

    @Override
    public void channelReadComplete(ChannelHandlerContext ctx) {
        reading = false;
        ServerConnection current = server;
        if (current != null && phase == Phase.ACTIVE) {
            current.backend().flush();
        }
    }

    /** Passes on what the client has sent, if now is the time. */
    private void proceed() {
        while ((phase == Phase.IDLE || phase == Phase.ACTIVE || skipping) && early != null) {
            // A session that listens begins nothing either; one that is in the way may end what pins it.
            boolean frozen = phase == Phase.ACTIVE && pool.frozen() && !running() && !inTheWay();
            if (!skipping && (requests.blocked() || frozen)) {
                break;
            }
            if (!forward(early)) {
                break;
            }
        }
        ByteBuf rest = early;
        if (rest != null && !rest.isReadable()) {
            rest.release();
            early = null;
        } else if (rest != null && phase == Phase.JOINING) {
            return;
        }
        boolean full = early != null && early.readableBytes() > MAX_EARLY_BYTES;
        if (full && waits() && !skipping) {
            client.config().setAutoRead(false);
        } else if (!client.config().isAutoRead() && (!waits() || skipping) && serverWritable()) {
            client.config().setAutoRead(true);
        }
        ServerConnection current = server;
        if (!reading && current != null && phase == Phase.ACTIVE) {
            current.backend().flush();
        }
    }

    private boolean waits() {
        return phase == Phase.WAITING || phase == Phase.PREPARING || phase == Phase.ASKING || requests.blocked();
    }

    private boolean serverWritable() {
        ServerConnection current = server;
        return current == null || current.backend().isWritable();
    }

    /** @return whether to try again: a server connection has been found */
    private boolean forward(ByteBuf in) {
        if (skipping) {
            return skip(in) && in.isReadable();
        }
        ServerConnection current = server;
        Optional<String> parsing =
                (requests.effects() & Effects.ANY_SETTING) == 0 ? Optional.of(settings.parsing()) : Optional.empty();
        return switch (requests.forward(in, current, parsing)) {
            case DONE, BLOCKED -> false;
            case WANTS_SERVER -> borrow();
            case WANTS_SEQUENCES_FORGOTTEN -> {
                if (current != null) {
                    phase = Phase.PREPARING;
                    current.run("DISCARD SEQUENCES", result -> onPrepared(current, result));
                }
                yield false;
            }
            case TERMINATED -> {
                client.close();
                yield false;
            }
            case MALFORMED -> {
                fail(requests.error());
                yield false;
            }
        };
    }

    private boolean borrow() {
        ServerConnection free = pool.take(this);
        if (free == null) {
            waitForServer();
        } else {
            take(free);
        }
        return phase == Phase.ACTIVE;
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext ctx) {
        ServerConnection current = server;
        if (current != null && (phase == Phase.ACTIVE)) {
            current.backend().setReading(client.isWritable());
        }
    }

    void backendWritable(boolean writable) {
        if (phase == Phase.ACTIVE) {
            client.config().setAutoRead(writable);
        }
    }

    // ---- server to client

    @Override
    public void parameter(String name, String value) {
        ServerConnection current = server;
        if (current != null && !dedicated) {
            current.parameter(name, value);
            reported = current.reported;
        }
    }

    @Override
    public void statementsGone() {
        ServerConnection current = server;
        if (current != null && !dedicated) {
            current.forgetStatements();
            requests.statementsGone();
        }
    }

    void notified(ByteBuf notifications) {
        client.writeAndFlush(notifications);
    }

    /** Frees the buffer. */
    void received(ByteBuf bytes) {
        ByteBuf forward = answers.feed(bytes, client.alloc());
        if (phase == Phase.ABANDONED) {
            forward.release();
            if (requests.quiet() && answers.atBoundary()) {
                end();
            }
            return;
        }
        if (forward.isReadable()) {
            pool.sent += forward.readableBytes();
            client.write(forward);
        } else {
            forward.release();
        }
        switch (answers.verdict()) {
            case GO_ON -> {}
            case FATAL_PASSED -> {
                // The backend's end, which comes next, is that of the session.
                return;
            }
            case ENDED_IDLE -> {
                client.flush();
                onBackendEnded();
                return;
            }
            case COMMIT_UNKNOWN -> {
                fail(UNKNOWN);
                return;
            }
            case MALFORMED -> {
                LOG.error("session {}: the backend does not speak the protocol", connection.id);
                end();
                connection.closeAfterFlush();
                return;
            }
        }
        if (phase != Phase.ACTIVE || dedicated) {
            return;
        }
        if (transactionOver()) {
            // Whoever has the server connection next hears of the end of this read.
            client.flush();
            onTransactionEnded();
        }
        if (early != null && !requests.blocked()) {
            proceed();
        }
    }

    @Override
    public boolean outlivesBackend() {
        // Of what it leaves behind all is known: nothing, or that it listens.
        int unknown = held.isEmpty() ? Effects.ASK | Effects.LOAD | Effects.HIDDEN : ~0;
        return !dedicated
                && lasting.isEmpty()
                && (requests.effects() & unknown) == 0
                && !requests.readsSequences()
                && !requests.holdsStatements()
                && (held.isEmpty() || movable(LeaseEvent.Reason.WRITER_LOST));
    }

    private void onBackendEnded() {
        ServerConnection ended = server;
        if (ended == null) {
            return;
        }
        server = null;
        pool.cut(ended);
        requests.transactionEnded();
        if (held.isEmpty()) {
            phase = Phase.IDLE;
            proceed();
        } else {
            waitForServer();
        }
    }

    void backendReadComplete() {
        client.flush();
    }

    private boolean transactionOver() {
        return answers.status() == Protocol.STATUS_IDLE && requests.quiet() && answers.atBoundary();
    }

    /** To be called again and again: it is idle from the first time on that it is seen so. */
    void endIfIdleInTransaction(long now, Duration limit) {
        boolean idle = phase == Phase.ACTIVE
                && early == null
                && answers.status() != Protocol.STATUS_IDLE
                && requests.quiet()
                && answers.atBoundary();
        if (!idle) {
            idleInTransactionNanos = 0;
        } else if (idleInTransactionNanos == 0) {
            idleInTransactionNanos = now;
        } else if (now - idleInTransactionNanos > limit.toNanos()) {
            fail(IDLE_IN_TRANSACTION);
        }
    }

    private void onTransactionEnded() {
        ServerConnection current = server;
        if (current == null) {
            return;
        }
        pool.transactions++;
        int effects = requests.effects();
        if ((effects & Effects.LOAD) != 0) {
            lasting.add(PinReason.LOAD);
        }
        if ((effects & Effects.HIDDEN) != 0) {
            lasting.add(PinReason.HIDDEN);
        }
        if (requests.readsSequences()) {
            lasting.add(PinReason.SEQUENCE);
        }
        boolean ask = (effects & Effects.ASK) != 0
                || requests.unknownTexts()
                || held.contains(PinReason.NOT_UNDERSTOOD)
                || (!held.isEmpty() && (effects & Effects.UNDO) != 0);
        if (ask) {
            phase = Phase.ASKING;
            current.run(SessionReport.sql(pool.customNames()), result -> onReport(current, result));
        } else {
            requests.transactionEnded();
            settle();
        }
    }

    private void onReport(ServerConnection from, InternalQuery.Result result) {
        if (server != from || phase != Phase.ASKING) {
            return;
        }
        phase = Phase.ACTIVE;
        Set<PinReason> found = EnumSet.noneOf(PinReason.class);
        if (result.failed()) {
            found.add(PinReason.NOT_UNDERSTOOD);
        } else {
            SessionReport report = new SessionReport();
            result.rows().forEach(report::row);
            Settings now = pool.intern(report.settings());
            boolean nothingNew = now.equals(from.settings)
                    && report.reasons().equals(held)
                    && report.prepared().equals(sqlPrepared);
            if (nothingNew && (requests.effects() & Effects.ASK) == 0) {
                requests.harmless();
            }
            from.settings = now;
            settings = pool.intern(now.over(base));
            sqlPrepared = report.prepared();
            from.sqlPrepared = sqlPrepared;
            channels = report.channels();
            from.channels = channels;
            found.addAll(report.reasons());
            if (requests.namesLost()) {
                found.add(PinReason.HIDDEN);
            }
        }
        held.removeIf(reason -> !found.contains(reason));
        found.forEach(this::pin);
        requests.transactionEnded();
        settle();
        proceed();
    }

    private void pin(PinReason reason) {

        if (held.add(reason)) {
            gateway.metrics().pinned(reason);
        }
    }

    /** Between transactions: gives the server connection back if nothing holds it. */
    private void settle() {
        ServerConnection current = server;
        if (current == null) {
            return;
        }
        lasting.forEach(this::pin);
        if (requests.holdsStatements()) {
            pin(PinReason.STATEMENT);
        } else if (sqlPrepared.isEmpty()) {
            held.remove(PinReason.STATEMENT);
        }
        if (held.isEmpty()) {
            server = null;
            phase = Phase.IDLE;
            current.backend().setReading(true);
            pool.giveBack(current);
        } else if (!current.settings.equals(settings) && !held.contains(PinReason.NOT_UNDERSTOOD)) {
            // A RESET went back to what the server has, not to what this client's startup packet says.
            List<String> queries = missing(current);
            if (!queries.isEmpty()) {
                prepare(current, queries);
            }
        }
        pool.tellDraining();
    }

    // ---- cancel

    /** A cancel request of this session's client. From any thread. */
    CompletionStage<Done> cancel() {
        CompletableFuture<Done> done = new CompletableFuture<>();
        pool.loop.execute(() -> onCancel(done));
        return done;
    }

    private void onCancel(CompletableFuture<Done> done) {
        ServerConnection current = server;
        if (!welcomed && (phase == Phase.WAITING || phase == Phase.PREPARING)) {
            fail(CANCELED);
        } else if (phase == Phase.ACTIVE && tracker.inFlight() && current != null) {
            cancelBackend(current).thenAccept(done::complete);
            return;
        } else if (welcomed && queued()) {
            cancelQueued();
        }
        done.complete(Done.getInstance());
    }

    /** The client has asked for something that no server connection has seen. */
    private boolean queued() {
        boolean unseen = switch (phase) {
            case WAITING, PREPARING, ASKING -> true;
            case ACTIVE -> transactionOver();
            case JOINING, IDLE, ABANDONED, CLOSED -> false;
        };
        return unseen && !skipping && early != null && early.isReadable();
    }

    private CompletionStage<Done> cancelBackend(ServerConnection current) {
        current.cancelBegins();
        return BackendCancel.send(gateway, current.lease(), current.key(), pool.loop)
                .thenApply(sent -> {
                    pool.loop.execute(() -> {
                        current.cancelEnds();
                        pool.cancelled(current);
                    });
                    return sent;
                });
    }

    /** The request is answered as if it had been cancelled while it ran. A session that listens goes on waiting for that. */
    private void cancelQueued() {
        skipping = true;
        LOG.info("session {}: {} {}", connection.id, CANCELED_STATEMENT.sqlState(), CANCELED_STATEMENT.message());
        connection.send(out -> ServerMessages.error(out, CANCELED_STATEMENT));
        if (phase == Phase.WAITING && held.isEmpty()) {
            pool.withdraw(this);
            phase = Phase.IDLE;
        }
        proceed();
    }

    /** Skips up to the end of the request: a simple query, or a Sync. False if that is not there yet. */
    private boolean skip(ByteBuf in) {
        while (true) {
            int now = (int) Math.min(skipBytes, in.readableBytes());
            in.skipBytes(now);
            skipBytes -= now;
            if (skipBytes == 0 && skipsLast) {
                skipping = false;
                skipsLast = false;
                connection.send(out -> ServerMessages.readyForQuery(out, Protocol.STATUS_IDLE));
                return true;
            }
            if (in.readableBytes() < Protocol.HEADER_BYTES) {
                return false;
            }
            byte type = in.getByte(in.readerIndex());
            skipBytes = in.getInt(in.readerIndex() + 1) + 1L;
            if (skipBytes < Protocol.HEADER_BYTES) {
                skipping = false;
                return true;
            }
            skipsLast = type == Protocol.QUERY || type == Protocol.FUNCTION_CALL || type == Protocol.SYNC;
        }
    }

    // ---- losing the server connection

    /** Its backend has closed. The pool has forgotten it. */
    void serverClosed(ServerConnection lostServer) {
        writerLost(lostServer, LeaseEvent.Reason.WRITER_LOST);
    }

    /** Its writer is gone; the server connection has been taken away. */
    void writerLost(ServerConnection lostServer, LeaseEvent.Reason reason) {
        if (server != lostServer) {
            return;
        }
        server = null;
        switch (phase) {
            // Nothing of the client's has reached it.
            case PREPARING -> waitForServer();
            case ASKING -> onLostWhileAsking(reason);
            case ACTIVE -> {
                if (movable(reason)) {
                    waitForServer();
                } else {
                    lost(WRITER_LOST);
                }
            }
            case ABANDONED -> end();
            case JOINING, IDLE, WAITING, CLOSED -> {}
        }
    }

    /** What the transaction left behind is not known, unless it was only asked for because its text was new. */
    private void onLostWhileAsking(LeaseEvent.Reason reason) {
        boolean unchanged = (requests.effects() & Effects.ASK) == 0 && held.isEmpty() && lasting.isEmpty();
        requests.transactionEnded();
        if (unchanged && reason != LeaseEvent.Reason.DELETED) {
            phase = Phase.IDLE;
            proceed();
        } else {
            lost(WRITER_LOST);
        }
    }

    /** It only listens: that can be done elsewhere. A database that was stopped is not woken by listeners. */
    private boolean movable(LeaseEvent.Reason reason) {
        return reason == LeaseEvent.Reason.WRITER_LOST
                && held.equals(EnumSet.of(PinReason.LISTEN))
                && requests.quiet()
                && answers.status() == Protocol.STATUS_IDLE
                && !answers.midMessage();
    }

    void databaseGone() {
        if (phase != Phase.CLOSED) {
            lost(WRITER_LOST);
        }
    }

    /** The Gateway stops. On the event loop. */
    void shutdown() {
        if (phase == Phase.ABANDONED) {
            end();
        } else {
            lost(STOPPING);
        }
    }

    // ---- the end

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
        ServerConnection current = server;
        if (phase != Phase.ACTIVE || current == null || requests.midMessage() || !tracker.backendBusy()) {
            end();
            return;
        }
        abandon(current);
    }

    /** Nobody waits for the running query any more. It may end by itself, so that a commit is not cut short. */
    private void abandon(ServerConnection current) {
        phase = Phase.ABANDONED;
        current.backend().flush();
        current.backend().setReading(true);
        long grace = gateway.settings().times().abandonedQueryGrace().toMillis();
        pool.loop.schedule(() -> onAbandonedTooLong(current), grace, TimeUnit.MILLISECONDS);
    }

    private void onAbandonedTooLong(ServerConnection current) {
        if (phase == Phase.ABANDONED) {
            LOG.info("session {}: cancels a query whose client is gone", connection.id);
            cancelBackend(current).thenAccept(done -> pool.loop.execute(this::end));
        }
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        LOG.debug("session {}: {}", connection.id, cause.toString());
        ctx.close();
    }

    /** The server connection is, or has to be, no more. What the client is told depends on what was in flight. */
    private void lost(SqlError otherwise) {
        boolean heard = tracker.terminated() || answers.verdict() == BackendStream.Verdict.FATAL_PASSED;
        if (heard || answers.midMessage()) {
            // In the middle of a message no error can be put in: the broken connection has to say it.
            LOG.info("session {}: closed with the backend connection", connection.id);
            end();
            connection.closeAfterFlush();
        } else {
            fail(tracker.mayCommit() ? UNKNOWN : otherwise);
        }
    }

    void fail(SqlError error) {
        end();
        connection.fatal(error);
    }

    /** Gives everything back. The client channel is closed by whoever calls, or is closed already. */
    private void end() {
        if (phase == Phase.CLOSED) {
            return;
        }
        Phase before = phase;
        phase = Phase.CLOSED;
        key.ifPresent(gateway.cancelKeys()::remove);
        key = Optional.empty();
        if (early != null) {
            early.release();
            early = null;
        }
        boolean clean = answers.status() == Protocol.STATUS_IDLE && requests.quiet() && answers.atBoundary();
        answers.release();
        requests.end();
        ServerConnection current = server;
        server = null;
        if (current != null) {
            release(current, before, clean);
        }
        if (before != Phase.JOINING) {
            pool.leave(this);
        }
    }

    private void release(ServerConnection current, Phase before, boolean clean) {
        boolean lendable =
                !dedicated && clean && !lasting.contains(PinReason.LOAD) && !lasting.contains(PinReason.HIDDEN);
        if (lendable && before == Phase.ACTIVE && held.isEmpty()) {
            pool.giveBack(current);
        } else if (lendable && (before == Phase.ACTIVE || before == Phase.ABANDONED)) {
            pool.clean(current);
        } else if (!requests.midMessage() && !tracker.inFlight()) {
            pool.drop(current);
            pool.serve();
        } else {
            pool.cut(current);
        }
    }
}

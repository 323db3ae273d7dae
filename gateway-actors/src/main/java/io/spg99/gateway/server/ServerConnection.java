package io.spg99.gateway.server;

import io.netty.buffer.ByteBuf;
import io.netty.channel.EventLoop;
import io.spg99.gateway.console.PoolLook;
import io.spg99.gateway.lease.Lease;
import io.spg99.gateway.lease.WriterLocation;
import io.spg99.gateway.session.ClientStatement;
import io.spg99.gateway.session.ServerStatement;
import io.spg99.gateway.session.Settings;
import io.spg99.gateway.wire.BackendLogin;
import io.spg99.gateway.wire.ClientMessages;
import io.spg99.gateway.wire.InternalQuery;
import io.spg99.gateway.wire.SqlError;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * A server connection of a pool: a backend, what is known of the session in it, and who uses it. Confined to the pool's
 * event loop.
 */
final class ServerConnection implements BackendConnection.Listener {

    private final ServerPool pool;
    /** The session it was made for and ends with; null for one that is lent. */
    private final @Nullable ClientSession owner;

    private @Nullable BackendConnection backend;
    private @Nullable ClientSession session;
    private @Nullable InternalQuery query;
    private @Nullable Consumer<InternalQuery.Result> done;
    /** Cancel requests on their way: who has it next must not be hit. */
    private int cancels;

    private boolean connected;
    /** What the backend showed at its login. */
    private @Nullable ByteBuf welcome;

    /** As set in this session, beyond what it began with. */
    Settings settings = Settings.NONE;
    /** Statements of SQL's PREPARE: text by name. */
    Map<String, String> sqlPrepared = Map.of();
    /** Channels listened to. */
    List<String> channels = List.of();
    /** Parameters that PostgreSQL reports; interned by the pool. */
    Map<String, String> reported = Map.of();
    /** The one parsed last without a name. */
    @Nullable
    ClientStatement unnamed;
    /** Number of the session that used it last; zero at first. */
    long lastUser;
    /** What was last taken from sequences here was taken by its user of now. */
    boolean ownSequences;

    /** Prepared statements, the longest unused first. */
    private final LinkedHashMap<ServerStatement, Boolean> prepared = new LinkedHashMap<>(16, 0.75f, true);

    final long bornNanos = System.nanoTime();
    final Instant began = Instant.now();
    /** To be closed when nobody uses it any more. */
    boolean outdated;

    long idleSinceNanos;

    private ServerConnection(ServerPool pool, @Nullable ClientSession owner) {
        this.pool = pool;
        this.owner = owner;
    }

    /**
     * Begins to connect.
     *
     * @param ahead there is no lease yet, only the expectation of this one
     */
    static ServerConnection connect(
            ServerPool pool,
            Lease lease,
            Map<String, String> parameters,
            @Nullable ClientSession owner,
            EventLoop loop,
            boolean ahead) {
        ServerConnection server = new ServerConnection(pool, owner);
        server.backend = ahead
                ? BackendConnection.connectAhead(pool.gateway, lease, parameters, loop, server)
                : BackendConnection.connect(pool.gateway, lease, parameters, loop, server);
        return server;
    }

    BackendConnection backend() {
        BackendConnection current = backend;
        if (current == null) {
            throw new IllegalStateException("not connecting yet");
        }
        return current;
    }

    Lease lease() {
        return backend().lease();
    }

    int generation() {
        return lease().generation();
    }

    BackendLogin.LoggedIn key() {
        return backend().key();
    }

    boolean connected() {
        return connected;
    }

    @Nullable
    ClientSession owner() {
        return owner;
    }

    @Nullable
    ClientSession session() {
        return session;
    }

    void attach(ClientSession user) {
        session = user;
    }

    void detach() {
        session = null;
    }

    /** Its login, for the session it was made for; to be freed by the caller. */
    Optional<ByteBuf> takeWelcome() {
        Optional<ByteBuf> bytes = Optional.ofNullable(welcome);
        welcome = null;
        return bytes;
    }

    /** For the admin console. */
    PoolLook.Server look() {
        ClientSession user = session == null ? owner : session;
        PoolLook.State state = !connected
                ? PoolLook.State.LOGIN
                : user != null || query != null ? PoolLook.State.ACTIVE : PoolLook.State.IDLE;
        WriterLocation writer = lease().writer();
        return new PoolLook.Server(
                state,
                writer.host() + ":" + writer.port(),
                began,
                connected ? key().processId() : 0,
                user == null ? "" : user.id(),
                generation());
    }

    // ---- prepared statements

    boolean has(ServerStatement statement) {
        return prepared.get(statement) != null;
    }

    void remember(ServerStatement statement) {
        prepared.put(statement, Boolean.TRUE);
    }

    void forget(ServerStatement statement) {
        prepared.remove(statement);
    }

    void forgetStatements() {
        prepared.clear();
        sqlPrepared = Map.of();
    }

    /** One to close, if there are more than that. */
    Optional<ServerStatement> eldestBeyond(int limit) {
        return prepared.size() > limit
                ? Optional.of(prepared.keySet().iterator().next())
                : Optional.empty();
    }

    // ---- what the Gateway itself asks

    /** Runs SQL of the Gateway's own. Only while nothing of a client is under way. */
    void run(String sql, Consumer<InternalQuery.Result> whenDone) {
        query = new InternalQuery();
        done = whenDone;
        ByteBuf out = pool.allocator().buffer(sql.length() + 16);
        ClientMessages.query(out, sql);
        backend().write(out);
        backend().flush();
    }

    void cancelBegins() {
        cancels++;
    }

    void cancelEnds() {
        cancels--;
    }

    boolean cancelling() {
        return cancels > 0;
    }

    void parameter(String name, String value) {
        if (!value.equals(reported.get(name))) {
            reported = pool.reportedWith(reported, name, value);
        }
    }

    // ---- from the backend

    @Override
    public void loggedIn(ByteBuf forClient) {
        connected = true;
        reported = pool.intern(BackendLogin.parameters(forClient));
        if (owner == null) {
            forClient.release();
        } else {
            welcome = forClient;
        }
        pool.onConnected(this);
    }

    @Override
    public void refused(SqlError error) {
        pool.onRefusedLogin(this, error);
    }

    @Override
    public void failed(String reason) {
        pool.onFailedConnect(this, reason);
    }

    @Override
    public void received(ByteBuf bytes) {
        InternalQuery current = query;
        ClientSession user = session;
        if (current != null) {
            current.feed(bytes, this::parameter);
            current.takeNotifications().ifPresent(notifications -> {
                if (user != null) {
                    user.notified(notifications);
                } else {
                    notifications.release();
                }
            });
            current.result().ifPresent(result -> finished(current, result));
        } else if (user != null) {
            user.received(bytes);
        } else {
            bytes.release();
            pool.onUnasked(this);
        }
    }

    private void finished(InternalQuery answered, InternalQuery.Result result) {
        Consumer<InternalQuery.Result> whenDone = done;
        Optional<ByteBuf> rest = answered.takeRest();
        answered.release();
        query = null;
        done = null;
        if (whenDone != null) {
            whenDone.accept(result);
        }
        rest.ifPresent(this::received);
    }

    @Override
    public void readComplete() {
        ClientSession user = session;
        if (user != null) {
            user.backendReadComplete();
        }
    }

    @Override
    public void writabilityChanged(boolean writable) {
        ClientSession user = session;
        if (user != null) {
            user.backendWritable(writable);
        }
    }

    @Override
    public void closed() {
        pool.onClosed(this);
    }

    /** Frees what it holds; the backend is closed by the caller. */
    void release() {
        takeWelcome().ifPresent(ByteBuf::release);
        InternalQuery current = query;
        query = null;
        done = null;
        if (current != null) {
            current.release();
        }
    }
}

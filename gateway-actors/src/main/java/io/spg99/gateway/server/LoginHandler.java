package io.spg99.gateway.server;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.ByteToMessageDecoder;
import io.netty.handler.ssl.SslHandler;
import io.spg99.gateway.login.PoolMode;
import io.spg99.gateway.login.ScramExchange;
import io.spg99.gateway.login.ScramVerifier;
import io.spg99.gateway.login.TenantDirectory;
import io.spg99.gateway.login.TenantDirectory.Tenant;
import io.spg99.gateway.session.Settings;
import io.spg99.gateway.session.StartupOptions;
import io.spg99.gateway.wire.Decoded;
import io.spg99.gateway.wire.FrameDecoder;
import io.spg99.gateway.wire.SaslMessages;
import io.spg99.gateway.wire.ServerMessages;
import io.spg99.gateway.wire.SqlError;
import java.time.Duration;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The password check: asks the directory who the user is, then SCRAM. Nothing here asks a database for anything. */
final class LoginHandler extends ByteToMessageDecoder {

    private static final Logger LOG = LoggerFactory.getLogger(LoginHandler.class);

    private static final int NONCE_BYTES = 18;

    private static final String POOL_MODE = "spg99.pool_mode";

    /** Values of the parameter "replication" that ask for an ordinary connection. */
    private static final Set<String> NO_REPLICATION = Set.of("false", "off", "no", "0", "f", "n");

    private static final SqlError DIRECTORY_UNAVAILABLE =
            new SqlError("57P03", "logins cannot be checked at the moment", "Retry in some seconds.");
    private static final SqlError TOO_MANY =
            new SqlError("53300", "sorry, too many clients already", "Retry when other connections have ended.");

    private enum State {
        ASKING_DIRECTORY,
        FIRST,
        LAST,
        /** The password check waits: there were wrong ones from the same address. */
        DELAYED,
        DONE
    }

    private final ClientConnection connection;
    private final GatewayContext gateway;
    private final Map<String, String> parameters;
    private final FrameDecoder frames;
    private final String user;
    private final String database;

    private State state = State.ASKING_DIRECTORY;
    private Optional<Tenant> tenant = Optional.empty();
    private @Nullable ScramExchange scram;

    LoginHandler(ClientConnection connection, Map<String, String> parameters) {
        this.connection = connection;
        this.gateway = connection.gateway;
        this.parameters = parameters;
        frames = new FrameDecoder(gateway.settings().limits().loginMessage());
        user = parameters.getOrDefault("user", "");
        String named = parameters.getOrDefault("database", "");
        database = named.isEmpty() ? user : named;
    }

    @Override
    public void handlerAdded(ChannelHandlerContext ctx) {
        if (user.isEmpty()) {
            connection.fatal(new SqlError("28000", "no PostgreSQL user name specified in startup packet"));
            return;
        }
        String replication = parameters.getOrDefault("replication", "off").toLowerCase(Locale.ROOT);
        if (!NO_REPLICATION.contains(replication)) {
            connection.fatal(new SqlError("0A000", "replication connections are not supported"));
            return;
        }
        find().thenAccept(found -> ctx.executor().execute(() -> onDirectory(found)))
                .exceptionally(failure -> {
                    ctx.executor().execute(() -> onDirectoryFailure(failure));
                    return null;
                });
    }

    private CompletionStage<Optional<Tenant>> find() {
        try {
            return gateway.tenants().find(user);
        } catch (RuntimeException e) {
            return CompletableFuture.failedFuture(e);
        }
    }

    private void onDirectoryFailure(Throwable failure) {
        if (!connection.closing()) {
            LOG.warn("session {}: the directory cannot be asked", connection.id, failure);
            connection.fatal(DIRECTORY_UNAVAILABLE);
        }
    }

    private void onDirectory(Optional<Tenant> found) {
        if (connection.closing()) {
            return;
        }
        tenant = found;
        ScramVerifier verifier;
        try {
            verifier = found.map(known -> ScramVerifier.parse(known.verifier()))
                    .orElseGet(() -> gateway.mocks().of(user));
        } catch (IllegalArgumentException e) {
            LOG.error("session {}: tenant {} has no usable verifier", connection.id, user, e);
            connection.fatal(DIRECTORY_UNAVAILABLE);
            return;
        }
        byte[] nonce = new byte[NONCE_BYTES];
        gateway.random().nextBytes(nonce);
        scram = new ScramExchange(
                verifier,
                connection.tls.endPoint(),
                Base64.getEncoder().withoutPadding().encodeToString(nonce));
        state = State.FIRST;
        boolean encrypted = connection.channel.pipeline().get(SslHandler.class) != null;
        connection.send(out -> ServerMessages.authenticationSasl(out, ScramExchange.mechanisms(encrypted)));
    }

    @Override
    protected void decode(ChannelHandlerContext ctx, ByteBuf in, List<Object> out) {
        if (connection.closing()) {
            in.skipBytes(in.readableBytes());
            return;
        }
        if (state == State.ASKING_DIRECTORY || state == State.DELAYED) {
            if (in.readableBytes() > gateway.settings().limits().loginMessage()) {
                connection.fatal(SqlError.protocolViolation("unexpected message during authentication"));
            }
            return;
        }
        switch (frames.decode(in)) {
            case Decoded.NeedMore<FrameDecoder.Frame> more -> {}
            case Decoded.Malformed<FrameDecoder.Frame> malformed -> connection.fatal(malformed.error());
            case Decoded.Message<FrameDecoder.Frame> message -> onFrame(ctx, message.value());
        }
    }

    private void onFrame(ChannelHandlerContext ctx, FrameDecoder.Frame frame) {
        ScramExchange exchange = scram;
        if (exchange == null) {
            throw new IllegalStateException("no exchange in state " + state);
        }
        try {
            if (state == State.FIRST) {
                onFirst(exchange, SaslMessages.initial(frame));
            } else {
                onLast(ctx, exchange, SaslMessages.response(frame));
            }
        } catch (ScramExchange.ScramException e) {
            onScramFailure(e);
        }
    }

    private void onFirst(ScramExchange exchange, Decoded<SaslMessages.Initial> decoded)
            throws ScramExchange.ScramException {
        switch (decoded) {
            case Decoded.NeedMore<SaslMessages.Initial> more -> {}
            case Decoded.Malformed<SaslMessages.Initial> malformed -> connection.fatal(malformed.error());
            case Decoded.Message<SaslMessages.Initial> message -> {
                byte[] answer = exchange.first(
                        message.value().mechanism(),
                        ByteBufUtil.getBytes(message.value().data()));
                state = State.LAST;
                connection.send(out -> ServerMessages.authenticationSaslContinue(out, answer));
            }
        }
    }

    private void onLast(ChannelHandlerContext ctx, ScramExchange exchange, Decoded<byte[]> decoded) {
        switch (decoded) {
            case Decoded.NeedMore<byte[]> more -> {}
            case Decoded.Malformed<byte[]> malformed -> connection.fatal(malformed.error());
            case Decoded.Message<byte[]> message -> {
                Duration delay = gateway.backoff().delay(connection.channel.remoteAddress(), user);
                if (delay.isZero()) {
                    check(ctx, exchange, message.value());
                } else {
                    gateway.metrics().loginDelays.increment();
                    state = State.DELAYED;
                    connection.after(delay, () -> {
                        if (!connection.closing()) {
                            check(ctx, exchange, message.value());
                        }
                    });
                }
            }
        }
    }

    private void check(ChannelHandlerContext ctx, ScramExchange exchange, byte[] response) {
        byte[] answer;
        try {
            answer = exchange.last(response);
        } catch (ScramExchange.ScramException e) {
            onScramFailure(e);
            return;
        }
        if (tenant.isEmpty()) {
            throw new IllegalStateException("a password fitted a mock verifier");
        }
        gateway.backoff().succeeded(connection.channel.remoteAddress(), user);
        onAuthenticated(ctx, tenant.get(), answer);
    }

    private void onScramFailure(ScramExchange.ScramException failure) {
        gateway.metrics().loginFailures.increment();
        boolean password = failure.sqlState().equals("28P01");
        if (password) {
            gateway.backoff().failed(connection.channel.remoteAddress(), user);
        }
        connection.fatal(new SqlError(
                failure.sqlState(),
                password
                        ? "password authentication failed for user \"" + user + "\""
                        : String.valueOf(failure.getMessage())));
    }

    private void onAuthenticated(ChannelHandlerContext ctx, Tenant known, byte[] serverFinal) {
        state = State.DONE;
        TenantDirectory.Database found = known.databases().get(database);
        boolean room = connection.loggedIn();
        if (found == null || !room) {
            connection.send(out -> ServerMessages.authenticationSaslFinal(out, serverFinal));
            connection.fatal(
                    found == null ? new SqlError("3D000", "database \"" + database + "\" does not exist") : TOO_MANY);
            return;
        }
        Map<String, String> forBackend = new LinkedHashMap<>(parameters);
        forBackend.remove("replication");
        forBackend.put("user", known.pgUser());
        forBackend.put("database", database);
        Map<String, String> login = Map.of("user", known.pgUser(), "database", database);
        ServerPool pool = gateway.pools().of(gateway, found.id(), login);
        ClientSession session = session(pool, found.poolMode(), forBackend);
        connection.attach(session);
        // Early, so that notices may follow while the database wakes.
        connection.send(out -> {
            ServerMessages.authenticationSaslFinal(out, serverFinal);
            ServerMessages.authenticationOk(out);
            session.key().ifPresent(key -> ServerMessages.backendKeyData(out, key.processId(), key.secret()));
        });
        ctx.pipeline().replace(this, "session", session);
    }

    /** Its settings are carried from one server connection to another, unless it asks for one of its own. */
    private ClientSession session(ServerPool pool, PoolMode usual, Map<String, String> forBackend) {
        Map<String, String> direct = new LinkedHashMap<>(forBackend);
        direct.keySet().removeAll(List.of("user", "database", "options"));
        // Switches other than settings are for PostgreSQL itself to understand.
        Optional<Map<String, String>> options = StartupOptions.parse(forBackend.getOrDefault("options", ""));
        PoolMode mode = Optional.ofNullable(direct.get(POOL_MODE))
                .or(() -> options.map(settings -> settings.get(POOL_MODE)))
                .flatMap(PoolMode::parse)
                .orElse(usual);
        boolean dedicated = options.isEmpty() || mode == PoolMode.SESSION;
        Map<String, String> settings = new LinkedHashMap<>(options.orElse(Map.of()));
        settings.putAll(direct);
        return new ClientSession(connection, pool, forBackend, Settings.of(settings), dedicated);
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        LOG.debug("session {}: {}", connection.id, cause.toString());
        ctx.close();
    }
}

package io.spg99.gateway.server;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.ByteToMessageDecoder;
import io.netty.handler.ssl.SslHandler;
import io.spg99.gateway.console.ConsoleCommand;
import io.spg99.gateway.console.ConsoleTable;
import io.spg99.gateway.console.PoolLook;
import io.spg99.gateway.console.Subject;
import io.spg99.gateway.login.TenantDirectory;
import io.spg99.gateway.wire.Decoded;
import io.spg99.gateway.wire.FrameDecoder;
import io.spg99.gateway.wire.Protocol;
import io.spg99.gateway.wire.ServerMessages;
import io.spg99.gateway.wire.SqlError;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A session of the admin console: database {@value TenantDirectory#CONSOLE}, an API key as the password, which is only asked for inside
 * TLS. One statement at a time, in the simple protocol and in the extended one (without parameters).
 *
 * <pre>
 * PASSWORD -- the key ------> CHECKING -- known --> READY <-- answered -- BUSY
 *                             CHECKING -- unknown, no directory --> closed
 * READY    -- a statement --> BUSY
 * </pre>
 */
final class ConsoleSession extends ByteToMessageDecoder {

    private static final Logger LOG = LoggerFactory.getLogger(ConsoleSession.class);

    /** Bytes of a message: statements are short. */
    private static final int MAX_MESSAGE = 10_000;

    /** Of the extended protocol, for one client. */
    private static final int MAX_STATEMENTS = 1000;

    /** Longest wait for what a command asks for, beyond its own limit. */
    private static final Duration GRACE = Duration.ofSeconds(10);

    private enum State {
        PASSWORD,
        CHECKING,
        READY,
        BUSY
    }

    private final ClientConnection connection;
    private final GatewayContext gateway;
    private final String user;
    private final FrameDecoder frames = new FrameDecoder(MAX_MESSAGE);

    private State state = State.PASSWORD;
    /** After an error in the extended protocol, up to the Sync. */
    private boolean skipping;

    private final Map<String, ConsoleCommand> statements = new HashMap<>();
    private final Map<String, Portal> portals = new HashMap<>();

    /** @param binary columns that are to come in binary form */
    private record Portal(ConsoleCommand command, BitSet binary) {}

    ConsoleSession(ClientConnection connection, String user) {
        this.connection = connection;
        this.gateway = connection.gateway;
        this.user = user;
    }

    // ---- login

    @Override
    public void handlerAdded(ChannelHandlerContext ctx) {
        if (ctx.pipeline().get(SslHandler.class) == null) {
            connection.fatal(new SqlError("28000", "the admin console needs TLS", "Connect with sslmode=require."));
            return;
        }
        connection.send(ServerMessages::authenticationCleartextPassword);
    }

    private void onPassword(ChannelHandlerContext ctx, FrameDecoder.Frame frame) {
        ByteBuf body = frame.body();
        if (frame.type() != Protocol.PASSWORD || body.bytesBefore((byte) 0) < 0) {
            connection.fatal(SqlError.protocolViolation("expected a password"));
            return;
        }
        String apiKey = text(body);
        state = State.CHECKING;
        Duration delay = gateway.backoff().delay(connection.channel.remoteAddress(), user);
        connection.after(delay, () -> check(ctx, apiKey));
    }

    private void check(ChannelHandlerContext ctx, String apiKey) {
        if (connection.closing()) {
            return;
        }
        gateway.tenants()
                .isAdministrator(apiKey)
                .whenComplete((known, failure) -> ctx.executor().execute(() -> {
                    if (connection.closing()) {
                        return;
                    }
                    if (failure != null) {
                        LOG.warn("session {}: the directory cannot be asked", connection.id, failure);
                        connection.fatal(LoginHandler.DIRECTORY_UNAVAILABLE);
                    } else if (known) {
                        onKnown(ctx);
                    } else {
                        gateway.metrics().loginFailures.increment();
                        gateway.backoff().failed(connection.channel.remoteAddress(), user);
                        connection.fatal(new SqlError(
                                "28P01",
                                "password authentication failed for user \"" + user + "\"",
                                "The password of the admin console is an API key."));
                    }
                }));
    }

    private void onKnown(ChannelHandlerContext ctx) {
        gateway.backoff().succeeded(connection.channel.remoteAddress(), user);
        if (!connection.loggedIn()) {
            connection.fatal(LoginHandler.TOO_MANY);
            return;
        }
        LOG.info("session {}: admin console, remote={}", connection.id, connection.channel.remoteAddress());
        connection.send(out -> {
            ServerMessages.authenticationOk(out);
            ServerMessages.parameterStatus(out, "server_version", "17.0 (SPG99 " + version() + ")");
            ServerMessages.parameterStatus(out, "server_encoding", "UTF8");
            ServerMessages.parameterStatus(out, "client_encoding", "UTF8");
            ServerMessages.parameterStatus(out, "DateStyle", "ISO, MDY");
            ServerMessages.parameterStatus(out, "TimeZone", "Etc/UTC");
            ServerMessages.parameterStatus(out, "integer_datetimes", "on");
            ServerMessages.parameterStatus(out, "standard_conforming_strings", "on");
            ServerMessages.readyForQuery(out, Protocol.STATUS_IDLE);
        });
        goOn(ctx);
    }

    private static String version() {
        String version = ConsoleSession.class.getPackage().getImplementationVersion();
        return version == null ? "development" : version;
    }

    // ---- statements

    @Override
    protected void decode(ChannelHandlerContext ctx, ByteBuf in, List<Object> out) {
        if (connection.closing()) {
            in.skipBytes(in.readableBytes());
            return;
        }
        if (state == State.CHECKING || state == State.BUSY) {
            ctx.channel().config().setAutoRead(in.readableBytes() < MAX_MESSAGE);
            return;
        }
        switch (frames.decode(in)) {
            case Decoded.NeedMore<FrameDecoder.Frame> more -> {}
            case Decoded.Malformed<FrameDecoder.Frame> malformed -> connection.fatal(malformed.error());
            case Decoded.Message<FrameDecoder.Frame> message -> {
                try {
                    if (state == State.PASSWORD) {
                        onPassword(ctx, message.value());
                    } else {
                        onMessage(ctx, message.value());
                    }
                } catch (IndexOutOfBoundsException e) {
                    connection.fatal(SqlError.protocolViolation("malformed message"));
                }
            }
        }
    }

    /** Whatever came meanwhile is looked at now. */
    private void goOn(ChannelHandlerContext ctx) {
        state = State.READY;
        ctx.channel().config().setAutoRead(true);
        try {
            channelRead(ctx, Unpooled.EMPTY_BUFFER);
        } catch (Exception e) {
            exceptionCaught(ctx, e);
        }
    }

    private void onMessage(ChannelHandlerContext ctx, FrameDecoder.Frame frame) {
        byte type = frame.type();
        ByteBuf body = frame.body();
        if (type == Protocol.SYNC) {
            skipping = false;
            connection.send(out -> ServerMessages.readyForQuery(out, Protocol.STATUS_IDLE));
        } else if (type == Protocol.TERMINATE) {
            connection.closeAfterFlush();
        } else if (skipping || type == Protocol.FLUSH) {
            return;
        } else if (type == Protocol.QUERY) {
            ConsoleCommand command = ConsoleCommand.parse(text(body));
            run(
                    ctx,
                    command,
                    answer -> connection.send(out -> {
                        if (command instanceof ConsoleCommand.Show show) {
                            describe(out, show.subject(), new BitSet());
                        }
                        answer.accept(out);
                        skipping = false;
                        ServerMessages.readyForQuery(out, Protocol.STATUS_IDLE);
                    }));
        } else {
            onExtended(ctx, type, body);
        }
    }

    private void onExtended(ChannelHandlerContext ctx, byte type, ByteBuf body) {
        switch (type) {
            case Protocol.PARSE -> {
                String name = text(body);
                ConsoleCommand command = ConsoleCommand.parse(text(body));
                if (command instanceof ConsoleCommand.Wrong wrong) {
                    error(wrong.error());
                } else if (statements.size() >= MAX_STATEMENTS && !statements.containsKey(name)) {
                    error(new SqlError("54000", "too many prepared statements", "Close some."));
                } else {
                    statements.put(name, command);
                    connection.send(out -> ServerMessages.bare(out, Protocol.PARSE_COMPLETE));
                }
            }
            case Protocol.BIND -> bind(body);
            case Protocol.DESCRIBE -> {
                boolean statement = body.readByte() == 'S';
                String name = text(body);
                Optional<Portal> known = statement
                        ? Optional.ofNullable(statements.get(name)).map(found -> new Portal(found, new BitSet()))
                        : Optional.ofNullable(portals.get(name));
                known.ifPresentOrElse(
                        found -> connection.send(out -> {
                            if (statement) {
                                ServerMessages.noParameters(out);
                            }
                            if (found.command() instanceof ConsoleCommand.Show show) {
                                describe(out, show.subject(), found.binary());
                            } else {
                                ServerMessages.bare(out, Protocol.NO_DATA);
                            }
                        }),
                        () -> error(unknown(name)));
            }
            case Protocol.EXECUTE -> {
                String name = text(body);
                Portal portal = portals.get(name);
                if (portal == null) {
                    error(unknown(name));
                } else {
                    run(ctx, portal, answer -> connection.send(answer));
                }
            }
            case Protocol.CLOSE -> {
                boolean statement = body.readByte() == 'S';
                (statement ? statements : portals).remove(text(body));
                connection.send(out -> ServerMessages.bare(out, Protocol.CLOSE_COMPLETE));
            }
            default -> connection.fatal(SqlError.protocolViolation("unexpected message type " + type));
        }
    }

    private void bind(ByteBuf body) {
        String portal = text(body);
        String name = text(body);
        ConsoleCommand command = statements.get(name);
        if (command == null) {
            error(unknown(name));
            return;
        }
        body.skipBytes(Short.BYTES * body.readUnsignedShort());
        if (body.readUnsignedShort() > 0) {
            error(SqlError.protocolViolation("statements of the admin console have no parameters"));
            return;
        }
        int formats = body.readUnsignedShort();
        BitSet binary = new BitSet();
        if (command instanceof ConsoleCommand.Show show) {
            int columns = show.subject().columns().size();
            if (formats == 1 && body.readUnsignedShort() == 1) {
                binary.set(0, columns);
            } else if (formats > 1) {
                for (int i = 0; i < Math.min(formats, columns); i++) {
                    binary.set(i, body.readUnsignedShort() == 1);
                }
            }
        }
        if (portals.size() >= MAX_STATEMENTS) {
            portals.clear();
        }
        portals.put(portal, new Portal(command, binary));
        connection.send(out -> ServerMessages.bare(out, Protocol.BIND_COMPLETE));
    }

    private static SqlError unknown(String name) {
        return new SqlError("26000", "\"" + name + "\" does not exist");
    }

    private void error(SqlError error) {
        connection.send(out -> error(out, error));
    }

    private void error(ByteBuf out, SqlError error) {
        skipping = true;
        ServerMessages.error(out, error);
    }

    private static String text(ByteBuf body) {
        int length = body.bytesBefore((byte) 0);
        if (length < 0) {
            throw new IndexOutOfBoundsException("a string without its end");
        }
        String text = body.readCharSequence(length, StandardCharsets.UTF_8).toString();
        body.skipBytes(1);
        return text;
    }

    private static void describe(ByteBuf out, Subject subject, BitSet binary) {
        List<Subject.Column> columns = subject.columns();
        BitSet numeric = new BitSet();
        for (int i = 0; i < columns.size(); i++) {
            numeric.set(i, columns.get(i).numeric());
        }
        ServerMessages.rowDescription(
                out, columns.stream().map(Subject.Column::name).toList(), numeric, binary);
    }

    // ---- what they do

    private void run(ChannelHandlerContext ctx, ConsoleCommand command, Consumer<Consumer<ByteBuf>> answered) {
        run(ctx, new Portal(command, new BitSet()), answered);
    }

    /** @param answered gets what writes the answer, without what comes before and after it; on the event loop */
    private void run(ChannelHandlerContext ctx, Portal portal, Consumer<Consumer<ByteBuf>> answered) {
        state = State.BUSY;
        answer(portal)
                .toCompletableFuture()
                .orTimeout(gateway.settings().pool().freezeTimeout().plus(GRACE).toMillis(), TimeUnit.MILLISECONDS)
                .exceptionally(failure -> {
                    LOG.warn("session {}: a command of the admin console failed", connection.id, failure);
                    return out -> error(
                            out, new SqlError("58000", "the command could not be carried out", "The log says why."));
                })
                .thenAccept(answer -> ctx.executor().execute(() -> {
                    if (!connection.closing()) {
                        answered.accept(answer);
                        goOn(ctx);
                    }
                }));
    }

    private CompletionStage<Consumer<ByteBuf>> answer(Portal portal) {
        return switch (portal.command()) {
            case ConsoleCommand.Wrong wrong -> done(out -> error(out, wrong.error()));
            case ConsoleCommand.Nothing nothing -> done(out -> ServerMessages.bare(out, Protocol.EMPTY_QUERY));
            case ConsoleCommand.Set set -> done(out -> ServerMessages.commandComplete(out, "SET"));
            case ConsoleCommand.Help help ->
                done(out -> {
                    ServerMessages.notice(out, new SqlError("00000", ConsoleCommand.HELP));
                    ServerMessages.commandComplete(out, "SHOW");
                });
            case ConsoleCommand.Show show -> looks().thenApply(pools -> show(show.subject(), pools, portal.binary()));
            case ConsoleCommand.Act act -> looks().thenCompose(pools -> act(act, pools));
        };
    }

    private static CompletionStage<Consumer<ByteBuf>> done(Consumer<ByteBuf> answer) {
        return CompletableFuture.completedFuture(answer);
    }

    private record Seen(ServerPool pool, PoolLook look) {}

    private CompletionStage<List<Seen>> looks() {
        List<CompletableFuture<Seen>> asked = new ArrayList<>();
        for (ServerPool pool : gateway.pools().all()) {
            asked.add(pool.look().thenApply(look -> new Seen(pool, look)).toCompletableFuture());
        }
        return CompletableFuture.allOf(asked.toArray(CompletableFuture[]::new))
                .thenApply(all -> asked.stream().map(CompletableFuture::join).toList());
    }

    private Consumer<ByteBuf> show(Subject subject, List<Seen> seen, BitSet binary) {
        List<PoolLook> pools = seen.stream().map(Seen::look).toList();
        int clients = pools.stream().mapToInt(pool -> pool.clients().size()).sum();
        int servers = pools.stream().mapToInt(pool -> pool.servers().size()).sum();
        Map<String, Integer> lists = new LinkedHashMap<>();
        lists.put("databases", pools.size());
        lists.put("pools", pools.size());
        lists.put("used_clients", clients);
        lists.put("login_clients", gateway.preAuth().get());
        lists.put("used_servers", servers - gateway.pools().idle());
        lists.put("free_servers", gateway.pools().idle());
        GatewaySettings settings = gateway.settings();
        Map<String, String> config = new LinkedHashMap<>();
        config.put("max_client_conn", String.valueOf(settings.limits().connections()));
        config.put("default_pool_size", String.valueOf(settings.pool().size()));
        config.put("pool_mode", "transaction");
        config.put("query_wait_timeout", seconds(settings.pool().checkoutTimeout()));
        config.put("server_idle_timeout", seconds(settings.pool().serverIdle()));
        config.put("server_lifetime", seconds(settings.pool().lifetime()));
        config.put("client_login_timeout", seconds(settings.times().login()));
        config.put("idle_transaction_timeout", seconds(settings.times().idleTransaction()));
        config.put("max_prepared_statements", String.valueOf(settings.pool().preparedPerServer()));
        List<List<Object>> rows = ConsoleTable.rows(subject, pools, lists, config, version());
        return out -> {
            rows.forEach(row -> ServerMessages.dataRow(out, row, binary));
            ServerMessages.commandComplete(out, "SHOW");
        };
    }

    private static String seconds(Duration time) {
        return String.valueOf(time.toSeconds());
    }

    private CompletionStage<Consumer<ByteBuf>> act(ConsoleCommand.Act act, List<Seen> seen) {
        List<Seen> meant = seen.stream()
                .filter(one -> act.target().map(one.look()::is).orElse(true))
                .toList();
        if (act.target().isPresent() && meant.size() != 1) {
            String name = act.target().get();
            SqlError error = meant.isEmpty()
                    ? new SqlError(
                            "3D000", "no client uses a database \"" + name + "\" here", "SHOW DATABASES lists them.")
                    : new SqlError(
                            "42725", "\"" + name + "\" is the name of several databases", "Say user.name, or the id.");
            return done(out -> error(out, error));
        }
        LOG.info("session {}: {} {}", connection.id, act.action(), act.target().orElse("all"));
        Duration limit = gateway.settings().pool().freezeTimeout();
        List<CompletableFuture<Boolean>> ends = new ArrayList<>();
        for (Seen one : meant) {
            CompletionStage<Boolean> end = switch (act.action()) {
                case PAUSE -> one.pool().pause(limit);
                case RESUME -> one.pool().unpause();
                case KILL -> one.pool().kill();
                case RECONNECT -> one.pool().reconnect();
            };
            ends.add(end.toCompletableFuture());
        }
        return CompletableFuture.allOf(ends.toArray(CompletableFuture[]::new))
                .thenApply(all -> ends.stream().allMatch(CompletableFuture::join)
                        ? out ->
                                ServerMessages.commandComplete(out, act.action().name())
                        : out -> error(
                                out,
                                new SqlError(
                                        "57014",
                                        "not paused: transactions or pinned sessions did not end in time",
                                        "SHOW CLIENTS and SHOW PINNED tell whose.")));
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        LOG.debug("session {}: {}", connection.id, cause.toString());
        ctx.close();
    }
}

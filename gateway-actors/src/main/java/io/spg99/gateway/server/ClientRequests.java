package io.spg99.gateway.server;

import static io.spg99.gateway.wire.PlainRequests.string;
import static io.spg99.gateway.wire.PlainRequests.stringEnd;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.util.collection.LongObjectHashMap;
import io.spg99.gateway.session.ClientStatement;
import io.spg99.gateway.session.ServerStatement;
import io.spg99.gateway.wire.BackendStream;
import io.spg99.gateway.wire.ClientMessages;
import io.spg99.gateway.wire.Effects;
import io.spg99.gateway.wire.FrontendReader;
import io.spg99.gateway.wire.PlainRequests;
import io.spg99.gateway.wire.Protocol;
import io.spg99.gateway.wire.RequestTracker;
import io.spg99.gateway.wire.ResponseQueue;
import io.spg99.gateway.wire.SqlError;
import io.spg99.gateway.wire.SqlScanner;
import io.spg99.gateway.wire.Statement;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * What a client sends, on its way to whichever server connection it has: reads it, gives prepared statements the names that
 * server connections know them by, puts in what a server connection lacks, and notes what a transaction may leave behind.
 * Bytes that need no change are passed on as they came.
 */
final class ClientRequests {

    /** How far {@link #forward} came. */
    enum Outcome {
        /** All is passed on, or the rest is no whole message yet. */
        DONE,
        /** A message is there that needs a server connection. */
        WANTS_SERVER,
        /** What was last taken from sequences there has to be forgotten first. */
        WANTS_SEQUENCES_FORGOTTEN,
        /** An answer has to come first; ask {@link #blocked}. */
        BLOCKED,
        TERMINATED,
        /** Not the protocol; ask {@link #error}. */
        MALFORMED
    }

    /** A text without a name is kept up to this size, in case it is needed on another server connection. */
    private static final int MAX_UNNAMED = 65_536;

    /** New texts of one transaction that are remembered as harmless at its end; beyond it some are asked about again. */
    private static final int MAX_NEW_SHAPES = 200;

    private static final byte[] NO_STATEMENT = (ServerStatement.PREFIX + "none").getBytes(StandardCharsets.US_ASCII);
    private static final byte[] UNNAMED = new byte[0];

    private static final SqlError STALE =
            new SqlError("0A000", "cached plan must not change result type", "", "RevalidateCachedQuery");

    /** SQL that ends one prepared statement; drivers whose protocol layer has no Close do it so. */
    private static final Pattern DEALLOCATE = Pattern.compile(
            "\\s*DEALLOCATE\\s+(?:PREPARE\\s+)?(?:\"((?:[^\"]|\"\")+)\"|([a-z_][a-z0-9_$]*))\\s*;?\\s*",
            Pattern.CASE_INSENSITIVE);

    /** Calls of set_config that end with the transaction. */
    private static final Pattern LOCAL_SET_CONFIG =
            Pattern.compile("set_config\\s*\\((?:[^()']|'[^']*')*,\\s*true\\s*\\)", Pattern.CASE_INSENSITIVE);

    private static final Pattern SET_CONFIG = Pattern.compile("set_config", Pattern.CASE_INSENSITIVE);

    /** What may be the name of a parameter that no module has defined. */
    private static final Pattern CUSTOM_NAME =
            Pattern.compile("[A-Za-z_][A-Za-z0-9_$]*(?:\\.[A-Za-z_][A-Za-z0-9_$]*)+");

    /** Of a message, looked through for such names. */
    private static final int MAX_SEARCHED = 65_536;

    private final ServerPool pool;
    /** Passes everything as it is: the server connection is the client's alone. */
    private final boolean plain;

    private final FrontendReader reader = new FrontendReader();
    private final RequestTracker tracker;
    private final ResponseQueue responses;
    private final BackendStream answers;
    private final SqlScanner scanner = new SqlScanner();
    private final PlainRequests plainRequests;

    private final Map<String, ClientStatement> names = new HashMap<>();
    private @Nullable ClientStatement unnamed;
    private int uncarried;
    /** The one bound last: drivers describe the portal right after, and remember the answer. */
    private @Nullable ClientStatement bound;

    /** Bits of {@link Effects} of the transaction under way. */
    private int effects;

    private final LongObjectHashMap<Boolean> newShapes = new LongObjectHashMap<>();
    private boolean manyShapes;
    private boolean readsSequences;
    /** Parameters may have been set that nobody can ask for. */
    private boolean namesLost;

    private @Nullable OwnDescribe blockedOn;
    /** What the unit under way is. */
    private @Nullable SqlError error;
    /** From here on the bytes go on as they are. */
    private int runStart;

    private String messageName = "";

    ClientRequests(
            ServerPool pool, boolean plain, RequestTracker tracker, ResponseQueue responses, BackendStream answers) {
        this.pool = pool;
        this.answers = answers;
        this.plain = plain;
        this.tracker = tracker;
        this.responses = responses;
        plainRequests = new PlainRequests(reader, tracker);
    }

    // ---- what is asked by the session

    /** A message has been passed on in part. */
    boolean midMessage() {
        return reader.midMessage();
    }

    boolean blocked() {
        OwnDescribe awaited = blockedOn;
        return awaited != null && !awaited.finished;
    }

    SqlError error() {
        return error == null ? SqlError.protocolViolation("invalid message") : error;
    }

    /** Nothing of the client's is under way in the server connection. */
    boolean quiet() {
        return responses.isEmpty() && !responses.skipping() && !tracker.inFlight() && !reader.midMessage();
    }

    int effects() {
        return effects;
    }

    /** Texts were there that PostgreSQL has not been asked about. */
    boolean unknownTexts() {
        return manyShapes || !newShapes.isEmpty();
    }

    /** Sequences are read outside of transaction blocks. */
    boolean readsSequences() {
        return readsSequences;
    }

    /** Parameters may have been set that nobody can ask for. */
    boolean namesLost() {
        return namesLost;
    }

    /** There is a statement that can be prepared nowhere else. */
    boolean holdsStatements() {
        ClientStatement last = unnamed;
        return uncarried > 0 || (last != null && !last.carried);
    }

    /** The texts of the transaction left nothing behind. */
    void harmless() {
        newShapes.keySet().forEach(pool::harmless);
    }

    void transactionEnded() {
        effects = 0;
        if (!newShapes.isEmpty()) {
            newShapes.clear();
        }
        manyShapes = false;
    }

    /** DISCARD ALL or DEALLOCATE ALL has run. */
    void statementsGone() {
        names.values().forEach(this::release);
        names.clear();
        uncarried = 0;
    }

    /** The client is gone. */
    void end() {
        statementsGone();
    }

    private void release(ClientStatement statement) {
        if (statement.carried && !statement.unnamed) {
            pool.statements.release(statement.server);
        }
    }

    // ---- passing on

    /**
     * Passes on what is readable, as far as it can; consumes what it has dealt with.
     *
     * @param parsing what the meaning of a text depends on, empty if that is not known at the moment
     */
    Outcome forward(ByteBuf in, @Nullable ServerConnection server, Optional<String> parsing) {
        runStart = in.readerIndex();
        int index = runStart;
        Outcome outcome = Outcome.DONE;
        while (outcome == Outcome.DONE) {
            FrontendReader.Unit unit = reader.next(in, index);
            if (unit == FrontendReader.Unit.NEED_MORE) {
                break;
            }
            if (unit == FrontendReader.Unit.MALFORMED) {
                error = reader.error();
                outcome = Outcome.MALFORMED;
                break;
            }
            int end = index + reader.length();
            if (server == null) {
                if (ignoredWithoutServer(unit)) {
                    reader.advance();
                    index = end;
                    runStart = end;
                    continue;
                }
                outcome = reader.type() == Protocol.TERMINATE ? Outcome.TERMINATED : Outcome.WANTS_SERVER;
                break;
            }
            outcome = plain
                    ? onPlain(unit, in, index)
                    : unit == FrontendReader.Unit.PART
                            ? onPart(in, index)
                            : onMessage(unit, in, index, server, parsing);
            if (outcome == Outcome.DONE) {
                reader.advance();
                index = end;
            }
        }
        if (server != null) {
            flushRun(in, index, server);
        }
        in.readerIndex(index);
        return outcome;
    }

    /** As PostgreSQL does: what is left of a COPY that has failed. */
    private boolean ignoredWithoutServer(FrontendReader.Unit unit) {
        return unit == FrontendReader.Unit.PART
                || reader.type() == Protocol.COPY_DATA
                || reader.type() == Protocol.COPY_DONE
                || reader.type() == Protocol.COPY_FAIL;
    }

    private void flushRun(ByteBuf in, int to, ServerConnection server) {
        if (to > runStart) {
            server.backend().write(in.retainedSlice(runStart, to - runStart));
            runStart = to;
        }
    }

    private void put(ByteBuf in, int unit, ServerConnection server, ByteBuf message) {
        flushRun(in, unit, server);
        server.backend().write(message);
    }

    /** Passes a message on with another name in the place of the client's. */
    private void rename(ByteBuf in, int unit, int from, int to, byte[] name, ServerConnection server) {
        ByteBuf head = pool.allocator().buffer(from - unit + name.length);
        head.writeByte(in.getByte(unit))
                .writeInt(in.getInt(unit + 1) - (to - from) + name.length)
                .writeBytes(in, unit + Protocol.HEADER_BYTES, from - unit - Protocol.HEADER_BYTES)
                .writeBytes(name);
        put(in, unit, server, head);
        runStart = to;
    }

    // ---- reading

    private Outcome onPlain(FrontendReader.Unit unit, ByteBuf in, int index) {
        plainRequests.read(unit, in, index);
        return tracker.terminated() ? Outcome.TERMINATED : Outcome.DONE;
    }

    /** Up to the zero that ends it, if that is there; more than one text is never in a message. */
    private void scanText(ByteBuf in, int from, int end) {
        int zero = stringEnd(in, from, end);
        scanner.scan(in, from, zero - from);
    }

    private Outcome onPart(ByteBuf in, int index) {
        byte type = reader.type();
        if (type == Protocol.QUERY || type == Protocol.PARSE) {
            scanText(in, index, index + reader.length());
            if (reader.ends()) {
                scanner.end();
                note(scanner.effects(), scanner.shape());
                if (type == Protocol.QUERY) {
                    tracker.query(scanner.verdict());
                } else {
                    tracker.parse(messageName, scanner.verdict());
                }
            }
        }
        return Outcome.DONE;
    }

    private Outcome onMessage(
            FrontendReader.Unit unit, ByteBuf in, int index, ServerConnection server, Optional<String> parsing) {
        boolean whole = unit == FrontendReader.Unit.MESSAGE;
        int body = index + Protocol.HEADER_BYTES;
        int end = index + reader.length();
        switch (reader.type()) {
            case Protocol.QUERY -> {
                return onQuery(in, index, end, whole, server);
            }
            case Protocol.PARSE -> {
                return onParse(in, index, end, whole, server, parsing);
            }
            case Protocol.BIND -> {
                return onBind(in, index, end, server);
            }
            case Protocol.DESCRIBE -> {
                return onDescribe(in, index, end, server);
            }
            case Protocol.CLOSE -> onClose(in, index, body, end, server);
            case Protocol.EXECUTE -> {
                responses.add(ResponseQueue.Kind.EXECUTE);
                tracker.execute();
            }
            case Protocol.SYNC -> {
                responses.add(ResponseQueue.Kind.SYNC);
                tracker.sync();
            }
            case Protocol.FUNCTION_CALL -> {
                responses.add(ResponseQueue.Kind.FUNCTION);
                effects |= Effects.OPAQUE;
                tracker.functionCall();
            }
            case Protocol.COPY_DONE, Protocol.COPY_FAIL -> {
                if (tracker.extendedCopy()) {
                    responses.copyIgnoresSyncs();
                }
                tracker.copyEnded();
            }
            case Protocol.TERMINATE -> {
                tracker.terminate();
                return Outcome.TERMINATED;
            }
            default -> {}
        }
        return Outcome.DONE;
    }

    /** What a statement that is about to run may leave behind. */
    private void note(int statementEffects, long shape) {
        effects |= statementEffects;
        if (!pool.isHarmless(shape)) {
            if (newShapes.size() < MAX_NEW_SHAPES) {
                newShapes.put(shape, Boolean.TRUE);
            } else {
                manyShapes = true;
            }
        }
    }

    /** Notes what parameters a message may set; knows of set_config when it ends with the transaction. */
    private int settingsIn(ByteBuf in, int from, int end, int suspected) {
        if ((suspected & Effects.ANY_SETTING) == 0) {
            return suspected;
        }
        String text = string(in, from, Math.min(end, from + MAX_SEARCHED));
        int found = suspected;
        if ((suspected & Effects.SET_CONFIG) != 0
                && LOCAL_SET_CONFIG.matcher(text).results().count()
                        == SET_CONFIG.matcher(text).results().count()) {
            found &= ~Effects.SET_CONFIG;
        }
        if ((found & Effects.ANY_SETTING) != 0) {
            CUSTOM_NAME
                    .matcher(text)
                    .results()
                    .forEach(name ->
                            namesLost |= !pool.addCustomName(name.group().toLowerCase(Locale.ROOT)));
        }
        return found;
    }

    /** @return whether it has to wait until the values of another session are forgotten */
    private boolean readsForeignSequences(int statementEffects, ServerConnection server) {
        if ((statementEffects & Effects.SEQUENCE) == 0) {
            return false;
        }
        pool.sequences = true;
        boolean alone = quiet() && (answers.status() == 0 || answers.status() == Protocol.STATUS_IDLE);
        readsSequences |= alone;
        return alone && !server.ownSequences;
    }

    private Outcome onQuery(ByteBuf in, int index, int end, boolean whole, ServerConnection server) {
        scanner.reset();
        int body = index + Protocol.HEADER_BYTES;
        scanText(in, body, end);
        if (whole) {
            scanner.end();
            if (readsForeignSequences(scanner.effects(), server)) {
                return Outcome.WANTS_SEQUENCES_FORGOTTEN;
            }
            if ((scanner.effects() & Effects.PREPARE) != 0) {
                Optional<ClientStatement> ended = deallocated(in, body, end);
                if (ended.isPresent()) {
                    return onDeallocate(in, index, end, ended.get(), server);
                }
            }
            note(settingsIn(in, body, end, scanner.effects()), scanner.shape());
            tracker.query(scanner.verdict());
        }
        responses.add(ResponseQueue.Kind.QUERY);
        // PostgreSQL drops the statement without a name.
        forgetUnnamed(server);
        return Outcome.DONE;
    }

    private void forgetUnnamed(ServerConnection server) {
        unnamed = null;
        server.unnamed = null;
    }

    // ---- prepared statements

    private @Nullable ClientStatement statement(String name) {
        return name.isEmpty() ? unnamed : names.get(name);
    }

    private static byte[] serverName(ClientStatement statement) {
        return statement.unnamed ? UNNAMED : statement.server.name();
    }

    private Outcome onParse(
            ByteBuf in, int index, int end, boolean whole, ServerConnection server, Optional<String> parsing) {
        int nameStart = index + Protocol.HEADER_BYTES;
        int nameEnd = stringEnd(in, nameStart, end);
        String name = string(in, nameStart, nameEnd);
        ClientStatement known = name.isEmpty() ? null : names.get(name);
        if (known != null) {
            // PostgreSQL shall say that there is one.
            if (!ensure(known, in, index, server)) {
                return Outcome.BLOCKED;
            }
            responses.add(ResponseQueue.Kind.PARSE);
            tracker.other();
            rename(in, index, nameStart, nameEnd, serverName(known), server);
            return Outcome.DONE;
        }
        scanner.reset();
        int text = Math.min(nameEnd + 1, end);
        scanText(in, text, end);
        messageName = name;
        if (!whole) {
            ServerStatement large = pool.statements.own(UNNAMED, Effects.OPAQUE, 0, Statement.COMMIT);
            prepare(in, index, nameStart, nameEnd, name, new ClientStatement(large, name.isEmpty(), false), server);
            return Outcome.DONE;
        }
        scanner.end();
        if (readsForeignSequences(scanner.effects(), server)) {
            return Outcome.WANTS_SEQUENCES_FORGOTTEN;
        }
        if (name.isEmpty() && (scanner.effects() & Effects.PREPARE) != 0) {
            Optional<ClientStatement> ended = deallocated(in, text, end);
            if (ended.isPresent()) {
                return onDeallocateParse(in, index, text, end, ended.get(), server);
            }
        }
        tracker.parse(name, scanner.verdict());
        int statementEffects = settingsIn(in, text, end, scanner.effects());
        byte[] body = ByteBufUtil.getBytes(in, text, end - text, true);
        if (name.isEmpty()) {
            boolean carried = body.length <= MAX_UNNAMED;
            ServerStatement own =
                    pool.statements.own(carried ? body : UNNAMED, statementEffects, scanner.shape(), scanner.verdict());
            prepare(in, index, nameStart, nameEnd, name, new ClientStatement(own, true, carried), server);
            return Outcome.DONE;
        }
        Optional<ServerStatement> shared = parsing.flatMap(
                key -> pool.statements.acquire(body, key, statementEffects, scanner.shape(), scanner.verdict()));
        ClientStatement statement = shared.map(known2 -> new ClientStatement(known2, false, true))
                .orElseGet(() -> new ClientStatement(
                        pool.statements.own(body, statementEffects, scanner.shape(), scanner.verdict()),
                        false,
                        parsing.isEmpty()));
        prepare(in, index, nameStart, nameEnd, name, statement, server);
        return Outcome.DONE;
    }

    /** Passes the Parse on. If the text is prepared there it is prepared anew, so that it means what it means now. */
    private void prepare(
            ByteBuf in,
            int index,
            int nameStart,
            int nameEnd,
            String name,
            ClientStatement statement,
            ServerConnection server) {
        if (statement.unnamed) {
            unnamed = statement;
            server.unnamed = statement;
            responses.add(new ParseUnnamed(statement, server));
            return;
        }
        if (server.has(statement.server)) {
            closeOn(statement.server, in, index, server);
        }
        closeEldest(in, index, server);
        names.put(name, statement);
        uncarried += statement.carried ? 0 : 1;
        server.remember(statement.server);
        responses.add(new ParseNamed(name, statement, server));
        rename(in, index, nameStart, nameEnd, statement.server.name(), server);
    }

    private void closeOn(ServerStatement statement, ByteBuf in, int index, ServerConnection server) {
        ByteBuf close = pool.allocator().buffer(64);
        ClientMessages.close(close, statement.name());
        put(in, index, server, close);
        server.forget(statement);
        responses.add(new OwnClose(statement, server));
    }

    private void closeEldest(ByteBuf in, int index, ServerConnection server) {
        server.eldestBeyond(pool.gateway.settings().pool().preparedPerServer())
                .ifPresent(eldest -> closeOn(eldest, in, index, server));
    }

    /**
     * Sees to it that the statement is prepared on the server connection.
     *
     * @return false if an answer has to come first
     */
    private boolean ensure(ClientStatement statement, ByteBuf in, int index, ServerConnection server) {
        boolean there = statement.unnamed ? server.unnamed == statement : server.has(statement.server);
        if (there || statement.stale || !statement.carried) {
            return true;
        }
        ByteBuf own = pool.allocator().buffer(statement.server.body().length + 128);
        if (statement.unnamed) {
            server.unnamed = statement;
        } else {
            closeEldest(in, index, server);
            // It should not be there; if it is after all, this spares an error.
            ClientMessages.close(own, statement.server.name());
            server.remember(statement.server);
            responses.add(new OwnClose(null, server));
        }
        ClientMessages.parse(own, serverName(statement), statement.server.body());
        responses.add(new OwnParse(statement, server));
        OwnDescribe describe = null;
        if (statement.described != 0) {
            ClientMessages.describe(own, serverName(statement));
            ClientMessages.flush(own);
            describe = new OwnDescribe(statement);
            responses.add(describe);
        }
        put(in, index, server, own);
        // The backend is in the middle of a batch from here on, whatever its answers.
        tracker.other();
        if (describe == null || describe.finished) {
            return true;
        }
        blockedOn = describe;
        return false;
    }

    private Outcome onBind(ByteBuf in, int index, int end, ServerConnection server) {
        int portalEnd = stringEnd(in, index + Protocol.HEADER_BYTES, end);
        int nameStart = Math.min(portalEnd + 1, end);
        int nameEnd = stringEnd(in, nameStart, end);
        if (nameEnd == end) {
            error = SqlError.protocolViolation("invalid string in message");
            return Outcome.MALFORMED;
        }
        String name = string(in, nameStart, nameEnd);
        ClientStatement statement = statement(name);
        if (statement == null) {
            // Perhaps one of SQL's PREPARE; else PostgreSQL shall say that there is none.
            effects |= Effects.OPAQUE;
            responses.add(ResponseQueue.Kind.BIND);
            tracker.bind(name);
            return Outcome.DONE;
        }
        if (readsForeignSequences(statement.server.effects(), server)) {
            return Outcome.WANTS_SEQUENCES_FORGOTTEN;
        }
        if (!ensure(statement, in, index, server)) {
            return Outcome.BLOCKED;
        }
        // Names may be among the values.
        settingsIn(in, nameEnd, end, statement.server.effects());
        note(statement.server.effects(), statement.server.shape());
        tracker.bind(name);
        bound = statement;
        if (statement.stale) {
            responses.add(new StaleBind());
            rename(in, index, nameStart, nameEnd, NO_STATEMENT, server);
        } else {
            responses.add(ResponseQueue.Kind.BIND);
            if (!statement.unnamed) {
                rename(in, index, nameStart, nameEnd, statement.server.name(), server);
            }
        }
        return Outcome.DONE;
    }

    private Outcome onDescribe(ByteBuf in, int index, int end, ServerConnection server) {
        int kind = index + Protocol.HEADER_BYTES;
        if (kind >= end || in.getByte(kind) != 'S') {
            ClientStatement ofPortal = bound;
            if (ofPortal != null && ofPortal.described == 0) {
                responses.add(new ClientDescribe(ResponseQueue.Kind.DESCRIBE_PORTAL, ofPortal));
            } else {
                responses.add(ResponseQueue.Kind.DESCRIBE_PORTAL);
            }
            tracker.other();
            return Outcome.DONE;
        }
        int nameEnd = stringEnd(in, kind + 1, end);
        ClientStatement statement = statement(string(in, kind + 1, nameEnd));
        if (statement == null) {
            responses.add(ResponseQueue.Kind.DESCRIBE_STATEMENT);
        } else {
            if (!ensure(statement, in, index, server)) {
                return Outcome.BLOCKED;
            }
            responses.add(new ClientDescribe(ResponseQueue.Kind.DESCRIBE_STATEMENT, statement));
            if (!statement.unnamed) {
                rename(in, index, kind + 1, nameEnd, statement.server.name(), server);
            }
        }
        tracker.other();
        return Outcome.DONE;
    }

    private void onClose(ByteBuf in, int index, int kind, int end, ServerConnection server) {
        tracker.other();
        String name = kind < end && in.getByte(kind) == 'S' ? string(in, kind + 1, stringEnd(in, kind + 1, end)) : "";
        ClientStatement statement = names.get(name);
        if (statement != null) {
            // Others may use it: only the client's name goes.
            names.remove(name);
            uncarried -= statement.carried ? 0 : 1;
            responses.add(new CloseNamed(name, statement));
            rename(in, index, kind + 1, stringEnd(in, kind + 1, end), NO_STATEMENT, server);
            return;
        }
        responses.add(ResponseQueue.Kind.CLOSE);
        if (kind < end && in.getByte(kind) == 'S' && name.isEmpty()) {
            forgetUnnamed(server);
        }
    }

    // ---- DEALLOCATE of a statement of the protocol

    private Optional<ClientStatement> deallocated(ByteBuf in, int from, int end) {
        String text = string(in, from, stringEnd(in, from, end));
        Matcher matcher = DEALLOCATE.matcher(text);
        if (!matcher.matches()) {
            return Optional.empty();
        }
        String quoted = matcher.group(1);
        String name =
                quoted != null ? quoted.replace("\"\"", "\"") : matcher.group(2).toLowerCase(Locale.ROOT);
        messageName = name;
        return Optional.ofNullable(names.get(name));
    }

    private static String deallocate(ClientStatement statement) {
        return "DEALLOCATE \"" + new String(statement.server.name(), StandardCharsets.US_ASCII) + '"';
    }

    private void deallocating(ClientStatement statement, ServerConnection server) {
        names.remove(messageName);
        uncarried -= statement.carried ? 0 : 1;
        release(statement);
        server.forget(statement.server);
    }

    private Outcome onDeallocate(ByteBuf in, int index, int end, ClientStatement statement, ServerConnection server) {
        if (!ensure(statement, in, index, server)) {
            return Outcome.BLOCKED;
        }
        deallocating(statement, server);
        ByteBuf query = pool.allocator().buffer(64);
        ClientMessages.query(query, deallocate(statement));
        put(in, index, server, query);
        runStart = end;
        responses.add(ResponseQueue.Kind.QUERY);
        tracker.query(Statement.OTHER);
        forgetUnnamed(server);
        return Outcome.DONE;
    }

    private Outcome onDeallocateParse(
            ByteBuf in, int index, int text, int end, ClientStatement ended, ServerConnection server) {
        if (!ensure(ended, in, index, server)) {
            return Outcome.BLOCKED;
        }
        deallocating(ended, server);
        int textEnd = stringEnd(in, text, end);
        byte[] types = ByteBufUtil.getBytes(in, textEnd, end - textEnd, true);
        byte[] sql = deallocate(ended).getBytes(StandardCharsets.US_ASCII);
        byte[] body = Arrays.copyOf(sql, sql.length + types.length);
        System.arraycopy(types, 0, body, sql.length, types.length);
        ByteBuf parse = pool.allocator().buffer(body.length + 16);
        ClientMessages.parse(parse, UNNAMED, body);
        put(in, index, server, parse);
        runStart = end;
        tracker.parse("", Statement.OTHER);
        ServerStatement own = pool.statements.own(body, 0, 0, Statement.OTHER);
        ClientStatement statement = new ClientStatement(own, true, true);
        unnamed = statement;
        server.unnamed = statement;
        responses.add(new ParseUnnamed(statement, server));
        return Outcome.DONE;
    }

    // ---- answers that are looked at

    private final class ParseUnnamed extends ResponseQueue.Expected {
        private final ClientStatement statement;
        private final ServerConnection server;

        ParseUnnamed(ClientStatement statement, ServerConnection server) {
            super(ResponseQueue.Kind.PARSE, false);
            this.statement = statement;
            this.server = server;
        }

        @Override
        protected void undone() {
            if (unnamed == statement) {
                unnamed = null;
            }
            if (server.unnamed == statement) {
                server.unnamed = null;
            }
        }
    }

    private final class ParseNamed extends ResponseQueue.Expected {
        private final String name;
        private final ClientStatement statement;
        private final ServerConnection server;

        ParseNamed(String name, ClientStatement statement, ServerConnection server) {
            super(ResponseQueue.Kind.PARSE, false);
            this.name = name;
            this.statement = statement;
            this.server = server;
        }

        @Override
        protected void undone() {
            server.forget(statement.server);
            if (names.remove(name, statement)) {
                uncarried -= statement.carried ? 0 : 1;
                release(statement);
            }
        }
    }

    private final class CloseNamed extends ResponseQueue.Expected {
        private final String name;
        private final ClientStatement statement;

        CloseNamed(String name, ClientStatement statement) {
            super(ResponseQueue.Kind.CLOSE, false);
            this.name = name;
            this.statement = statement;
        }

        @Override
        protected void answered() {
            release(statement);
        }

        @Override
        protected void undone() {
            if (names.putIfAbsent(name, statement) == null) {
                uncarried += statement.carried ? 0 : 1;
            } else {
                release(statement);
            }
        }
    }

    private static final class ClientDescribe extends ResponseQueue.Expected {
        private final ClientStatement statement;

        ClientDescribe(ResponseQueue.Kind kind, ClientStatement statement) {
            super(kind, false);
            this.statement = statement;
        }

        @Override
        protected boolean looksAtDescription() {
            return true;
        }

        @Override
        protected void described(long fingerprint) {
            statement.described = fingerprint;
        }
    }

    private static final class OwnClose extends ResponseQueue.Expected {
        private final @Nullable ServerStatement statement;
        private final ServerConnection server;

        OwnClose(@Nullable ServerStatement statement, ServerConnection server) {
            super(ResponseQueue.Kind.CLOSE, true);
            this.statement = statement;
            this.server = server;
        }

        @Override
        protected void undone() {
            if (statement != null) {
                server.remember(statement);
            }
        }
    }

    private static final class OwnParse extends ResponseQueue.Expected {
        private final ClientStatement statement;
        private final ServerConnection server;

        OwnParse(ClientStatement statement, ServerConnection server) {
            super(ResponseQueue.Kind.PARSE, true);
            this.statement = statement;
            this.server = server;
        }

        @Override
        protected void undone() {
            if (statement.unnamed) {
                server.unnamed = null;
            } else {
                server.forget(statement.server);
            }
        }
    }

    /** Whether the description is still the one that the client has. */
    private static final class OwnDescribe extends ResponseQueue.Expected {
        private final ClientStatement statement;
        boolean finished;

        OwnDescribe(ClientStatement statement) {
            super(ResponseQueue.Kind.DESCRIBE_STATEMENT, true);
            this.statement = statement;
        }

        @Override
        protected boolean looksAtDescription() {
            return true;
        }

        @Override
        protected void described(long fingerprint) {
            statement.stale = statement.described != fingerprint;
        }

        @Override
        protected void answered() {
            finished = true;
        }

        @Override
        protected void undone() {
            finished = true;
        }
    }

    /** PostgreSQL refuses a statement whose description has changed; so it is here, on a new server connection. */
    private static final class StaleBind extends ResponseQueue.Expected {
        StaleBind() {
            super(ResponseQueue.Kind.BIND, false);
        }

        @Override
        protected SqlError replacement() {
            return STALE;
        }
    }
}

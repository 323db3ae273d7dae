package io.spg99.gateway.wire;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;

/** The answer of a backend to a simple query of the Gateway's own. */
public final class InternalQuery {

    /**
     * What came of it.
     *
     * @param rows  columns as text, null as the empty text
     * @param error the first one, if there was any
     */
    public record Result(List<List<String>> rows, Optional<SqlError> error) {
        public boolean failed() {
            return error.isPresent();
        }
    }

    /** A prepared statement's text may be in a row. */
    private static final int MAX_MESSAGE = 4 << 20;

    private static final int MAX_ROWS = 20_000;

    private final FrameDecoder frames = new FrameDecoder(MAX_MESSAGE);
    private final List<List<String>> rows = new ArrayList<>();
    private Optional<SqlError> error = Optional.empty();
    private @Nullable ByteBuf incoming;
    private @Nullable ByteBuf notifications;
    private @Nullable Result result;

    /** Takes over the buffer. Nothing after the answer's ReadyForQuery is looked at. */
    public void feed(ByteBuf bytes, BiConsumer<String, String> parameters) {
        ByteBuf in = incoming == null ? Unpooled.buffer(bytes.readableBytes()) : incoming;
        incoming = in;
        in.writeBytes(bytes);
        bytes.release();
        while (result == null) {
            Decoded<FrameDecoder.Frame> decoded = frames.decode(in);
            if (decoded instanceof Decoded.Message<FrameDecoder.Frame> message) {
                onFrame(message.value(), parameters);
                continue;
            }
            if (decoded instanceof Decoded.Malformed<FrameDecoder.Frame> malformed) {
                fail(malformed.error());
                result = new Result(rows, error);
            }
            in.discardSomeReadBytes();
            return;
        }
    }

    /** What came behind the answer; freed by the caller. */
    public Optional<ByteBuf> takeRest() {
        ByteBuf in = incoming;
        if (in == null || !in.isReadable()) {
            return Optional.empty();
        }
        incoming = null;
        return Optional.of(in);
    }

    private void onFrame(FrameDecoder.Frame frame, BiConsumer<String, String> parameters) {
        ByteBuf body = frame.body();
        switch (frame.type()) {
            case Protocol.DATA_ROW -> onRow(body);
            case Protocol.ERROR_RESPONSE -> fail(BackendLogin.error(body));
            case Protocol.PARAMETER_STATUS -> {
                Optional<String> name = BackendStream.string(body);
                Optional<String> value = BackendStream.string(body);
                if (name.isPresent() && value.isPresent()) {
                    parameters.accept(name.get(), value.get());
                }
            }
            case Protocol.NOTIFICATION_RESPONSE -> {
                ByteBuf out = notifications == null ? Unpooled.buffer() : notifications;
                notifications = out;
                int start = ServerMessages.begin(out, frame.type());
                out.writeBytes(body);
                ServerMessages.end(out, start);
            }
            case Protocol.READY_FOR_QUERY -> {
                if (body.readableBytes() == 1 && body.readByte() != Protocol.STATUS_IDLE) {
                    fail(new SqlError("25001", "a transaction is open where none should be"));
                }
                result = new Result(List.copyOf(rows), error);
            }
            default -> {}
        }
    }

    private void onRow(ByteBuf body) {
        if (rows.size() >= MAX_ROWS) {
            fail(new SqlError("54000", "more than " + MAX_ROWS + " rows"));
            return;
        }
        List<String> columns = new ArrayList<>();
        int count = body.readUnsignedShort();
        for (int i = 0; i < count; i++) {
            int bytes = body.readInt();
            columns.add(
                    bytes < 0
                            ? ""
                            : body.readCharSequence(bytes, StandardCharsets.UTF_8)
                                    .toString());
        }
        rows.add(columns);
    }

    private void fail(SqlError first) {
        if (error.isEmpty()) {
            error = Optional.of(first);
        }
    }

    /** Once the answer is complete. */
    public Optional<Result> result() {
        return Optional.ofNullable(result);
    }

    /** Notifications that came in between, for the client; freed by the caller. */
    public Optional<ByteBuf> takeNotifications() {
        Optional<ByteBuf> taken = Optional.ofNullable(notifications);
        notifications = null;
        return taken;
    }

    /** Frees what it holds. */
    public void release() {
        takeNotifications().ifPresent(ByteBuf::release);
        if (incoming != null) {
            incoming.release();
            incoming = null;
        }
    }
}

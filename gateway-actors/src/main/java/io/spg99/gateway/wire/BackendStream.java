package io.spg99.gateway.wire;

import static io.spg99.gateway.wire.Protocol.HEADER_BYTES;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.Unpooled;
import java.nio.charset.StandardCharsets;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Walks the messages of a backend on their way to the client without copying bodies. Only a message that may have to
 * be kept from the client (an error, a notice), one that is looked at (a parameter's status), and a header cut in two, is
 * held until enough of it is there. Answers to what the Gateway itself has put in are cut out.
 */
public final class BackendStream {

    /** What the bytes so far mean for the session. */
    public enum Verdict {
        GO_ON,
        /** The backend said FATAL and that was passed on: it closes, and nothing is to be added. */
        FATAL_PASSED,
        /**
         * The backend said FATAL while nothing was asked of it, and that was withheld: the session goes on with another
         * one. Had the client seen it, it would take it for the answer to what it asks next.
         */
        ENDED_IDLE,
        /** A commit's outcome is unknown; what the backend said about it was withheld. */
        COMMIT_UNKNOWN,
        /** Not the protocol. */
        MALFORMED
    }

    /**
     * Bytes of an error or notice looked at. PostgreSQL's notice of a broken quorum wait is some hundred bytes long, and
     * severity and code come first in every one.
     */
    private static final int INSPECT_BYTES = 2_048;

    /** Bytes looked at of a description of a statement. */
    private static final int DESCRIPTION_BYTES = 65_536;

    private static final long PRIME = 0x100000001b3L;

    /** Of a column's description, between its name and its format: table, attribute, type, length, modifier. */
    private static final int COLUMN_BYTES = 4 + 2 + 4 + 2 + 4;

    /** Longest tag looked for in CommandComplete, header included. */
    private static final int TAG_BYTES = 20;

    /** Bytes of a parameter's status; a longer one is not the protocol. */
    private static final int MAX_PARAMETER = 65_536;

    private static final byte[] DISCARD_ALL = "DISCARD ALL\0".getBytes(StandardCharsets.US_ASCII);
    private static final byte[] DEALLOCATE_ALL = "DEALLOCATE ALL\0".getBytes(StandardCharsets.US_ASCII);

    /** Function named in field R of the warning "canceling the wait for synchronous replication ...". */
    private static final String QUORUM_WAIT = "SyncRepWaitForLSN";

    /** What the session wants to know of the messages. */
    public interface Listener {
        /** A parameter that PostgreSQL reports has another value. */
        void parameter(String name, String value);

        /** DISCARD ALL or DEALLOCATE ALL has run: no prepared statement is left. */
        void statementsGone();

        /** Should the backend end now, between transactions: the session can go on with another one. */
        boolean outlivesBackend();
    }

    /** For a session that is not carried from one server connection to another. */
    private static final Listener NOBODY = new Listener() {
        @Override
        public void parameter(String name, String value) {}

        @Override
        public void statementsGone() {}

        @Override
        public boolean outlivesBackend() {
            return false;
        }
    };

    private final RequestTracker tracker;
    private final ResponseQueue responses;
    private final Listener listener;
    private @Nullable ByteBuf held;
    private int remaining;
    /** The message under way is kept from the client. */
    private boolean cutting;

    private Verdict verdict = Verdict.GO_ON;
    /** Of the last ReadyForQuery; zero before the first. */
    private byte status;

    /** What replaces the message under way; written before it. */
    private @Nullable SqlError replacement;

    public BackendStream(RequestTracker tracker) {
        this(tracker, new ResponseQueue(), NOBODY);
    }

    public BackendStream(RequestTracker tracker, ResponseQueue responses, Listener listener) {
        this.tracker = tracker;
        this.responses = responses;
        this.listener = listener;
    }

    /** The transaction's status at the last ReadyForQuery, as its byte; zero before the first. */
    public byte status() {
        return status;
    }

    /** Nothing of a message is under way: the next byte begins one. */
    public boolean atBoundary() {
        return remaining == 0 && held == null;
    }

    public Verdict verdict() {
        return verdict;
    }

    /** True if the client has a message in part: nothing of our own may be put in. */
    public boolean midMessage() {
        return remaining > 0;
    }

    /**
     * Takes over the buffer.
     *
     * @return the bytes for the client, perhaps none; owned by the caller. Ask for the verdict afterwards
     */
    public ByteBuf feed(ByteBuf in, ByteBufAllocator allocator) {
        ByteBuf buffer = merge(in, allocator);
        if (verdict == Verdict.ENDED_IDLE) {
            // That was the backend before.
            verdict = Verdict.GO_ON;
        }
        int end = buffer.writerIndex();
        int index = buffer.readerIndex();
        // What the client is to see: the buffer as it is, as long as nothing was cut out of it.
        ByteBuf out = null;
        int from = index;
        while (index < end) {
            if (remaining > 0) {
                int bytes = Math.min(remaining, end - index);
                index += bytes;
                remaining -= bytes;
                if (cutting) {
                    from = index;
                    cutting = remaining > 0;
                }
                continue;
            }
            if (end - index < HEADER_BYTES) {
                break;
            }
            byte type = buffer.getByte(index);
            int length = buffer.getInt(index + 1);
            if (length < Integer.BYTES || length > Protocol.MAX_LARGE_MESSAGE + 1) {
                verdict = Verdict.MALFORMED;
                return finish(buffer, out, from, index);
            }
            if (end - index < neededBytes(type, length)) {
                break;
            }
            boolean cut = message(type, buffer, index, length);
            if (verdict != Verdict.GO_ON && verdict != Verdict.FATAL_PASSED) {
                return finish(buffer, out, from, index);
            }
            if (cut) {
                out = out == null ? allocator.buffer(end - from + INSPECT_BYTES) : out;
                out.writeBytes(buffer, from, index - from);
                if (replacement != null) {
                    ServerMessages.error(out, replacement);
                    replacement = null;
                }
                cutting = true;
                from = index;
            }
            index += HEADER_BYTES;
            remaining = length - Integer.BYTES;
            if (cutting) {
                from = index;
                cutting = remaining > 0;
            }
        }
        if (index < end) {
            held = allocator.buffer(end - index).writeBytes(buffer, index, end - index);
        }
        return finish(buffer, out, from, index);
    }

    private static ByteBuf finish(ByteBuf buffer, @Nullable ByteBuf out, int from, int index) {
        if (out == null) {
            return buffer.writerIndex(index);
        }
        out.writeBytes(buffer, from, index - from);
        buffer.release();
        return out;
    }

    /** Frees what is held; the stream is of no more use. */
    public void release() {
        if (held != null) {
            held.release();
            held = null;
        }
    }

    private ByteBuf merge(ByteBuf in, ByteBufAllocator allocator) {
        ByteBuf before = held;
        if (before == null) {
            return in;
        }
        held = null;
        try {
            return allocator
                    .buffer(before.readableBytes() + in.readableBytes())
                    .writeBytes(before)
                    .writeBytes(in);
        } finally {
            before.release();
            in.release();
        }
    }

    /** How much of a message must be there before it is passed on. */
    private int neededBytes(byte type, int length) {
        return switch (type) {
            case Protocol.ERROR_RESPONSE, Protocol.NOTICE_RESPONSE -> Math.min(length + 1, INSPECT_BYTES);
            case Protocol.COMMAND_COMPLETE -> Math.min(length + 1, TAG_BYTES);
            case Protocol.PARAMETER_STATUS -> Math.min(length + 1, MAX_PARAMETER);
            case Protocol.ROW_DESCRIPTION, Protocol.NO_DATA ->
                responses.expectsDescription() ? Math.min(length + 1, DESCRIPTION_BYTES) : HEADER_BYTES;
            case Protocol.READY_FOR_QUERY -> HEADER_BYTES + 1;
            default -> HEADER_BYTES;
        };
    }

    /** @return whether the message is kept from the client */
    private boolean message(byte type, ByteBuf buffer, int index, int length) {
        switch (type) {
            case Protocol.READY_FOR_QUERY -> {
                status = buffer.getByte(index + HEADER_BYTES);
                tracker.ready(status);
            }
            case Protocol.COPY_IN_RESPONSE -> tracker.copyInStarted();
            case Protocol.ERROR_RESPONSE -> {
                return onError(body(buffer, index, length));
            }
            case Protocol.NOTICE_RESPONSE -> onNotice(body(buffer, index, length));
            case Protocol.COMMAND_COMPLETE -> onComplete(buffer, index, length);
            case Protocol.PARAMETER_STATUS -> onParameter(buffer, index, length);
            case Protocol.ROW_DESCRIPTION, Protocol.NO_DATA -> {
                if (responses.expectsDescription()) {
                    responses.described(fingerprint(buffer, index, Math.min(length + 1, DESCRIPTION_BYTES)));
                }
            }
            default -> {}
        }
        return responses.onMessage(type);
    }

    /** Of a RowDescription but for the formats of its columns, which are the portal's business; never zero. */
    private static long fingerprint(ByteBuf buffer, int index, int bytes) {
        long hash = bytes;
        int end = index + bytes;
        int i = index + HEADER_BYTES + Short.BYTES;
        while (i < end) {
            while (i < end && buffer.getByte(i) != 0) {
                hash = hash * PRIME ^ buffer.getByte(i++);
            }
            // The zero; the column's origin and type.
            int numbers = Math.min(i + 1 + COLUMN_BYTES, end);
            for (; i < numbers; i++) {
                hash = hash * PRIME ^ buffer.getByte(i);
            }
            i += Short.BYTES;
        }
        return hash == 0 ? 1 : hash;
    }

    private void onComplete(ByteBuf buffer, int index, int length) {
        // Most tags begin otherwise.
        if (length > Integer.BYTES && buffer.getByte(index + HEADER_BYTES) == 'D') {
            int bytes = length - Integer.BYTES;
            if (is(DISCARD_ALL, buffer, index + HEADER_BYTES, bytes)
                    || is(DEALLOCATE_ALL, buffer, index + HEADER_BYTES, bytes)) {
                listener.statementsGone();
            }
        }
    }

    private static boolean is(byte[] tag, ByteBuf buffer, int index, int bytes) {
        if (bytes != tag.length) {
            return false;
        }
        for (int i = 0; i < tag.length; i++) {
            if (buffer.getByte(index + i) != tag[i]) {
                return false;
            }
        }
        return true;
    }

    private void onParameter(ByteBuf buffer, int index, int length) {
        if (length + 1 > MAX_PARAMETER) {
            verdict = Verdict.MALFORMED;
            return;
        }
        ByteBuf body = buffer.slice(index + HEADER_BYTES, length - Integer.BYTES);
        Optional<String> name = string(body);
        Optional<String> value = string(body);
        if (name.isEmpty() || value.isEmpty()) {
            verdict = Verdict.MALFORMED;
        } else {
            listener.parameter(name.get(), value.get());
        }
    }

    /** Reads a zero-terminated string; bytes beyond ASCII stay what they are. */
    static Optional<String> string(ByteBuf in) {
        int bytes = in.bytesBefore((byte) 0);
        if (bytes < 0) {
            return Optional.empty();
        }
        String value = in.toString(in.readerIndex(), bytes, StandardCharsets.UTF_8);
        in.skipBytes(bytes + 1);
        return Optional.of(value);
    }

    private static ByteBuf body(ByteBuf buffer, int index, int length) {
        return length == Integer.BYTES
                ? Unpooled.EMPTY_BUFFER
                : buffer.slice(index + HEADER_BYTES, Math.min(length - Integer.BYTES, INSPECT_BYTES - HEADER_BYTES));
    }

    private boolean onError(ByteBuf body) {
        String severity = field(body, 'V');
        if (severity.equals("FATAL") || severity.equals("PANIC")) {
            verdict = fatal();
            return false;
        }
        if (tracker.extendedCopy()) {
            responses.copyIgnoresSyncs();
        }
        tracker.backendError();
        replacement = responses.onError();
        return replacement != null;
    }

    private Verdict fatal() {
        if (tracker.mayCommit()) {
            return Verdict.COMMIT_UNKNOWN;
        }
        boolean idle = status == Protocol.STATUS_IDLE && !tracker.inFlight();
        return idle && listener.outlivesBackend() ? Verdict.ENDED_IDLE : Verdict.FATAL_PASSED;
    }

    private void onNotice(ByteBuf body) {
        if (field(body, 'R').equals(QUORUM_WAIT)) {
            verdict = Verdict.COMMIT_UNKNOWN;
        }
    }

    /** Value of a field of an ErrorResponse or NoticeResponse; empty if it is not there, or not in the part looked at. */
    static String field(ByteBuf fields, char wanted) {
        ByteBuf in = fields.duplicate();
        while (in.isReadable()) {
            byte code = in.readByte();
            int bytes = in.bytesBefore((byte) 0);
            if (code == 0 || bytes < 0) {
                return "";
            }
            if (code == wanted) {
                return in.toString(in.readerIndex(), bytes, StandardCharsets.UTF_8);
            }
            in.skipBytes(bytes + 1);
        }
        return "";
    }
}

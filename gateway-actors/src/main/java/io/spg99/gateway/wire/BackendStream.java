package io.spg99.gateway.wire;

import static io.spg99.gateway.wire.Protocol.HEADER_BYTES;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.Unpooled;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/**
 * Walks the messages of a backend on their way to the client without copying bodies. Only a message that may have to
 * be kept from the client (an error, a notice), and a header cut in two, is held until enough of it is there.
 */
public final class BackendStream {

    /** What the bytes so far mean for the session. */
    public enum Verdict {
        GO_ON,
        /** The backend said FATAL and that was passed on: it closes, and nothing is to be added. */
        FATAL_PASSED,
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

    /** Function named in field R of the warning "canceling the wait for synchronous replication ...". */
    private static final String QUORUM_WAIT = "SyncRepWaitForLSN";

    private final RequestTracker tracker;
    private @Nullable ByteBuf held;
    private int remaining;
    private Verdict verdict = Verdict.GO_ON;

    public BackendStream(RequestTracker tracker) {
        this.tracker = tracker;
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
        int end = buffer.writerIndex();
        int index = buffer.readerIndex();
        while (index < end) {
            if (remaining > 0) {
                int bytes = Math.min(remaining, end - index);
                index += bytes;
                remaining -= bytes;
                continue;
            }
            if (end - index < HEADER_BYTES) {
                break;
            }
            byte type = buffer.getByte(index);
            int length = buffer.getInt(index + 1);
            if (length < Integer.BYTES || length > Protocol.MAX_LARGE_MESSAGE + 1) {
                verdict = Verdict.MALFORMED;
                return buffer.writerIndex(index);
            }
            if (end - index < neededBytes(type, length)) {
                break;
            }
            message(type, buffer, index, length);
            if (verdict == Verdict.COMMIT_UNKNOWN) {
                return buffer.writerIndex(index);
            }
            index += HEADER_BYTES;
            remaining = length - Integer.BYTES;
        }
        if (index < end) {
            held = allocator.buffer(end - index).writeBytes(buffer, index, end - index);
            buffer.writerIndex(index);
        }
        return buffer;
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
    private static int neededBytes(byte type, int length) {
        return switch (type) {
            case Protocol.ERROR_RESPONSE, Protocol.NOTICE_RESPONSE -> Math.min(length + 1, INSPECT_BYTES);
            case Protocol.READY_FOR_QUERY -> HEADER_BYTES + 1;
            default -> HEADER_BYTES;
        };
    }

    private void message(byte type, ByteBuf buffer, int index, int length) {
        switch (type) {
            case Protocol.READY_FOR_QUERY -> tracker.ready(buffer.getByte(index + HEADER_BYTES));
            case Protocol.COPY_IN_RESPONSE -> tracker.copyInStarted();
            case Protocol.ERROR_RESPONSE -> onError(body(buffer, index, length));
            case Protocol.NOTICE_RESPONSE -> onNotice(body(buffer, index, length));
            default -> {}
        }
    }

    private static ByteBuf body(ByteBuf buffer, int index, int length) {
        return length == Integer.BYTES
                ? Unpooled.EMPTY_BUFFER
                : buffer.slice(index + HEADER_BYTES, Math.min(length - Integer.BYTES, INSPECT_BYTES - HEADER_BYTES));
    }

    private void onError(ByteBuf body) {
        tracker.backendError();
        String severity = field(body, 'V');
        if (severity.equals("FATAL") || severity.equals("PANIC")) {
            verdict = tracker.mayCommit() ? Verdict.COMMIT_UNKNOWN : Verdict.FATAL_PASSED;
        }
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

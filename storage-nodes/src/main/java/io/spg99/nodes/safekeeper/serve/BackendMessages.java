package io.spg99.nodes.safekeeper.serve;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.spg99.storage.wal.Lsn;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Encodes what a server says in PostgreSQL's protocol 3.0: type u8, length u32 (without the type), payload. */
final class BackendMessages {

    static final int OID_INT4 = 23;
    static final int OID_INT8 = 20;
    static final int OID_TEXT = 25;

    /** 'd', length, 'w', start, end and clock. */
    static final int WAL_HEADER = 1 + 4 + 1 + 8 + 8 + 8;

    private static final long POSTGRES_EPOCH_SECONDS =
            Instant.parse("2000-01-01T00:00:00Z").getEpochSecond();

    record Column(String name, int oid, int length) {}

    private BackendMessages() {}

    static ByteBuf ready(ByteBufAllocator allocator) {
        return allocator.buffer(6).writeByte('Z').writeInt(5).writeByte('I');
    }

    static void authenticated(ByteBuf out) {
        out.writeByte('R').writeInt(8).writeInt(0);
    }

    static void parameter(ByteBuf out, String name, String value) {
        int start = begin(out, 'S');
        string(out, name);
        string(out, value);
        end(out, start);
    }

    static ByteBuf error(ByteBufAllocator allocator, String severity, String sqlState, String message) {
        ByteBuf out = allocator.buffer();
        int start = begin(out, 'E');
        field(out, 'S', severity);
        field(out, 'V', severity);
        field(out, 'C', sqlState);
        field(out, 'M', message);
        out.writeByte(0);
        end(out, start);
        return out;
    }

    private static void field(ByteBuf out, char code, String value) {
        out.writeByte(code);
        string(out, value);
    }

    /** A result of one row. */
    static void row(ByteBuf out, List<Column> columns, List<@Nullable String> values) {
        int start = begin(out, 'T');
        out.writeShort(columns.size());
        for (Column column : columns) {
            string(out, column.name());
            out.writeInt(0).writeShort(0); // no table
            out.writeInt(column.oid()).writeShort(column.length()).writeInt(-1).writeShort(0);
        }
        end(out, start);
        start = begin(out, 'D');
        out.writeShort(values.size());
        for (String value : values) {
            if (value == null) {
                out.writeInt(-1);
            } else {
                byte[] bytes = value.getBytes(StandardCharsets.UTF_8);
                out.writeInt(bytes.length).writeBytes(bytes);
            }
        }
        end(out, start);
    }

    static void complete(ByteBuf out, String tag) {
        int start = begin(out, 'C');
        string(out, tag);
        end(out, start);
    }

    static ByteBuf emptyQuery(ByteBufAllocator allocator) {
        return allocator.buffer(5).writeByte('I').writeInt(4);
    }

    static ByteBuf copyBoth(ByteBufAllocator allocator) {
        return allocator.buffer(8).writeByte('W').writeInt(7).writeByte(0).writeShort(0);
    }

    static ByteBuf copyDone(ByteBufAllocator allocator) {
        return allocator.buffer(5).writeByte('c').writeInt(4);
    }

    /** The head of a message with {@code length} bytes of WAL, which follow it in the same buffer. */
    static void walHeader(ByteBuf out, Lsn start, Lsn end, int length) {
        out.setByte(0, 'd');
        out.setInt(1, WAL_HEADER - 1 + length);
        out.setByte(5, 'w');
        out.setLong(6, start.value());
        out.setLong(14, end.value());
        out.setLong(22, clock());
    }

    static ByteBuf keepalive(ByteBufAllocator allocator, Lsn end) {
        return allocator
                .buffer(23)
                .writeByte('d')
                .writeInt(22)
                .writeByte('k')
                .writeLong(end.value())
                .writeLong(clock())
                .writeByte(0);
    }

    /** Microseconds since PostgreSQL's epoch; informative only. */
    private static long clock() {
        Instant now = Instant.now();
        return (now.getEpochSecond() - POSTGRES_EPOCH_SECONDS) * 1_000_000 + now.getNano() / 1000;
    }

    private static int begin(ByteBuf out, char type) {
        out.writeByte(type);
        int start = out.writerIndex();
        out.writeInt(0);
        return start;
    }

    private static void end(ByteBuf out, int start) {
        out.setInt(start, out.writerIndex() - start);
    }

    private static void string(ByteBuf out, String text) {
        out.writeCharSequence(text, StandardCharsets.UTF_8);
        out.writeByte(0);
    }
}

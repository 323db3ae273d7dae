package io.spg99.gateway.wire;

import static io.spg99.gateway.wire.Protocol.HEADER_BYTES;

import io.netty.buffer.ByteBuf;
import java.nio.charset.StandardCharsets;

/**
 * Reads what a client sends as far as {@link RequestTracker} wants to know it. The bytes go on as they came: for a client
 * that has a server connection of its own.
 */
public final class PlainRequests {

    private final FrontendReader reader;
    private final RequestTracker tracker;
    private final SqlScanner scanner = new SqlScanner();
    private String name = "";

    public PlainRequests(FrontendReader reader, RequestTracker tracker) {
        this.reader = reader;
        this.tracker = tracker;
    }

    /** The unit that the reader looks at, which begins at {@code index}. */
    public void read(FrontendReader.Unit unit, ByteBuf in, int index) {
        byte type = reader.type();
        boolean begins = unit != FrontendReader.Unit.PART;
        int end = index + reader.length();
        int text = begins ? index + HEADER_BYTES : index;
        if (begins) {
            scanner.reset();
            if (type == Protocol.PARSE || type == Protocol.BIND) {
                int first = stringEnd(in, text, end);
                name = type == Protocol.PARSE
                        ? string(in, text, first)
                        : string(in, first + 1, stringEnd(in, first + 1, end));
                text = first + 1;
            }
        }
        if ((type == Protocol.QUERY || type == Protocol.PARSE) && text < end) {
            scanner.scan(in, text, stringEnd(in, text, end) - text);
        }
        if (reader.ends()) {
            track(type);
        }
    }

    private void track(byte type) {
        switch (type) {
            case Protocol.QUERY -> {
                scanner.end();
                tracker.query(scanner.verdict());
            }
            case Protocol.PARSE -> {
                scanner.end();
                tracker.parse(name, scanner.verdict());
            }
            case Protocol.BIND -> tracker.bind(name);
            case Protocol.EXECUTE -> tracker.execute();
            case Protocol.FUNCTION_CALL -> tracker.functionCall();
            case Protocol.SYNC -> tracker.sync();
            case Protocol.DESCRIBE, Protocol.CLOSE -> tracker.other();
            case Protocol.COPY_DONE, Protocol.COPY_FAIL -> tracker.copyEnded();
            case Protocol.TERMINATE -> tracker.terminate();
            default -> {}
        }
    }

    /** Index of the zero that ends the string, or {@code end} if it is not there. */
    public static int stringEnd(ByteBuf in, int from, int end) {
        int bytes = from < end ? in.indexOf(from, end, (byte) 0) : -1;
        return bytes < 0 ? end : bytes;
    }

    /** Names are compared byte by byte, whatever their encoding. */
    public static String string(ByteBuf in, int from, int to) {
        return to <= from ? "" : in.toString(from, to - from, StandardCharsets.ISO_8859_1);
    }
}

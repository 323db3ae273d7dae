package io.spg99.gateway.wire;

import io.netty.buffer.ByteBuf;
import java.nio.charset.StandardCharsets;
import java.util.BitSet;
import java.util.List;

/**
 * Encoders of what a server says. Each appends one message to a buffer.
 *
 * <pre>
 * client: StartupMessage           server: [NegotiateProtocolVersion] AuthenticationSASL
 * client: SASLInitialResponse      server: AuthenticationSASLContinue
 * client: SASLResponse             server: AuthenticationSASLFinal AuthenticationOk BackendKeyData
 *                                  server: [NoticeResponse] ... ParameterStatus ... ReadyForQuery
 * </pre>
 */
public final class ServerMessages {

    /** Answers to SSLRequest and GSSENCRequest: one byte, no message. */
    public static final byte ACCEPT_TLS = 'S';

    public static final byte DECLINE = 'N';

    private ServerMessages() {}

    public static void authenticationOk(ByteBuf out) {
        authentication(out, Protocol.AUTH_OK, new byte[0]);
    }

    public static void authenticationCleartextPassword(ByteBuf out) {
        authentication(out, Protocol.AUTH_CLEARTEXT, new byte[0]);
    }

    public static void authenticationSasl(ByteBuf out, List<String> mechanisms) {
        int start = begin(out, Protocol.AUTHENTICATION);
        out.writeInt(Protocol.AUTH_SASL);
        mechanisms.forEach(name -> string(out, name));
        out.writeByte(0);
        end(out, start);
    }

    public static void authenticationSaslContinue(ByteBuf out, byte[] data) {
        authentication(out, Protocol.AUTH_SASL_CONTINUE, data);
    }

    public static void authenticationSaslFinal(ByteBuf out, byte[] data) {
        authentication(out, Protocol.AUTH_SASL_FINAL, data);
    }

    private static void authentication(ByteBuf out, int kind, byte[] data) {
        int start = begin(out, Protocol.AUTHENTICATION);
        out.writeInt(kind).writeBytes(data);
        end(out, start);
    }

    public static void backendKeyData(ByteBuf out, int processId, int secretKey) {
        int start = begin(out, Protocol.BACKEND_KEY_DATA);
        out.writeInt(processId).writeInt(secretKey);
        end(out, start);
    }

    public static void parameterStatus(ByteBuf out, String name, String value) {
        int start = begin(out, Protocol.PARAMETER_STATUS);
        string(out, name);
        string(out, value);
        end(out, start);
    }

    /** @param status {@code I}, {@code T} or {@code E} */
    public static void readyForQuery(ByteBuf out, byte status) {
        int start = begin(out, Protocol.READY_FOR_QUERY);
        out.writeByte(status);
        end(out, start);
    }

    /** @param unknownOptions names of the {@code _pq_.} parameters that are not supported */
    public static void negotiateProtocolVersion(ByteBuf out, List<String> unknownOptions) {
        int start = begin(out, Protocol.NEGOTIATE_PROTOCOL_VERSION);
        out.writeInt(Protocol.VERSION_3_0).writeInt(unknownOptions.size());
        unknownOptions.forEach(name -> string(out, name));
        end(out, start);
    }

    /** An answer without content. */
    public static void bare(ByteBuf out, byte type) {
        end(out, begin(out, type));
    }

    public static void commandComplete(ByteBuf out, String tag) {
        int start = begin(out, Protocol.COMMAND_COMPLETE);
        string(out, tag);
        end(out, start);
    }

    /** Of a statement without parameters. */
    public static void noParameters(ByteBuf out) {
        int start = begin(out, Protocol.PARAMETER_DESCRIPTION);
        out.writeShort(0);
        end(out, start);
    }

    /**
     * @param numeric which columns are int8; the others are text
     * @param binary  which columns come in binary form
     */
    public static void rowDescription(ByteBuf out, List<String> names, BitSet numeric, BitSet binary) {
        int start = begin(out, Protocol.ROW_DESCRIPTION);
        out.writeShort(names.size());
        for (int i = 0; i < names.size(); i++) {
            string(out, names.get(i));
            out.writeInt(0).writeShort(0);
            out.writeInt(numeric.get(i) ? Protocol.INT8_OID : Protocol.TEXT_OID);
            out.writeShort(numeric.get(i) ? Long.BYTES : -1).writeInt(-1);
            out.writeShort(binary.get(i) ? 1 : 0);
        }
        end(out, start);
    }

    /** @param values text, or numbers */
    public static void dataRow(ByteBuf out, List<Object> values, BitSet binary) {
        int start = begin(out, Protocol.DATA_ROW);
        out.writeShort(values.size());
        for (int i = 0; i < values.size(); i++) {
            if (binary.get(i) && values.get(i) instanceof Number number) {
                out.writeInt(Long.BYTES).writeLong(number.longValue());
            } else {
                byte[] text = values.get(i).toString().getBytes(StandardCharsets.UTF_8);
                out.writeInt(text.length).writeBytes(text);
            }
        }
        end(out, start);
    }

    /** An error after which the session goes on. */
    public static void error(ByteBuf out, SqlError error) {
        report(out, Protocol.ERROR_RESPONSE, "ERROR", error);
    }

    /** A FATAL error: the server closes after it. */
    public static void fatal(ByteBuf out, SqlError error) {
        report(out, Protocol.ERROR_RESPONSE, "FATAL", error);
    }

    public static void notice(ByteBuf out, SqlError notice) {
        report(out, Protocol.NOTICE_RESPONSE, "NOTICE", notice);
    }

    private static void report(ByteBuf out, byte type, String severity, SqlError error) {
        int start = begin(out, type);
        field(out, 'S', severity);
        field(out, 'V', severity);
        field(out, 'C', error.sqlState());
        field(out, 'M', error.message());
        if (!error.hint().isEmpty()) {
            field(out, 'H', error.hint());
        }
        if (!error.routine().isEmpty()) {
            field(out, 'R', error.routine());
        }
        out.writeByte(0);
        end(out, start);
    }

    private static void field(ByteBuf out, char code, String value) {
        out.writeByte(code);
        string(out, value);
    }

    static int begin(ByteBuf out, byte type) {
        out.writeByte(type);
        int start = out.writerIndex();
        out.writeInt(0);
        return start;
    }

    static void end(ByteBuf out, int start) {
        out.setInt(start, out.writerIndex() - start);
    }

    static void string(ByteBuf out, String value) {
        out.writeCharSequence(value.replace("\0", ""), StandardCharsets.UTF_8);
        out.writeByte(0);
    }
}

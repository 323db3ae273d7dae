package io.spg99.gateway.wire;

import static io.spg99.gateway.wire.Protocol.CANCEL_REQUEST;
import static io.spg99.gateway.wire.Protocol.GSSENC_REQUEST;
import static io.spg99.gateway.wire.Protocol.MAJOR;
import static io.spg99.gateway.wire.Protocol.SSL_REQUEST;
import static io.spg99.gateway.wire.Protocol.TLS_HANDSHAKE;

import io.netty.buffer.ByteBuf;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Decodes startup packets: int32 length (itself included), int32 code or version, and what follows. */
public final class StartupDecoder {

    private static final int MIN_BYTES = 8;
    private static final int CANCEL_BYTES = 16;

    /** Prefix of parameters that ask for protocol extensions. */
    private static final String PROTOCOL_OPTION = "_pq_.";

    private final int maxBytes;

    /** @param maxBytes longest packet that is taken; nothing of a longer one is waited for */
    public StartupDecoder(int maxBytes) {
        this.maxBytes = maxBytes;
    }

    /** Whether a connection that begins so negotiates TLS directly, without an SSLRequest. */
    public static boolean isTls(ByteBuf firstBytes) {
        return firstBytes.isReadable() && firstBytes.getUnsignedByte(firstBytes.readerIndex()) == TLS_HANDSHAKE;
    }

    /** Consumes one packet, if it is complete. */
    public Decoded<StartupPacket> decode(ByteBuf in) {
        if (in.readableBytes() < Integer.BYTES) {
            return Decoded.needMore();
        }
        int length = in.getInt(in.readerIndex());
        if (length < MIN_BYTES || length > maxBytes) {
            return Decoded.malformed("invalid length of startup packet");
        }
        if (in.readableBytes() < length) {
            return Decoded.needMore();
        }
        ByteBuf packet = in.readSlice(length).skipBytes(Integer.BYTES);
        int code = packet.readInt();
        if (code == SSL_REQUEST || code == GSSENC_REQUEST) {
            return request(code, packet);
        }
        if (code == CANCEL_REQUEST) {
            return length == CANCEL_BYTES
                    ? Decoded.message(new StartupPacket.CancelRequest(packet.readInt(), packet.readInt()))
                    : Decoded.malformed("invalid length of cancel request");
        }
        int major = code >>> 16;
        int minor = code & 0xffff;
        return major == MAJOR
                ? startup(minor, packet)
                : Decoded.message(new StartupPacket.UnsupportedVersion(major, minor));
    }

    private static Decoded<StartupPacket> request(int code, ByteBuf rest) {
        if (rest.isReadable()) {
            return Decoded.malformed("invalid length of startup packet");
        }
        return Decoded.message(
                code == SSL_REQUEST ? StartupPacket.SslRequest.INSTANCE : StartupPacket.GssEncRequest.INSTANCE);
    }

    /** Pairs of zero-terminated strings, ended by one more zero byte. */
    private static Decoded<StartupPacket> startup(int minor, ByteBuf in) {
        Map<String, String> parameters = new LinkedHashMap<>();
        List<String> protocolOptions = new ArrayList<>();
        try {
            while (in.readableBytes() > 1) {
                String name = string(in);
                String value = string(in);
                if (name.isEmpty()) {
                    break;
                }
                if (name.startsWith(PROTOCOL_OPTION)) {
                    protocolOptions.add(name);
                } else {
                    parameters.put(name, value);
                }
            }
        } catch (CharacterCodingException e) {
            return Decoded.malformed("invalid startup packet layout: parameters must be zero-terminated UTF-8");
        }
        if (in.readableBytes() != 1 || in.readByte() != 0) {
            return Decoded.malformed("invalid startup packet layout: expected terminator as last byte");
        }
        return Decoded.message(new StartupPacket.Startup(
                minor, Collections.unmodifiableMap(parameters), List.copyOf(protocolOptions)));
    }

    private static String string(ByteBuf in) throws CharacterCodingException {
        int bytes = in.bytesBefore((byte) 0);
        if (bytes < 0) {
            throw new CharacterCodingException();
        }
        ByteBuffer text = in.nioBuffer(in.readerIndex(), bytes);
        String value = StandardCharsets.UTF_8.newDecoder().decode(text).toString();
        in.skipBytes(bytes + 1);
        return value;
    }
}

package io.spg99.gateway.wire;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

class StartupDecoderTest {

    private static final int MAX = 10_000;

    private final StartupDecoder decoder = new StartupDecoder(MAX);

    private static Decoded<StartupPacket> message(StartupPacket packet) {
        return Decoded.message(packet);
    }

    @Test
    void givenGoldenBytes_thenTheirPackets() {
        assertEquals(
                message(StartupPacket.SslRequest.INSTANCE),
                decoder.decode(Unpooled.wrappedBuffer(ByteBufUtil.decodeHexDump("0000000804d2162f"))));
        assertEquals(
                message(StartupPacket.GssEncRequest.INSTANCE),
                decoder.decode(Unpooled.wrappedBuffer(ByteBufUtil.decodeHexDump("0000000804d21630"))));
        assertEquals(
                message(new StartupPacket.CancelRequest(0x01020304, 0x05060708)),
                decoder.decode(Unpooled.wrappedBuffer(ByteBufUtil.decodeHexDump("0000001004d2162e0102030405060708"))));
        assertEquals(
                message(new StartupPacket.Startup(0, Map.of("user", "me", "database", "app"), List.of())),
                decoder.decode(Bytes.packet(3 << 16, "user|me|database|app||")));
        assertEquals(
                message(new StartupPacket.Startup(2, Map.of("user", "me"), List.of("_pq_.x"))),
                decoder.decode(Bytes.packet(3 << 16 | 2, "user|me|_pq_.x|1||")));
        assertEquals(
                message(new StartupPacket.UnsupportedVersion(2, 0)), decoder.decode(Bytes.packet(2 << 16, "anything")));
    }

    @Test
    void givenEverySplit_thenMoreIsNeededUntilTheEndAndNothingIsConsumed() {
        ByteBuf whole = Bytes.packet(3 << 16, "user|me|options|-c x=y||");
        for (int bytes = 0; bytes < whole.readableBytes(); bytes++) {
            ByteBuf part = whole.slice(0, bytes);
            assertInstanceOf(Decoded.NeedMore.class, decoder.decode(part));
            assertEquals(bytes, part.readableBytes());
        }
        assertInstanceOf(Decoded.Message.class, decoder.decode(whole));
        assertEquals(0, whole.readableBytes());
    }

    @Test
    void givenImpossibleLengths_thenMalformedAtOnce() {
        for (int length : new int[] {Integer.MIN_VALUE, -1, 0, 4, 7, MAX + 1, Integer.MAX_VALUE}) {
            assertInstanceOf(
                    Decoded.Malformed.class, decoder.decode(Unpooled.buffer().writeInt(length)));
        }
    }

    @Test
    void givenBadLayouts_thenMalformed() {
        for (String body :
                List.of("", "|x", "user", "user|", "user|me", "user|me|", "user|me||x", "user|me|x||", "||")) {
            Decoded<StartupPacket> decoded = decoder.decode(Bytes.packet(3 << 16, body));
            boolean acceptable = body.equals("user|me|x||");
            assertTrue(decoded instanceof Decoded.Malformed || acceptable, body + " -> " + decoded);
        }
        assertInstanceOf(Decoded.Malformed.class, decoder.decode(Bytes.packet(Protocol.SSL_REQUEST, "x")));
        assertInstanceOf(Decoded.Malformed.class, decoder.decode(Bytes.packet(Protocol.CANCEL_REQUEST, "x")));
        ByteBuf notUtf8 = Bytes.packet(3 << 16, "user|\u00ff||");
        assertInstanceOf(Decoded.Malformed.class, decoder.decode(notUtf8));
    }

    @Test
    void givenMutationsAndNoise_thenOneOfTheThreeAnswersAndNeverBeyondThePacket() {
        Random random = new Random(11);
        byte[] good = ByteBufUtil.getBytes(Bytes.packet(3 << 16, "user|me|database|app||"));
        for (int i = 0; i < good.length * 8; i++) {
            byte[] mutated = good.clone();
            mutated[i / 8] ^= (byte) (1 << i % 8);
            decoder.decode(Unpooled.wrappedBuffer(mutated));
        }
        for (int i = 0; i < 5_000; i++) {
            byte[] noise = new byte[random.nextInt(64)];
            random.nextBytes(noise);
            if (noise.length > 4) {
                noise[0] = 0;
                noise[1] = 0;
                noise[2] = 0;
            }
            decoder.decode(Unpooled.wrappedBuffer(noise));
        }
    }
}

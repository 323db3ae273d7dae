package io.spg99.gateway.server;

import io.netty.channel.embedded.EmbeddedChannel;
import io.spg99.gateway.login.MockVerifiers;
import io.spg99.gateway.login.ScramExchange;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Does once, in memory and for nobody, what every login needs: a TLS handshake and a password check. Otherwise the first
 * client of a JVM waits for classes and native code to be loaded, while its database wakes up in less time than that.
 */
final class WarmUp {

    private static final Logger LOG = LoggerFactory.getLogger(WarmUp.class);

    /** Flights from one side to the other; a handshake of TLS 1.3 has three. */
    private static final int FLIGHTS = 6;

    private WarmUp() {}

    /** Never fails: that this login comes to nothing is certain, only where is not. Takes about 100 ms in a new JVM. */
    static void run(TlsContexts tls, GatewaySettings settings, MockVerifiers mocks) {
        try {
            handshake(tls, settings.tls().backendName());
            checkPassword(tls, mocks);
        } catch (RuntimeException e) {
            LOG.warn("the first login will be slow: the Gateway could not be warmed up", e);
        }
    }

    /** Both contexts against each other. Mostly ended by the client's side, which does not trust this server. */
    private static void handshake(TlsContexts tls, String name) {
        EmbeddedChannel server = new EmbeddedChannel();
        EmbeddedChannel client = new EmbeddedChannel();
        try {
            server.pipeline().addLast(tls.server.newHandler(server.alloc()));
            client.pipeline().addLast(tls.backend.newHandler(client.alloc(), name, 0));
            for (int flight = 0; flight < FLIGHTS; flight += 2) {
                pass(client, server);
                pass(server, client);
            }
        } finally {
            end(client);
            end(server);
        }
    }

    /** The failure that ends it stays in the channel where it happens: nobody asks for it. */
    private static void pass(EmbeddedChannel from, EmbeddedChannel to) {
        for (Object bytes = from.readOutbound(); bytes != null; bytes = from.readOutbound()) {
            to.pipeline().fireChannelRead(bytes);
        }
        to.pipeline().fireChannelReadComplete();
        to.runPendingTasks();
    }

    private static void end(EmbeddedChannel channel) {
        channel.close();
        channel.releaseInbound();
        channel.releaseOutbound();
    }

    private static void checkPassword(TlsContexts tls, MockVerifiers mocks) {
        try {
            ScramExchange exchange = new ScramExchange(mocks.of(""), tls.endPoint(), "server");
            exchange.first(ScramExchange.SCRAM, "n,,n=,r=client".getBytes(StandardCharsets.US_ASCII));
            String proof = Base64.getEncoder().encodeToString(new byte[32]);
            exchange.last(("c=biws,r=clientserver,p=" + proof).getBytes(StandardCharsets.US_ASCII));
        } catch (ScramExchange.ScramException e) {
            LOG.debug("warm: {}", e.getMessage());
        }
    }
}

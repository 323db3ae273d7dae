package io.spg99.gateway.server;

import io.netty.channel.ChannelFactory;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.unix.DomainSocketChannel;
import io.spg99.gateway.cancel.CancelRelay;
import io.spg99.gateway.lease.GatewayRegistry;
import io.spg99.gateway.login.LoginBackoff;
import io.spg99.gateway.login.MockVerifiers;
import io.spg99.gateway.login.TenantDirectory;
import java.security.SecureRandom;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.ActorSystem;

/**
 * What all connections of one Gateway share.
 *
 * @param system      of the cluster that its Gateways are in
 * @param sockets     makes the channels of backend connections
 * @param unixSockets the same for writers on this machine; empty where Netty has no native transport
 * @param connections open client connections, for the orderly stop
 * @param preAuth     how many of them have not logged in
 * @param loggedIn    how many of them have
 * @param ids         numbers the connections, for the log
 * @param pools       server connections, by database
 */
record GatewayContext(
        ActorSystem<?> system,
        GatewaySettings settings,
        CurrentTls currentTls,
        TenantDirectory tenants,
        MockVerifiers mocks,
        LoginBackoff backoff,
        ActorRef<GatewayRegistry.Command> registry,
        GatewayMetrics metrics,
        CancelKeys cancelKeys,
        SecureRandom random,
        ChannelFactory<SocketChannel> sockets,
        Optional<ChannelFactory<DomainSocketChannel>> unixSockets,
        Set<ClientConnection> connections,
        AtomicInteger preAuth,
        AtomicInteger loggedIn,
        AtomicLong ids,
        ServerPools pools) {

    /** For a connection that begins now. */
    TlsContexts tls() {
        return currentTls.get();
    }

    /** Cancels what a session of this Gateway does; false if none has this key. */
    CompletionStage<Boolean> cancelHere(int processId, int secret) {
        return cancelKeys
                .find(processId, secret)
                .<CompletionStage<Boolean>>map(session -> session.cancel().thenApply(done -> true))
                .orElseGet(() -> CompletableFuture.completedFuture(false));
    }

    /** The same on whatever Gateway has the session. */
    CompletionStage<Boolean> cancel(int processId, int secret) {
        boolean here = processId < 0 || cancelKeys.find(processId, secret).isPresent();
        return here
                ? cancelHere(processId, secret)
                : CancelRelay.forward(system, CancelKeys.tag(processId), processId, secret);
    }
}

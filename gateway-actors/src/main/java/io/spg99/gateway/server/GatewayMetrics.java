package io.spg99.gateway.server;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import java.util.concurrent.atomic.AtomicInteger;

/** What one Gateway counts; the Prometheus names are those of the contract. */
final class GatewayMetrics {

    final Counter backendTlsOk;
    final Counter backendTlsErrors;
    final Counter backendConnects;
    final Counter checkoutTimeouts;
    /** From the end of the login to the backend's first ReadyForQuery, waking included. */
    final Timer checkoutWait;

    final Counter loginFailures;
    /** Backend connections; in session mode also logged-in clients that have one. */
    final AtomicInteger backends = new AtomicInteger();

    GatewayMetrics(MeterRegistry registry) {
        backendTlsOk = registry.counter("gw.backend.tls.ok");
        backendTlsErrors = registry.counter("gw.backend.tls.handshake.errors");
        backendConnects = registry.counter("spg99.pool.backend.connect");
        checkoutTimeouts = registry.counter("spg99.pool.checkout.timeouts");
        checkoutWait = Timer.builder("spg99.pool.checkout.wait").register(registry);
        loginFailures = registry.counter("spg99.gateway.login.failures");
        registry.gauge("spg99.pool.total.conns", backends);
    }
}

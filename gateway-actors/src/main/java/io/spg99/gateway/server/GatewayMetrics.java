package io.spg99.gateway.server;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import io.spg99.gateway.session.PinReason;
import java.util.EnumMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/** What one Gateway counts; the Prometheus names are those of the contract. */
final class GatewayMetrics {

    final Counter backendTlsOk;
    final Counter backendTlsErrors;
    final Counter backendConnects;
    final Counter checkoutTimeouts;
    /** From the end of the login to the first ReadyForQuery, waking included; and each wait for a server connection. */
    final Timer checkoutWait;

    /** Sessions put up on a server connection, and server connections cleaned after one. */
    final Counter resets;

    private final Map<PinReason, Counter> pinned = new EnumMap<>(PinReason.class);

    final Counter loginFailures;
    /** Password checks that waited, as there had been wrong passwords from the same address. */
    final Counter loginDelays;
    /** Server connections that are logged in. */
    final AtomicInteger backends = new AtomicInteger();

    GatewayMetrics(MeterRegistry registry) {
        backendTlsOk = registry.counter("gw.backend.tls.ok");
        backendTlsErrors = registry.counter("gw.backend.tls.handshake.errors");
        backendConnects = registry.counter("spg99.pool.backend.connect");
        checkoutTimeouts = registry.counter("spg99.pool.checkout.timeouts");
        checkoutWait = Timer.builder("spg99.pool.checkout.wait").register(registry);
        resets = registry.counter("spg99.pool.resets");
        for (PinReason reason : PinReason.values()) {
            pinned.put(reason, registry.counter("spg99.session.pinned", "reason", reason.label()));
        }
        loginFailures = registry.counter("spg99.gateway.login.failures");
        loginDelays = registry.counter("spg99.gateway.login.delays");
        registry.gauge("spg99.pool.total.conns", backends);
    }

    /** Server connections that nobody uses are counted where they are. */
    void countIdle(MeterRegistry registry, ServerPools pools) {
        registry.gauge("spg99.pool.idle.conns", pools, ServerPools::idle);
    }

    /** A session keeps its server connection for this reason from now on. */
    void pinned(PinReason reason) {
        Counter counter = pinned.get(reason);
        if (counter != null) {
            counter.increment();
        }
    }
}

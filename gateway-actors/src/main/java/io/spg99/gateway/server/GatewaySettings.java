package io.spg99.gateway.server;

import com.typesafe.config.Config;
import io.spg99.gateway.login.LoginBackoff;
import java.nio.file.Path;
import java.time.Duration;

/**
 * How a Gateway runs; {@code reference.conf} has the defaults and says what each means.
 *
 * @param port      0 for any free port
 * @param ioThreads 0 for one per processor
 * @param plaintext clients may do without TLS; nothing but {@link #withPlaintext} sets it
 */
public record GatewaySettings(
        String host,
        int port,
        int ioThreads,
        TlsFiles tls,
        Times times,
        Limits limits,
        LoginBackoff.Settings backoff,
        Pool pool,
        boolean plaintext) {

    /**
     * @param serverCertificate PEM chain shown to clients
     * @param serverKey         PEM, PKCS#8, not encrypted
     * @param clientCertificate PEM chain shown to computes
     * @param clientKey         PEM, PKCS#8, not encrypted
     * @param backendCa         PEM; a compute's certificate must be signed by it
     * @param backendName       DNS name a compute's certificate must carry
     * @param reloadInterval    how often the files are looked at for a change
     */
    public record TlsFiles(
            Path serverCertificate,
            Path serverKey,
            Path clientCertificate,
            Path clientKey,
            Path backendCa,
            String backendName,
            Duration reloadInterval) {}

    /** @param idleTransaction zero for no limit */
    public record Times(
            Duration login,
            Duration wake,
            Duration wakeNotice,
            Duration backendConnect,
            Duration backendReconnect,
            Duration acquireRetry,
            Duration abandonedQueryGrace,
            Duration idleTransaction) {}

    /** Bytes, and numbers of connections. */
    public record Limits(int startupPacket, int loginMessage, int preAuthConnections, int connections) {}

    /**
     * Server connections of one database.
     *
     * @param size              opened as soon as they are wanted, those of pinned sessions not counted
     * @param reserveDelay      a session that has waited this long gets one beyond the size, up to the database's limit
     * @param checkoutTimeout   longest wait for one
     * @param freezeTimeout     longest wait while the database freezes
     * @param serverIdle        closed when unused for this long
     * @param lifetime          not lent any more after this time
     * @param linger            kept, with the lease, for this long after the last client has gone
     * @param preparedPerServer prepared statements in one; the longest unused is closed
     * @param statementBytes    texts of prepared statements; what does not fit pins its session
     */
    public record Pool(
            int size,
            Duration reserveDelay,
            Duration checkoutTimeout,
            Duration freezeTimeout,
            Duration serverIdle,
            Duration lifetime,
            Duration linger,
            int preparedPerServer,
            long statementBytes) {}

    /** Reads the section {@code spg99.gateway}. */
    public static GatewaySettings from(Config gateway) {
        return new GatewaySettings(
                gateway.getString("host"),
                gateway.getInt("port"),
                gateway.getInt("io-threads"),
                new TlsFiles(
                        Path.of(gateway.getString("tls.server-certificate")),
                        Path.of(gateway.getString("tls.server-key")),
                        Path.of(gateway.getString("tls.client-certificate")),
                        Path.of(gateway.getString("tls.client-key")),
                        Path.of(gateway.getString("tls.backend-ca")),
                        gateway.getString("tls.backend-name"),
                        gateway.getDuration("tls.reload-interval")),
                new Times(
                        gateway.getDuration("login-timeout"),
                        gateway.getDuration("wake-timeout"),
                        gateway.getDuration("wake-notice-after"),
                        gateway.getDuration("backend-connect-timeout"),
                        gateway.getDuration("backend-reconnect-delay"),
                        gateway.getDuration("acquire-retry"),
                        gateway.getDuration("abandoned-query-grace"),
                        gateway.getDuration("idle-transaction-timeout")),
                new Limits(
                        gateway.getInt("max-startup-packet"),
                        gateway.getInt("max-login-message"),
                        gateway.getInt("max-pre-auth-connections"),
                        gateway.getInt("max-connections")),
                new LoginBackoff.Settings(
                        gateway.getInt("login-backoff.free-failures"),
                        gateway.getDuration("login-backoff.first"),
                        gateway.getDuration("login-backoff.longest"),
                        gateway.getDuration("login-backoff.forget-after"),
                        gateway.getInt("login-backoff.max-addresses")),
                new Pool(
                        gateway.getInt("pool.size"),
                        gateway.getDuration("pool.reserve-delay"),
                        gateway.getDuration("pool.checkout-timeout"),
                        gateway.getDuration("pool.freeze-timeout"),
                        gateway.getDuration("pool.server-idle-timeout"),
                        gateway.getDuration("pool.server-lifetime"),
                        gateway.getDuration("pool.linger"),
                        gateway.getInt("pool.prepared-per-server"),
                        gateway.getBytes("pool.statement-bytes")),
                false);
    }

    GatewaySettings withLimits(Limits others) {
        return new GatewaySettings(host, port, ioThreads, tls, times, others, backoff, pool, plaintext);
    }

    /** For benchmarks: no configuration lets clients do without TLS. */
    public GatewaySettings withPlaintext() {
        return new GatewaySettings(host, port, ioThreads, tls, times, limits, backoff, pool, true);
    }
}

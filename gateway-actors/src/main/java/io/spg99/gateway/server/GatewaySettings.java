package io.spg99.gateway.server;

import com.typesafe.config.Config;
import java.nio.file.Path;
import java.time.Duration;

/**
 * How a Gateway runs; {@code reference.conf} has the defaults and says what each means.
 *
 * @param port      0 for any free port
 * @param ioThreads 0 for one per processor
 */
public record GatewaySettings(String host, int port, int ioThreads, TlsFiles tls, Times times, Limits limits) {

    /**
     * @param serverCertificate PEM chain shown to clients
     * @param serverKey         PEM, PKCS#8, not encrypted
     * @param clientCertificate PEM chain shown to computes
     * @param clientKey         PEM, PKCS#8, not encrypted
     * @param backendCa         PEM; a compute's certificate must be signed by it
     * @param backendName       DNS name a compute's certificate must carry
     */
    public record TlsFiles(
            Path serverCertificate,
            Path serverKey,
            Path clientCertificate,
            Path clientKey,
            Path backendCa,
            String backendName) {}

    public record Times(
            Duration login,
            Duration wake,
            Duration wakeNotice,
            Duration backendConnect,
            Duration backendReconnect,
            Duration acquireRetry,
            Duration abandonedQueryGrace) {}

    /** Bytes, and numbers of connections. */
    public record Limits(int startupPacket, int loginMessage, int preAuthConnections, int connections) {}

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
                        gateway.getString("tls.backend-name")),
                new Times(
                        gateway.getDuration("login-timeout"),
                        gateway.getDuration("wake-timeout"),
                        gateway.getDuration("wake-notice-after"),
                        gateway.getDuration("backend-connect-timeout"),
                        gateway.getDuration("backend-reconnect-delay"),
                        gateway.getDuration("acquire-retry"),
                        gateway.getDuration("abandoned-query-grace")),
                new Limits(
                        gateway.getInt("max-startup-packet"),
                        gateway.getInt("max-login-message"),
                        gateway.getInt("max-pre-auth-connections"),
                        gateway.getInt("max-connections")));
    }
}

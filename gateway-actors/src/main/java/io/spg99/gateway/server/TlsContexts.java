package io.spg99.gateway.server;

import io.netty.handler.ssl.ApplicationProtocolConfig;
import io.netty.handler.ssl.OpenSsl;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import io.spg99.gateway.login.ServerEndPoint;
import io.spg99.gateway.wire.Protocol;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.security.GeneralSecurityException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;

/**
 * TLS towards clients and towards backends: 1.3 and 1.2, BoringSSL where its native library loads, else the JDK's.
 * Clients resume their sessions, as Netty has it by default, until the certificate changes. Sessions are not resumed towards
 * backends: PostgreSQL issues no tickets and keeps no session cache.
 */
final class TlsContexts {

    private static final String[] VERSIONS = {"TLSv1.3", "TLSv1.2"};

    final SslContext server;
    final SslContext backend;
    /** See {@link ServerEndPoint}. */
    private final byte[] endPoint;

    private TlsContexts(SslContext server, SslContext backend, byte[] endPoint) {
        this.server = server;
        this.backend = backend;
        this.endPoint = endPoint;
    }

    byte[] endPoint() {
        return endPoint.clone();
    }

    static SslProvider provider() {
        return OpenSsl.isAvailable() ? SslProvider.OPENSSL : SslProvider.JDK;
    }

    /**
     * Reads the files.
     *
     * @throws IOException if one of them cannot be read or does not hold what it should
     */
    static TlsContexts load(GatewaySettings.TlsFiles files) throws IOException {
        try (InputStream certificate = Files.newInputStream(files.serverCertificate())) {
            SslContext server = SslContextBuilder.forServer(
                            files.serverCertificate().toFile(),
                            files.serverKey().toFile())
                    .sslProvider(provider())
                    .protocols(VERSIONS)
                    .applicationProtocolConfig(alpn())
                    .build();
            SslContext backend = SslContextBuilder.forClient()
                    .keyManager(
                            files.clientCertificate().toFile(),
                            files.clientKey().toFile())
                    .trustManager(files.backendCa().toFile())
                    .endpointIdentificationAlgorithm("HTTPS")
                    .sslProvider(provider())
                    .protocols(VERSIONS)
                    .applicationProtocolConfig(alpn())
                    .build();
            X509Certificate first =
                    (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(certificate);
            return new TlsContexts(server, backend, ServerEndPoint.of(first));
        } catch (GeneralSecurityException | IllegalArgumentException e) {
            throw new IOException(
                    "cannot use the Gateway's certificates, certificate=" + files.serverCertificate() + " client="
                            + files.clientCertificate() + " ca=" + files.backendCa(),
                    e);
        }
    }

    private static ApplicationProtocolConfig alpn() {
        return new ApplicationProtocolConfig(
                ApplicationProtocolConfig.Protocol.ALPN,
                ApplicationProtocolConfig.SelectorFailureBehavior.NO_ADVERTISE,
                ApplicationProtocolConfig.SelectedListenerFailureBehavior.ACCEPT,
                Protocol.ALPN);
    }
}

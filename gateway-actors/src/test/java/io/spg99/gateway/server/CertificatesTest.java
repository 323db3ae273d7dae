package io.spg99.gateway.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSession;
import javax.net.ssl.TrustManager;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Certificates that are replaced while the Gateway runs, and TLS sessions that are resumed. */
@ExtendWith(SharedPostgres.class)
class CertificatesTest {

    @Test
    void givenNewCertificateFiles_thenNewConnectionsSeeThemAndOpenOnesStay(
            TestPostgres postgres, @TempDir Path directory) throws Exception {
        TestCertificates certificates = new TestCertificates(directory);
        GatewayFixture gateway = new GatewayFixture(
                postgres, """
                tls.server-certificate = "%s"
                tls.server-key = "%s"
                tls.reload-interval = 50ms
                """.formatted(certificates.certificate("gateway"), certificates.key("gateway")));
        gateway.databases.awake();
        Path firstCa = Files.copy(certificates.certificate("ca"), directory.resolve("first.pem"));
        try (Connection open = gateway.connect(trusting(gateway, firstCa))) {
            Files.writeString(certificates.key("gateway"), "in the middle of a change");
            assertOne(open);
            new TestCertificates(directory);
            Awaitility.await("the new certificate")
                    .atMost(Duration.ofSeconds(10))
                    .ignoreExceptions()
                    .until(() -> {
                        gateway.connect(trusting(gateway, certificates.certificate("ca")))
                                .close();
                        return true;
                    });
            assertThrows(SQLException.class, () -> gateway.connect(trusting(gateway, firstCa)));
            assertOne(open);
        } finally {
            gateway.stop();
        }
    }

    private static Properties trusting(GatewayFixture gateway, Path ca) {
        Properties properties = gateway.properties();
        properties.setProperty("sslrootcert", ca.toString());
        properties.setProperty("channelBinding", "require");
        return properties;
    }

    private static void assertOne(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT 1")) {
            rows.next();
            assertEquals(1, rows.getInt(1));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"TLSv1.2", "TLSv1.3"})
    void givenClientThatWasHere_whenItComesAgain_thenItsTlsSessionIsResumedUntilTheCertificateChanges(
            String version, TestPostgres postgres, @TempDir Path directory) throws Exception {
        TestCertificates certificates = new TestCertificates(directory);
        GatewayFixture gateway = new GatewayFixture(
                postgres, """
                tls.server-certificate = "%s"
                tls.server-key = "%s"
                tls.reload-interval = 50ms
                """.formatted(certificates.certificate("gateway"), certificates.key("gateway")));
        SSLContext client = client();
        try {
            SSLSession first = session(gateway, client, version);
            assertEquals(version, first.getProtocol());
            for (int i = 0; i < 3; i++) {
                assertEquals(
                        first.getCreationTime(),
                        session(gateway, client, version).getCreationTime());
            }
            SSLSession stranger = session(gateway, client(), version);
            assertNotEquals(first.getCreationTime(), stranger.getCreationTime());
            new TestCertificates(directory);
            Awaitility.await("a session of the new certificate")
                    .until(() -> session(gateway, client, version).getCreationTime() != first.getCreationTime());
        } finally {
            gateway.stop();
        }
    }

    private static SSLContext client() throws GeneralSecurityException {
        SSLContext client = SSLContext.getInstance("TLS");
        client.init(null, new TrustManager[] {new RawClient.TrustAll()}, null);
        return client;
    }

    /** Of a connection that has got as far as the password; by then whatever it takes to resume it has come. */
    private static SSLSession session(GatewayFixture gateway, SSLContext client, String version) throws Exception {
        try (RawClient raw = new RawClient(gateway.server.port())) {
            raw.sslRequest().answer();
            raw.startTls(client, version);
            raw.startup(3 << 16, Map.of("user", TestPostgres.USER, "database", TestPostgres.DATABASE));
            assertTrue(raw.message().startsWith("R"));
            return raw.tlsSession();
        }
    }
}

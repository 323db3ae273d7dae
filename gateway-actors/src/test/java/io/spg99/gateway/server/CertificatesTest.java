package io.spg99.gateway.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.Properties;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** Certificates that are replaced while the Gateway runs. */
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
}

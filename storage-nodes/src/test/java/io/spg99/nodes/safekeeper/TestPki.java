package io.spg99.nodes.safekeeper;

import io.spg99.storage.tls.TlsIdentity;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.Date;
import java.util.List;
import javax.security.auth.x500.X500Principal;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.cert.X509v3CertificateBuilder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.operator.OperatorCreationException;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.jspecify.annotations.Nullable;

/** A certificate authority for tests. */
public final class TestPki {

    private final Path directory;
    private final KeyPair caKeys;
    private final X509Certificate ca;
    private long serial = 1;

    public TestPki(Path directory) throws Exception {
        this.directory = directory;
        this.caKeys = keys();
        this.ca = certificate("spg99-test-ca", caKeys, null);
        Files.writeString(directory.resolve("ca.crt"), pem("CERTIFICATE", ca.getEncoded()));
    }

    public TlsIdentity issue(String commonName) throws Exception {
        KeyPair keys = keys();
        Path certificate = directory.resolve(commonName + ".crt");
        Path key = directory.resolve(commonName + ".key");
        Path keyDer = directory.resolve(commonName + ".pk8");
        Files.writeString(
                certificate,
                pem("CERTIFICATE", certificate(commonName, keys, ca).getEncoded()));
        Files.writeString(key, pem("PRIVATE KEY", keys.getPrivate().getEncoded()));
        Files.write(keyDer, keys.getPrivate().getEncoded());
        for (Path secret : List.of(key, keyDer)) {
            Files.setPosixFilePermissions(secret, PosixFilePermissions.fromString("rw-------"));
        }
        return new TlsIdentity(certificate, key, keyDer, directory.resolve("ca.crt"));
    }

    private static KeyPair keys() throws GeneralSecurityException {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(256);
        return generator.generateKeyPair();
    }

    private X509Certificate certificate(String commonName, KeyPair keys, @Nullable X509Certificate issuer)
            throws GeneralSecurityException, OperatorCreationException, IOException {
        X500Principal subject = new X500Principal("CN=" + commonName);
        X500Principal signer = issuer == null ? subject : issuer.getSubjectX500Principal();
        Instant now = Instant.now();
        X509v3CertificateBuilder builder = new JcaX509v3CertificateBuilder(
                signer,
                BigInteger.valueOf(serial++),
                Date.from(now.minus(Duration.ofHours(1))),
                Date.from(now.plus(Duration.ofDays(1))),
                subject,
                keys.getPublic());
        builder.addExtension(Extension.basicConstraints, true, new BasicConstraints(issuer == null));
        builder.addExtension(
                Extension.subjectAlternativeName,
                false,
                new GeneralNames(new GeneralName(GeneralName.dNSName, TlsIdentity.SERVER_NAME)));
        return new JcaX509CertificateConverter()
                .getCertificate(
                        builder.build(new JcaContentSignerBuilder("SHA256withECDSA").build(caKeys.getPrivate())));
    }

    private static String pem(String type, byte[] der) {
        return "-----BEGIN " + type + "-----\n"
                + Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(der) + "\n-----END " + type + "-----\n";
    }
}

package io.spg99.compute.testing;

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
import java.security.spec.ECGenParameterSpec;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.Date;
import java.util.concurrent.atomic.AtomicLong;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.operator.OperatorCreationException;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;

/** A certificate authority for tests. */
public final class TestCertificates {

    private static final AtomicLong SERIAL = new AtomicLong(1);

    private final Path directory;
    private final KeyPair key;
    private final X500Name name;
    private final Path certificate;

    public TestCertificates(Path directory, String commonName) {
        try {
            this.directory = Files.createDirectories(directory);
            this.key = newKey();
            this.name = new X500Name("CN=" + commonName);
            this.certificate = pem(
                    directory.resolve("ca.crt"),
                    "CERTIFICATE",
                    sign(name, key, true).getEncoded());
        } catch (IOException | GeneralSecurityException | OperatorCreationException e) {
            throw new IllegalStateException(e);
        }
    }

    public TlsIdentity issue(String commonName) {
        try {
            KeyPair own = newKey();
            Path cert = pem(
                    directory.resolve(commonName + ".crt"),
                    "CERTIFICATE",
                    sign(new X500Name("CN=" + commonName), own, false).getEncoded());
            Path keyPem = pem(
                    directory.resolve(commonName + ".key"),
                    "PRIVATE KEY",
                    own.getPrivate().getEncoded());
            Path keyDer = Files.write(
                    directory.resolve(commonName + ".pk8"), own.getPrivate().getEncoded());
            Files.setPosixFilePermissions(keyPem, PosixFilePermissions.fromString("rw-------"));
            Files.setPosixFilePermissions(keyDer, PosixFilePermissions.fromString("rw-------"));
            return new TlsIdentity(cert, keyPem, keyDer, certificate);
        } catch (IOException | GeneralSecurityException | OperatorCreationException e) {
            throw new IllegalStateException(e);
        }
    }

    private X509Certificate sign(X500Name subject, KeyPair subjectKey, boolean ca)
            throws IOException, GeneralSecurityException, OperatorCreationException {
        Instant now = Instant.now();
        JcaX509v3CertificateBuilder builder = new JcaX509v3CertificateBuilder(
                name,
                BigInteger.valueOf(SERIAL.getAndIncrement()),
                Date.from(now.minus(Duration.ofHours(1))),
                Date.from(now.plus(Duration.ofDays(1))),
                subject,
                subjectKey.getPublic());
        if (ca) {
            builder.addExtension(Extension.basicConstraints, true, new BasicConstraints(true));
        } else {
            builder.addExtension(
                    Extension.subjectAlternativeName,
                    false,
                    new GeneralNames(new GeneralName(GeneralName.dNSName, TlsIdentity.SERVER_NAME)));
        }
        return new JcaX509CertificateConverter()
                .getCertificate(builder.build(new JcaContentSignerBuilder("SHA256withECDSA").build(key.getPrivate())));
    }

    private static KeyPair newKey() throws GeneralSecurityException {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        return generator.generateKeyPair();
    }

    private static Path pem(Path file, String type, byte[] der) throws IOException {
        String body = Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(der);
        return Files.writeString(file, "-----BEGIN " + type + "-----\n" + body + "\n-----END " + type + "-----\n");
    }
}

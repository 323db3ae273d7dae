package io.spg99.cluster.pki;

import io.spg99.cluster.files.DurableFiles;
import io.spg99.storage.tls.TlsIdentity;
import java.io.IOException;
import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigInteger;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.SecureRandom;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.PKCS8EncodedKeySpec;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.concurrent.locks.ReentrantLock;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.ExtendedKeyUsage;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.bouncycastle.cert.CertIOException;
import org.bouncycastle.cert.X509v3CertificateBuilder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509ExtensionUtils;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.operator.OperatorCreationException;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.util.io.pem.PemObject;
import org.bouncycastle.util.io.pem.PemReader;
import org.bouncycastle.util.io.pem.PemWriter;

/**
 * A directory with a certificate authority and the certificates it issued: made on first use, certificates renewed at a
 * start within {@value #RENEW_DAYS} days of their end. Keys are EC P-256 (a handshake costs a third less than with RSA),
 * mode 0600.
 */
public final class PlatformPki {

    private static final int CA_DAYS = 3650;
    private static final int CERTIFICATE_DAYS = 730;
    private static final int RENEW_DAYS = 30;
    private static final SecureRandom RANDOM = new SecureRandom();
    private static final ReentrantLock THREADS = new ReentrantLock();

    private final Path directory;
    private final Clock clock;
    private final X509Certificate ca;
    private final PrivateKey caKey;

    private PlatformPki(Path directory, Clock clock, X509Certificate ca, PrivateKey caKey) {
        this.directory = directory;
        this.clock = clock;
        this.ca = ca;
        this.caKey = caKey;
    }

    /**
     * Opens the authority in {@code directory}, making it if the directory holds none.
     *
     * @throws IOException if files cannot be read or written, or are damaged
     */
    public static PlatformPki open(Path directory, Clock clock) throws IOException {
        DurableFiles.createPrivateDirectory(directory);
        try {
            return alone(directory, () -> openAlone(directory, clock));
        } catch (GeneralSecurityException | OperatorCreationException e) {
            throw new IOException("cannot open the certificate authority: directory=" + directory, e);
        }
    }

    private static PlatformPki openAlone(Path directory, Clock clock)
            throws IOException, GeneralSecurityException, OperatorCreationException {
        Path certificate = directory.resolve("ca.crt");
        Path key = directory.resolve("ca.key");
        if (!Files.exists(certificate)) {
            KeyPair pair = newKey();
            // A number of its own tells the authorities of different installations apart in a trust store.
            X500Name name = new X500Name("CN=SPG99 CA %08x".formatted(RANDOM.nextInt()));
            X509v3CertificateBuilder builder = builder(name, name, pair, clock, CA_DAYS)
                    .addExtension(Extension.basicConstraints, true, new BasicConstraints(0))
                    .addExtension(Extension.keyUsage, true, new KeyUsage(KeyUsage.keyCertSign | KeyUsage.cRLSign));
            X509Certificate made = sign(builder, pair.getPrivate());
            writePem(key, "PRIVATE KEY", pair.getPrivate().getEncoded(), true);
            writePem(certificate, "CERTIFICATE", made.getEncoded(), false);
        }
        PrivateKey caKey = KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(readPem(key)));
        return new PlatformPki(directory, clock, readCertificate(certificate), caKey);
    }

    private interface Step<T> {
        T run() throws IOException, GeneralSecurityException, OperatorCreationException;
    }

    /**
     * The directory is shared by the platform's processes, which may start at once: one at a time makes what is missing, and
     * the others find it.
     */
    private static <T> T alone(Path directory, Step<T> step)
            throws IOException, GeneralSecurityException, OperatorCreationException {
        // File locks do not keep the threads of one process apart.
        THREADS.lock();
        try (FileChannel file =
                FileChannel.open(directory.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
            // Released when the file is closed.
            file.lock();
            return step.run();
        } finally {
            THREADS.unlock();
        }
    }

    /** The CA certificate, for clients' {@code sslrootcert}. */
    public Path caCertificate() {
        return directory.resolve("ca.crt");
    }

    /** The Gateway's server certificate for {@code hosts} (DNS names or addresses), beside the loopback names. */
    public TlsIdentity gatewayServer(List<String> hosts) throws IOException {
        List<String> names = new ArrayList<>(List.of("localhost", "127.0.0.1", "::1"));
        hosts.stream().filter(host -> !names.contains(host)).forEach(names::add);
        return identity("gateway-server", names.get(0), names, KeyPurposeId.id_kp_serverAuth);
    }

    /** A part's certificate for connections within the platform, as server and as client. */
    public TlsIdentity internal(String commonName) throws IOException {
        return identity(
                commonName,
                commonName,
                List.of(TlsIdentity.SERVER_NAME),
                KeyPurposeId.id_kp_serverAuth,
                KeyPurposeId.id_kp_clientAuth);
    }

    private TlsIdentity identity(String file, String commonName, List<String> names, KeyPurposeId... purposes)
            throws IOException {
        TlsIdentity identity = new TlsIdentity(
                directory.resolve(file + ".crt"),
                directory.resolve(file + ".key"),
                directory.resolve(file + ".pk8"),
                caCertificate());
        try {
            return alone(directory, () -> {
                if (!isCurrent(identity.certificate(), names)) {
                    issue(identity, commonName, names, purposes);
                }
                return identity;
            });
        } catch (GeneralSecurityException | OperatorCreationException e) {
            throw new IOException("cannot issue a certificate: name=" + commonName, e);
        }
    }

    private boolean isCurrent(Path certificate, List<String> names) throws IOException, GeneralSecurityException {
        if (!Files.exists(certificate)) {
            return false;
        }
        X509Certificate issued = readCertificate(certificate);
        Instant renewFrom = issued.getNotAfter().toInstant().minus(Duration.ofDays(RENEW_DAYS));
        List<String> issuedFor = new ArrayList<>();
        for (List<?> name : issued.getSubjectAlternativeNames()) {
            issuedFor.add(normalized(String.valueOf(name.get(1))));
        }
        return clock.instant().isBefore(renewFrom)
                && issued.getIssuerX500Principal().equals(ca.getSubjectX500Principal())
                && issuedFor.containsAll(
                        names.stream().map(PlatformPki::normalized).toList());
    }

    private void issue(TlsIdentity identity, String commonName, List<String> names, KeyPurposeId... purposes)
            throws IOException, GeneralSecurityException, OperatorCreationException {
        KeyPair pair = newKey();
        GeneralName[] alternatives = names.stream()
                .map(name -> new GeneralName(isAddress(name) ? GeneralName.iPAddress : GeneralName.dNSName, name))
                .toArray(GeneralName[]::new);
        X500Name issuer = X500Name.getInstance(ca.getSubjectX500Principal().getEncoded());
        X509v3CertificateBuilder builder = builder(
                        issuer, new X500Name("CN=" + commonName), pair, clock, CERTIFICATE_DAYS)
                .addExtension(Extension.basicConstraints, true, new BasicConstraints(false))
                .addExtension(Extension.keyUsage, true, new KeyUsage(KeyUsage.digitalSignature))
                .addExtension(Extension.extendedKeyUsage, false, new ExtendedKeyUsage(purposes))
                .addExtension(Extension.subjectAlternativeName, false, new GeneralNames(alternatives))
                .addExtension(
                        Extension.authorityKeyIdentifier,
                        false,
                        new JcaX509ExtensionUtils().createAuthorityKeyIdentifier(ca.getPublicKey()));
        X509Certificate certificate = sign(builder, caKey);
        // The certificate last: it is what isCurrent looks at.
        writePem(identity.key(), "PRIVATE KEY", pair.getPrivate().getEncoded(), true);
        DurableFiles.writePrivate(identity.keyDer(), pair.getPrivate().getEncoded());
        writePem(identity.certificate(), "CERTIFICATE", certificate.getEncoded(), false);
    }

    private static X509v3CertificateBuilder builder(
            X500Name issuer, X500Name subject, KeyPair pair, Clock clock, int days)
            throws CertIOException, GeneralSecurityException {
        Instant now = clock.instant();
        return new JcaX509v3CertificateBuilder(
                        issuer,
                        new BigInteger(127, RANDOM),
                        // An hour back: the clocks of the parts need not agree to the second.
                        Date.from(now.minus(Duration.ofHours(1))),
                        Date.from(now.plus(Duration.ofDays(days))),
                        subject,
                        pair.getPublic())
                .addExtension(
                        Extension.subjectKeyIdentifier,
                        false,
                        new JcaX509ExtensionUtils().createSubjectKeyIdentifier(pair.getPublic()));
    }

    private static X509Certificate sign(X509v3CertificateBuilder builder, PrivateKey key)
            throws GeneralSecurityException, OperatorCreationException {
        return new JcaX509CertificateConverter()
                .getCertificate(builder.build(new JcaContentSignerBuilder("SHA256withECDSA").build(key)));
    }

    private static KeyPair newKey() throws GeneralSecurityException {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"), RANDOM);
        return generator.generateKeyPair();
    }

    private static boolean isAddress(String name) {
        return name.contains(":") || name.chars().allMatch(c -> c == '.' || Character.isDigit(c));
    }

    private static String normalized(String name) {
        if (!isAddress(name)) {
            return name;
        }
        try {
            return InetAddress.getByName(name).getHostAddress();
        } catch (UnknownHostException e) {
            return name;
        }
    }

    private static void writePem(Path file, String type, byte[] content, boolean secret) throws IOException {
        StringWriter text = new StringWriter();
        try (PemWriter writer = new PemWriter(text)) {
            writer.writeObject(new PemObject(type, content));
        }
        byte[] bytes = text.toString().getBytes(StandardCharsets.US_ASCII);
        if (secret) {
            DurableFiles.writePrivate(file, bytes);
        } else {
            DurableFiles.write(file, bytes);
        }
    }

    private static byte[] readPem(Path file) throws IOException {
        try (PemReader reader = new PemReader(new StringReader(Files.readString(file)))) {
            PemObject object = reader.readPemObject();
            if (object == null) {
                throw new IOException("no PEM content: file=" + file);
            }
            return object.getContent();
        }
    }

    private static X509Certificate readCertificate(Path file) throws IOException, GeneralSecurityException {
        try (var in = Files.newInputStream(file)) {
            return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(in);
        }
    }
}

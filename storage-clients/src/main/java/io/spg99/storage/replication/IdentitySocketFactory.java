package io.spg99.storage.replication;

import io.spg99.storage.tls.TlsIdentity;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import org.postgresql.PGProperty;
import org.postgresql.ssl.WrappedFactory;

/**
 * TLS for PgJDBC with one {@link SSLContext} per identity instead of one per connection: the files are read once, and a
 * server that gives session tickets (a Safekeeper) is spared the certificates the next time. The server's certificate has
 * to come from the identity's CA; its host name is not looked at, as with {@code sslmode=verify-ca}.
 */
public final class IdentitySocketFactory extends WrappedFactory {

    /** A ticket stands for the client's certificate for this long. */
    private static final int SESSION_SECONDS = 3600;

    private static final char[] NO_PASSWORD = {};

    private static final Map<IdentityFiles, SSLContext> CONTEXTS = new ConcurrentHashMap<>();

    /** The files of an identity, as they were last written. */
    private record IdentityFiles(Path certificate, Path key, Path ca, long written) {}

    /** Called by PgJDBC with the connection's properties. */
    public IdentitySocketFactory(Properties properties) throws IOException, GeneralSecurityException {
        factory = context(
                        path(properties, PGProperty.SSL_CERT),
                        path(properties, PGProperty.SSL_KEY),
                        path(properties, PGProperty.SSL_ROOT_CERT))
                .getSocketFactory();
    }

    static void set(Properties properties, TlsIdentity identity) {
        PGProperty.SSL_MODE.set(properties, "verify-ca");
        PGProperty.SSL_FACTORY.set(properties, IdentitySocketFactory.class.getName());
        PGProperty.SSL_CERT.set(properties, identity.certificate().toString());
        PGProperty.SSL_KEY.set(properties, identity.keyDer().toString());
        PGProperty.SSL_ROOT_CERT.set(properties, identity.ca().toString());
    }

    private static Path path(Properties properties, PGProperty property) throws IOException {
        String path = property.getOrNull(properties);
        if (path == null) {
            throw new IOException("TLS identity incomplete: missing=" + property.getName());
        }
        return Path.of(path);
    }

    private static SSLContext context(Path certificate, Path key, Path ca)
            throws IOException, GeneralSecurityException {
        long written = written(certificate) + 31 * written(key) + 961 * written(ca);
        IdentityFiles files = new IdentityFiles(certificate, key, ca, written);
        SSLContext known = CONTEXTS.get(files);
        if (known != null) {
            return known;
        }
        SSLContext made = make(certificate, key, ca);
        CONTEXTS.keySet().removeIf(other -> other.key().equals(key));
        CONTEXTS.put(files, made);
        return made;
    }

    private static long written(Path file) throws IOException {
        return Files.getLastModifiedTime(file).toMillis();
    }

    private static SSLContext make(Path certificate, Path key, Path ca) throws IOException, GeneralSecurityException {
        KeyStore own = KeyStore.getInstance("PKCS12");
        own.load(null, null);
        own.setKeyEntry(
                "own",
                privateKey(Files.readAllBytes(key)),
                NO_PASSWORD,
                certificates(certificate).toArray(Certificate[]::new));
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(own, NO_PASSWORD);
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        List<Certificate> authorities = certificates(ca);
        for (int i = 0; i < authorities.size(); i++) {
            trusted.setCertificateEntry("ca" + i, authorities.get(i));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        context.getClientSessionContext().setSessionTimeout(SESSION_SECONDS);
        return context;
    }

    private static List<Certificate> certificates(Path file) throws IOException, GeneralSecurityException {
        try (InputStream in = Files.newInputStream(file)) {
            return new ArrayList<>(CertificateFactory.getInstance("X.509").generateCertificates(in));
        }
    }

    private static PrivateKey privateKey(byte[] der) throws GeneralSecurityException {
        PKCS8EncodedKeySpec encoded = new PKCS8EncodedKeySpec(der);
        try {
            return KeyFactory.getInstance("EC").generatePrivate(encoded);
        } catch (InvalidKeySpecException e) {
            return KeyFactory.getInstance("RSA").generatePrivate(encoded);
        }
    }
}

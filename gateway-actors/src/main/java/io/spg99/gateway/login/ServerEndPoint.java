package io.spg99.gateway.login;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.cert.CertificateEncodingException;
import java.security.cert.X509Certificate;
import java.util.Locale;

/** Channel binding {@code tls-server-end-point} of RFC 5929: a hash of the server's certificate. */
public final class ServerEndPoint {

    private ServerEndPoint() {}

    /** @throws IllegalArgumentException if the certificate's signature has a hash function Java does not know */
    public static byte[] of(X509Certificate certificate) {
        String signature = certificate.getSigAlgName().toUpperCase(Locale.ROOT);
        int with = signature.indexOf("WITH");
        String hash = with > 0 ? signature.substring(0, with) : "SHA256";
        // "If the hash function is MD5 or SHA-1, use SHA-256."
        String algorithm = hash.equals("MD5") || hash.equals("SHA1") ? "SHA-256" : hash.replaceFirst("^SHA", "SHA-");
        try {
            return MessageDigest.getInstance(algorithm).digest(certificate.getEncoded());
        } catch (NoSuchAlgorithmException | CertificateEncodingException e) {
            throw new IllegalArgumentException("cannot hash a certificate signed with " + signature, e);
        }
    }
}

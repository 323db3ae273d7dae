package io.spg99.gateway.login;

import java.util.Base64;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What PostgreSQL stores for a password: enough to check it, not enough to use it. */
public final class ScramVerifier {

    /** PostgreSQL's default. Mock verifiers use it too: tenants' verifiers should. */
    public static final int DEFAULT_ITERATIONS = 4096;

    private static final Pattern FORM =
            Pattern.compile("SCRAM-SHA-256\\$(\\d{1,9}):([A-Za-z0-9+/=]+)\\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)");

    private final int iterations;
    private final byte[] salt;
    private final byte[] storedKey;
    private final byte[] serverKey;

    ScramVerifier(int iterations, byte[] salt, byte[] storedKey, byte[] serverKey) {
        this.iterations = iterations;
        this.salt = salt.clone();
        this.storedKey = storedKey.clone();
        this.serverKey = serverKey.clone();
    }

    int iterations() {
        return iterations;
    }

    byte[] salt() {
        return salt.clone();
    }

    byte[] storedKey() {
        return storedKey.clone();
    }

    byte[] serverKey() {
        return serverKey.clone();
    }

    /**
     * Reads {@code SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>}.
     *
     * @throws IllegalArgumentException if it is not of that form; the message holds nothing of it
     */
    public static ScramVerifier parse(String verifier) {
        Matcher matcher = FORM.matcher(verifier);
        if (!matcher.matches()) {
            throw new IllegalArgumentException("verifier is not of the form SCRAM-SHA-256$iterations:salt$key:key");
        }
        Base64.Decoder base64 = Base64.getDecoder();
        ScramVerifier parsed = new ScramVerifier(
                Integer.parseInt(matcher.group(1)),
                base64.decode(matcher.group(2)),
                base64.decode(matcher.group(3)),
                base64.decode(matcher.group(4)));
        if (parsed.iterations == 0
                || parsed.storedKey.length != Sha256.BYTES
                || parsed.serverKey.length != Sha256.BYTES) {
            throw new IllegalArgumentException("verifier has keys of a wrong length or no iterations");
        }
        return parsed;
    }

    /**
     * Makes the verifier of a password.
     *
     * @param password printable ASCII: SASLprep, which leaves such text as it is, is not applied
     */
    public static ScramVerifier of(String password, byte[] salt, int iterations) {
        byte[] salted = Sha256.saltedPassword(password, salt, iterations);
        return new ScramVerifier(
                iterations,
                salt,
                Sha256.hash(Sha256.hmac(salted, Sha256.ascii("Client Key"))),
                Sha256.hmac(salted, Sha256.ascii("Server Key")));
    }

    /** PostgreSQL's form, as {@link #parse} reads it. A secret: never to be logged. */
    public String toStored() {
        Base64.Encoder base64 = Base64.getEncoder();
        return "SCRAM-SHA-256$" + iterations + ":" + base64.encodeToString(salt) + "$"
                + base64.encodeToString(storedKey) + ":" + base64.encodeToString(serverKey);
    }

    @Override
    public String toString() {
        return "ScramVerifier[iterations=" + iterations + "]";
    }
}

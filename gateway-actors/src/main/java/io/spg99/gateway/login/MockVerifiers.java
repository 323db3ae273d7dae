package io.spg99.gateway.login;

import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.util.Arrays;

/** Verifiers for users that do not exist: always the same for a name, so that asking twice tells nothing. */
public final class MockVerifiers {

    private static final int SALT_BYTES = 16;

    private final byte[] secret = new byte[Sha256.BYTES];

    public MockVerifiers(SecureRandom random) {
        random.nextBytes(secret);
    }

    /** No password fits it. */
    public ScramVerifier of(String user) {
        byte[] seed = Sha256.hmac(secret, user.getBytes(StandardCharsets.UTF_8));
        byte[] key = Sha256.hmac(seed, secret);
        return new ScramVerifier(ScramVerifier.DEFAULT_ITERATIONS, Arrays.copyOf(seed, SALT_BYTES), key, key);
    }
}

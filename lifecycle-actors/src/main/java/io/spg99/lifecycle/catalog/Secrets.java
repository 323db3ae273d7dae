package io.spg99.lifecycle.catalog;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.util.Base64;

/** Makes ids, user names, passwords and API keys. */
public final class Secrets {

    private static final String USER_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789";
    private static final String API_KEY_PREFIX = "spg99_";

    private final SecureRandom random;

    public Secrets(SecureRandom random) {
        this.random = random;
    }

    /** 128 random bits as lower-case hexadecimal digits; also the form of a timeline id. */
    public String id() {
        return java.util.HexFormat.of().formatHex(bytes(16));
    }

    /** {@code tnt_} and 10 characters: about 51 bits, made unique by the catalog. */
    String pgUser() {
        StringBuilder name = new StringBuilder("tnt_");
        random.ints(10, 0, USER_ALPHABET.length()).forEach(i -> name.append(USER_ALPHABET.charAt(i)));
        return name.toString();
    }

    /** 32 URL-safe characters: 192 bits. */
    String password() {
        return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes(24));
    }

    /** {@code spg99_} and 256 bits. */
    public String apiKey() {
        return API_KEY_PREFIX + Base64.getUrlEncoder().withoutPadding().encodeToString(bytes(32));
    }

    byte[] salt() {
        return bytes(ScramVerifier.SALT_BYTES);
    }

    /** What is stored of an API key. It has 256 random bits: no salt and no slow hash are needed. */
    static byte[] hash(String apiKey) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(apiKey.getBytes(StandardCharsets.UTF_8));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("this Java lacks SHA-256", e);
        }
    }

    private byte[] bytes(int count) {
        byte[] bytes = new byte[count];
        random.nextBytes(bytes);
        return bytes;
    }
}

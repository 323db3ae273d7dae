package io.spg99.lifecycle.catalog;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.Base64;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;

class CryptoTest {

    private static final SecureRandom RANDOM = new SecureRandom();
    private final MasterKey key = new MasterKey(RANDOM.generateSeed(MasterKey.BYTES), RANDOM);

    @Property(tries = 200)
    void whatIsSealedOpensAgain(@ForAll String text) {
        // unpaired surrogates have no UTF-8 form
        String secret = new String(text.getBytes(StandardCharsets.UTF_8), StandardCharsets.UTF_8);
        assertEquals(secret, key.open(key.seal(secret, "t1"), "t1"));
    }

    @Example
    void everyChangedBitAndEveryOtherPlaceOrKeyIsNoticed() {
        byte[] sealed = key.seal("secret", "t1");
        for (int bit = 0; bit < sealed.length * 8; bit++) {
            byte[] changed = sealed.clone();
            changed[bit / 8] ^= (byte) (1 << bit % 8);
            assertThrows(IllegalStateException.class, () -> key.open(changed, "t1"));
        }
        for (int length = 0; length < sealed.length; length++) {
            byte[] cut = Arrays.copyOf(sealed, length);
            assertThrows(IllegalStateException.class, () -> key.open(cut, "t1"));
        }
        assertThrows(IllegalStateException.class, () -> key.open(sealed, "t2"));
        MasterKey other = new MasterKey(RANDOM.generateSeed(MasterKey.BYTES), RANDOM);
        assertThrows(IllegalStateException.class, () -> other.open(sealed, "t1"));
        assertThrows(IllegalArgumentException.class, () -> new MasterKey(new byte[16], RANDOM));
        assertFalse(Arrays.equals(sealed, key.seal("secret", "t1")));
    }

    /** The example of RFC 7677, section 3: StoredKey and ServerKey that fit its proof and its server signature. */
    @Example
    void verifierFitsTheExampleOfTheRfc() throws Exception {
        byte[] salt = Base64.getDecoder().decode("W22ZaJ0SNY7soEsUEjb6gQ==");
        String verifier = ScramVerifier.of("pencil", salt);
        String[] parts = verifier.split("[$:]", -1);
        assertEquals("SCRAM-SHA-256", parts[0]);
        assertEquals("4096", parts[1]);
        assertEquals("W22ZaJ0SNY7soEsUEjb6gQ==", parts[2]);
        String message = "n=user,r=rOprNGfwEbeRWgbNEkqO"
                + ",r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
                + ",c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        javax.crypto.Mac mac = javax.crypto.Mac.getInstance("HmacSHA256");
        mac.init(new javax.crypto.spec.SecretKeySpec(Base64.getDecoder().decode(parts[4]), "HmacSHA256"));
        assertEquals(
                "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
                Base64.getEncoder().encodeToString(mac.doFinal(message.getBytes(StandardCharsets.US_ASCII))));
        mac.init(new javax.crypto.spec.SecretKeySpec(Base64.getDecoder().decode(parts[3]), "HmacSHA256"));
        byte[] signature = mac.doFinal(message.getBytes(StandardCharsets.US_ASCII));
        byte[] clientKey = Base64.getDecoder().decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        for (int i = 0; i < clientKey.length; i++) {
            clientKey[i] ^= signature[i];
        }
        assertEquals(
                parts[3],
                Base64.getEncoder()
                        .encodeToString(java.security.MessageDigest.getInstance("SHA-256")
                                .digest(clientKey)));
    }
}

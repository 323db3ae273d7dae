package io.spg99.gateway.login;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.spg99.gateway.login.ScramExchange.ScramException;
import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.util.Base64;
import java.util.Random;
import org.junit.jupiter.api.Test;

class ScramExchangeTest {

    /** The example of RFC 7677, section 3. */
    private static final String SALT = "W22ZaJ0SNY7soEsUEjb6gQ==";

    private static final String CLIENT_FIRST = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    private static final String SERVER_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    private static final String NONCE = "rOprNGfwEbeRWgbNEkqO" + SERVER_NONCE;
    private static final String PROOF = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    private static final byte[] END_POINT = {1, 2, 3};

    private static ScramExchange exchange(String password) {
        return new ScramExchange(
                ScramVerifier.of(password, Base64.getDecoder().decode(SALT), 4096), END_POINT, SERVER_NONCE);
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.ISO_8859_1);
    }

    private static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.ISO_8859_1);
    }

    private static void assertFails(String sqlState, ScramExchange exchange, String mechanism, String... messages) {
        ScramException failure = assertThrows(ScramException.class, () -> {
            exchange.first(mechanism, bytes(messages[0]));
            exchange.last(bytes(messages[1]));
        });
        assertEquals(sqlState, failure.sqlState());
    }

    @Test
    void givenExampleOfTheRfc_whenExchanged_thenEveryMessageIsTheRfcs() throws Exception {
        ScramExchange exchange = exchange("pencil");

        assertEquals(
                "r=" + NONCE + ",s=" + SALT + ",i=4096",
                text(exchange.first(ScramExchange.SCRAM, bytes(CLIENT_FIRST))));
        assertEquals(
                "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
                text(exchange.last(bytes("c=biws,r=" + NONCE + ",p=" + PROOF))));
    }

    @Test
    void givenWrongPassword_then28P01() {
        assertFails("28P01", exchange("pen"), ScramExchange.SCRAM, CLIENT_FIRST, "c=biws,r=" + NONCE + ",p=" + PROOF);
    }

    @Test
    void givenMockVerifier_thenNoPasswordFitsAndItIsTheSameEachTime() {
        MockVerifiers mocks = new MockVerifiers(new SecureRandom());
        assertEquals(mocks.of("a").toStored(), mocks.of("a").toStored());
        assertFalse(mocks.of("a").toStored().equals(mocks.of("b").toStored()));
        ScramExchange exchange = new ScramExchange(mocks.of("user"), END_POINT, SERVER_NONCE);
        assertFails("28P01", exchange, ScramExchange.SCRAM, CLIENT_FIRST, "c=biws,r=" + NONCE + ",p=" + PROOF);
    }

    @Test
    void givenChannelBindingTakenOutOnTheWay_thenItIsNoticed() {
        String bound = "p=tls-server-end-point,,n=,r=abc";
        String yes = "y,,n=,r=abc";
        assertFails("28000", exchange("x"), ScramExchange.SCRAM, yes, "");
        assertFails("08P01", exchange("x"), ScramExchange.SCRAM, bound, "");
        assertFails("08P01", exchange("x"), ScramExchange.SCRAM_PLUS, "n,,n=,r=abc", "");
        assertFails("08P01", exchange("x"), ScramExchange.SCRAM_PLUS, "p=tls-unique,,n=,r=abc", "");
        String foreign = Base64.getEncoder().encodeToString(bytes("p=tls-server-end-point,,other certificate"));
        assertFails(
                "28000",
                exchange("x"),
                ScramExchange.SCRAM_PLUS,
                bound,
                "c=" + foreign + ",r=abc" + SERVER_NONCE + ",p=" + PROOF);
    }

    @Test
    void givenMalformedMessages_then08P01() {
        assertFails("08P01", exchange("x"), "PLAIN", CLIENT_FIRST, "");
        for (String first :
                new String[] {"", "n", "n,,", "n,a=other,n=,r=x", "n,,m=ext,n=,r=x", "n,,n=,r=", "x,,n=,r=a"}) {
            assertFails("08P01", exchange("x"), ScramExchange.SCRAM, first, "");
        }
        for (String last : new String[] {
            "", "c=biws", "c=biws,r=other,p=" + PROOF, "c=biws,r=" + NONCE + ",p=AAAA", "c=biws,r=" + NONCE + ",p=A"
        }) {
            assertFails("08P01", exchange("x"), ScramExchange.SCRAM, CLIENT_FIRST, last);
        }
    }

    @Test
    void givenRandomBytes_thenNothingButScramExceptions() {
        Random random = new Random(7);
        ScramVerifier verifier = ScramVerifier.of("x", new byte[] {1}, 1);
        for (int i = 0; i < 2_000; i++) {
            byte[] noise = new byte[random.nextInt(100)];
            random.nextBytes(noise);
            assertThrows(
                    ScramException.class,
                    () -> new ScramExchange(verifier, END_POINT, SERVER_NONCE).first(ScramExchange.SCRAM, noise));
        }
    }

    @Test
    void givenVerifier_whenStoredAndRead_thenItIsTheSameAndKeepsItsSecrets() {
        ScramVerifier verifier = ScramVerifier.of("pencil", Base64.getDecoder().decode(SALT), 4096);
        String stored = verifier.toStored();
        assertEquals(
                "SCRAM-SHA-256$4096:" + SALT
                        + "$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
                stored);
        assertEquals(stored, ScramVerifier.parse(stored).toStored());
        assertFalse(verifier.toString().contains(SALT));
        for (String bad :
                new String[] {"", "md5abc", stored + "x", stored.replace("4096", "0"), stored.replace("WG5d", "")}) {
            IllegalArgumentException error =
                    assertThrows(IllegalArgumentException.class, () -> ScramVerifier.parse(bad));
            assertFalse(String.valueOf(error.getMessage()).contains(SALT));
        }
    }
}

package io.spg99.gateway.login;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The server's side of one SCRAM-SHA-256 exchange (RFC 5802, RFC 7677), with channel binding
 * {@code tls-server-end-point} (RFC 5929).
 *
 * <pre>
 * client-first  n,,n=,r=CNONCE            (n: no binding, y: could but not offered, p=...: bound)
 * server-first  r=CNONCE+SNONCE,s=SALT,i=ITERATIONS
 * client-final  c=BINDING,r=CNONCE+SNONCE,p=PROOF
 * server-final  v=SIGNATURE
 * </pre>
 *
 * The user name in the messages is ignored, as PostgreSQL does: the startup packet has it.
 */
public final class ScramExchange {

    public static final String SCRAM = "SCRAM-SHA-256";
    public static final String SCRAM_PLUS = "SCRAM-SHA-256-PLUS";

    private static final String BINDING = "p=tls-server-end-point";

    /** gs2 header (flag, no authorization identity), then the bare message, whose extensions we know none of. */
    private static final Pattern CLIENT_FIRST = Pattern.compile(
            "(?<gs2>(?<flag>n|y|p=[A-Za-z0-9.-]+),,)(?<bare>n=[^,\\x00]*,r=(?<nonce>[!-+\\--~]+)(,.*)?)");

    private static final Pattern CLIENT_FINAL = Pattern.compile(
            "(?<withoutProof>c=(?<binding>[A-Za-z0-9+/=]+),r=(?<nonce>[!-+\\--~]+)(,[^,]+)*),p=(?<proof>[A-Za-z0-9+/=]+)");

    /** Ends the login. The client is told as much as PostgreSQL tells. */
    public static final class ScramException extends Exception {
        private static final long serialVersionUID = 1L;
        private final String sqlState;

        ScramException(String sqlState, String message) {
            super(message);
            this.sqlState = sqlState;
        }

        public String sqlState() {
            return sqlState;
        }
    }

    private final ScramVerifier verifier;
    private final byte[] endPoint;
    private final String serverNonce;

    private boolean bound;
    private String gs2Header = "";
    private String clientFirstBare = "";
    private String serverFirst = "";
    private String nonce = "";

    /**
     * @param endPoint    hash of the server's certificate, see {@link ServerEndPoint}
     * @param serverNonce printable ASCII without comma, fresh and random
     */
    public ScramExchange(ScramVerifier verifier, byte[] endPoint, String serverNonce) {
        this.verifier = verifier;
        this.endPoint = endPoint.clone();
        this.serverNonce = serverNonce;
    }

    /** What is offered: there is a channel to bind to only in TLS. */
    public static List<String> mechanisms(boolean encrypted) {
        return encrypted ? List.of(SCRAM_PLUS, SCRAM) : List.of(SCRAM);
    }

    /** client-first in, server-first out. */
    public byte[] first(String mechanism, byte[] message) throws ScramException {
        if (!mechanism.equals(SCRAM) && !mechanism.equals(SCRAM_PLUS)) {
            throw malformed("client selected an invalid SASL authentication mechanism");
        }
        bound = mechanism.equals(SCRAM_PLUS);
        Matcher matcher = CLIENT_FIRST.matcher(text(message));
        if (!matcher.matches()) {
            throw malformed("malformed SCRAM message");
        }
        String flag = matcher.group("flag");
        if (flag.equals("y")) {
            // The client believes that we do not offer channel binding: somebody between us took it out of the list.
            throw new ScramException("28000", "SCRAM channel binding negotiation error");
        }
        if (bound != flag.equals(BINDING)) {
            throw malformed("malformed SCRAM message");
        }
        gs2Header = matcher.group("gs2");
        clientFirstBare = matcher.group("bare");
        nonce = matcher.group("nonce") + serverNonce;
        serverFirst = "r=" + nonce + ",s=" + Base64.getEncoder().encodeToString(verifier.salt()) + ",i="
                + verifier.iterations();
        return Sha256.ascii(serverFirst);
    }

    /**
     * client-final in, server-final out.
     *
     * @throws ScramException 28P01 for a wrong password
     */
    public byte[] last(byte[] message) throws ScramException {
        Matcher matcher = CLIENT_FINAL.matcher(text(message));
        if (!matcher.matches()) {
            throw malformed("malformed SCRAM message");
        }
        if (!MessageDigest.isEqual(decode(matcher.group("binding")), expectedBinding())) {
            throw new ScramException("28000", "SCRAM channel binding check failed");
        }
        if (!matcher.group("nonce").equals(nonce)) {
            throw malformed("invalid SCRAM response");
        }
        byte[] authMessage = text(clientFirstBare + "," + serverFirst + "," + matcher.group("withoutProof"));
        byte[] signature = Sha256.hmac(verifier.storedKey(), authMessage);
        byte[] clientKey = decode(matcher.group("proof"));
        if (clientKey.length != Sha256.BYTES) {
            throw malformed("malformed SCRAM message");
        }
        for (int i = 0; i < clientKey.length; i++) {
            clientKey[i] ^= signature[i];
        }
        if (!MessageDigest.isEqual(Sha256.hash(clientKey), verifier.storedKey())) {
            throw new ScramException("28P01", "password authentication failed");
        }
        return Sha256.ascii("v=" + Base64.getEncoder().encodeToString(Sha256.hmac(verifier.serverKey(), authMessage)));
    }

    private byte[] expectedBinding() {
        byte[] header = text(gs2Header);
        if (!bound) {
            return header;
        }
        byte[] both = Arrays.copyOf(header, header.length + endPoint.length);
        System.arraycopy(endPoint, 0, both, header.length, endPoint.length);
        return both;
    }

    private static ScramException malformed(String message) {
        return new ScramException("08P01", message);
    }

    private static byte[] decode(String base64) throws ScramException {
        try {
            return Base64.getDecoder().decode(base64);
        } catch (IllegalArgumentException e) {
            throw malformed("malformed SCRAM message");
        }
    }

    /** One char per byte: what is hashed later is exactly what came. */
    private static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.ISO_8859_1);
    }

    private static byte[] text(String text) {
        return text.getBytes(StandardCharsets.ISO_8859_1);
    }
}

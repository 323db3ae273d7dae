package io.spg99.gateway.server;

import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.cert.X509Certificate;
import java.util.Base64;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import javax.crypto.Mac;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.PBEKeySpec;
import javax.crypto.spec.SecretKeySpec;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSession;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;

/** A client that says what no driver would. */
final class RawClient implements AutoCloseable {

    /** Made once for each password and salt: tests log in hundreds of times. */
    private static final Map<String, byte[]> SALTED = new ConcurrentHashMap<>();

    private Socket socket;
    private DataInputStream in;
    private DataOutputStream out;

    RawClient(int port) throws IOException {
        socket = new Socket(InetAddress.getLoopbackAddress(), port);
        socket.setSoTimeout(10_000);
        in = new DataInputStream(socket.getInputStream());
        out = new DataOutputStream(socket.getOutputStream());
    }

    RawClient send(byte[] bytes) throws IOException {
        out.write(bytes);
        out.flush();
        return this;
    }

    /** A packet without a type: its length, then these words. */
    RawClient packet(int... words) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        DataOutputStream data = new DataOutputStream(bytes);
        data.writeInt(4 + 4 * words.length);
        for (int word : words) {
            data.writeInt(word);
        }
        return send(bytes.toByteArray());
    }

    RawClient sslRequest() throws IOException {
        return packet(80877103);
    }

    RawClient startup(int version, Map<String, String> parameters) throws IOException {
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        for (Map.Entry<String, String> parameter : parameters.entrySet()) {
            body.write((parameter.getKey() + "\0" + parameter.getValue() + "\0").getBytes(StandardCharsets.UTF_8));
        }
        body.write(0);
        out.writeInt(8 + body.size());
        out.writeInt(version);
        return send(body.toByteArray());
    }

    /** Waits for the one-byte answer to a request. */
    char answer() throws IOException {
        return (char) in.readByte();
    }

    RawClient startTls() throws Exception {
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, new TrustManager[] {new TrustAll()}, null);
        return startTls(context, "TLSv1.3");
    }

    /** @param context sessions begun with it are resumed if the Gateway agrees */
    RawClient startTls(SSLContext context, String version) throws IOException {
        SSLSocket tls =
                (SSLSocket) context.getSocketFactory().createSocket(socket, "localhost", socket.getPort(), true);
        tls.setEnabledProtocols(new String[] {version});
        tls.startHandshake();
        socket = tls;
        in = new DataInputStream(tls.getInputStream());
        out = new DataOutputStream(tls.getOutputStream());
        return this;
    }

    SSLSession tlsSession() {
        return ((SSLSocket) socket).getSession();
    }

    /** Reads one message: its type, and its body with zeros as line ends. */
    String message() throws IOException {
        char type = (char) in.readByte();
        byte[] body = new byte[in.readInt() - 4];
        in.readFully(body);
        return type + new String(body, StandardCharsets.ISO_8859_1).replace('\0', '\n');
    }

    /**
     * TLS, startup packet, password.
     *
     * @return process id and secret for a cancel request
     */
    int[] logIn(String user, String database, String password) throws Exception {
        sendPassword(user, database, password);
        message();
        message();
        in.readByte();
        in.readInt();
        return new int[] {in.readInt(), in.readInt()};
    }

    /** TLS, startup packet, password; the answer is not read. */
    void sendPassword(String user, String database, String password) throws Exception {
        sslRequest().answer();
        startTls().startup(3 << 16, Map.of("user", user, "database", database));
        message();
        sendSasl("SCRAM-SHA-256\0", "n,,n=,r=abc");
        String challenge = message().substring(5);
        String[] fields = challenge.split(",", 3);
        byte[] salted = SALTED.computeIfAbsent(
                password + fields[1] + fields[2], same -> salted(password, fields[1], fields[2]));
        byte[] key = hmac(salted, "Client Key");
        byte[] signature = hmac(
                MessageDigest.getInstance("SHA-256").digest(key), "n=,r=abc," + challenge + ",c=biws," + fields[0]);
        for (int i = 0; i < key.length; i++) {
            key[i] ^= signature[i];
        }
        sendSasl("", "c=biws," + fields[0] + ",p=" + Base64.getEncoder().encodeToString(key));
    }

    private static byte[] salted(String password, String salt, String iterations) {
        try {
            return SecretKeyFactory.getInstance("PBKDF2WithHmacSHA256")
                    .generateSecret(new PBEKeySpec(
                            password.toCharArray(),
                            Base64.getDecoder().decode(salt.substring(2)),
                            Integer.parseInt(iterations.substring(2)),
                            256))
                    .getEncoded();
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    private static byte[] hmac(byte[] key, String data) throws GeneralSecurityException {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(data.getBytes(StandardCharsets.UTF_8));
    }

    /** Startup packet to a PostgreSQL that trusts the client, without TLS; up to the end of the login. */
    RawClient logInTrusted(String user, String database) throws IOException {
        startup(3 << 16, Map.of("user", user, "database", database));
        return awaitReady();
    }

    RawClient awaitReady() throws IOException {
        while (message().charAt(0) != 'Z') {}
        return this;
    }

    /** Reads and forgets what comes, until nothing has come for a while, or the end. */
    void drain(int silenceMillis) throws IOException {
        socket.setSoTimeout(silenceMillis);
        try {
            while (in.read() >= 0) {}
        } catch (SocketTimeoutException e) {
            socket.setSoTimeout(10_000);
        }
    }

    /** An initial response names the mechanism and the length of its data. */
    private void sendSasl(String mechanism, String data) throws IOException {
        boolean initial = !mechanism.isEmpty();
        byte[] bytes = data.getBytes(StandardCharsets.UTF_8);
        out.writeByte('p');
        out.writeInt(4 + mechanism.length() + (initial ? 4 : 0) + bytes.length);
        out.writeBytes(mechanism);
        if (initial) {
            out.writeInt(bytes.length);
        }
        send(bytes);
    }

    RawClient query(String sql) throws IOException {
        byte[] bytes = (sql + "\0").getBytes(StandardCharsets.UTF_8);
        out.writeByte('Q');
        out.writeInt(4 + bytes.length);
        return send(bytes);
    }

    /** Waits for the end; what comes before is of no interest. */
    boolean closed() throws IOException {
        try {
            while (in.read() >= 0) {}
            return true;
        } catch (EOFException | SocketException e) {
            return true;
        }
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }

    static final class TrustAll implements X509TrustManager {
        @Override
        public void checkClientTrusted(X509Certificate[] chain, String authType) {}

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String authType) {}

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }
}

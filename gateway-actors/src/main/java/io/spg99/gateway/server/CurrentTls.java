package io.spg99.gateway.server;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The certificates as their files have them: they are read again when one has changed. Connections keep those they began with. */
final class CurrentTls {

    private static final Logger LOG = LoggerFactory.getLogger(CurrentTls.class);

    private final GatewaySettings.TlsFiles files;
    private volatile TlsContexts contexts;
    /** Time and size of each file when it was last read, or could not be used. */
    private volatile List<String> seen;

    private CurrentTls(GatewaySettings.TlsFiles files, TlsContexts contexts, List<String> seen) {
        this.files = files;
        this.contexts = contexts;
        this.seen = seen;
    }

    /** @throws IOException if one of the files cannot be read or does not hold what it should */
    static CurrentTls load(GatewaySettings.TlsFiles files) throws IOException {
        List<String> seen = look(files);
        return new CurrentTls(files, TlsContexts.load(files), seen);
    }

    TlsContexts get() {
        return contexts;
    }

    /** Blocks; one call at a time. Files that do not fit each other, as in the middle of a change, are left for the next. */
    void check() {
        try {
            List<String> now = look(files);
            if (!now.equals(seen)) {
                seen = now;
                contexts = TlsContexts.load(files);
                LOG.info("the Gateway's certificates have changed: certificate={}", files.serverCertificate());
            }
        } catch (IOException e) {
            LOG.warn("the Gateway goes on with the certificates it has: {}", e.getMessage());
        }
    }

    private static List<String> look(GatewaySettings.TlsFiles files) throws IOException {
        List<String> looks = new ArrayList<>();
        for (Path file : List.of(
                files.serverCertificate(),
                files.serverKey(),
                files.clientCertificate(),
                files.clientKey(),
                files.backendCa())) {
            looks.add(Files.getLastModifiedTime(file) + " " + Files.size(file));
        }
        return looks;
    }
}

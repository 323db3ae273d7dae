package io.spg99.storage.safekeeper;

import com.fasterxml.jackson.annotation.JsonInclude;
import io.spg99.storage.StorageMessage;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Where a generation's PostgreSQL takes connections.
 *
 * @param host, port      TLS with client certificates
 * @param socketDirectory of its Unix socket, for who runs on the same machine as the same user; empty in what older versions
 *                        wrote
 */
public record WriterAddress(
        String host,
        int port,
        @JsonInclude(JsonInclude.Include.NON_NULL) @Nullable String socketDirectory) implements StorageMessage {

    /** One without a Unix socket. */
    public WriterAddress(String host, int port) {
        this(host, port, null);
    }

    /** The Unix socket, whether or not it can be reached from here. */
    public Optional<Path> socket() {
        return Optional.ofNullable(socketDirectory).map(directory -> Path.of(directory, ".s.PGSQL." + port));
    }
}

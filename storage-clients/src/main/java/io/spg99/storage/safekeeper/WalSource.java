package io.spg99.storage.safekeeper;

import com.fasterxml.jackson.annotation.JsonInclude;
import io.spg99.storage.StorageMessage;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Where a Safekeeper serves WAL in PostgreSQL's replication protocol (user = timeline id).
 *
 * @param host, port TLS with client certificates
 * @param unixSocket path of its Unix socket, for who runs on the same machine as the same user
 */
public record WalSource(
        SafekeeperId safekeeper,
        String host,
        int port,
        @JsonInclude(JsonInclude.Include.NON_NULL) @Nullable String unixSocket)
        implements StorageMessage {

    /** One without a Unix socket. */
    public WalSource(SafekeeperId safekeeper, String host, int port) {
        this(safekeeper, host, port, null);
    }

    /** The Unix socket, whether or not it can be reached from here. */
    public Optional<Path> socket() {
        return Optional.ofNullable(unixSocket).map(Path::of);
    }
}

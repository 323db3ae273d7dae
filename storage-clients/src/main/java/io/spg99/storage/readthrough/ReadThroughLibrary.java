package io.spg99.storage.readthrough;

import io.spg99.storage.postgres.NativeLibrary;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/** The library that is preloaded into PostgreSQL. */
public final class ReadThroughLibrary {

    private static final String NAME = "spg99_readthrough";

    private final Path path;

    private ReadThroughLibrary(Path path) {
        this.path = path;
    }

    /**
     * Puts it into {@code directory}, which PostgreSQL's user can reach.
     *
     * @return empty if it was not built, for want of a C compiler: everything must be fetched before PostgreSQL starts then
     */
    public static Optional<ReadThroughLibrary> install(Path directory) throws IOException {
        return NativeLibrary.install(NAME, directory).map(ReadThroughLibrary::new);
    }

    /**
     * What PostgreSQL must have in its environment. The presence map must be there before it opens its first relation, which
     * a server that is held does not do.
     *
     * @param shared as in {@link ReadThrough#prepare}
     */
    public Map<String, String> environment(Path shared) {
        return Map.of(
                "LD_PRELOAD",
                path.toString(),
                "SPG99_READTHROUGH",
                shared.toAbsolutePath().toString());
    }
}

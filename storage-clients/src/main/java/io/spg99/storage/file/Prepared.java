package io.spg99.storage.file;

import java.nio.file.Path;
import java.util.Optional;

/**
 * What takes seconds to make, is the same for all platforms of one installation, and holds no secret: made once, in a directory that the
 * system property {@code spg99.prepared} names. Without that property everybody makes it for himself.
 */
public final class Prepared {

    private static final String PROPERTY = "spg99.prepared";

    private Prepared() {}

    /** Where that of one kind is; it need not exist, and may be somebody else's. */
    public static Optional<Path> directory(String kind) {
        return Optional.ofNullable(System.getProperty(PROPERTY))
                .map(directory -> Path.of(directory).toAbsolutePath().resolve(kind));
    }
}

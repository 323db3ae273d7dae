package io.spg99.cluster.node;

import com.typesafe.config.Config;
import io.spg99.storage.object.LocalObjectStore;
import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.object.S3ObjectStore;
import io.spg99.storage.object.S3Settings;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Path;
import java.util.Optional;

/** The object storage that the configuration names: {@code spg99.object-storage}. */
final class ObjectStorage {

    private ObjectStorage() {}

    /** Whether it is a directory. */
    static boolean isLocal(Config root) {
        return root.getString("spg99.object-storage.kind").equals("local");
    }

    /**
     * @param directory where a local one is
     * @throws IOException what is wrong with the directory, or the configuration
     */
    static ObjectStore open(Config root, Path directory) throws IOException {
        Config config = root.getConfig("spg99.object-storage");
        String kind = config.getString("kind");
        return switch (kind) {
            case "local" -> new LocalObjectStore(directory);
            case "s3" -> new S3ObjectStore(s3(config.getConfig("s3")));
            default -> throw new IOException("spg99.object-storage.kind must be local or s3: kind=" + kind);
        };
    }

    private static S3Settings s3(Config config) throws IOException {
        String bucket = config.getString("bucket");
        if (bucket.isEmpty()) {
            throw new IOException("spg99.object-storage.s3.bucket must be set where the kind is s3");
        }
        String accessKey = config.getString("access-key");
        return new S3Settings(
                Optional.of(config.getString("endpoint"))
                        .filter(text -> !text.isEmpty())
                        .map(URI::create),
                config.getString("region"),
                bucket,
                config.getString("prefix"),
                accessKey.isEmpty()
                        ? Optional.empty()
                        : Optional.of(new S3Settings.Credentials(accessKey, config.getString("secret-key"))));
    }
}

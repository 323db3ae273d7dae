package io.spg99.storage.object;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.List;

/**
 * Object storage. Keys are {@code /}-separated words of {@code [A-Za-z0-9._-]}, none of
 * which begins with a dot. All methods block; callers bring their
 * own threads. A name is written once; what exists is complete and durable.
 */
public interface ObjectStore {

    /**
     * Stores a file's content under a new name.
     *
     * @return false, and nothing is changed, if the name exists
     */
    boolean putIfAbsent(String key, Path content) throws IOException;

    /**
     * Stores bytes under a new name.
     *
     * @return false, and nothing is changed, if the name exists
     */
    boolean putIfAbsent(String key, byte[] content) throws IOException;

    /**
     * Opens an object for reading.
     *
     * @throws java.io.FileNotFoundException if there is none of that name
     */
    InputStream open(String key) throws IOException;

    /**
     * Reads a part of an object.
     *
     * @throws java.io.FileNotFoundException if there is none of that name
     * @throws java.io.EOFException          if it ends before {@code offset + length}
     */
    byte[] read(String key, long offset, int length) throws IOException;

    boolean exists(String key) throws IOException;

    /** Names that begin with {@code prefix}, sorted. */
    List<String> list(String prefix) throws IOException;

    /** Bytes of all objects whose names begin with {@code prefix}. */
    long size(String prefix) throws IOException;

    /** Deletes an object; one that does not exist is no error. */
    void delete(String key) throws IOException;

    /** Deletes all objects whose names begin with {@code prefix}, which ends with a slash. */
    default void deleteAll(String prefix) throws IOException {
        for (String key : list(prefix)) {
            delete(key);
        }
    }
}

package io.spg99.nodes.pageserver;

import io.spg99.storage.object.ObjectStore;
import java.io.ByteArrayInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * Object storage of which one call fails: before it has done anything, or with its answer lost. What is written stays in memory:
 * the storage beneath is as it was for the next one.
 */
final class FailingStore implements ObjectStore {

    private final ObjectStore beneath;

    /** Reads of parts of objects are counted by themselves: their order is not always the same. */
    private final boolean reads;

    private final int failing;
    private final boolean answerLost;
    private final Map<String, byte[]> put = new TreeMap<>();
    private final Set<String> deleted = new HashSet<>();
    private int calls;
    private int parts;
    private boolean mended;

    /**
     * @param reads   whether it is a read of a part of an object that fails, or any other call
     * @param failing number of that call, from 1 on; 0 for none
     */
    FailingStore(ObjectStore beneath, boolean reads, int failing, boolean answerLost) {
        this.beneath = beneath;
        this.reads = reads;
        this.failing = failing;
        this.answerLost = answerLost;
    }

    static FailingStore none(ObjectStore beneath) {
        return new FailingStore(beneath, false, 0, false);
    }

    synchronized int calls() {
        return calls;
    }

    /** Reads of parts of objects. */
    synchronized int parts() {
        return parts;
    }

    /** From now on none fails. */
    synchronized void mend() {
        mended = true;
    }

    private interface Call<T> {
        T run() throws IOException;
    }

    private synchronized <T> T call(String what, Call<T> call) throws IOException {
        boolean read = what.startsWith("read ");
        int number = read ? ++parts : ++calls;
        if (!mended && read == reads && number == failing) {
            if (answerLost) {
                call.run();
            }
            throw new IOException("object storage is away: call=" + what);
        }
        return call.run();
    }

    @Override
    public boolean putIfAbsent(String key, Path content) throws IOException {
        return putIfAbsent(key, Files.readAllBytes(content));
    }

    @Override
    public boolean putIfAbsent(String key, byte[] content) throws IOException {
        return call("put " + key, () -> !has(key) && put.put(key, content) == null);
    }

    private boolean has(String key) throws IOException {
        return put.containsKey(key) || (!deleted.contains(key) && beneath.exists(key));
    }

    @Override
    public InputStream open(String key) throws IOException {
        return call("open " + key, () -> {
            byte[] known = put.get(key);
            return known == null ? beneath.open(key) : new ByteArrayInputStream(known);
        });
    }

    @Override
    public byte[] read(String key, long offset, int length) throws IOException {
        return call("read " + key, () -> {
            byte[] known = put.get(key);
            if (known == null) {
                return beneath.read(key, offset, length);
            }
            if (offset + length > known.length) {
                throw new EOFException(key);
            }
            return Arrays.copyOfRange(known, (int) offset, (int) offset + length);
        });
    }

    @Override
    public boolean exists(String key) throws IOException {
        return call("exists " + key, () -> has(key));
    }

    @Override
    public List<String> list(String prefix) throws IOException {
        return call("list " + prefix, () -> List.copyOf(keys(prefix)));
    }

    private Set<String> keys(String prefix) throws IOException {
        Set<String> keys = new TreeSet<>(beneath.list(prefix));
        keys.removeAll(deleted);
        put.keySet().stream().filter(key -> key.startsWith(prefix)).forEach(keys::add);
        return keys;
    }

    @Override
    public long size(String prefix) throws IOException {
        return call("size " + prefix, () -> {
            long bytes = 0;
            for (String key : keys(prefix)) {
                byte[] known = put.get(key);
                bytes += known == null ? beneath.size(key) : known.length;
            }
            return bytes;
        });
    }

    @Override
    public void delete(String key) throws IOException {
        call("delete " + key, () -> {
            put.remove(key);
            return deleted.add(key);
        });
    }

    @Override
    public String toString() {
        return (reads ? "read " : "call ") + failing + (answerLost ? ", answer lost" : "");
    }
}

package io.spg99.gateway.server;

import java.security.SecureRandom;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;

/**
 * The keys given to clients for cancel requests. They are the Gateway's own: a backend's key never leaves it. The upper bits of
 * a process id are the Gateway's tag, so that any Gateway of the cluster knows whom to ask; all other bits are random.
 */
final class CancelKeys {

    /** Of a process id: enough for half a million sessions. The 12 bits of the tag and a sign of zero are left. */
    private static final int NUMBER_BITS = 19;

    private static final int TAG_BITS = 31 - NUMBER_BITS;

    /** @param processId positive, unique among the sessions of this Gateway */
    record Key(int processId, int secret) {
        @Override
        public String toString() {
            return "Key[processId=" + processId + "]";
        }
    }

    private record Entry(Key key, ClientSession session) {}

    private final SecureRandom random;
    private final int tag;
    private final Map<Integer, Entry> entries = new ConcurrentHashMap<>();

    CancelKeys(SecureRandom random) {
        this.random = random;
        tag = random.nextInt(1 << TAG_BITS);
    }

    /** Of this Gateway; another one may have the same. */
    int tag() {
        return tag;
    }

    /** Of the Gateway that gave out the process id; of none if that is negative. */
    static int tag(int processId) {
        return processId >>> NUMBER_BITS;
    }

    Key register(ClientSession session) {
        while (true) {
            Key key = new Key(tag << NUMBER_BITS | random.nextInt(1, 1 << NUMBER_BITS), random.nextInt());
            if (entries.putIfAbsent(key.processId(), new Entry(key, session)) == null) {
                return key;
            }
        }
    }

    void remove(Key key) {
        entries.remove(key.processId());
    }

    /**
     * Empty if there is no such session or the secret is not its own; which of both is not told. Numbers are compared at
     * once, not byte by byte: the time says nothing of how much of it was right.
     */
    Optional<ClientSession> find(int processId, int secret) {
        Entry entry = entries.get(processId);
        return entry != null && entry.key().secret() == secret ? Optional.of(entry.session()) : Optional.empty();
    }
}

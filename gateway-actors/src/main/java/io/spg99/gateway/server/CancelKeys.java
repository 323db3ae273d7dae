package io.spg99.gateway.server;

import java.security.SecureRandom;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;

/** The keys given to clients for cancel requests. They are the Gateway's own: a backend's key never leaves it. */
final class CancelKeys {

    /** @param processId positive, unique among the sessions of this Gateway */
    record Key(int processId, int secret) {
        @Override
        public String toString() {
            return "Key[processId=" + processId + "]";
        }
    }

    private record Entry(Key key, ClientSession session) {}

    private final SecureRandom random;
    private final Map<Integer, Entry> entries = new ConcurrentHashMap<>();

    CancelKeys(SecureRandom random) {
        this.random = random;
    }

    Key register(ClientSession session) {
        while (true) {
            Key key = new Key(random.nextInt(1, Integer.MAX_VALUE), random.nextInt());
            if (entries.putIfAbsent(key.processId(), new Entry(key, session)) == null) {
                return key;
            }
        }
    }

    void remove(Key key) {
        entries.remove(key.processId());
    }

    /** Empty if there is no such session or the secret is not its own; which of both is not told. */
    Optional<ClientSession> find(int processId, int secret) {
        Entry entry = entries.get(processId);
        return entry != null && entry.key().secret() == secret ? Optional.of(entry.session()) : Optional.empty();
    }
}

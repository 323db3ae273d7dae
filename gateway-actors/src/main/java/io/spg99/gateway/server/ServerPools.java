package io.spg99.gateway.server;

import io.netty.channel.EventLoop;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;

/** The pools of one Gateway, by database. */
final class ServerPools {

    private final Supplier<EventLoop> loops;
    private final Map<String, ServerPool> pools = new ConcurrentHashMap<>();

    /** @param loops the loop of the next pool */
    ServerPools(Supplier<EventLoop> loops) {
        this.loops = loops;
    }

    /** From any thread. */
    ServerPool of(GatewayContext gateway, String databaseId, Map<String, String> login) {
        return pools.computeIfAbsent(databaseId, id -> new ServerPool(gateway, loops.get(), id, login));
    }

    /** Server connections that nobody uses; as of a moment ago. */
    int idle() {
        return pools.values().stream().mapToInt(ServerPool::idle).sum();
    }

    Collection<ServerPool> all() {
        return List.copyOf(pools.values());
    }

    void restore(String databaseId, ServerPool pool) {
        pools.putIfAbsent(databaseId, pool);
    }

    void remove(String databaseId, ServerPool pool) {
        pools.remove(databaseId, pool);
    }
}

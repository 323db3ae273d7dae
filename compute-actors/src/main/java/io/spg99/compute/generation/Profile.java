package io.spg99.compute.generation;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import java.time.Duration;

/**
 * How big a compute is.
 *
 * @param name              as users see it
 * @param cpus              processors it may use on average
 * @param memoryMb          memory of all its processes, in MB
 * @param sharedBuffersMb   PostgreSQL's shared_buffers, in MB
 * @param workMemMb         work_mem, in MB
 * @param maxConnections    max_connections
 * @param serverConnections of all Gateways together; what is left of {@code maxConnections} is the agent's and the Safekeepers'
 * @param maxWalSizeMb      max_wal_size, in MB: how much WAL between two checkpoints
 * @param checkpointTimeout checkpoint_timeout
 * @param cacheLimitMb      local disk for the read-through cache, in MB
 */
public record Profile(
        String name,
        double cpus,
        int memoryMb,
        int sharedBuffersMb,
        int workMemMb,
        int maxConnections,
        int serverConnections,
        int maxWalSizeMb,
        Duration checkpointTimeout,
        int cacheLimitMb) {

    /** The smallest, with the settings that the program comes with. */
    public static final Profile L1 = named("L1", ConfigFactory.defaultReference());

    public Profile {
        if (cpus <= 0 || memoryMb < 1 || serverConnections < 1 || serverConnections >= maxConnections) {
            throw new IllegalArgumentException("profile is impossible: name=" + name + " cpus=" + cpus + " memoryMb="
                    + memoryMb + " serverConnections=" + serverConnections + " maxConnections=" + maxConnections);
        }
    }

    /** Reads {@code spg99.compute.profiles.<name>}. */
    public static Profile named(String name, Config root) {
        Config config = root.getConfig("spg99.compute.profiles." + name);
        return new Profile(
                name,
                config.getDouble("cpus"),
                megabytes(config, "memory"),
                megabytes(config, "shared-buffers"),
                megabytes(config, "work-mem"),
                config.getInt("max-connections"),
                config.getInt("server-connections"),
                megabytes(config, "max-wal-size"),
                config.getDuration("checkpoint-timeout"),
                megabytes(config, "cache-limit"));
    }

    long cacheLimitBytes() {
        return (long) cacheLimitMb << 20;
    }

    private static int megabytes(Config config, String key) {
        return Math.toIntExact(config.getBytes(key) >> 20);
    }
}

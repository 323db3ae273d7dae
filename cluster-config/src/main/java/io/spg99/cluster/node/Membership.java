package io.spg99.cluster.node;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import org.apache.pekko.actor.Address;
import org.apache.pekko.actor.AddressFromURIString;
import org.apache.pekko.actor.Cancellable;
import org.apache.pekko.actor.CoordinatedShutdown;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.cluster.typed.Cluster;
import org.apache.pekko.cluster.typed.JoinSeedNodes;

/** An ActorSystem that joins the cluster: the same settings for every member, whatever its roles. */
final class Membership {

    static final String SYSTEM = "spg99";

    /** Less than the 10 s in which a stop is promised to be over. */
    private static final Duration HALT_AFTER = Duration.ofMillis(9500);

    private static final int HALTED = 1;

    private Membership() {}

    /**
     * Starts an ActorSystem and begins to join; goes on trying for as long as no seed answers.
     *
     * @param own settings of this member's parts
     */
    static <T> ActorSystem<T> begin(MemberSettings settings, Behavior<T> guardian, Map<String, Object> own) {
        ActorSystem<T> system = ActorSystem.create(guardian, SYSTEM, config(settings, own));
        Cluster cluster = Cluster.get(system);
        List<Address> seeds = settings.seeds().stream()
                .map(seed -> AddressFromURIString.parse("pekko://" + SYSTEM + "@" + seed))
                .toList();
        cluster.manager()
                .tell(new JoinSeedNodes(
                        seeds.isEmpty() ? List.of(cluster.selfMember().address()) : seeds));
        return system;
    }

    /**
     * Runs {@code stop} when the JVM is told to end (SIGINT, SIGTERM); the JVM waits for it, but not for ever. Pekko cuts its
     * connections at that moment unless it knows of something that still needs them: a hook of one's own would not do.
     */
    static Cancellable onJvmShutdown(ActorSystem<?> system, Runnable stop) {
        return CoordinatedShutdown.get(system).addCancellableJvmShutdownHook(() -> {
            Thread.ofPlatform().daemon().name("last-resort").start(Membership::haltInTime);
            stop.run();
        });
    }

    /** Whatever hangs: PostgreSQL servers end with this process, and nothing that was acknowledged needs an orderly end. */
    private static void haltInTime() {
        Deadline deadline = Deadline.in(HALT_AFTER);
        while (!deadline.left().isZero()) {
            LockSupport.parkNanos(deadline.left().toNanos());
        }
        Runtime.getRuntime().halt(HALTED);
    }

    /** What a member is configured with. */
    static Config config(MemberSettings settings) {
        return config(settings, Map.of());
    }

    private static Config config(MemberSettings settings, Map<String, Object> parts) {
        Map<String, Object> own = new HashMap<>(parts);
        own.put("pekko.cluster.roles", settings.roles().stream().map(Role::word).toList());
        own.put("pekko.remote.artery.canonical.hostname", settings.host());
        own.put("pekko.remote.artery.canonical.port", settings.port());
        return ConfigFactory.parseMap(own).withFallback(common()).resolve();
    }

    /** What is the same for every node, as far as it is known before there is an actor system. */
    static Config common() {
        return ConfigFactory.parseResources("spg99.conf")
                .withFallback(ConfigFactory.defaultReference())
                .resolve();
    }
}

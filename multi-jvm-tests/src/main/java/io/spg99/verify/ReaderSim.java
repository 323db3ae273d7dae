package io.spg99.verify;

import io.spg99.storage.replication.ReplicationConnection;
import io.spg99.storage.replication.ReplicationException;
import io.spg99.storage.replication.ReplicationTarget;
import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.wal.Lsn;
import java.time.Duration;

/** Somebody who follows the timeline without being a Safekeeper, such as a stock standby (rule W4). */
final class ReaderSim {

    private static final Duration PATIENCE = Duration.ofSeconds(3);

    private final Simulation world;
    private final Scheduler scheduler;
    private final Instance instance = new Instance("reader", "reader");

    ReaderSim(Simulation world) {
        this.world = world;
        this.scheduler = world.scheduler();
        new Fiber(scheduler, instance, 0, this::run);
    }

    private void run() {
        while (true) {
            try {
                read(SafekeeperId.ALL.get(scheduler.random().nextInt(SafekeeperId.ALL.size())));
            } catch (ReplicationException e) {
                scheduler.say(() -> "cannot read: " + e.getMessage());
            }
            scheduler.ownFiber().pause(scheduler.between(50, 1500) * Scheduler.MILLI);
        }
    }

    private void read(SafekeeperId from) throws ReplicationException {
        ReplicationTarget target = new ReplicationTarget(
                from.value(),
                1,
                GenerationWal.TIMELINE.value(),
                "reader",
                SafekeeperSim.COMPUTE,
                Duration.ofSeconds(1),
                PATIENCE);
        try (ReplicationConnection connection =
                world.network().connector(instance).open(target)) {
            ReplicationConnection.Identity identity = connection.identify();
            Lsn start = world.base().start();
            long length = identity.position().equals(Lsn.ZERO)
                    ? 0
                    : Math.max(0, identity.position().minus(start));
            connection.start(start.plus(Math.max(0, length - scheduler.between(0, 8000))), identity.generation());
            long until = scheduler.now() + scheduler.between(1, 3) * Scheduler.SECOND;
            while (connection.receive() != null && scheduler.now() < until) {
                // The Safekeeper's side looks at what is given.
            }
        }
    }
}

package io.spg99.lifecycle.database;

import io.spg99.compute.generation.GenerationCommand;
import io.spg99.compute.generation.GenerationEvent;
import io.spg99.compute.generation.GenerationSpec;
import io.spg99.gateway.pool.PoolsCommand;
import io.spg99.gateway.pool.PoolsEvent;
import io.spg99.lifecycle.autoscale.AutoscalerSettings;
import io.spg99.lifecycle.model.Profile;
import io.spg99.storage.pageserver.PageserverDirectory;
import io.spg99.storage.quorum.QuorumCommand;
import io.spg99.storage.safekeeper.TimelineBase;
import java.time.Clock;
import java.util.function.BiFunction;
import java.util.function.Function;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;

/**
 * All that Database actors of one node need from the world.
 *
 * @param quorum     the WAL quorum of one timeline
 * @param generation one run of a compute; must leave no process behind when its actor is stopped, however that comes
 * @param pools      who uses the database
 * @param pageservers who makes the snapshots
 * @param profiles   what the names of sizes stand for
 * @param enforced   processors and memory of a profile are enforced, not only PostgreSQL's settings
 * @param workerId   name of this node, as users see it
 */
public record DatabaseServices(
        Function<TimelineBase, Behavior<QuorumCommand>> quorum,
        BiFunction<GenerationSpec, ActorRef<GenerationEvent>, Behavior<GenerationCommand>> generation,
        Function<ActorRef<PoolsEvent>, Behavior<PoolsCommand>> pools,
        TimelineStore timelines,
        PageserverDirectory pageservers,
        DatabaseCatalog catalog,
        ColdStarts coldStarts,
        HandoffMetrics handoffs,
        Function<Profile, io.spg99.compute.generation.Profile> profiles,
        boolean enforced,
        String workerId,
        DatabaseTimings timings,
        HandoffTimings handoffTimings,
        AutoscalerSettings autoscaler,
        Clock clock) {}

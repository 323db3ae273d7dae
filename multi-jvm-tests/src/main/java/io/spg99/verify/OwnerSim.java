package io.spg99.verify;

import io.spg99.storage.quorum.QuorumCommand;
import io.spg99.storage.quorum.QuorumEvent;
import io.spg99.storage.quorum.QuorumProtocol;
import io.spg99.storage.quorum.QuorumReply;
import io.spg99.storage.quorum.WalQuorumSettings;
import io.spg99.storage.safekeeper.SafekeeperReply;
import io.spg99.verify.Coverage.Visited;
import java.util.function.Function;
import org.apache.pekko.actor.typed.ActorRef;
import org.jspecify.annotations.Nullable;

/**
 * One life of a Database actor, as far as rules W1 to W6 see it: persists a number no one has used, has the quorum prepare
 * it, starts its writer, has it followed; and once more when the writer ends. Its quorum is the production code.
 */
final class OwnerSim {

    private final Simulation world;
    private final Scheduler scheduler;
    private final Instance instance;
    private final QuorumProtocol quorum;
    private int generation;
    private @Nullable WriterSim writer;
    private boolean ready;
    private boolean worked;

    /** What is asked or will be done last; answers to what was asked before, and what was to be done then, are void. */
    private int latest;

    OwnerSim(Simulation world, String machine, int number) {
        this.world = world;
        this.scheduler = world.scheduler();
        this.instance = new Instance("db-" + number, machine);
        ActorRef<SafekeeperReply> fromSafekeepers = new SimRef<>(instance.toString(), this::fromSafekeeper);
        this.quorum = new QuorumProtocol(
                world.base(),
                world::reachable,
                WalQuorumSettings.DEFAULT,
                new SimTimers<>(scheduler, instance, this::command),
                fromSafekeepers,
                world::logger);
        scheduler.at(instance, 0, this::begin);
    }

    Instance instance() {
        return instance;
    }

    boolean isAlive() {
        return instance.isAlive();
    }

    boolean isReady() {
        return ready;
    }

    /** A commit was acknowledged since the last {@link #forgetWork}. */
    boolean hasWorked() {
        return worked;
    }

    void forgetWork() {
        worked = false;
    }

    void worked() {
        worked = true;
    }

    @Nullable
    WriterSim writer() {
        return writer;
    }

    private void command(QuorumCommand command) {
        quorum.onCommand(command);
    }

    private void fromSafekeeper(SafekeeperReply reply) {
        world.leaves(reply, instance);
        world.network().send(instance, () -> {
            scheduler.say(() -> "<- " + reply);
            quorum.onReply(reply);
        });
    }

    /** As the Database actor does: a writer that two Safekeepers can never follow again is replaced. */
    private SimRef<QuorumEvent> events() {
        return new SimRef<>(instance + "-events", this::fromQuorum);
    }

    private void fromQuorum(QuorumEvent event) {
        switch (event) {
            case QuorumEvent.Chosen chosen -> world.checker().chosen(chosen);
            case QuorumEvent.Unfollowable unfollowable ->
                scheduler.at(instance, scheduler.jitter(), () -> {
                    WriterSim running = writer;
                    if (running != null && running.generation() == unfollowable.generation()) {
                        world.coverage().count(Visited.UNFOLLOWABLE_WRITERS_REPLACED);
                        running.kill();
                    }
                });
            case QuorumEvent.Waiting waiting -> {
                if (waiting.reason().isPresent()) {
                    world.coverage().count(Visited.WAITS_FOR_A_SNAPSHOT);
                }
            }
            case QuorumEvent.Advanced advanced -> {
                scheduler.at(
                        null,
                        scheduler.between(1, 2000) * Scheduler.MILLI,
                        () -> world.archive().publish(advanced.history(), advanced.end()));
                scheduler.at(
                        instance,
                        scheduler.between(1, 3000) * Scheduler.MILLI,
                        () -> quorum.onCommand(new QuorumCommand.Horizon(
                                world.archive().newest().horizon())));
            }
        }
    }

    private void ask(Function<ActorRef<QuorumReply>, QuorumCommand> command) {
        int mine = ++latest;
        quorum.onCommand(command.apply(new SimRef<>(instance + "-ask", reply -> {
            if (instance.isAlive() && reply instanceof QuorumReply.Prepared prepared) {
                world.checker().prepared(prepared);
            }
            scheduler.at(instance, scheduler.jitter(), () -> {
                if (mine == latest) {
                    onAnswer(reply);
                }
            });
        })));
    }

    private void later(long mostMillis, Runnable action) {
        int mine = ++latest;
        scheduler.at(instance, scheduler.between(1, mostMillis) * Scheduler.MILLI, () -> {
            if (mine == latest) {
                action.run();
            }
        });
    }

    private void begin() {
        scheduler.say(() -> "begins");
        if (world.isCreated()) {
            startGeneration(0);
        } else {
            ask(QuorumCommand.Create::new);
        }
    }

    private void startGeneration(int above) {
        if (!world.mayPersist(this)) {
            scheduler.say(() -> "another owner has taken over");
            crash();
            return;
        }
        giveUp();
        generation = world.nextGeneration(above);
        scheduler.say(() -> "starts generation " + generation);
        if (world.hasOtherOwner(this)) {
            world.coverage().count(Visited.COMPETING_GENERATIONS);
        }
        prepare();
    }

    private void prepare() {
        ask(replyTo -> new QuorumCommand.Prepare(generation, replyTo, events()));
    }

    private void onAnswer(QuorumReply reply) {
        scheduler.say(() -> "quorum: " + reply);
        switch (reply) {
            case QuorumReply.Created created -> {
                world.created();
                startGeneration(0);
            }
            case QuorumReply.Prepared prepared -> writer = new WriterSim(world, this, prepared);
            case QuorumReply.Superseded superseded -> {
                world.coverage().count(Visited.GENERATIONS_SUPERSEDED);
                giveUp();
                later(1500, () -> startGeneration(superseded.promised()));
            }
            case QuorumReply.Following following -> {
                ready = true;
                world.coverage().count(Visited.GENERATIONS_READY);
            }
            case QuorumReply.Unavailable unavailable -> later(1000, this::again);
            case QuorumReply.Positions positions -> {}
            case QuorumReply.Deleted deleted -> {}
        }
    }

    private void again() {
        if (!world.isCreated()) {
            ask(QuorumCommand.Create::new);
        } else if (generation == 0) {
            startGeneration(0);
        } else if (writer == null) {
            prepare();
        } else {
            startGeneration(0);
        }
    }

    void accepting(WriterSim accepting) {
        if (instance.isAlive() && accepting == writer) {
            scheduler.at(
                    instance,
                    scheduler.jitter(),
                    () -> ask(replyTo ->
                            new QuorumCommand.Follow(accepting.generation(), accepting.address(), replyTo, events())));
        }
    }

    void ended(WriterSim ended) {
        if (instance.isAlive() && ended == writer) {
            writer = null;
            ready = false;
            scheduler.at(
                    instance,
                    scheduler.jitter(),
                    () -> quorum.onCommand(new QuorumCommand.Release(ended.generation())));
            later(700, () -> startGeneration(0));
        }
    }

    /** This generation will not be: its writer, if there is one, goes. */
    private void giveUp() {
        WriterSim running = writer;
        writer = null;
        ready = false;
        if (running != null) {
            running.kill();
        }
    }

    /** Dies; its writer may not notice at once. */
    void crash() {
        if (!instance.isAlive()) {
            return;
        }
        scheduler.say(() -> instance + " dies");
        scheduler.kill(instance);
        WriterSim left = writer;
        if (left != null && left.isAlive()) {
            if (scheduler.chance(0.6)) {
                left.kill();
            } else {
                world.coverage().count(Visited.WRITERS_THAT_OUTLIVED_THEIR_OWNER);
                scheduler.at(null, scheduler.between(100, 8000) * Scheduler.MILLI, left::kill);
            }
        }
    }
}

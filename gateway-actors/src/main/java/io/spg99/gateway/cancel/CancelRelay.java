package io.spg99.gateway.cancel;

import io.spg99.gateway.GatewayMessage;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.AskPattern;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.receptionist.Receptionist;
import org.apache.pekko.actor.typed.receptionist.ServiceKey;

/**
 * Takes the cancel requests for one Gateway's sessions that reached another Gateway. Owned by the Gateway's server; it has
 * no state, so it may be restarted. A process id names the Gateway by its tag: the Gateway that was reached asks the
 * Receptionist who has it. Two Gateways may have the same tag; both are asked, and the whole key decides.
 *
 * <pre>
 * Cancel -- handed to the sessions; Outcome when it was delivered to a backend, or there is no such session
 * Stop   -- stopped
 * </pre>
 */
public final class CancelRelay {

    public sealed interface Command extends GatewayMessage {}

    /** A client's cancel request; the key is compared where its session is. */
    public record Cancel(int processId, int secret, ActorRef<Outcome> replyTo) implements Command {
        @Override
        public String toString() {
            return "Cancel[processId=" + processId + "]";
        }
    }

    public enum Stop implements Command {
        INSTANCE
    }

    /** @param found a session has this key */
    public record Outcome(boolean found) implements GatewayMessage {}

    /** Port: this Gateway's sessions. */
    @FunctionalInterface
    public interface Sessions {
        /** True when the request was delivered; false if no session has this key. Any thread. */
        CompletionStage<Boolean> cancel(int processId, int secret);
    }

    /** For the other Gateway to deliver it; the client's connection is closed then. */
    private static final Duration LIMIT = Duration.ofSeconds(5);

    private CancelRelay() {}

    private static ServiceKey<Command> key(int tag) {
        return ServiceKey.create(Command.class, "gateway-cancel-" + tag);
    }

    /** @param tag of this Gateway */
    public static Behavior<Command> create(int tag, Sessions sessions) {
        return Behaviors.setup(context -> {
            context.getSystem().receptionist().tell(Receptionist.register(key(tag), context.getSelf()));
            return Behaviors.receiveMessage(command -> onCommand(context, sessions, command));
        });
    }

    private static Behavior<Command> onCommand(ActorContext<Command> context, Sessions sessions, Command command) {
        return switch (command) {
            case Cancel cancel -> {
                sessions.cancel(cancel.processId(), cancel.secret())
                        .exceptionally(failure -> {
                            context.getSystem().log().warn("a cancel request could not be delivered", failure);
                            return false;
                        })
                        .thenAccept(found -> cancel.replyTo().tell(new Outcome(found)));
                yield Behaviors.same();
            }
            case Stop stop -> Behaviors.stopped();
        };
    }

    /**
     * Sends a cancel request to whoever has this tag. False if nobody has its key; fails with a
     * {@link java.util.concurrent.TimeoutException} if there is no answer in time.
     */
    public static CompletionStage<Boolean> forward(ActorSystem<?> system, int tag, int processId, int secret) {
        CompletionStage<Receptionist.Listing> listing = AskPattern.ask(
                system.receptionist(), replyTo -> Receptionist.find(key(tag), replyTo), LIMIT, system.scheduler());
        return listing.thenCompose(found -> {
            List<CompletableFuture<Boolean>> asked = found.getServiceInstances(key(tag)).stream()
                    .map(relay -> ask(system, relay, processId, secret))
                    .toList();
            return CompletableFuture.allOf(asked.toArray(CompletableFuture[]::new))
                    .thenApply(all -> asked.stream().anyMatch(CompletableFuture::join));
        });
    }

    private static CompletableFuture<Boolean> ask(
            ActorSystem<?> system, ActorRef<Command> relay, int processId, int secret) {
        return AskPattern.<Command, Outcome>ask(
                        relay, replyTo -> new Cancel(processId, secret, replyTo), LIMIT, system.scheduler())
                .thenApply(Outcome::found)
                .toCompletableFuture();
    }
}

package io.spg99.gateway.lease;

import io.spg99.gateway.cancel.CancelRelay;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.typed.ActorRef;
import org.junit.jupiter.api.Test;

/** Leases and cancel requests are spoken of between nodes: every message survives the wire. */
class LeaseMessagesTest {

    @Test
    void givenEveryMessage_whenSerializedAndBack_thenItIsTheSame() {
        ActorTestKit actors = ActorTestKit.create();
        try {
            ActorRef<LeaseEvent> replyTo = actors.<LeaseEvent>createTestProbe().ref();
            ActorRef<CancelRelay.Outcome> canceler =
                    actors.<CancelRelay.Outcome>createTestProbe().ref();
            List.of(
                            new CancelRelay.Cancel(7, -7, canceler),
                            new CancelRelay.Outcome(true),
                            new LeaseCommand.Acquire("gw", replyTo),
                            new LeaseCommand.Renew("gw", 2, 5, 1, replyTo),
                            new LeaseCommand.Release("gw", 2),
                            new LeaseEvent.Coming(2, new WriterLocation("host", 5432, Optional.empty())),
                            new LeaseEvent.Granted(
                                    2, new WriterLocation("host", 5432, Optional.empty()), Duration.ofSeconds(15), 45),
                            new LeaseEvent.Revoked(2, LeaseEvent.Reason.STOPPED),
                            new LeaseEvent.Refused("57P03", "being deleted", "hint"))
                    .forEach(message -> actors.serializationTestKit().verifySerialization(message, true));
        } finally {
            actors.shutdownTestKit();
        }
    }
}

package io.spg99.gateway.cancel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import com.typesafe.config.ConfigFactory;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.cluster.typed.Cluster;
import org.apache.pekko.cluster.typed.Join;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Two nodes of a real cluster, with a Gateway each. */
class CancelRelayTest {

    private static final int TAG = 7;

    private final ActorTestKit here = node();
    private final ActorTestKit there = node();

    private static ActorTestKit node() {
        return ActorTestKit.create("cancels", ConfigFactory.parseString("""
                        pekko.actor.provider = cluster
                        pekko.remote.artery.canonical.hostname = 127.0.0.1
                        pekko.remote.artery.canonical.port = 0
                        pekko.cluster.jmx.multi-mbeans-in-same-jvm = on
                        pekko.coordinated-shutdown.exit-jvm = off
                        """).withFallback(ConfigFactory.load()));
    }

    CancelRelayTest() {
        Cluster first = Cluster.get(here.system());
        first.manager().tell(Join.create(first.selfMember().address()));
        Cluster.get(there.system())
                .manager()
                .tell(Join.create(first.selfMember().address()));
    }

    @AfterEach
    void stop() {
        there.shutdownTestKit();
        here.shutdownTestKit();
    }

    private boolean forward(int secret) throws Exception {
        return CancelRelay.forward(here.system(), TAG, 1234, secret)
                .toCompletableFuture()
                .get(10, TimeUnit.SECONDS);
    }

    @Test
    void givenSessionOnAnotherNode_whenItsKeyComesHere_thenItIsAskedThereAndTheAnswerComesBack() throws Exception {
        List<Integer> asked = new CopyOnWriteArrayList<>();
        ActorRef<CancelRelay.Command> relay = there.spawn(CancelRelay.create(TAG, (processId, secret) -> {
            asked.add(processId);
            return CompletableFuture.completedFuture(secret == 5);
        }));
        Awaitility.await("the Gateway there to be known here")
                .atMost(Duration.ofSeconds(30))
                .until(() -> forward(5));
        assertFalse(forward(6));
        assertEquals(List.of(1234, 1234), asked);

        relay.tell(CancelRelay.Stop.INSTANCE);
        there.createTestProbe().expectTerminated(relay, Duration.ofSeconds(10));
        // Until that is known here, there is no answer in time.
        Awaitility.await("its end to be known here")
                .atMost(Duration.ofSeconds(30))
                .ignoreExceptions()
                .until(() -> !forward(5));
        assertEquals(2, asked.size());
    }
}

package io.spg99.compute.generation;

import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.testkit.typed.javadsl.TestProbe;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.receptionist.Receptionist;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Which node a generation goes to, with nodes that are known by what they were asked to begin. */
class PlacementTest {

    private final ActorTestKit kit = ActorTestKit.create();
    private final TestProbe<GenerationEvent> owner = kit.createTestProbe();
    private final TestProbe<GenerationSpec> here = kit.createTestProbe();
    private final List<TestProbe<GenerationHost.Begin>> others = new ArrayList<>();
    private final Placement placement = new Placement(this::beginHere);

    @AfterEach
    void stop() {
        kit.shutdownTestKit();
    }

    private Behavior<GenerationCommand> beginHere(GenerationSpec spec, ActorRef<GenerationEvent> events) {
        here.getRef().tell(spec);
        return Behaviors.ignore();
    }

    private void nodes(int count) {
        kit.spawn(placement.follow());
        for (int i = 0; i < count; i++) {
            TestProbe<GenerationHost.Begin> host = kit.createTestProbe();
            others.add(host);
            kit.system().receptionist().tell(Receptionist.register(GenerationHost.KEY, host.getRef()));
        }
        awaitNodes(count);
    }

    private void awaitNodes(int count) {
        await().until(() -> placement.places() == count + 1);
    }

    private ActorRef<GenerationCommand> begin(String database, int generation, OptionalInt writer) {
        return kit.spawn(placement.apply(GenerationMessagesTest.spec(database, generation, writer), owner.getRef()));
    }

    private ActorRef<GenerationCommand> start(String database, int generation) {
        return begin(database, generation, OptionalInt.empty());
    }

    private ActorRef<GenerationCommand> candidate(String database, int generation, int writer) {
        return begin(database, generation, OptionalInt.of(writer));
    }

    private void end(ActorRef<GenerationCommand> generation) {
        kit.stop(generation);
    }

    private void expectHere(int generation) {
        assertEquals(generation, here.receiveMessage().generation());
    }

    private static void expectAt(TestProbe<GenerationHost.Begin> other, int generation) {
        assertEquals(generation, other.receiveMessage().spec().generation());
    }

    @Test
    void givenNoOtherNode_whenACandidateBegins_thenItIsHere() {
        nodes(0);
        start("db", 2);
        expectHere(2);
        candidate("db", 3, 2);
        expectHere(3);
    }

    @Test
    void givenAnotherNode_whenTheWriterMovesAgainAndAgain_thenItGoesToTheOtherNodeEachTimeAndStartsAreHere() {
        nodes(1);
        ActorRef<GenerationCommand> writer = start("db", 2);
        expectHere(2);
        ActorRef<GenerationCommand> there = candidate("db", 3, 2);
        expectAt(others.getFirst(), 3);
        end(writer);
        candidate("db", 4, 3);
        expectHere(4);
        end(there);
        start("other", 2);
        expectHere(2);
    }

    @Test
    void givenTwoOtherNodes_whenCandidatesBegin_thenTheyAreSpread() {
        nodes(2);
        start("a", 2);
        start("b", 2);
        candidate("a", 3, 2);
        candidate("b", 3, 2);
        assertEquals(
                Set.of("a", "b"),
                Stream.concat(
                                Stream.of(others.getFirst().receiveMessage()),
                                Stream.of(others.getLast().receiveMessage()))
                        .map(begin -> begin.spec().databaseId())
                        .collect(Collectors.toSet()));
    }

    @Test
    void givenACandidateThatCameToNothing_whenAnotherBegins_thenItIsSomewhereElse() {
        nodes(1);
        start("db", 2);
        expectHere(2);
        end(candidate("db", 3, 2));
        expectAt(others.getFirst(), 3);
        end(candidate("db", 4, 2));
        expectHere(4);
        candidate("db", 5, 2);
        expectAt(others.getFirst(), 5);
    }

    @Test
    void givenAnotherNodeThatIsGone_whenACandidateBegins_thenItIsHere() {
        nodes(1);
        start("db", 2);
        expectHere(2);
        others.getFirst().stop();
        awaitNodes(0);
        candidate("db", 3, 2);
        expectHere(3);
    }
}

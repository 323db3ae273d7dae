package io.spg99.lifecycle.database;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.lifecycle.database.DatabaseState.Absent;
import io.spg99.lifecycle.database.DatabaseState.Existing;
import io.spg99.lifecycle.database.DatabaseState.Gone;
import io.spg99.lifecycle.database.event.DatabaseEvent;
import io.spg99.lifecycle.database.event.DatabaseEvent.BaseMade;
import io.spg99.lifecycle.model.Base;
import io.spg99.lifecycle.model.Profile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class LifecycleTest {

    private static final Path DOCUMENT = Path.of("..", "docs", "lifecycle.md");
    private static final String SCALE_HEADING = "## A change of profile";

    static DatabaseState in(Lifecycle lifecycle) {
        return switch (lifecycle) {
            case ABSENT -> new Absent();
            case DELETED -> new Gone();
            case CREATING, STOPPED, BOOTING, READY, STOPPING, ERROR, DELETING ->
                new Existing(
                        lifecycle,
                        Samples.spec("db1"),
                        Optional.of(BaseMade.of(new Base("image", Samples.BASE), Samples.AT)),
                        2,
                        Optional.of(Samples.WRITER),
                        0,
                        1,
                        Optional.of("before"),
                        Samples.AT,
                        Optional.empty(),
                        Optional.empty(),
                        Optional.empty());
        };
    }

    /** A ready database in the middle of a change of profile. */
    private static Existing in(ScaleState state) {
        Existing ready = (Existing) in(Lifecycle.READY);
        return new Existing(
                ready.lifecycle(),
                ready.spec(),
                ready.base(),
                ready.generation(),
                ready.writer(),
                ready.configured(),
                ready.failures(),
                ready.lastError(),
                ready.createdAt(),
                ready.lastUsed(),
                Optional.of(new Scaling(
                        state,
                        Optional.of(Profile.L1),
                        Optional.of(Profile.L3),
                        Optional.of("asked for"),
                        3,
                        Optional.of(Profile.L3),
                        Optional.of("before"))),
                ready.known());
    }

    @TestFactory
    Stream<DynamicTest> everyScaleStateWithEveryEvent() {
        return Arrays.stream(ScaleState.values())
                .flatMap(from -> Samples.EVENTS.stream()
                        .filter(event -> Lifecycle.READY.after(event.getClass()).isPresent())
                        .map(event -> DynamicTest.dynamicTest(
                                from + " x " + event.getClass().getSimpleName(), () -> checkScale(from, event))));
    }

    private static void checkScale(ScaleState from, DatabaseEvent event) {
        Optional<ScaleState> to = from.after(event.getClass());
        if (to.isEmpty()) {
            IllegalStateException refused =
                    assertThrows(IllegalStateException.class, () -> DatabaseState.transition(in(from), event));
            assertTrue(String.valueOf(refused.getMessage()).contains(from.name()), refused::toString);
        } else if (DatabaseState.transition(in(from), event) instanceof Existing after) {
            assertEquals(to.get(), after.scaleState());
            assertTrue(after.nextGeneration() > 3, "a candidate's number is never used again");
            assertEquals(
                    after.scaleState().hasCandidate(),
                    after.scaling().preparing().isPresent());
        }
    }

    @Test
    void whateverEndsTheWriterEndsTheHandoffAndTheNextWriterHasTheChosenProfile() {
        for (ScaleState state : ScaleState.values()) {
            Existing stopped = (Existing) DatabaseState.transition(
                    in(state),
                    new DatabaseEvent.GenerationEnded(
                            2, false, "killed", Optional.empty(), Optional.empty(), Samples.AT));
            assertEquals(ScaleState.STEADY, stopped.scaleState());
            Existing booting =
                    (Existing) DatabaseState.transition(stopped, new DatabaseEvent.GenerationStarting(4, Samples.AT));
            assertEquals(Profile.L3, booting.runningProfile());
        }
    }

    @Test
    void aSwitchMakesTheCandidateTheWriterAndAChangedSizeLeavesTheRunningProfile() {
        Existing switched = (Existing) DatabaseState.transition(
                in(ScaleState.STARTING_NEW), new DatabaseEvent.WriterSwitched(3, Samples.WRITER, 1, Samples.AT));
        assertEquals(3, switched.generation());
        assertEquals(Profile.L3, switched.runningProfile());
        assertEquals(Optional.empty(), switched.scaling().failure());
        Existing resized = (Existing)
                DatabaseState.transition(in(Lifecycle.READY), new DatabaseEvent.SizeChanged(Profile.L4, Samples.AT));
        assertEquals(Profile.L1, resized.runningProfile());
        assertEquals(Profile.L4, resized.chosenProfile());
        assertEquals(Profile.L4, resized.spec().size());
    }

    @TestFactory
    Stream<DynamicTest> everyStateWithEveryEvent() {
        return Arrays.stream(Lifecycle.values())
                .flatMap(from -> Samples.EVENTS.stream()
                        .map(event -> DynamicTest.dynamicTest(
                                from + " x " + event.getClass().getSimpleName(), () -> check(from, event))));
    }

    private static void check(Lifecycle from, DatabaseEvent event) {
        Optional<Lifecycle> to = from.after(event.getClass());
        boolean ofAnotherScaleState = in(from) instanceof Existing existing
                && existing.scaleState().after(event.getClass()).isEmpty();
        if (to.isPresent() && ofAnotherScaleState) {
            assertThrows(IllegalStateException.class, () -> DatabaseState.transition(in(from), event));
            return;
        }
        if (to.isPresent()) {
            assertEquals(to.get(), DatabaseState.transition(in(from), event).lifecycle());
            return;
        }
        IllegalStateException refused =
                assertThrows(IllegalStateException.class, () -> DatabaseState.transition(in(from), event));
        String message = String.valueOf(refused.getMessage());
        assertTrue(
                message.contains(from.name())
                        && message.contains(event.getClass().getSimpleName()),
                message);
    }

    @Test
    void samplesHoldEveryEventAndTheTableNamesEachPairOnce() {
        Set<Class<?>> sampled = Samples.EVENTS.stream().map(Object::getClass).collect(Collectors.toSet());
        assertEquals(Set.of(DatabaseEvent.class.getPermittedSubclasses()), sampled);
        Set<String> pairs = new HashSet<>();
        Lifecycle.TABLE.forEach(row -> assertTrue(pairs.add(row.from() + " " + row.event()), () -> "twice: " + row));
        ScaleState.TABLE.forEach(
                row -> assertTrue(pairs.add("scale " + row.from() + " " + row.event()), () -> "twice: " + row));
    }

    @Test
    void everyStateButTheLastTwoLeadsToDeletion() {
        for (Lifecycle state : Lifecycle.values()) {
            boolean deletable = state.after(DatabaseEvent.DeletionStarted.class).isPresent()
                    || state.after(DatabaseEvent.DatabaseDeleted.class).isPresent();
            assertEquals(state != Lifecycle.DELETED, deletable, state.name());
        }
    }

    @Test
    void aGoodStartForgetsFailuresAndALossRemembersItsReason() {
        Existing ready = (Existing) DatabaseState.transition(
                in(Lifecycle.BOOTING),
                new DatabaseEvent.GenerationReady(2, Samples.WRITER, 1, Optional.empty(), Samples.AT));
        assertEquals(0, ready.failures());
        assertEquals(Optional.empty(), ready.lastError());
        Existing lost = (Existing) DatabaseState.transition(
                ready,
                new DatabaseEvent.GenerationEnded(
                        2, false, "killed", Optional.of(Samples.AT), Optional.empty(), Samples.AT));
        assertEquals(Optional.of("killed"), lost.lastError());
        assertEquals(Optional.empty(), lost.writer());
        assertEquals(Optional.of(Samples.AT), lost.lastUsed());
    }

    /** Write the diagram anew with {@code -Dspg99.write=true}. */
    @Test
    void documentShowsTheTable() throws IOException {
        String document = Files.readString(DOCUMENT);
        String written = replaced(replaced(document, 0, diagram()), document.indexOf(SCALE_HEADING), scaleDiagram());
        if (Boolean.getBoolean("spg99.write")) {
            Files.writeString(DOCUMENT, written);
            document = written;
        }
        assertEquals(written, document, "docs/lifecycle.md does not show Lifecycle.TABLE");
    }

    /** {@code document} with the first diagram from {@code from} on replaced. */
    private static String replaced(String document, int from, String diagram) {
        int begin = document.indexOf("```mermaid\n", from);
        int end = document.indexOf("```", begin + 3) + 3;
        return document.substring(0, begin) + diagram + document.substring(end);
    }

    private static String scaleDiagram() {
        StringBuilder text = new StringBuilder("```mermaid\nstateDiagram-v2\n    [*] --> STEADY\n");
        ScaleState.TABLE.forEach(row -> text.append("    %s --> %s : %s\n"
                .formatted(row.from(), row.to(), row.event().getSimpleName())));
        return text.append("```").toString();
    }

    private static String diagram() {
        StringBuilder text = new StringBuilder("```mermaid\nstateDiagram-v2\n");
        for (Lifecycle from : Lifecycle.values()) {
            for (Lifecycle to : Lifecycle.values()) {
                String events = Lifecycle.TABLE.stream()
                        .filter(row -> row.from() == from && row.to() == to)
                        .map(row -> row.event().getSimpleName())
                        .collect(Collectors.joining(", "));
                if (!events.isEmpty()) {
                    text.append("    %s --> %s : %s\n"
                            .formatted(
                                    from == Lifecycle.ABSENT ? "[*]" : from.word(),
                                    to == Lifecycle.DELETED ? "[*]" : to.word(),
                                    events));
                }
            }
        }
        return text.append("```").toString();
    }
}

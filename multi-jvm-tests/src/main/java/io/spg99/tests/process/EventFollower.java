package io.spg99.tests.process;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** What {@code /v2/events} has said so far, heard by a thread of its own. */
public final class EventFollower implements AutoCloseable {

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String DATA = "data: ";

    /** Handoffs from STEADY to STEADY; any freeze may be put off. */
    private static final Pattern IN_ORDER = Pattern.compile("(?:PREPARING (?:FREEZING (?:DRAINING )?PREPARING )*"
            + "FREEZING DRAINING STOPPING_OLD STARTING_NEW SWITCHING COOLDOWN STEADY )*");

    /** A change of the field {@code kind}. */
    public record Step(String databaseId, String kind, String from, String to, String reason) {}

    private final Stream<String> lines;
    private final List<Step> heard = new CopyOnWriteArrayList<>();

    EventFollower(Stream<String> lines) {
        this.lines = lines;
        Thread.ofPlatform().daemon().name("events").start(this::read);
    }

    private void read() {
        try {
            lines.filter(line -> line.startsWith(DATA))
                    .forEach(line -> heard.add(parse(line.substring(DATA.length()))));
        } catch (UncheckedIOException e) {
            // The stream was closed, or the server has ended: what was heard is all there is.
            return;
        }
    }

    private static Step parse(String json) {
        try {
            JsonNode event = JSON.readTree(json);
            return new Step(
                    event.path("database_id").asText(),
                    event.path("kind").asText(),
                    event.path("from").asText(),
                    event.path("to").asText(),
                    event.path("reason").asText());
        } catch (JsonProcessingException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** What was heard of one field of one database, in order. */
    public List<Step> steps(String databaseId, String kind) {
        return heard.stream()
                .filter(step ->
                        step.databaseId().equals(databaseId) && step.kind().equals(kind))
                .toList();
    }

    /** Fails unless every handoff of a database went through its states in order, to the end. */
    public void assertHandoffsInOrder(String databaseId) {
        String states = steps(databaseId, "scale_state").stream()
                .map(step -> step.to() + " ")
                .collect(Collectors.joining());
        if (!IN_ORDER.matcher(states).matches()) {
            throw new AssertionError("states of handoffs are not in order: " + states);
        }
    }

    @Override
    public void close() {
        lines.close();
    }
}

package io.spg99.lifecycle.database;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.dataformat.cbor.databind.CBORMapper;
import io.spg99.lifecycle.database.DatabaseState.Existing;
import io.spg99.lifecycle.database.event.DatabaseEvent;
import io.spg99.lifecycle.model.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.typed.javadsl.Adapter;
import org.apache.pekko.serialization.Serialization;
import org.apache.pekko.serialization.SerializationExtension;
import org.apache.pekko.serialization.SerializerWithStringManifest;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/**
 * Events (and the state in snapshots) once written must be readable for ever: {@code golden/<manifest>.cbor} holds what was
 * written by the first version. A new kind gets its file with {@code -Dspg99.write=true}; an old file is never changed.
 */
class GoldenEventsTest {

    private static final Path GOLDEN = Path.of("src", "test", "resources", "golden");
    private static final ObjectMapper CBOR = new CBORMapper();
    private static final ActorTestKit KIT = ActorTestKit.create();
    private static final Serialization SERIALIZATION = SerializationExtension.get(Adapter.toClassic(KIT.system()));

    @AfterAll
    static void stop() {
        KIT.shutdownTestKit();
    }

    @TestFactory
    Stream<DynamicTest> whatTheFirstVersionWroteIsRead() {
        Existing state = (Existing) LifecycleTest.in(Lifecycle.READY);
        return Stream.concat(Samples.EVENTS.stream(), Stream.of(state))
                .map(value -> DynamicTest.dynamicTest(value.getClass().getSimpleName(), () -> check(value)));
    }

    private static void check(Object value) throws Exception {
        SerializerWithStringManifest serializer = (SerializerWithStringManifest) SERIALIZATION.findSerializerFor(value);
        String manifest = serializer.manifest(value);
        Path file = GOLDEN.resolve(manifest + ".cbor");
        if (Boolean.getBoolean("spg99.write") && !Files.exists(file)) {
            Files.createDirectories(GOLDEN);
            Files.write(file, serializer.toBinary(value));
        }
        byte[] golden = read(file);
        assertEquals(json(value), json(serializer.fromBinary(golden, manifest)));
        JsonNode now = CBOR.readTree(serializer.toBinary(value));
        assertTrue(isWithin(CBOR.readTree(golden), now), "what is written now lacks or changes fields: " + now);
    }

    /** Records may have got more fields, with defaults for what was written before. */
    private static boolean isWithin(JsonNode old, JsonNode now) {
        return old.isObject()
                ? old.properties().stream()
                        .allMatch(
                                field -> now.has(field.getKey()) && isWithin(field.getValue(), now.get(field.getKey())))
                : old.equals(now);
    }

    private static byte[] read(Path file) throws IOException {
        return Files.readAllBytes(file);
    }

    /** Compares by content: a TimelineBase holds an array. */
    private static String json(Object value) throws IOException {
        return value instanceof DatabaseEvent || value instanceof DatabaseState
                ? Json.MAPPER.writeValueAsString(value)
                : "not a value of ours: " + value;
    }
}

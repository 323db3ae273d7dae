package io.spg99.storage.postgres;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class OsUserTest {

    @TempDir
    Path directory;

    @Test
    void givenARecordOfADirectory_whenItIsWhole_thenThatIsIt() throws IOException {
        Path record = directory.resolve("record");
        assertEquals(Optional.empty(), OsUser.recorded(record));
        OsUser.forPostgres().record(record, Path.of("/tmp/spg99-12"));
        assertEquals(Optional.of(Path.of("/tmp/spg99-12")), OsUser.recorded(record));
    }

    @Test
    void givenARecordThatIsNotWhole_thenItNamesNothing() throws IOException {
        Path record = directory.resolve("record");
        for (String torn : List.of("", "\n", "/tmp/spg", "tmp/spg99-12\n", "/tmp\n/x\n")) {
            Files.writeString(record, torn);
            assertEquals(Optional.empty(), OsUser.recorded(record), () -> "content='" + torn + "'");
        }
    }
}

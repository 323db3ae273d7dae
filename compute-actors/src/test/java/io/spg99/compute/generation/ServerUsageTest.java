package io.spg99.compute.generation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

@EnabledOnOs(OS.LINUX)
class ServerUsageTest {

    @Test
    void givenAProcess_whenItUsesMore_thenThatIsSeen() {
        long self = ProcessHandle.current().pid();
        ServerUsage before = ServerUsage.ofTree(self).orElseThrow();
        assertTrue(before.cpu().compareTo(Duration.ZERO) > 0);
        ByteBuffer more = ByteBuffer.allocateDirect(64 << 20); // filled with zeros, so it is there
        ServerUsage after = ServerUsage.ofTree(self).orElseThrow();
        assertTrue(after.memory() - before.memory() > 48 << 20, () -> before + " " + after);
        assertEquals(0, more.get(0));
        assertTrue(after.cpu().compareTo(before.cpu()) >= 0);
    }

    @Test
    void givenAProcessThatIsGone_thenNothing() {
        assertEquals(Optional.empty(), ServerUsage.ofTree(Integer.MAX_VALUE));
    }
}

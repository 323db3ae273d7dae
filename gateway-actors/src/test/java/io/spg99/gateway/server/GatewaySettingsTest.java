package io.spg99.gateway.server;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.typesafe.config.ConfigFactory;
import java.time.Duration;
import org.junit.jupiter.api.Test;

class GatewaySettingsTest {

    /** What CONTRACT.md says that a SQL client is told, and when. */
    @Test
    void givenNoSettings_whenADatabaseWakes_thenTheNoticeComesAfter5SecondsAndTheWaitEndsAfter30() {
        GatewaySettings.Times times = GatewaySettings.from(
                        ConfigFactory.defaultReference().getConfig("spg99.gateway"))
                .times();

        assertEquals(Duration.ofSeconds(5), times.wakeNotice());
        assertEquals(Duration.ofSeconds(30), times.wake());
    }
}

package io.spg99.lifecycle.http;

import com.typesafe.config.Config;
import io.spg99.lifecycle.model.IdleTimeout;
import java.time.Duration;

/**
 * How the API is served.
 *
 * @param host             address to bind
 * @param port             port to bind; 0 for any
 * @param lifecycleActions whether start, stop and their like are allowed by API
 * @param idleTimeout      of databases that are made without one; zero for never
 * @param requestTimeout   a request that takes longer is answered with 503
 */
public record ApiSettings(
        String host, int port, boolean lifecycleActions, Duration idleTimeout, Duration requestTimeout) {

    /** Reads {@code spg99.lifecycle}. */
    public static ApiSettings from(Config root, String host, int port) {
        Config config = root.getConfig("spg99.lifecycle");
        String actions = config.getString("lifecycle-actions");
        if (!actions.equals("enabled") && !actions.equals("disabled")) {
            throw new IllegalArgumentException(
                    "spg99.lifecycle.lifecycle-actions must be enabled or disabled: actual=" + actions);
        }
        String idle = config.getString("default-idle-timeout");
        return new ApiSettings(
                host,
                port,
                actions.equals("enabled"),
                IdleTimeout.parse(idle)
                        .orElseThrow(() -> new IllegalArgumentException(
                                "spg99.lifecycle.default-idle-timeout: " + IdleTimeout.RULE + ": actual=" + idle)),
                config.getDuration("request-timeout"));
    }
}

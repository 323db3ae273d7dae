package io.spg99.lifecycle.autoscale;

import com.typesafe.config.Config;
import java.time.Duration;

/**
 * How the autoscaler decides; see {@code spg99.lifecycle.autoscaler} in reference.conf.
 *
 * @param upAfter    a load must have lasted this long before a larger profile is chosen
 * @param upAt       share of the profile's processors, or memory, above which a writer is short of them
 * @param roomAt     share of the next profile's that the load may take up at most, when it is chosen
 * @param downAfter  a writer must have been idle enough for this long before a smaller profile is chosen
 * @param downAt     share of the smaller profile's below which the load must have stayed
 * @param missesAt   blocks a second that reads wait for, above which a full cache is too small
 */
public record AutoscalerSettings(
        Duration upAfter, double upAt, double roomAt, Duration downAfter, double downAt, double missesAt) {

    public AutoscalerSettings {
        if (upAt <= downAt || roomAt <= downAt || upAfter.compareTo(downAfter) > 0) {
            throw new IllegalArgumentException("the autoscaler would flap: upAt=" + upAt + " roomAt=" + roomAt
                    + " downAt=" + downAt + " upAfter=" + upAfter + " downAfter=" + downAfter);
        }
    }

    /** Reads {@code spg99.lifecycle.autoscaler}. */
    public static AutoscalerSettings from(Config root) {
        Config config = root.getConfig("spg99.lifecycle.autoscaler");
        return new AutoscalerSettings(
                config.getDuration("up-after"),
                config.getDouble("up-at"),
                config.getDouble("room-at"),
                config.getDuration("down-after"),
                config.getDouble("down-at"),
                config.getDouble("misses-at"));
    }
}

package io.spg99.lifecycle.catalog;

import com.typesafe.config.Config;
import java.time.Duration;

/**
 * Where the catalog is and how much of it one node uses.
 *
 * @param jdbcUrl {@code jdbc:postgresql://…}
 */
public record CatalogSettings(
        String jdbcUrl,
        String user,
        String password,
        int poolSize,
        Duration connectionTimeout,
        int queueSize,
        Duration directoryCacheTtl,
        int directoryCacheSize) {

    /** Reads {@code spg99.lifecycle.catalog}. */
    public static CatalogSettings from(Config root, String jdbcUrl, String user, String password) {
        Config config = root.getConfig("spg99.lifecycle.catalog");
        return new CatalogSettings(
                jdbcUrl,
                user,
                password,
                config.getInt("pool-size"),
                config.getDuration("connection-timeout"),
                config.getInt("queue-size"),
                config.getDuration("directory-cache-ttl"),
                config.getInt("directory-cache-size"));
    }

    @Override
    public String toString() {
        return "CatalogSettings[jdbcUrl=" + jdbcUrl + ", user=" + user + "]";
    }
}

package io.spg99.compute.generation;

import java.time.Duration;

/**
 * How a node runs its generations.
 *
 * @param listenHost        address PostgreSQL binds to and is reached at by Gateways and Safekeepers
 * @param spareProfile      size of the server that waits for the next start; others begin cold
 * @param prepareDeadline   for getting the image and the WAL
 * @param startDeadline     from starting PostgreSQL to the end of its recovery; replaying a lot of WAL takes long
 * @param configureDeadline for the managed configuration; the first time it waits for two Safekeepers
 * @param stopDeadline      for an orderly stop, in which PostgreSQL waits for the Safekeepers; after that it is killed
 */
public record ComputeSettings(
        String listenHost,
        Profile spareProfile,
        Duration prepareDeadline,
        Duration startDeadline,
        Duration configureDeadline,
        Duration stopDeadline) {

    public static ComputeSettings defaults() {
        return withSpare(Profile.L1);
    }

    public static ComputeSettings withSpare(Profile spare) {
        return new ComputeSettings(
                "127.0.0.1",
                spare,
                Duration.ofMinutes(2),
                Duration.ofMinutes(10),
                Duration.ofSeconds(20),
                Duration.ofSeconds(8));
    }
}

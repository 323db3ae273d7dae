package io.spg99.lifecycle.model;

import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.annotation.JsonNaming;
import io.spg99.gateway.login.PoolMode;
import io.spg99.lifecycle.LifecycleMessage;
import io.spg99.storage.safekeeper.TimelineBase;
import java.time.Instant;
import java.util.Objects;
import java.util.Optional;

/**
 * What users see of a database: the "Database fields" of the public contract, in its order. Empty means not known or
 * not applicable now; it is {@code null} in JSON.
 *
 * @param tenant       name of the owner
 * @param generation   the last generation that was started; 1 is the database's creation
 * @param workerId     node on which the database's actor (and writer) runs
 * @param currentScale 1 if there is a writer, else 0
 * @param targetScale  1 if there is, or shall be, a writer
 * @param idleTimeout  as {@link IdleTimeout#format}
 * @param scaleReason why {@code targetProfile} was chosen, if it was
 * @param autoscaleDecision what the autoscaler found when it last looked
 * @param profileEnforcement {@code cgroup}, or {@code settings} if only PostgreSQL's settings hold it to its profile
 * @param poolMode of clients that do not ask for the other one
 * @param walLsn       end of the WAL that the quorum has, {@code %X/%X}
 */
@JsonNaming(PropertyNamingStrategies.SnakeCaseStrategy.class)
public record DatabaseView(
        String id,
        String name,
        String tenant,
        Profile size,
        String state,
        String timelineId,
        int generation,
        Optional<String> workerId,
        Instant createdAt,
        Optional<Instant> lastUsedAt,
        int activeConnections,
        int currentScale,
        int targetScale,
        Profile currentProfile,
        Profile targetProfile,
        Optional<Profile> candidateProfile,
        String scaleState,
        boolean freezeNewCheckouts,
        Optional<String> scaleFailureReason,
        String idleTimeout,
        boolean autoscale,
        Profile minProfile,
        Profile maxProfile,
        Optional<String> lastError,
        Optional<Long> storageBytes,
        Optional<String> walLsn,
        Optional<String> snapshotLsn,
        Optional<String> scaleReason,
        Optional<String> autoscaleDecision,
        Optional<String> profileEnforcement,
        PoolMode poolMode)
        implements LifecycleMessage {

    public DatabaseView {
        // What the catalog was told before there was any.
        poolMode = Objects.requireNonNullElse(poolMode, PoolMode.TRANSACTION);
    }

    /** Of a database of which nothing is known but what it was asked to be. */
    public static DatabaseView of(DatabaseSpec spec, String state, Instant createdAt) {
        Tunables tunables = spec.tunables();
        return new DatabaseView(
                spec.databaseId(),
                spec.name(),
                spec.tenant(),
                spec.size(),
                state,
                spec.timelineId(),
                TimelineBase.CREATION,
                Optional.empty(),
                createdAt,
                Optional.empty(),
                0,
                0,
                0,
                spec.size(),
                spec.size(),
                Optional.empty(),
                STEADY,
                false,
                Optional.empty(),
                IdleTimeout.format(tunables.idleTimeout()),
                tunables.autoscale(),
                tunables.minProfile(),
                tunables.maxProfile(),
                Optional.empty(),
                Optional.empty(),
                Optional.empty(),
                Optional.empty(),
                Optional.empty(),
                Optional.empty(),
                Optional.empty(),
                tunables.poolMode());
    }

    /** {@code scale_state} when no change of profile is under way. */
    public static final String STEADY = "STEADY";
}

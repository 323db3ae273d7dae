package io.spg99.lifecycle.model;

import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.annotation.JsonNaming;
import java.time.Instant;

/**
 * One step in the life of a database, as followers of {@code /v2/events} see it.
 *
 * @param kind     {@code state} or {@code scale_state}: the field that has changed
 * @param tenant   name of the owner
 * @param from, to values of that field before and after
 */
@JsonNaming(PropertyNamingStrategies.SnakeCaseStrategy.class)
public record DatabaseChange(
        Instant at,
        String kind,
        String databaseId,
        String tenant,
        String name,
        String from,
        String to,
        String reason) {}

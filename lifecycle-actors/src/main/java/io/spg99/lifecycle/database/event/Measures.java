package io.spg99.lifecycle.database.event;

import com.fasterxml.jackson.annotation.JsonInclude;
import io.spg99.storage.wal.Lsn;
import java.util.Optional;

/**
 * What was last heard of a timeline, for people: nothing is decided by it. Empty is what was never heard.
 *
 * @param walEnd      end of the WAL that the quorum has
 * @param snapshotEnd end of the newest snapshot
 * @param storedBytes what object storage holds of the timeline, archived WAL included, after that snapshot
 */
@JsonInclude(JsonInclude.Include.NON_ABSENT)
public record Measures(Optional<Lsn> walEnd, Optional<Lsn> snapshotEnd, Optional<Long> storedBytes) {

    public static final Measures NONE = new Measures(Optional.empty(), Optional.empty(), Optional.empty());

    /** What is not known here is as it was before. */
    public Measures or(Measures before) {
        return new Measures(
                walEnd.or(before::walEnd), snapshotEnd.or(before::snapshotEnd), storedBytes.or(before::storedBytes));
    }

    public Measures withWalEnd(Lsn end) {
        return new Measures(Optional.of(end), snapshotEnd, storedBytes);
    }

    /** Of two Pageservers one may say later what the other has said before. */
    public Measures withSnapshot(Lsn end, long bytes) {
        return new Measures(walEnd, Optional.of(Lsn.max(snapshotEnd.orElse(Lsn.ZERO), end)), Optional.of(bytes));
    }
}

package io.spg99.storage.pageserver;

import io.spg99.storage.StorageMessage;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;

/** What a Pageserver answers; see {@link PageserverCommand}. */
public sealed interface PageserverReply extends StorageMessage {

    TimelineId timeline();

    /**
     * The newest snapshot ends at {@code end}.
     *
     * @param horizon     start of the first WAL segment that a start on it needs; everything before that is archived
     * @param storedBytes what object storage holds of the timeline, archived WAL included
     */
    record Snapshot(TimelineId timeline, Lsn end, Lsn horizon, long storedBytes) implements PageserverReply {}

    record Forgotten(TimelineId timeline) implements PageserverReply {}
}

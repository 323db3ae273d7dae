package io.spg99.storage.pageserver;

import io.spg99.storage.StorageMessage;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;

/** What a Pageserver answers; see {@link PageserverCommand}. */
public sealed interface PageserverReply extends StorageMessage {

    TimelineId timeline();

    /** The newest snapshot ends at {@code end}. */
    record Snapshot(TimelineId timeline, Lsn end) implements PageserverReply {}

    record Forgotten(TimelineId timeline) implements PageserverReply {}
}

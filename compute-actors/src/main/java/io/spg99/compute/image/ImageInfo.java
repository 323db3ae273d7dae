package io.spg99.compute.image;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.spg99.storage.wal.Lsn;
import java.io.IOException;

/**
 * What is to be known of a base image; stored with it, as JSON.
 *
 * @param systemIdentifier the one initdb gave it; no timeline keeps it
 * @param segmentSize      WAL segment size in bytes
 * @param start            start of the segment whose first record is the shutdown checkpoint
 * @param firstWal         the WAL from {@code start} to the end of that record
 */
@SuppressWarnings("ArrayRecordComponent") // 160 bytes of WAL, never compared and never changed
record ImageInfo(
        String key,
        String postgresVersion,
        int controlVersion,
        int catalogVersion,
        long systemIdentifier,
        int segmentSize,
        Lsn start,
        byte[] firstWal) {

    private static final ObjectMapper JSON = new ObjectMapper();

    byte[] toJson() throws IOException {
        return JSON.writeValueAsBytes(this);
    }

    static ImageInfo fromJson(byte[] json) throws IOException {
        return JSON.readValue(json, ImageInfo.class);
    }
}

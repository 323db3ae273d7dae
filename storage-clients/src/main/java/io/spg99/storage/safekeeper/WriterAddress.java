package io.spg99.storage.safekeeper;

import io.spg99.storage.StorageMessage;

/** Address at which a generation's PostgreSQL takes connections (TLS with client certificates). */
public record WriterAddress(String host, int port) implements StorageMessage {}

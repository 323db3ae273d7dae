package io.spg99.storage.safekeeper;

import io.spg99.storage.StorageMessage;

/** Address at which a Safekeeper serves WAL in PostgreSQL's replication protocol (TLS; user = timeline id). */
public record WalSource(SafekeeperId safekeeper, String host, int port) implements StorageMessage {}

package io.spg99.cluster.node;

import io.spg99.storage.safekeeper.SafekeeperId;
import java.nio.file.Path;

/**
 * A Safekeeper in a process of its own.
 *
 * @param member    its one role is {@link Role#SAFEKEEPER}; there is at least one seed
 * @param directory its WAL
 * @param pki       directory of the platform's certificate authority
 * @param walPort   of its WAL server; 0 for any
 * @param tcpOnly   it reaches writers and other Safekeepers by TCP even where it finds their Unix sockets
 */
public record SafekeeperNodeSettings(
        MemberSettings member, SafekeeperId id, Path directory, Path pki, int walPort, boolean tcpOnly) {}

package io.spg99.gateway.lease;

import java.util.Optional;

/**
 * Where a writer takes connections.
 *
 * @param host, port TLS, with the Gateway's client certificate
 * @param socket     path of its Unix socket, for a Gateway on the same machine; whether that is so shows when it looks
 */
public record WriterLocation(String host, int port, Optional<String> socket) {}

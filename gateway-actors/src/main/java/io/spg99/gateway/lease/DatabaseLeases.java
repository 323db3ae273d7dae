package io.spg99.gateway.lease;

/** Port: how a Gateway reaches a database. Fire and forget; answers come to the command's {@code replyTo}. */
@FunctionalInterface
public interface DatabaseLeases {
    void tell(String databaseId, LeaseCommand command);
}

package io.spg99.storage.quorum;

/** What the WAL quorum says unasked to whoever asked it to follow a writer. */
public sealed interface QuorumEvent {

    /**
     * The writer of {@code generation} can never again be followed by two Safekeepers: it has removed WAL that they lack. It
     * must be replaced; everything it acknowledged is in what they have. Said once per {@link QuorumCommand.Follow}.
     */
    record Unfollowable(int generation, String reason) implements QuorumEvent {}
}

package io.spg99.compute.generation;

/**
 * How big a compute is.
 *
 * @param name            as users see it
 * @param maxConnections  of clients; the agent's and the Safekeepers' come on top
 * @param sharedBuffersMb PostgreSQL's shared_buffers, in MB
 * @param workMemMb       work_mem, in MB
 */
public record Profile(String name, int maxConnections, int sharedBuffersMb, int workMemMb) {

    public static final Profile L1 = new Profile("L1", 100, 32, 4);
}

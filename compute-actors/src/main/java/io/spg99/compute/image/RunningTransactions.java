package io.spg99.compute.image;

import java.io.IOException;
import java.util.Set;

/** Port: the transactions that a server runs, those without a transaction id and those of its own workers included. */
public interface RunningTransactions {

    /**
     * Names that are never given again by this server. Blocks.
     *
     * @throws IOException if it does not answer
     */
    Set<String> names() throws IOException;
}

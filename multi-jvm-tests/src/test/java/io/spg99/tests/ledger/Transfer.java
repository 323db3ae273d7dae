package io.spg99.tests.ledger;

/**
 * One transaction: an amount goes from one account to another, and a row says so.
 *
 * @param client   who asked for it, from 1
 * @param sequence number of this client's transaction, from 1: it asks for the next when it knows the answer to this one
 */
record Transfer(int client, int sequence, int from, int to, long amount) {

    /** Unique among all clients. */
    String id() {
        return client + "/" + sequence;
    }
}

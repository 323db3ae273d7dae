package io.spg99.tests.ledger;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/** What clients asked for and what they were told. For many threads. */
final class LedgerHistory {

    /** What a client knows of a transaction. */
    enum Outcome {
        /** No answer, or one that leaves it open: it may have happened. */
        UNKNOWN,
        ACKNOWLEDGED,
        /** An error said that it did not happen. */
        REFUSED
    }

    private record Known(Transfer transfer, Outcome outcome) {}

    private final Map<String, Known> transfers = new ConcurrentHashMap<>();
    private final AtomicInteger acknowledged = new AtomicInteger();

    void asked(Transfer transfer) {
        transfers.put(transfer.id(), new Known(transfer, Outcome.UNKNOWN));
    }

    void acknowledged(Transfer transfer) {
        transfers.put(transfer.id(), new Known(transfer, Outcome.ACKNOWLEDGED));
        acknowledged.incrementAndGet();
    }

    void refused(Transfer transfer) {
        transfers.put(transfer.id(), new Known(transfer, Outcome.REFUSED));
    }

    int acknowledged() {
        return acknowledged.get();
    }

    /**
     * Compares with what the database holds.
     *
     * @param rows     the transfers in it, in any order
     * @param balances of each account
     * @param opening  what every account began with
     * @return what must not be; empty if all is well
     */
    List<String> anomalies(Collection<Transfer> rows, Map<Integer, Long> balances, long opening) {
        List<String> anomalies = new ArrayList<>();
        Set<String> found = new HashSet<>();
        for (Transfer row : rows) {
            Known known = transfers.get(row.id());
            if (!found.add(row.id())) {
                anomalies.add("duplicated: " + row);
            } else if (known == null) {
                anomalies.add("nobody asked for it: " + row);
            } else if (!known.transfer().equals(row)) {
                anomalies.add("altered: asked=" + known.transfer() + " found=" + row);
            } else if (known.outcome() == Outcome.REFUSED) {
                anomalies.add("refused, and there all the same: " + row);
            }
        }
        for (Known known : transfers.values()) {
            if (known.outcome() == Outcome.ACKNOWLEDGED
                    && !found.contains(known.transfer().id())) {
                anomalies.add("acknowledged and lost: " + known.transfer());
            }
        }
        checkBalances(rows, balances, opening, anomalies);
        return anomalies;
    }

    /** Each account holds what the rows say, hence nothing is made or lost: a transaction happens whole or not at all. */
    private static void checkBalances(
            Collection<Transfer> rows, Map<Integer, Long> balances, long opening, List<String> anomalies) {
        Map<Integer, Long> expected = new HashMap<>();
        balances.keySet().forEach(account -> expected.put(account, opening));
        for (Transfer row : rows) {
            expected.merge(row.from(), -row.amount(), Long::sum);
            expected.merge(row.to(), row.amount(), Long::sum);
        }
        if (!expected.equals(balances)) {
            anomalies.add("balances: expected=" + new TreeMap<>(expected) + " found=" + new TreeMap<>(balances));
        }
        long sum = balances.values().stream().mapToLong(Long::longValue).sum();
        if (sum != opening * balances.size()) {
            anomalies.add("sum of all accounts: expected=" + opening * balances.size() + " found=" + sum);
        }
    }
}

package io.spg99.tests.ledger;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The check is worth something only if it finds what is wrong: each anomaly, made by hand. */
class LedgerHistoryTest {

    private static final long OPENING = 100;

    private static final Transfer ACKNOWLEDGED = new Transfer(1, 1, 0, 1, 5);
    private static final Transfer LAST_ACKNOWLEDGED = new Transfer(1, 2, 1, 2, 7);
    private static final Transfer UNKNOWN_AND_DONE = new Transfer(2, 1, 2, 0, 1);
    private static final Transfer UNKNOWN_AND_NOT_DONE = new Transfer(2, 2, 2, 0, 2);
    private static final Transfer REFUSED = new Transfer(3, 1, 1, 0, 3);

    private final LedgerHistory history = new LedgerHistory();
    private final List<Transfer> rows = new ArrayList<>();
    private final Map<Integer, Long> balances = new HashMap<>(Map.of(0, 96L, 1, 98L, 2, 106L));

    @BeforeEach
    void aGoodRun() {
        for (Transfer transfer :
                List.of(ACKNOWLEDGED, LAST_ACKNOWLEDGED, UNKNOWN_AND_DONE, UNKNOWN_AND_NOT_DONE, REFUSED)) {
            history.asked(transfer);
        }
        history.acknowledged(ACKNOWLEDGED);
        history.acknowledged(LAST_ACKNOWLEDGED);
        history.refused(REFUSED);
        rows.addAll(List.of(ACKNOWLEDGED, LAST_ACKNOWLEDGED, UNKNOWN_AND_DONE));
    }

    private List<String> anomalies() {
        return history.anomalies(rows, balances, OPENING);
    }

    /** With the balances that belong to it, so that nothing else is found. */
    private void add(Transfer row) {
        rows.add(row);
        balances.merge(row.from(), -row.amount(), Long::sum);
        balances.merge(row.to(), row.amount(), Long::sum);
    }

    private void remove(Transfer row) {
        rows.remove(row);
        balances.merge(row.from(), row.amount(), Long::sum);
        balances.merge(row.to(), -row.amount(), Long::sum);
    }

    private void assertFound(String what) {
        List<String> found = anomalies();
        assertEquals(1, found.size(), found.toString());
        assertTrue(found.getFirst().startsWith(what), found.toString());
    }

    @Test
    void givenAGoodRun_thenThereIsNothingToSay() {
        assertEquals(List.of(), anomalies());
        assertEquals(2, history.acknowledged());
    }

    @Test
    void givenAnUnknownOutcome_thenBothWaysAreRight() {
        add(UNKNOWN_AND_NOT_DONE);
        assertEquals(List.of(), anomalies());
        remove(UNKNOWN_AND_DONE);
        assertEquals(List.of(), anomalies());
    }

    @Test
    void givenALostTransaction_thenItIsFound() {
        remove(LAST_ACKNOWLEDGED);
        assertFound("acknowledged and lost: Transfer[client=1, sequence=2");
    }

    @Test
    void givenADuplicatedTransaction_thenItIsFound() {
        add(ACKNOWLEDGED);
        assertFound("duplicated: Transfer[client=1, sequence=1");
    }

    @Test
    void givenARefusedTransactionThatHappened_thenItIsFound() {
        add(REFUSED);
        assertFound("refused, and there all the same");
    }

    @Test
    void givenATransactionOfNobody_thenItIsFound() {
        add(new Transfer(9, 1, 0, 1, 1));
        assertFound("nobody asked for it");
    }

    @Test
    void givenAnAlteredTransaction_thenItIsFound() {
        remove(ACKNOWLEDGED);
        add(new Transfer(1, 1, 0, 1, 6));
        assertFound("altered");
    }

    @Test
    void givenHalfATransaction_thenTheSumIsWrong() {
        balances.merge(1, -5L, Long::sum);
        List<String> found = anomalies();
        assertEquals(2, found.size(), found.toString());
        assertTrue(found.get(0).startsWith("balances"), found.toString());
        assertTrue(found.get(1).startsWith("sum of all accounts: expected=300 found=295"), found.toString());
    }

    @Test
    void givenAnEffectTwiceUnderOneRow_thenTheBalancesAreWrong() {
        balances.merge(0, -5L, Long::sum);
        balances.merge(1, 5L, Long::sum);
        assertFound("balances");
    }
}

package io.spg99.gateway.wire;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.buffer.UnpooledByteBufAllocator;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Both directions of a session, and what they tell about the work under way. */
class StreamsTest {

    private final RequestTracker tracker = new RequestTracker();
    private final FrontendReader reader = new FrontendReader();
    private final PlainRequests client = new PlainRequests(reader, tracker);
    /** What was not a whole message yet. */
    private final ByteBuf early = Unpooled.buffer();

    private final BackendStream backend = new BackendStream(tracker);

    private void says(ByteBuf... messages) {
        for (ByteBuf message : messages) {
            assertTrue(inspect(message));
        }
    }

    /** @return whether it is the protocol, so far */
    private boolean inspect(ByteBuf bytes) {
        early.writeBytes(bytes.duplicate());
        while (true) {
            switch (reader.next(early, early.readerIndex())) {
                case NEED_MORE -> {
                    early.discardReadBytes();
                    return true;
                }
                case MALFORMED -> {
                    return false;
                }
                case MESSAGE -> read(FrontendReader.Unit.MESSAGE);
                case HEAD -> read(FrontendReader.Unit.HEAD);
                case PART -> read(FrontendReader.Unit.PART);
            }
        }
    }

    private void read(FrontendReader.Unit unit) {
        client.read(unit, early, early.readerIndex());
        reader.advance();
        early.skipBytes(reader.length());
    }

    private String answers(ByteBuf... messages) {
        ByteBuf passed = backend.feed(Unpooled.wrappedBuffer(messages), UnpooledByteBufAllocator.DEFAULT);
        return Bytes.text(passed);
    }

    private static ByteBuf query(String sql) {
        return Bytes.message('Q', sql + "|");
    }

    private static ByteBuf parse(String name, String sql) {
        return Bytes.message('P', name + "|" + sql + "|||");
    }

    private static ByteBuf bind(String name) {
        return Bytes.message('B', "portal|" + name + "|||||||");
    }

    private static ByteBuf execute() {
        return Bytes.message('E', "portal|||||");
    }

    private static ByteBuf sync() {
        return Bytes.message('S', "");
    }

    private static ByteBuf ready(char status) {
        return Bytes.message('Z', String.valueOf(status));
    }

    private void inTransaction() {
        says(query("BEGIN"));
        assertFalse(tracker.mayCommit());
        answers(ready('T'));
    }

    // ---- requests in flight

    @Test
    void givenQueries_whenAnswered_thenNothingIsInFlight() {
        assertFalse(tracker.inFlight());
        says(query("SELECT 1"), query("SELECT 2"));
        answers(ready('I'));
        assertTrue(tracker.inFlight());
        answers(ready('I'));
        assertFalse(tracker.inFlight());
    }

    @Test
    void givenBatch_whenItsSyncIsAnswered_thenNothingIsInFlight() {
        says(parse("", "SELECT 1"));
        assertTrue(tracker.inFlight());
        says(bind(""), execute(), sync());
        answers(Bytes.message('1', ""), Bytes.message('2', ""), ready('I'));
        assertFalse(tracker.inFlight());
    }

    @Test
    void givenCopyInByExtendedProtocol_thenTheSyncThatTheBackendIgnoresIsNotWaitedFor() {
        says(parse("", "COPY t FROM STDIN"), bind(""), execute(), sync());
        answers(Bytes.message('G', "||"));
        assertFalse(tracker.backendBusy());
        says(Bytes.message('d', "1\n"), Bytes.message('c', ""), sync());
        answers(Bytes.message('C', "COPY 1|"), ready('I'));
        assertFalse(tracker.inFlight());
    }

    @Test
    void givenCopyInByQuery_whenItFails_thenNothingIsInFlight() {
        says(query("COPY t FROM STDIN"));
        answers(Bytes.message('G', "||"));
        says(Bytes.message('d', "1\n"), Bytes.message('f', "no|"));
        answers(Bytes.message('E', "SERROR|VERROR|C57014|Mno||"), ready('I'));
        assertFalse(tracker.inFlight());
    }

    @Test
    void givenTerminate_thenItIsKnown() {
        says(Bytes.message('X', ""));
        assertTrue(tracker.terminated());
    }

    // ---- what may commit

    @Test
    void givenIdle_thenAnyRequestMayCommitButBeginDoesNot() {
        for (String sql :
                List.of("INSERT INTO t VALUES (1)", "SELECT f()", "", "(SELECT 1)", "BEGIN; INSERT; COMMIT")) {
            StreamsTest fresh = new StreamsTest();
            fresh.says(query(sql));
            assertTrue(fresh.tracker.mayCommit(), sql);
        }
        for (String sql :
                List.of("BEGIN", " begin;", "START TRANSACTION READ ONLY", "/* a /* b */ c */ BEGIN", "-- x\nBEGIN;")) {
            StreamsTest fresh = new StreamsTest();
            fresh.says(query(sql));
            assertFalse(fresh.tracker.mayCommit(), sql);
        }
    }

    @Test
    void givenTransaction_thenOnlyWhatMayEndItMayCommit() {
        for (String sql : List.of(
                "INSERT INTO t VALUES (1)",
                "SELECT CASE WHEN true THEN 1 END",
                "ROLLBACK",
                "SELECT commit FROM t",
                "COMMITTED",
                "COMMIT_LOG",
                "SAVEPOINT a; INSERT INTO t VALUES ('x');")) {
            StreamsTest fresh = new StreamsTest();
            fresh.inTransaction();
            fresh.says(query(sql));
            assertFalse(fresh.tracker.mayCommit(), sql);
        }
        for (String sql : List.of(
                "COMMIT",
                "commit and chain",
                "/**/ END;",
                "--\nCOMMIT",
                "PREPARE TRANSACTION 'x'",
                "INSERT INTO t VALUES (1); COMMIT",
                "INSERT INTO t VALUES (1);/**/COMMIT",
                "ROLLBACK; INSERT INTO t VALUES (1)",
                ";;COMMIT")) {
            StreamsTest fresh = new StreamsTest();
            fresh.inTransaction();
            fresh.says(query(sql));
            assertTrue(fresh.tracker.mayCommit(), sql);
        }
    }

    @Test
    void givenTransactionOfPreparedStatements_thenTheBindOfCommitIsSeen() {
        says(parse("b", "BEGIN"), parse("i", "INSERT"), parse("c", "COMMIT"), sync());
        answers(ready('I'));
        says(bind("b"), execute(), bind("i"), execute(), sync());
        assertFalse(tracker.mayCommit());
        answers(ready('T'));
        says(bind("i"), execute(), sync());
        assertFalse(tracker.mayCommit());
        answers(ready('T'));
        says(bind("c"), execute(), sync());
        assertTrue(tracker.mayCommit());
        answers(ready('I'));
        assertFalse(tracker.mayCommit());
    }

    @Test
    void givenPipelineBehindACommit_thenItMayCommitUntilAllIsAnswered() {
        inTransaction();
        says(query("COMMIT"), query("SELECT 1"));
        answers(ready('I'));
        assertTrue(tracker.mayCommit());
        answers(ready('I'));
        assertFalse(tracker.mayCommit());
    }

    @Test
    void givenMoreNamedStatementsThanAreRemembered_thenAnyBindMayCommit() {
        for (int i = 0; i < 300; i++) {
            says(parse("s" + i, "COMMIT"));
        }
        says(sync());
        answers(ready('I'));
        inTransaction();
        says(bind("s299"));
        assertTrue(tracker.mayCommit());
    }

    // ---- malformed

    @Test
    void givenMessagesNoClientSends_thenMalformed() {
        assertFalse(inspect(Bytes.message('p', "x")));
        assertEquals("08P01", reader.error().sqlState());
        assertFalse(new StreamsTest().inspect(Bytes.message('!', "")));
        assertFalse(new StreamsTest().inspect(Unpooled.buffer().writeByte('S').writeInt(10_001)));
        assertFalse(new StreamsTest().inspect(Unpooled.buffer().writeByte('Q').writeInt(-1)));
        assertFalse(new StreamsTest().inspect(Unpooled.buffer().writeByte('d').writeInt(0x3fffffff)));
    }

    @Test
    void givenNoise_thenNeitherStreamFails() {
        Random random = new Random(5);
        for (int i = 0; i < 3_000; i++) {
            byte[] noise = new byte[1 + random.nextInt(80)];
            random.nextBytes(noise);
            StreamsTest fresh = new StreamsTest();
            fresh.inspect(Unpooled.wrappedBuffer(noise));
            fresh.backend
                    .feed(Unpooled.copiedBuffer(noise), UnpooledByteBufAllocator.DEFAULT)
                    .release();
            fresh.backend.release();
        }
    }

    // ---- splits

    @Test
    void givenEverySplitOfAConversation_thenTheSameIsSeenAndPassed() {
        ByteBuf sent = Unpooled.wrappedBuffer(
                parse("c", "/* x */ COMMIT"), bind("c"), execute(), sync(), query("INSERT INTO t VALUES (1)"));
        ByteBuf answered = Unpooled.wrappedBuffer(
                Bytes.message('1', ""),
                Bytes.message('N', "SWARNING|VWARNING|C01000|Mcareful||"),
                Bytes.message('D', "data of a row"),
                ready('I'),
                Bytes.message('E', "SERROR|VERROR|C22012|Mdivision by zero||"),
                ready('I'));
        String whole = Bytes.text(answered);
        for (int first = 1; first < Math.max(sent.readableBytes(), answered.readableBytes()); first++) {
            StreamsTest fresh = new StreamsTest();
            int cut = Math.min(first, sent.readableBytes() - 1);
            assertTrue(fresh.inspect(sent.slice(0, cut)));
            assertTrue(fresh.inspect(sent.slice(cut, sent.readableBytes() - cut)));
            assertTrue(fresh.tracker.mayCommit());
            cut = Math.min(first, answered.readableBytes() - 1);
            String passed = fresh.answers(answered.copy(0, cut))
                    + fresh.answers(answered.copy(cut, answered.readableBytes() - cut));
            assertEquals(whole, passed, "cut at " + cut);
            assertFalse(fresh.tracker.inFlight());
        }
    }

    // ---- what is kept from the client

    @Test
    void givenQuorumWaitBroken_thenNeitherTheWarningNorTheSuccessPasses() {
        says(query("INSERT INTO t VALUES (1)"));
        ByteBuf before = Bytes.message('D', "row");
        String passed = answers(
                before.copy(),
                Bytes.message(
                        'N', "SWARNING|VWARNING|C01000|Mcanceling wait|Dlocal|Fsyncrep.c|L1|RSyncRepWaitForLSN||"),
                Bytes.message('C', "INSERT 0 1|"),
                ready('I'));
        assertEquals(Bytes.text(before), passed);
        assertEquals(BackendStream.Verdict.COMMIT_UNKNOWN, backend.verdict());
    }

    @Test
    void givenFatal_thenItPassesUnlessACommitIsInFlight() {
        ByteBuf fatal = Bytes.message('E', "SFATAL|VFATAL|C57P01|Mterminating||");
        assertEquals(Bytes.text(fatal), answers(fatal.copy()));
        assertEquals(BackendStream.Verdict.FATAL_PASSED, backend.verdict());

        StreamsTest committing = new StreamsTest();
        committing.says(query("INSERT INTO t VALUES (1)"));
        assertEquals("", committing.answers(fatal.copy()));
        assertEquals(BackendStream.Verdict.COMMIT_UNKNOWN, committing.backend.verdict());
    }

    @Test
    void givenLongNotice_thenItPassesWhole() {
        ByteBuf notice = Bytes.message('N', "SNOTICE|VNOTICE|C00000|M" + "x".repeat(100_000) + "||");
        assertEquals(Bytes.text(notice), answers(notice.copy()));
    }
}

package io.spg99.storage.safekeeper;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.spg99.storage.StorageMessage;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;
import java.util.List;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.testkit.typed.javadsl.TestProbe;
import org.apache.pekko.actor.typed.ActorRef;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/** Every message travels as CBOR and comes back the same. */
class SerializationTest {

    private static final ActorTestKit KIT = ActorTestKit.create();
    private static final TimelineId TIMELINE = new TimelineId("00112233445566778899aabbccddeeff");
    private static final SafekeeperId SK = SafekeeperId.ALL.getFirst();
    private static final WalSource SOURCE = new WalSource(SK, "10.0.0.1", 6500);
    private static final WalHistory HISTORY =
            WalHistory.of(1, new Lsn(0x3000000)).append(4, Lsn.parse("FFFFFFFF/FFFFFFF8"));
    private static final Lsn END = Lsn.parse("FFFFFFFF/FFFFFFF8");

    @AfterAll
    static void stop() {
        KIT.shutdownTestKit();
    }

    private static void check(StorageMessage message) {
        StorageMessage copy = KIT.serializationTestKit().verifySerialization(message, false);
        assertEquals(message, copy);
    }

    private static void checkBase(TimelineBase expected, TimelineBase actual) {
        assertEquals(expected.timeline(), actual.timeline());
        assertEquals(expected.systemIdentifier(), actual.systemIdentifier());
        assertEquals(expected.segmentSize(), actual.segmentSize());
        assertEquals(expected.start(), actual.start());
        assertArrayEquals(expected.firstWal(), actual.firstWal());
    }

    @Test
    void givenEveryCommand_whenSerialized_thenItComesBackTheSame() {
        TestProbe<SafekeeperReply> probe = KIT.createTestProbe(SafekeeperReply.class);
        ActorRef<SafekeeperReply> asker = probe.getRef();
        check(new SafekeeperCommand.Promise(TIMELINE, 3, asker));
        check(new SafekeeperCommand.Establish(TIMELINE, 3, HISTORY, END, END, List.of(SOURCE), asker));
        check(new SafekeeperCommand.Attach(TIMELINE, 3, new WriterAddress("h", 1), List.of(SOURCE, SOURCE), asker));
        check(new SafekeeperCommand.QuorumPosition(TIMELINE, 3, END));
        check(new SafekeeperCommand.Trim(TIMELINE, 3, END));
        check(new SafekeeperCommand.Detach(TIMELINE, 3, asker));
        check(new SafekeeperCommand.GetPosition(TIMELINE, asker));
        check(new SafekeeperCommand.Delete(TIMELINE, asker));
        // Records with an array are equal only to themselves.
        TimelineBase base = new TimelineBase(TIMELINE, -5, 1 << 24, END, new byte[] {0, -1, 7});
        checkBase(base, KIT.serializationTestKit().verifySerialization(base, false));
        SafekeeperCommand.Create create = new SafekeeperCommand.Create(base, asker);
        checkBase(
                base,
                KIT.serializationTestKit().verifySerialization(create, false).base());
        SafekeeperCommand.Restore restore = new SafekeeperCommand.Restore(base, 3, true, asker);
        SafekeeperCommand.Restore copy = KIT.serializationTestKit().verifySerialization(restore, false);
        checkBase(base, copy.base());
        assertEquals(asker, copy.replyTo());
    }

    @Test
    void givenEveryReply_whenSerialized_thenItComesBackTheSame() {
        check(new SafekeeperReply.Created(SK, TIMELINE));
        check(new SafekeeperReply.Promised(SK, TIMELINE, 3, 2, HISTORY, END, END, SOURCE));
        check(new SafekeeperReply.Refused(SK, TIMELINE, 3, 4));
        check(new SafekeeperReply.UnknownTimeline(SK, TIMELINE));
        check(new SafekeeperReply.Established(SK, TIMELINE, 3, END));
        check(new SafekeeperReply.Position(SK, TIMELINE, 3, 3, END, true, true));
        check(new SafekeeperReply.Stranded(SK, TIMELINE, 3, END));
        check(new SafekeeperReply.Detached(SK, TIMELINE, 3));
        check(new SafekeeperReply.Restored(SK, TIMELINE, SOURCE));
        check(new SafekeeperReply.Deleted(SK, TIMELINE));
        check(new SafekeeperReply.Failed(SK, TIMELINE, "disk full"));
    }
}

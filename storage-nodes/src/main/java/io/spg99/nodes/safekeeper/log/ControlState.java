package io.spg99.nodes.safekeeper.log;

import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.CRC32C;

/**
 * Content of a timeline's control file.
 *
 * @param promised         WAL of a generation below this is never taken again
 * @param history          lineage of the WAL here; its last terms may have no byte yet
 * @param checkpoint       a record's end; everything before it was durable when this was written
 * @param checkpointRecord begin of the record that ends at {@code checkpoint}; zero if not known
 * @param limit            nothing at or after this belongs to the WAL, whatever the files hold; {@link #OPEN} while a writer
 *                         may be followed
 * @param headsFilled      first segments of the generations up to this one have their parent's bytes before the term's begin
 * @param established      generation that this WAL was last made ready for: it holds all that was decided before that one began
 * @param horizon          start of a segment; nothing before it is here any more. What is between it and {@code checkpoint} is whole, unless
 *                         they are equal: then it need not be where a record begins
 * @param restored         begun again after a loss, and what was lost is not known to be there again: no vote
 */
record ControlState(
        TimelineBase base,
        int promised,
        WalHistory history,
        Lsn checkpoint,
        Lsn checkpointRecord,
        Lsn limit,
        int headsFilled,
        int established,
        Lsn horizon,
        boolean restored) {

    static final Lsn OPEN = new Lsn(-1L);

    private static final int MAGIC = 0x53504757; // "SPGW"
    private static final int VERSION = 3;

    /** A history has as many terms as the database was started times, a term takes 12 bytes: far below this. */
    private static final int LONGEST = 64 << 20;

    private static final int MOST_FIRST_WAL = 8192;

    /** Nothing but what may be the rest of a record was durable when this was written. */
    boolean isAtHorizon() {
        return checkpoint.equals(horizon);
    }

    ControlState withPromised(int next) {
        return new ControlState(
                base, next, history, checkpoint, checkpointRecord, limit, headsFilled, established, horizon, restored);
    }

    ControlState withHistory(WalHistory next) {
        return new ControlState(
                base, promised, next, checkpoint, checkpointRecord, limit, headsFilled, established, horizon, restored);
    }

    ControlState withCheckpoint(Lsn end, Lsn record) {
        return new ControlState(
                base, promised, history, end, record, limit, headsFilled, established, horizon, restored);
    }

    ControlState withLimit(Lsn next) {
        return new ControlState(
                base,
                promised,
                history,
                checkpoint,
                checkpointRecord,
                next,
                headsFilled,
                established,
                horizon,
                restored);
    }

    ControlState withHeadsFilled(int next) {
        return new ControlState(
                base, promised, history, checkpoint, checkpointRecord, limit, next, established, horizon, restored);
    }

    /** The WAL ends at {@code end} and {@code generation} goes on from there. */
    ControlState withTerm(int generation, Lsn end) {
        return new ControlState(
                base,
                promised,
                history.upTo(end).append(generation, end),
                checkpoint,
                checkpointRecord,
                OPEN,
                headsFilled,
                generation,
                horizon,
                restored);
    }

    ControlState withVote(boolean votes) {
        return new ControlState(
                base,
                promised,
                history,
                checkpoint,
                checkpointRecord,
                limit,
                headsFilled,
                established,
                horizon,
                !votes);
    }

    ControlState withHorizon(Lsn next) {
        return new ControlState(
                base, promised, history, checkpoint, checkpointRecord, limit, headsFilled, established, next, restored);
    }

    byte[] encode() {
        byte[] timeline = base.timeline().value().getBytes(StandardCharsets.US_ASCII);
        List<WalHistory.Term> terms = history.terms();
        ByteBuffer out = ByteBuffer.allocate(136 + timeline.length + base.firstWal().length + 12 * terms.size());
        out.putInt(MAGIC).putInt(VERSION);
        out.putInt(timeline.length).put(timeline);
        out.putLong(base.systemIdentifier())
                .putInt(base.segmentSize())
                .putLong(base.start().value());
        out.putInt(base.firstWal().length).put(base.firstWal());
        out.putInt(promised);
        out.putInt(terms.size());
        for (WalHistory.Term term : terms) {
            out.putInt(term.generation()).putLong(term.begin().value());
        }
        out.putLong(checkpoint.value())
                .putLong(checkpointRecord.value())
                .putLong(limit.value())
                .putInt(headsFilled)
                .putInt(established)
                .putLong(horizon.value())
                .put((byte) (restored ? 1 : 0));
        CRC32C crc = new CRC32C();
        crc.update(out.array(), 0, out.position());
        out.putInt((int) crc.getValue());
        byte[] content = new byte[out.position()];
        out.flip().get(content);
        return content;
    }

    /** @throws LogFailedException if this is not a control file of a version known here, whole and unchanged */
    static ControlState decode(byte[] content) throws LogFailedException {
        if (content.length < 16 || content.length > LONGEST) {
            throw new LogFailedException("control file damaged: length=" + content.length, null);
        }
        ByteBuffer in = ByteBuffer.wrap(content);
        int magic = in.getInt();
        int version = in.getInt();
        if (magic != MAGIC || version != VERSION) {
            throw new LogFailedException(
                    "not a control file of version %d: magic=%x version=%d".formatted(VERSION, magic, version), null);
        }
        CRC32C crc = new CRC32C();
        crc.update(content, 0, content.length - Integer.BYTES);
        int stored = in.getInt(content.length - Integer.BYTES);
        if (stored != (int) crc.getValue()) {
            throw new LogFailedException(
                    "control file damaged: checksum=%x actual=%x".formatted(stored, (int) crc.getValue()), null);
        }
        in.limit(content.length - Integer.BYTES);
        try {
            return decodeFields(in);
        } catch (BufferUnderflowException | IllegalArgumentException e) {
            throw new LogFailedException("control file malformed: " + e.getMessage(), e);
        }
    }

    private static ControlState decodeFields(ByteBuffer in) {
        TimelineId timeline = new TimelineId(new String(bytes(in, 64), StandardCharsets.US_ASCII));
        long systemIdentifier = in.getLong();
        int segmentSize = in.getInt();
        Lsn start = new Lsn(in.getLong());
        byte[] firstWal = bytes(in, MOST_FIRST_WAL);
        int promised = in.getInt();
        int count = in.getInt();
        List<WalHistory.Term> terms = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            terms.add(new WalHistory.Term(in.getInt(), new Lsn(in.getLong())));
        }
        ControlState state = new ControlState(
                new TimelineBase(timeline, systemIdentifier, segmentSize, start, firstWal),
                promised,
                new WalHistory(terms),
                new Lsn(in.getLong()),
                new Lsn(in.getLong()),
                new Lsn(in.getLong()),
                in.getInt(),
                in.getInt(),
                new Lsn(in.getLong()),
                in.get() != 0);
        if (in.hasRemaining()) {
            throw new IllegalArgumentException("bytes left over: count=" + in.remaining());
        }
        return state;
    }

    private static byte[] bytes(ByteBuffer in, int most) {
        int length = in.getInt();
        if (length < 0 || length > most) {
            throw new IllegalArgumentException("length out of bounds: length=" + length + " most=" + most);
        }
        byte[] value = new byte[length];
        in.get(value);
        return value;
    }
}

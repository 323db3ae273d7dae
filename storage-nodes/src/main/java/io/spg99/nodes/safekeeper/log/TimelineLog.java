package io.spg99.nodes.safekeeper.log;

import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One timeline's WAL and promise on one Safekeeper: the place where rules W1, W2 and W3 are kept. Knows no actors, no
 * sockets and no clock, so that it can run in a simulation over any {@link WalDisk}.
 *
 * <p>All methods that change something hold this object's lock, also during the sync: a promise given while WAL is being
 * appended waits until that is over, and whoever appends for a lower generation afterwards is refused. {@link #view} and
 * {@link #read} take no lock.
 *
 * <p>What is durable is told by two things: the control file, replaced atomically, and the WAL itself, which proves by its
 * checksums where it ends. After a restart the WAL from the last checkpoint on is walked; what is found whole is written
 * and synced once more before it is believed, since the process may have died, or a sync have failed, with it in the page
 * cache only.
 */
public final class TimelineLog implements Closeable {

    /**
     * What others may see, at one moment.
     *
     * @param established generation that this WAL was last made ready for
     * @param history     lineage up to {@code flushed}, without empty terms
     * @param flushed     end of the last record of which every byte is durable; the horizon itself while a log is begun there
     * @param horizon     nothing before it is here
     */
    public record View(int promised, int established, WalHistory history, Lsn flushed, Lsn horizon) {

        public int generation() {
            return history.last().generation();
        }
    }

    /**
     * Whether there is room for more WAL.
     *
     * @param reserved  up to here WAL is taken whatever there is: a generation must be able to start
     * @param removable where the horizon would be, at the least, after a snapshot of what is here; zero if that is not known
     */
    private record Room(Lsn horizon, Lsn flushed, Lsn reserved, Lsn removable) {

        boolean isFull(long most) {
            return flushed.minus(horizon) >= most && !flushed.isBefore(reserved) && removable.isAfter(horizon);
        }
    }

    /** Segments that each generation may fill: with its first checkpoint and what is configured before it is ready. */
    private static final int RESERVED_SEGMENTS = 2;

    private static final int SCAN_CHUNK = 128 * 1024;

    private final WalDisk disk;

    /** As it is in the control file. */
    private ControlState control;

    /** Durable end of the last complete record. */
    private Lsn flushed;

    /** Begin of the record that ends at {@link #flushed}; zero if not known. */
    private Lsn flushedRecord;

    /** Where the next byte is to be appended; bytes between here and {@link #flushed} count only after a sync. */
    private Lsn written;

    /** Stands at {@link #written}. */
    private WalRecordWalker walker;

    /** Begin of the last checkpoint record that is durable, of those taken since the log was opened; zero if there was none. */
    private Lsn checkpoint = Lsn.ZERO;

    /** Begin of the one before it. */
    private Lsn checkpointBefore = Lsn.ZERO;

    /** Position from which a log begun again after a loss has a vote; null while that is not known. In memory only. */
    private @Nullable Lsn votesFrom;

    /** Why nothing works any more; null as long as it does. */
    private @Nullable LogFailedException failure;

    private volatile View view;

    private volatile Room room;

    private TimelineLog(WalDisk disk, ControlState control, Lsn flushed, Lsn flushedRecord) {
        this.disk = disk;
        this.control = control;
        this.flushed = flushed;
        this.flushedRecord = flushedRecord;
        this.written = flushed;
        this.walker = newWalker(control, flushed, flushedRecord);
        this.view = currentView();
        this.room = currentRoom();
    }

    /** Begins a new timeline on an empty disk. */
    public static TimelineLog create(WalDisk disk, TimelineBase base) throws IOException {
        return create(disk, base, TimelineBase.CREATION, false);
    }

    /**
     * Begins a timeline again whose disk was lost. It has promised {@code generation} and has no say until
     * {@link #voteFrom} is satisfied.
     */
    public static TimelineLog restore(WalDisk disk, TimelineBase base, int generation) throws IOException {
        return create(disk, base, generation, true);
    }

    /**
     * A log that was created, and never established, turns out to stand where one was lost: a Create came late. From now on
     * it is as if it had been restored.
     */
    public synchronized void disown() throws IOException {
        checkUsable();
        if (control.established() == TimelineBase.CREATION && !control.restored()) {
            save(control.withVote(false));
        }
    }

    private static TimelineLog create(WalDisk disk, TimelineBase base, int promised, boolean restored)
            throws IOException {
        WalRecordWalker walker = new WalRecordWalker(
                base.systemIdentifier(), base.segmentSize(), base.history(), base.start(), Lsn.ZERO);
        walker.accept(ByteBuffer.wrap(base.firstWal()));
        if (!walker.recordEnd().equals(base.end())) {
            throw new MalformedWalException(base.end(), "the first WAL does not end with a record");
        }
        disk.write(
                new Segment(TimelineBase.CREATION, base.start().segment(base.segmentSize())),
                base.start().offset(base.segmentSize()),
                ByteBuffer.wrap(base.firstWal()));
        disk.sync();
        ControlState control = new ControlState(
                base,
                promised,
                base.history(),
                base.end(),
                walker.lastRecord(),
                base.end(),
                TimelineBase.CREATION,
                TimelineBase.CREATION,
                base.start(),
                restored);
        disk.writeControl(control.encode());
        return new TimelineLog(disk, control, base.end(), walker.lastRecord());
    }

    /**
     * Opens what is on a disk; null if there is no timeline.
     *
     * @throws LogFailedException if the control file is damaged
     */
    public static @Nullable TimelineLog open(WalDisk disk) throws IOException {
        byte[] content = disk.readControl();
        if (content == null) {
            return null;
        }
        ControlState control = ControlState.decode(content);
        disk.removeBefore(control.horizon().segment(control.base().segmentSize()));
        // What follows a horizon may be the rest of a record, of which a scan could not tell whether it is whole.
        if (control.limit().equals(control.checkpoint()) || control.isAtHorizon()) {
            return new TimelineLog(disk, control, control.checkpoint(), control.checkpointRecord());
        }
        return recover(disk, control);
    }

    private static TimelineLog recover(WalDisk disk, ControlState control) throws IOException {
        WalRecordWalker walker = newWalker(control, control.checkpoint(), control.checkpointRecord());
        ByteBuffer chunk = ByteBuffer.allocate(SCAN_CHUNK);
        Lsn next = control.checkpoint();
        boolean whole = true;
        while (whole && next.isBefore(control.limit())) {
            chunk.clear();
            int length = readAlong(disk, control, next, control.limit(), chunk);
            chunk.flip();
            next = next.plus(length);
            try {
                walker.accept(chunk);
                whole = length > 0;
            } catch (MalformedWalException e) {
                // The end of the WAL: whatever follows was never acknowledged.
                whole = false;
            }
        }
        Lsn end = walker.recordEnd();
        rewrite(disk, control, end);
        ControlState recovered = control.withCheckpoint(end, walker.lastRecord());
        disk.writeControl(recovered.encode());
        return new TimelineLog(disk, recovered, end, walker.lastRecord());
    }

    /** Writes and syncs what the scan found, which may have been in the page cache only. */
    private static void rewrite(WalDisk disk, ControlState control, Lsn end) throws IOException {
        ByteBuffer chunk = ByteBuffer.allocate(SCAN_CHUNK);
        Lsn next = control.checkpoint();
        while (next.isBefore(end)) {
            chunk.clear();
            int length = readAlong(disk, control, next, end, chunk);
            if (length == 0) {
                throw new LogFailedException("WAL gone while it was being recovered: at=" + next, null);
            }
            chunk.flip();
            writeAlong(disk, control, next, chunk);
            next = next.plus(length);
        }
        disk.sync();
    }

    private static WalRecordWalker newWalker(ControlState control, Lsn end, Lsn record) {
        TimelineBase base = control.base();
        return end.equals(control.horizon()) && record.equals(Lsn.ZERO)
                ? WalRecordWalker.fromSegment(base.systemIdentifier(), base.segmentSize(), control.history(), end)
                : new WalRecordWalker(base.systemIdentifier(), base.segmentSize(), control.history(), end, record);
    }

    public TimelineBase base() {
        return control.base();
    }

    public View view() {
        return view;
    }

    /**
     * As much WAL is here as may be: no more should be taken from a writer before a snapshot has moved the horizon. Never true
     * before there is what such a snapshot can be made of: it would have to be waited for for ever. Takes no lock.
     *
     * @param most bytes from the horizon on
     */
    public boolean isFull(long most) {
        return room.isFull(most);
    }

    /** The lineage with its last term, even if that has no byte yet. */
    public synchronized WalHistory lineage() {
        return control.history();
    }

    private View currentView() {
        return new View(
                control.promised(), control.established(), control.history().upTo(flushed), flushed, control.horizon());
    }

    /**
     * Checkpoints are made one after the other: redo from the last one begins after the record of the one before it. So a
     * snapshot that ends with the last one needs nothing from before that record's segment.
     */
    private Room currentRoom() {
        int segmentSize = control.base().segmentSize();
        return new Room(
                control.horizon(),
                flushed,
                control.history().last().begin().plus((long) RESERVED_SEGMENTS * segmentSize),
                checkpointBefore.segmentStart(segmentSize));
    }

    private void show() {
        view = currentView();
        room = currentRoom();
    }

    private void noteCheckpoints() {
        if (walker.checkpoint().isAfter(checkpoint)) {
            checkpointBefore = Lsn.max(checkpoint, walker.checkpointBefore());
            checkpoint = walker.checkpoint();
        }
    }

    /** What was known of checkpoints may have been cut off. */
    private void forgetCheckpoints() {
        checkpoint = Lsn.ZERO;
        checkpointBefore = Lsn.ZERO;
    }

    /**
     * Promises never to take WAL from a generation below {@code generation} again. On return the promise is durable, and
     * so is every byte before the position in the answer (W1).
     *
     * @throws SupersededException if a higher generation holds the promise, or this one was established already: the asker
     *                             needs a higher one
     */
    public synchronized View promise(int generation) throws IOException {
        checkUsable();
        int promised = control.promised();
        if (generation < promised || control.history().last().generation() >= generation) {
            throw new SupersededException(generation, promised);
        }
        if (generation > promised) {
            flush();
            votesFrom = null;
            save(control.withPromised(generation)
                    .withCheckpoint(flushed, flushedRecord)
                    .withLimit(flushed));
            rewind();
        }
        return view;
    }

    /**
     * Makes this log, promised to {@code generation}, ready for {@code history} up to {@code end}: cuts off what is not part of it. What is then missing, from the
     * answer on, has to be appended, flushed and confirmed by {@link #established}.
     *
     * <p>That it is ready is durable: should the generation end before it wrote anything, the choice that was made for it
     * still outweighs what it has left out, wherever that may turn up again.
     *
     * <p>What is missing from before {@code horizon} is not brought: it is in object storage, below a published snapshot (W3,
     * W6). The log is begun again there then, be it in the middle of what {@code generation} has written.
     *
     * @param horizon start of a segment, not after the quorum position
     * @return position up to which the WAL is there; {@code end} if nothing is missing
     */
    public synchronized Lsn establish(int generation, WalHistory history, Lsn end, Lsn horizon) throws IOException {
        checkUsable();
        checkPromise(generation);
        if (isEstablished(generation)) {
            Lsn begin = control.history().last().begin();
            if (begin.equals(end) && control.history().upTo(end).equals(history.upTo(end))) {
                if (flushed.isBefore(horizon)) {
                    beginAtHorizon(generation, history, end, horizon);
                }
                return end;
            }
            throw new LogFailedException(
                    "generation=" + generation + " was established up to " + begin + ", not " + end, null);
        }
        Lsn common = history.commonEnd(end, view.history(), flushed);
        if (common.isBefore(horizon)) {
            return beginAtHorizon(generation, history, end, horizon);
        }
        if (common.isBefore(control.horizon())) {
            throw new LogFailedException("nothing in common with the history: " + history, null);
        }
        // The limit is durable before any other byte is taken: a later scan cannot find again what is cut off now.
        Lsn record = common.isBefore(flushed) ? Lsn.ZERO : flushedRecord;
        ControlState cut = control.withHistory(history.upTo(end))
                .withCheckpoint(common, record)
                .withLimit(end);
        boolean whole = common.equals(end);
        save(whole ? cut.withTerm(generation, end) : cut);
        if (common.isBefore(flushed)) {
            forgetCheckpoints();
        }
        flushed = common;
        flushedRecord = record;
        rewind();
        return common;
    }

    private Lsn beginAtHorizon(int generation, WalHistory history, Lsn end, Lsn horizon) throws IOException {
        ControlState begun = control.withHistory(history.upTo(end))
                .withHorizon(horizon)
                .withCheckpoint(horizon, Lsn.ZERO)
                .withLimit(end);
        boolean whole = !horizon.isBefore(end);
        save(whole ? begun.withTerm(generation, end) : begun);
        forgetCheckpoints();
        flushed = horizon;
        flushedRecord = Lsn.ZERO;
        rewind();
        removeBeforeHorizon();
        return Lsn.min(horizon, end);
    }

    private void removeBeforeHorizon() throws IOException {
        try {
            disk.removeBefore(control.horizon().segment(control.base().segmentSize()));
        } catch (IOException e) {
            throw fail("cannot remove old WAL", e);
        }
    }

    /**
     * Removes WAL before {@code horizon}, if this log is established for {@code generation}: it is archived, and a published
     * snapshot lies beyond it (W6). Who has to be established for the generation later, or lags, begins at the horizon.
     *
     * @return where the WAL begins now
     */
    public synchronized Lsn trim(int generation, Lsn horizon) throws IOException {
        checkUsable();
        checkPromise(generation);
        if (!isEstablished(generation)) {
            return control.horizon();
        }
        int segmentSize = control.base().segmentSize();
        Lsn next = Lsn.min(horizon, flushed).segmentStart(segmentSize);
        if (next.isAfter(control.horizon())) {
            flush();
            // What is durable is recorded: a scan after a crash must not begin before the horizon.
            save(control.withHorizon(next).withCheckpoint(flushed, flushedRecord));
            removeBeforeHorizon();
        }
        return control.horizon();
    }

    /** Confirms that what {@link #establish} missed is there now. */
    public synchronized void established(int generation, Lsn end) throws IOException {
        checkUsable();
        checkPromise(generation);
        if (!flushed.equals(end)) {
            throw new LogFailedException("established up to " + flushed + " instead of " + end, null);
        }
        save(control.withCheckpoint(flushed, flushedRecord).withTerm(generation, end));
    }

    /**
     * The writer of {@code generation} had WAL up to {@code position} after every former connection of this Safekeeper to it
     * had ended. A log begun again after a loss has a vote once it has all of that: what was acknowledged with the help of
     * the lost disk is no longer missing. To be established is not enough: commits may have followed.
     */
    public synchronized void voteFrom(int generation, Lsn position) throws IOException {
        checkUsable();
        checkPromise(generation);
        votesFrom = position;
        voteIfCaughtUp();
    }

    private void voteIfCaughtUp() throws IOException {
        Lsn from = votesFrom;
        if (control.restored() && from != null && !flushed.isBefore(from)) {
            save(control.withVote(true));
        }
    }

    /** True after {@link #restore} until everything that could be missing is there: nothing said about it counts. */
    public synchronized boolean isRestored() {
        return control.restored();
    }

    public synchronized boolean isEstablished(int generation) {
        return control.history().last().generation() == generation;
    }

    /**
     * Opens the log for WAL of {@code generation}, which it is established for. Repeated for every stream.
     *
     * @return where the stream has to begin
     */
    public synchronized Lsn follow(int generation) throws IOException {
        checkUsable();
        checkPromise(generation);
        if (!isEstablished(generation)) {
            throw new IllegalStateException("generation=" + generation + " was not established");
        }
        if (!control.limit().equals(ControlState.OPEN)) {
            save(control.withLimit(ControlState.OPEN));
        }
        rewind();
        return flushed;
    }

    /** Ends a stream in order: what is durable is recorded, so that the next start has nothing to scan. */
    public synchronized void rest() throws IOException {
        checkUsable();
        flush();
        fillHeads(true);
        save(control.withCheckpoint(flushed, flushedRecord).withLimit(flushed));
        rewind();
    }

    /**
     * Takes WAL of, or fetched on behalf of, {@code generation}.
     *
     * @throws SupersededException   if a higher generation was promised meanwhile (W2)
     * @throws MalformedWalException if it is not the WAL that belongs here; {@link #follow} begins anew
     */
    public synchronized void append(int generation, Lsn at, ByteBuffer bytes) throws IOException {
        checkUsable();
        checkPromise(generation);
        if (!at.equals(written)) {
            throw new MalformedWalException(at, "gap in the stream: expected=" + written);
        }
        Lsn end = at.plus(bytes.remaining());
        if (end.isAfter(control.limit())) {
            throw new MalformedWalException(at, "WAL beyond the limit: end=" + end + " limit=" + control.limit());
        }
        walker.accept(bytes.duplicate());
        try {
            writeAlong(disk, control, at, bytes);
        } catch (IOException e) {
            throw fail("cannot write WAL", e);
        }
        written = end;
    }

    /**
     * Makes everything appended durable. A failed sync is never repeated: what it left on the disk is unknown.
     *
     * @return end of the last record of which every byte is durable
     */
    public synchronized Lsn flush() throws IOException {
        checkUsable();
        if (written.equals(flushed)) {
            return flushed;
        }
        try {
            disk.sync();
        } catch (IOException e) {
            throw fail("cannot sync WAL", e);
        }
        int segmentSize = control.base().segmentSize();
        boolean begun = control.isAtHorizon() && walker.recordEnd().isAfter(flushed);
        boolean segmentDone = flushed.segment(segmentSize) != walker.recordEnd().segment(segmentSize);
        flushed = walker.recordEnd();
        flushedRecord = walker.lastRecord();
        noteCheckpoints();
        show();
        if (segmentDone) {
            fillHeads(false);
        }
        if (segmentDone || begun) {
            save(control.withCheckpoint(flushed, flushedRecord));
        }
        voteIfCaughtUp();
        return flushed;
    }

    /**
     * Copies the parent's bytes into the segments in which generations began, so that the files are what PostgreSQL would
     * have written. Reading never needs them, hence not before a generation's first segment is full, or its writer gone.
     */
    private void fillHeads(boolean over) throws IOException {
        int segmentSize = control.base().segmentSize();
        List<WalHistory.Term> terms = control.history().upTo(flushed).terms();
        int filled = control.headsFilled();
        for (WalHistory.Term term : terms) {
            boolean last = term.equals(terms.getLast());
            boolean full = flushed.segment(segmentSize) > term.begin().segment(segmentSize);
            if (term.generation() > filled && (!last || full || over)) {
                if (!term.begin().segmentStart(segmentSize).isBefore(control.horizon())) {
                    fillHead(term, segmentSize);
                }
                filled = term.generation();
            }
        }
        control = control.withHeadsFilled(filled);
    }

    private void fillHead(WalHistory.Term term, int segmentSize) throws IOException {
        Segment segment = new Segment(term.generation(), term.begin().segment(segmentSize));
        Lsn next = term.begin().segmentStart(segmentSize);
        ByteBuffer chunk = ByteBuffer.allocate(SCAN_CHUNK);
        try {
            while (next.isBefore(term.begin())) {
                chunk.clear();
                int length = readAlong(disk, control, next, term.begin(), chunk);
                if (length == 0) {
                    throw new IOException("WAL missing: at=" + next);
                }
                chunk.flip();
                disk.write(segment, next.offset(segmentSize), chunk);
                next = next.plus(length);
            }
            disk.sync();
        } catch (IOException e) {
            throw fail("cannot complete the first segment of generation=" + term.generation(), e);
        }
    }

    /**
     * Reads durable WAL along {@code lineage}, without lock.
     *
     * @param end no byte at or after this is read
     * @return number of bytes read, 0 only if the WAL is not there
     */
    public int read(WalHistory lineage, Lsn from, Lsn end, ByteBuffer into) throws IOException {
        return readAlong(disk, lineage, base().segmentSize(), from, end, into);
    }

    private static int readAlong(WalDisk disk, ControlState control, Lsn from, Lsn end, ByteBuffer into)
            throws IOException {
        return readAlong(disk, control.history(), control.base().segmentSize(), from, end, into);
    }

    private static int readAlong(WalDisk disk, WalHistory lineage, int segmentSize, Lsn from, Lsn end, ByteBuffer into)
            throws IOException {
        int total = 0;
        Lsn next = from;
        Lsn stop = Lsn.min(end, from.plus(into.remaining()));
        while (next.isBefore(stop)) {
            ByteBuffer part = into.slice(into.position(), (int) partLength(lineage, segmentSize, next, stop));
            Segment segment = new Segment(lineage.generationAt(next), next.segment(segmentSize));
            int read = disk.read(segment, next.offset(segmentSize), part);
            into.position(into.position() + read);
            next = next.plus(read);
            total += read;
            if (part.hasRemaining()) {
                break;
            }
        }
        return total;
    }

    private static void writeAlong(WalDisk disk, ControlState control, Lsn at, ByteBuffer bytes) throws IOException {
        int segmentSize = control.base().segmentSize();
        Lsn next = at;
        while (bytes.hasRemaining()) {
            long length = partLength(control.history(), segmentSize, next, next.plus(bytes.remaining()));
            ByteBuffer part = bytes.slice(bytes.position(), (int) length);
            Segment segment = new Segment(control.history().generationAt(next), next.segment(segmentSize));
            disk.write(segment, next.offset(segmentSize), part);
            bytes.position(bytes.position() + (int) length);
            next = next.plus(length);
        }
    }

    /** Bytes from {@code from} on that are in one segment and of one generation. */
    private static long partLength(WalHistory lineage, int segmentSize, Lsn from, Lsn end) {
        long inSegment = (long) segmentSize - from.offset(segmentSize);
        return Math.min(inSegment, lineage.termEnd(from, end).minus(from));
    }

    /** Forgets what was appended and not flushed: the next stream begins at the flushed position. */
    private void rewind() {
        written = flushed;
        walker = newWalker(control, flushed, flushedRecord);
        show();
    }

    private void save(ControlState next) throws IOException {
        try {
            disk.writeControl(next.encode());
        } catch (IOException e) {
            throw fail("cannot write the control file", e);
        }
        control = next;
        show();
    }

    private void checkUsable() throws LogFailedException {
        LogFailedException reason = failure;
        if (reason != null) {
            throw new LogFailedException(String.valueOf(reason.getMessage()), reason);
        }
    }

    private void checkPromise(int generation) throws SupersededException {
        if (generation != control.promised()) {
            throw new SupersededException(generation, control.promised());
        }
    }

    private LogFailedException fail(String what, IOException cause) {
        LogFailedException reason = new LogFailedException(what + ": " + cause.getMessage(), cause);
        failure = reason;
        return reason;
    }

    public synchronized boolean failed() {
        return failure != null;
    }

    @Override
    public synchronized void close() throws IOException {
        if (failure == null) {
            failure = new LogFailedException("closed", null);
        }
        disk.close();
    }
}

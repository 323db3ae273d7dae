package io.spg99.storage.replication;

import io.spg99.storage.wal.Lsn;
import java.io.Closeable;
import org.jspecify.annotations.Nullable;

/**
 * Port: one physical replication connection. Blocking, for one thread; only {@link #cut} may be called by another.
 *
 * <pre>
 * IDENTIFY_SYSTEM                              -> identify()
 * CREATE_REPLICATION_SLOT x TEMPORARY PHYSICAL -> claim()
 * CREATE_REPLICATION_SLOT x PHYSICAL           -> ensureSlot()
 * READ_REPLICATION_SLOT x                      -> slotPosition()
 * START_REPLICATION PHYSICAL X/X TIMELINE n    -> start(), startWithSlot(), then receive() and poll() until null and ended
 * standby status update                        -> status(), confirm()
 * </pre>
 */
public interface ReplicationConnection extends Closeable {

    /** What IDENTIFY_SYSTEM says. */
    record Identity(long systemIdentifier, int generation, Lsn position) {}

    /** Makes connections. */
    @FunctionalInterface
    interface Connector {
        ReplicationConnection open(ReplicationTarget target) throws ReplicationException;
    }

    Identity identify() throws ReplicationException;

    /**
     * Makes sure that no other connection speaks as {@code name} to this PostgreSQL, until this one ends. To be called before
     * {@link #start} by whoever counts in {@code synchronous_standby_names}: PostgreSQL counts connections there, not names,
     * so one standby that reconnects while its former connection is still half open would be taken for two.
     *
     * @throws ReplicationException if another one is there still
     */
    void claim(String name) throws ReplicationException;

    /** Makes the physical slot {@code name}, which keeps WAL from the server's last checkpoint on, unless there is one. */
    void ensureSlot(String name) throws ReplicationException;

    /** From where on the server keeps WAL for the slot {@code name}; null if there is no such slot, or it keeps none. */
    @Nullable
    Lsn slotPosition(String name) throws ReplicationException;

    /** Begins the stream at {@code from}, of the lineage whose last term is {@code generation}. */
    void start(Lsn from, int generation) throws ReplicationException;

    /**
     * The same as the only user of the slot {@code name}, which moves to what is told by {@link #confirm} from then on.
     *
     * @throws ReplicationException also if another connection uses it
     */
    void startWithSlot(String name, Lsn from, int generation) throws ReplicationException;

    /** Waits for the next message; null when the server has ended the stream. */
    @Nullable
    ReplicationMessage receive() throws ReplicationException;

    /** The next message if one has begun to arrive, else null. */
    @Nullable
    ReplicationMessage poll() throws ReplicationException;

    /** Tells the server, at once, that everything before {@code flushed} is durable here. */
    void status(Lsn flushed) throws ReplicationException;

    /** As {@link #status}, and waits until the server has taken note of it; WAL that comes meanwhile is dropped. */
    void confirm(Lsn flushed) throws ReplicationException;

    /** Breaks the connection at once; whoever is blocked in it gets an exception. For any thread. */
    void cut();

    /** Drops the connection without a farewell: the stream may be in any state. */
    @Override
    void close();
}

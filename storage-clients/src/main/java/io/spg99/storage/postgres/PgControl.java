package io.spg99.storage.postgres;

import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.zip.CRC32C;

/**
 * PostgreSQL's control file, {@code global/pg_control}, in the layout of PostgreSQL 17 on 64-bit little-endian machines
 * (catalog/pg_control.h): a struct with a CRC-32C behind it, padded to 8 kB.
 */
public final class PgControl {

    /** PG_CONTROL_VERSION of PostgreSQL 17. */
    public static final int CONTROL_VERSION = 1700;

    /** CATALOG_VERSION_NO of PostgreSQL 17. */
    public static final int CATALOG_VERSION = 202406281;

    /** MOCK_AUTH_NONCE_LEN. */
    public static final int NONCE_LENGTH = 32;

    private static final int FILE_SIZE = 8192;
    private static final int SYSTEM_IDENTIFIER = 0;
    private static final int VERSION = 8;
    private static final int CATALOG = 12;
    private static final int STATE = 16;
    private static final int CHECKPOINT = 32;
    private static final int REDO = 40;
    private static final int TIMELINE = 48;
    private static final int SEGMENT_SIZE = 228;
    private static final int NONCE = 256;
    private static final int CRC = NONCE + NONCE_LENGTH;

    private static final int WAL_PAGE = 8192;
    private static final int CHECKPOINT_RECORD = 120;

    /** DB_SHUTDOWNED. */
    private static final int SHUT_DOWN = 1;

    /** DB_SHUTDOWNED_IN_RECOVERY. */
    private static final int SHUT_DOWN_IN_RECOVERY = 2;

    private final ByteBuffer bytes;

    private PgControl(ByteBuffer bytes) {
        this.bytes = bytes;
    }

    /** @throws IOException if it is missing, damaged, or of another version */
    public static PgControl read(Path pgdata) throws IOException {
        Path file = file(pgdata);
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        if (bytes.capacity() != FILE_SIZE) {
            throw new IOException("pg_control has the wrong size: file=" + file + " expected=" + FILE_SIZE + " actual="
                    + bytes.capacity());
        }
        int version = bytes.getInt(VERSION);
        int catalog = bytes.getInt(CATALOG);
        if (version != CONTROL_VERSION || catalog != CATALOG_VERSION) {
            throw new IOException("pg_control of another PostgreSQL version: file=" + file + " expected="
                    + CONTROL_VERSION + "/" + CATALOG_VERSION + " actual=" + version + "/" + catalog);
        }
        if (bytes.getInt(CRC) != crc(bytes)) {
            throw new IOException("pg_control is damaged (checksum): file=" + file);
        }
        return new PgControl(bytes);
    }

    public long systemIdentifier() {
        return bytes.getLong(SYSTEM_IDENTIFIER);
    }

    /** Where the last checkpoint record begins. */
    public Lsn checkpoint() {
        return new Lsn(bytes.getLong(CHECKPOINT));
    }

    /**
     * Where the WAL of a server ends that was shut down in order: behind the last checkpoint record, 114 bytes long and filled
     * up to a multiple of 8, with the header of the page on which it goes on if it crosses one.
     */
    public Lsn shutdownEnd() {
        Lsn begin = checkpoint();
        int inPage = (int) (begin.value() & (WAL_PAGE - 1));
        if (inPage + CHECKPOINT_RECORD <= WAL_PAGE) {
            return begin.plus(CHECKPOINT_RECORD);
        }
        Lsn nextPage = begin.plus(WAL_PAGE - inPage);
        int header = nextPage.offset(segmentSize()) == 0 ? WalFiles.LONG_HEADER : WalFiles.SHORT_HEADER;
        return begin.plus(CHECKPOINT_RECORD + header);
    }

    /** Where redo from that checkpoint begins. */
    public Lsn redo() {
        return new Lsn(bytes.getLong(REDO));
    }

    /** TLI of the last checkpoint. */
    public int timeline() {
        return bytes.getInt(TIMELINE);
    }

    /** WAL segment size in bytes. */
    public int segmentSize() {
        return bytes.getInt(SEGMENT_SIZE);
    }

    /** True if the cluster was shut down in order. */
    public boolean isShutDown() {
        return bytes.getInt(STATE) == SHUT_DOWN;
    }

    /** True if a server in recovery was shut down in order. */
    public boolean isShutDownInRecovery() {
        return bytes.getInt(STATE) == SHUT_DOWN_IN_RECOVERY;
    }

    /**
     * Writes this content to {@code pgdata} under another identity.
     *
     * @param nonce what the server derives SCRAM challenges for unknown users from; 32 random bytes, secret
     */
    public void writeAs(Path pgdata, long systemIdentifier, byte[] nonce) throws IOException {
        if (nonce.length != NONCE_LENGTH) {
            throw new IllegalArgumentException(
                    "nonce of a wrong length: expected=" + NONCE_LENGTH + " actual=" + nonce.length);
        }
        ByteBuffer changed = ByteBuffer.allocate(FILE_SIZE).order(ByteOrder.LITTLE_ENDIAN);
        changed.put(0, bytes, 0, FILE_SIZE);
        changed.putLong(SYSTEM_IDENTIFIER, systemIdentifier);
        changed.put(NONCE, nonce);
        changed.putInt(CRC, crc(changed));
        Files.write(file(pgdata), changed.array(), StandardOpenOption.WRITE);
    }

    private static Path file(Path pgdata) {
        return pgdata.resolve("global").resolve("pg_control");
    }

    private static int crc(ByteBuffer bytes) {
        CRC32C crc = new CRC32C();
        crc.update(bytes.slice(0, CRC));
        return (int) crc.getValue();
    }
}

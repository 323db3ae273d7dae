package io.spg99.compute.generation;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.spg99.storage.wal.Lsn;
import java.util.Optional;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What PostgreSQL 17 says where it finds no more WAL. */
class EndOfWalTest {

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "[7] startup LOG:  invalid record length at 0/8EF53F8: expected at least 24, got 0 | 0/8EF53F8",
                "LOG:  invalid magic number 0000 in WAL segment 000000020000000000000008, LSN 0/8EF6000, offset 8 | 0/8EF6000",
                "LOG:  unexpected pageaddr 0/1 in WAL segment 000000020000000000000008, LSN 1/A, offset 0 | 1/A",
                "LOG:  incorrect resource manager data checksum in record at 0/123 | 0/123",
                "LOG:  record with incorrect prev-link 0/0 at 0/456 | 0/456",
                "LOG:  invalid resource manager ID 72 at 0/789 | 0/789"
            })
    void itsPositionIsRead(String line, String position) {
        assertEquals(Optional.of(Lsn.parse(position)), ComputeNode.endOfWal(line));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "LOG:  database system is ready to accept connections",
                "LOG:  redo starts at 0/14000A0",
                "ERROR:  invalid record length at 0/8EF53F8: said by a tenant's function"
            })
    void nothingElseIs(String line) {
        assertEquals(Optional.empty(), ComputeNode.endOfWal(line));
    }
}

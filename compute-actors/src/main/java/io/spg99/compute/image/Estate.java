package io.spg99.compute.image;

import com.github.luben.zstd.ZstdInputStream;
import com.github.luben.zstd.ZstdOutputStream;
import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveInputStream;
import org.apache.commons.compress.archivers.tar.TarArchiveOutputStream;

/**
 * What a writer that stopped in order leaves to the next one besides its WAL: the statistics file, which PostgreSQL writes when
 * it shuts down, and the free space maps that changed, which it does not write to the WAL. One object,
 * {@code timelines/<id>/estate/<end>}, of use to a generation that begins at exactly that end of the WAL and to no other.
 */
final class Estate {

    private static final String STATISTICS = "pg_stat/pgstat.stat";
    private static final Pattern FREE_SPACE_MAP = Pattern.compile("(base/[0-9]+|global)/[0-9]+_fsm(\\.[0-9]+)?");

    /** Of all that is left: it delays the stop. Beyond it are the free space maps of some 50 GB of changed tables. */
    private static final long MOST_BYTES = 16 << 20;

    private final ObjectStore objects;
    private final String prefix;

    Estate(ObjectStore objects, TimelineId timeline) {
        this.objects = objects;
        this.prefix = "timelines/" + timeline + "/estate/";
    }

    private String key(Lsn end) {
        return prefix + "%016X".formatted(end.value());
    }

    /** @param end where the WAL of the writer ends that has shut down in {@code pgdata} */
    void take(Lsn end, Path pgdata) throws IOException {
        List<String> before = objects.list(prefix);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (TarArchiveOutputStream tar = new TarArchiveOutputStream(new ZstdOutputStream(bytes))) {
            long total = 0;
            for (Path file : changed(pgdata)) {
                long size = Files.size(file);
                total += size;
                if (total <= MOST_BYTES) {
                    TarArchiveEntry entry =
                            new TarArchiveEntry(pgdata.relativize(file).toString());
                    entry.setSize(size);
                    tar.putArchiveEntry(entry);
                    Files.copy(file, tar);
                    tar.closeArchiveEntry();
                }
            }
        }
        objects.putIfAbsent(key(end), bytes.toByteArray());
        for (String old : before) {
            if (!old.equals(key(end))) {
                objects.delete(old);
            }
        }
    }

    /** The statistics first, then the free space maps that were written since the server was configured. */
    private static List<Path> changed(Path pgdata) throws IOException {
        FileTime since = Files.getLastModifiedTime(pgdata.resolve("pg_hba.conf"));
        Path statistics = pgdata.resolve(STATISTICS);
        try (Stream<Path> base = Files.walk(pgdata.resolve("base"));
                Stream<Path> global = Files.walk(pgdata.resolve("global"))) {
            List<Path> maps = Stream.concat(base, global)
                    .filter(file -> FREE_SPACE_MAP
                            .matcher(pgdata.relativize(file).toString())
                            .matches())
                    .toList();
            List<Path> found = new ArrayList<>();
            if (Files.exists(statistics)) {
                found.add(statistics);
            }
            for (Path map : maps) {
                if (Files.getLastModifiedTime(map).compareTo(since) >= 0) {
                    found.add(map);
                }
            }
            return found;
        }
    }

    /** Unpacks what was left at {@code end}, if anything was. */
    void give(Lsn end, Path pgdata, OsUser user) throws IOException {
        if (!objects.exists(key(end))) {
            return;
        }
        try (TarArchiveInputStream tar =
                new TarArchiveInputStream(new ZstdInputStream(new BufferedInputStream(objects.open(key(end)))))) {
            for (TarArchiveEntry entry = tar.getNextEntry(); entry != null; entry = tar.getNextEntry()) {
                String name = entry.getName();
                if (!name.equals(STATISTICS) && !FREE_SPACE_MAP.matcher(name).matches()) {
                    throw new IOException("unexpected entry: object=" + key(end) + " entry=" + name);
                }
                Path file = pgdata.resolve(name);
                // A database that was made since has no directory before its WAL is replayed.
                Path parent = file.getParent();
                if (parent != null && Files.isDirectory(parent, LinkOption.NOFOLLOW_LINKS)) {
                    user.writePrivate(file, tar.readAllBytes());
                }
            }
        }
    }
}

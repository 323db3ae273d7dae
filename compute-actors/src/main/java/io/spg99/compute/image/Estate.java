package io.spg99.compute.image;

import com.github.luben.zstd.ZstdInputStream;
import com.github.luben.zstd.ZstdOutputStream;
import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.readthrough.RelationFile;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveInputStream;
import org.apache.commons.compress.archivers.tar.TarArchiveOutputStream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What a writer that stopped in order leaves to the next one besides its WAL: the statistics file, which PostgreSQL writes when
 * it shuts down, its relation cache files, which the first connection would have to make anew, and the free space maps that
 * changed, which it does not write to the WAL. One object,
 * {@code timelines/<id>/estate/<end>-<generation>}, of use to a generation that begins at exactly that end of the WAL and to no other.
 */
final class Estate {

    private static final Logger LOG = LoggerFactory.getLogger(Estate.class);

    private static final String STATISTICS = "pg_stat/pgstat.stat";
    private static final Pattern RELATION_CACHE = Pattern.compile("(base/[0-9]+|global)/pg_internal\\.init");

    /** So PostgreSQL does not remove it at its start; the guard takes it away when recovery has ended. */
    private static final String LEFT = ".left";

    private static final Pattern FREE_SPACE_MAP = Pattern.compile("(base/[0-9]+|global)/[0-9]+_fsm(\\.[0-9]+)?");

    /** Of all relation cache files and free space maps that are left: they delay the stop. Beyond it are those of some 50 GB of changed tables. */
    private static final long MOST_BYTES = 16 << 20;

    /** Of the statistics: those of some 300,000 tables and indexes. */
    private static final long MOST_STATISTICS_BYTES = 128 << 20;

    private final ObjectStore objects;
    private final String prefix;
    private final Optional<ReadThroughCaches> caches;

    Estate(ObjectStore objects, TimelineId timeline, Optional<ReadThroughCaches> caches) {
        this.objects = objects;
        this.caches = caches;
        this.prefix = "timelines/" + timeline + "/estate/";
    }

    private String key(int generation, Lsn end) {
        return prefix + "%016X-%08X".formatted(end.value(), generation);
    }

    /** @param end where the WAL of the writer, {@code generation}, ends that has shut down in {@code pgdata} */
    void take(int generation, Lsn end, Path pgdata) throws IOException {
        String key = key(generation, end);
        List<String> before = objects.list(prefix);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (TarArchiveOutputStream tar = new TarArchiveOutputStream(new ZstdOutputStream(bytes))) {
            Path statistics = pgdata.resolve(STATISTICS);
            if (Files.exists(statistics)) {
                add(statistics, MOST_STATISTICS_BYTES, pgdata, tar);
            }
            long left = MOST_BYTES;
            for (Path file : changed(pgdata)) {
                left -= add(file, left, pgdata, tar);
            }
        }
        objects.putIfAbsent(key, bytes.toByteArray());
        for (String old : before) {
            if (!old.equals(key)) {
                objects.delete(old);
            }
        }
    }

    /** @return bytes added; 0 if the file has more than {@code most}, and is left behind */
    private static long add(Path file, long most, Path pgdata, TarArchiveOutputStream tar) throws IOException {
        String name = pgdata.relativize(file).toString();
        long size = Files.size(file);
        if (size > most) {
            LOG.warn("the next generation does without it: file={} bytes={} most={}", name, size, most);
            return 0;
        }
        TarArchiveEntry entry = new TarArchiveEntry(name);
        entry.setSize(size);
        tar.putArchiveEntry(entry);
        Files.copy(file, tar);
        tar.closeArchiveEntry();
        return size;
    }

    private static boolean is(Pattern kind, Path pgdata, Path file) {
        return kind.matcher(pgdata.relativize(file).toString()).matches();
    }

    /** The relation cache files, and after them the free space maps that were written since the server was configured. */
    private List<Path> changed(Path pgdata) throws IOException {
        FileTime since = Files.getLastModifiedTime(pgdata.resolve("pg_hba.conf"));
        try (Stream<Path> base = Files.walk(pgdata.resolve("base"));
                Stream<Path> global = Files.walk(pgdata.resolve("global"))) {
            List<Path> files = Stream.concat(base, global).toList();
            List<Path> found = new ArrayList<>();
            for (Path file : files) {
                if (is(RELATION_CACHE, pgdata, file)) {
                    found.add(file);
                }
            }
            for (Path file : files) {
                if (is(FREE_SPACE_MAP, pgdata, file) && isChanged(pgdata, file, since)) {
                    found.add(file);
                }
            }
            return found;
        }
    }

    /** A file that was only read through looks as if it had been written to; one that was written to may lack blocks. */
    private boolean isChanged(Path pgdata, Path map, FileTime since) throws IOException {
        Optional<RelationFile> file = RelationFile.parse(pgdata.relativize(map).toString());
        if (caches.isPresent() && file.isPresent()) {
            Optional<Boolean> changed = caches.get().changed(pgdata, file.get());
            if (changed.isPresent()) {
                return changed.get();
            }
        }
        return Files.getLastModifiedTime(map).compareTo(since) >= 0;
    }

    /** Unpacks what {@code generation} left at {@code end}, if it did. */
    void give(int generation, Lsn end, Path pgdata, OsUser user) throws IOException {
        String key = key(generation, end);
        try (TarArchiveInputStream tar =
                new TarArchiveInputStream(new ZstdInputStream(new BufferedInputStream(objects.open(key))))) {
            for (TarArchiveEntry entry = tar.getNextEntry(); entry != null; entry = tar.getNextEntry()) {
                String name = entry.getName();
                boolean relationCache = RELATION_CACHE.matcher(name).matches();
                if (!name.equals(STATISTICS)
                        && !relationCache
                        && !FREE_SPACE_MAP.matcher(name).matches()) {
                    throw new IOException("unexpected entry: object=" + key + " entry=" + name);
                }
                Path file = pgdata.resolve(relationCache ? name + LEFT : name);
                // A database that was made since has no directory before its WAL is replayed.
                Path parent = file.getParent();
                if (parent != null && Files.isDirectory(parent, LinkOption.NOFOLLOW_LINKS)) {
                    user.writePrivate(file, tar.readAllBytes());
                    caches.ifPresent(running -> running.adopt(pgdata, file));
                }
            }
        } catch (FileNotFoundException e) {
            LOG.debug("the last generation left nothing: object={}", key, e);
        }
    }
}

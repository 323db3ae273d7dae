package io.spg99.nodes.pageserver;

import io.spg99.storage.postgres.FileTree;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.postgres.PostgresProcess;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * The data directories of redo workers. One that holds exactly the files of a snapshot is kept for the timeline's next run,
 * as long as all of them together are not too large. A new Pageserver keeps none of the one before it.
 */
final class RedoDirectories {

    private final Path root;
    private final BaseFiles images;
    private final long limitBytes;

    /** Least recently used first. */
    private final Map<TimelineId, Kept> kept = new LinkedHashMap<>();

    /** Makes names unique. */
    private int setAside;

    private record Superfluous(Path path, String image) {}

    private record Kept(Lsn end, long bytes, String image) {}

    /** @param materialized it holds the snapshot's files already; otherwise it does not exist */
    record Taken(Path path, boolean materialized) {}

    /** Removes what an earlier run of the program left in {@code root}: processes and files. Blocks. */
    static RedoDirectories open(Path root, OsUser user, BaseFiles images, long limitBytes) throws IOException {
        Path directory = root.toAbsolutePath();
        if (Files.isDirectory(directory)) {
            try (Stream<Path> left = Files.list(directory)) {
                for (Path path : left.toList()) {
                    PostgresProcess.removeRemains(path);
                    FileTree.delete(path);
                }
            }
        } else {
            Files.createDirectories(directory);
        }
        if (!user.canReach(directory)) {
            throw new IOException("PostgreSQL's user cannot reach the Pageserver's directory: user=" + user.name()
                    + " directory=" + directory);
        }
        return new RedoDirectories(directory.toRealPath(), images, limitBytes);
    }

    private RedoDirectories(Path root, BaseFiles images, long limitBytes) {
        this.root = root;
        this.images = images;
        this.limitBytes = limitBytes;
    }

    /** Takes a timeline's directory for a run over its snapshot that ends at {@code end}. */
    Taken take(TimelineId timeline, Lsn end) throws IOException {
        Path path = path(timeline);
        List<Superfluous> superfluous = new ArrayList<>();
        synchronized (kept) {
            Kept here = kept.remove(timeline);
            if (here != null && here.end().equals(end)) {
                return new Taken(path, true);
            }
            if (here != null) {
                superfluous.add(setAside(timeline, here));
            }
        }
        discard(superfluous);
        return new Taken(path, false);
    }

    /** Gives it back, holding exactly the files of the snapshot that ends at {@code end}. */
    void give(TimelineId timeline, Lsn end, long bytes, String image) throws IOException {
        List<Superfluous> superfluous = new ArrayList<>();
        synchronized (kept) {
            kept.put(timeline, new Kept(end, bytes, image));
            long total = kept.values().stream().mapToLong(Kept::bytes).sum();
            Iterator<Map.Entry<TimelineId, Kept>> oldest = kept.entrySet().iterator();
            while (total > limitBytes && oldest.hasNext()) {
                Map.Entry<TimelineId, Kept> next = oldest.next();
                superfluous.add(setAside(next.getKey(), next.getValue()));
                total -= next.getValue().bytes();
                oldest.remove();
            }
        }
        discard(superfluous);
    }

    /** Forgets a timeline. */
    void forget(TimelineId timeline) throws IOException {
        List<Superfluous> superfluous = new ArrayList<>();
        synchronized (kept) {
            Kept here = kept.remove(timeline);
            if (here != null) {
                superfluous.add(setAside(timeline, here));
            }
        }
        discard(superfluous);
    }

    /** From now on the timeline's own name is free again; removing may take long. */
    private Superfluous setAside(TimelineId timeline, Kept here) throws IOException {
        setAside++;
        Path aside = root.resolve(timeline + ".old-" + setAside);
        Files.move(path(timeline), aside, StandardCopyOption.ATOMIC_MOVE);
        return new Superfluous(aside, here.image());
    }

    private void discard(List<Superfluous> superfluous) throws IOException {
        for (Superfluous directory : superfluous) {
            images.discard(directory.image(), directory.path());
        }
    }

    private Path path(TimelineId timeline) {
        return root.resolve(timeline.value());
    }

    /** Name for a temporary file of that timeline's run. */
    Path scratch(TimelineId timeline) {
        return root.resolve(timeline.value() + ".layer");
    }
}

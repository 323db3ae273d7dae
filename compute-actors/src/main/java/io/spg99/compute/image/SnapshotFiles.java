package io.spg99.compute.image;

import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.postgres.PgControl;
import io.spg99.storage.postgres.PgWalDirectory;
import io.spg99.storage.readthrough.ReadThroughFigures;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.snapshot.DataDirectory;
import io.spg99.storage.snapshot.Manifest;
import io.spg99.storage.snapshot.SnapshotReader;
import io.spg99.storage.snapshot.SnapshotStore;
import io.spg99.storage.snapshot.SoftBasebackup;
import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Generations start on the newest snapshot of their timeline, or on its base image while there is none: on a copy of the image
 * that has what PostgreSQL must have to start, while everything else is read through; or, where that cannot be, on all files.
 */
public final class SnapshotFiles implements StartFiles {

    /** What differs from the image by no more than this is sooner written than served: bytes. */
    private static final long WHOLE_UP_TO = 2 << 20;

    private final BaseImages images;
    private final ObjectStore objects;
    private final OsUser user;
    private final Optional<ReadThroughCaches> caches;

    /** Of base images, which never change. */
    private final Map<String, DataDirectory.Content> contents = new ConcurrentHashMap<>();

    /** @param caches empty: all files are brought before a start */
    public SnapshotFiles(BaseImages images, ObjectStore objects, OsUser user, Optional<ReadThroughCaches> caches) {
        this.images = images;
        this.caches = caches;
        this.objects = objects;
        this.user = user;
    }

    @Override
    public void layOut(String image, Path directory) throws IOException {
        images.layOut(image, directory);
        if (caches.isPresent()) {
            caches.get().layOut(directory);
        }
    }

    @Override
    public Map<String, String> environment(Path directory) throws IOException {
        return caches.isPresent() ? caches.get().environment(directory) : Map.of();
    }

    @Override
    public Lsn materialize(String image, TimelineBase base, int generation, long cacheLimit, Path pgdata)
            throws IOException {
        SnapshotStore store = new SnapshotStore(objects, base.timeline());
        Optional<Manifest> newest = store.newest();
        images.materialize(image, base, pgdata);
        if (newest.isEmpty()) {
            if (caches.isPresent()) {
                caches.get()
                        .startWhole(
                                store,
                                objects,
                                () -> imageReader(store, image, base),
                                base,
                                generation,
                                cacheLimit,
                                new TreeMap<>(),
                                pgdata);
            }
            return base.end();
        }
        Manifest manifest = newest.get();
        if (manifest.systemIdentifier() != base.systemIdentifier()
                || manifest.segmentSize() != base.segmentSize()
                || !manifest.image().equals(image)) {
            throw new IOException("snapshot is not one of this timeline: timeline=" + base.timeline() + " snapshot="
                    + manifest.end() + " image=" + manifest.image());
        }
        Path files = images.files(image);
        SnapshotReader reader = new SnapshotReader(store, manifest, files);
        if (caches.isPresent() && manifest.storedBytes() > WHOLE_UP_TO) {
            caches.get().start(store, objects, reader, base, generation, cacheLimit, content(image, files), pgdata);
        } else if (caches.isPresent()) {
            new DataDirectory(pgdata).hydrate(reader, content(image, files), user);
            caches.get()
                    .startWhole(
                            store,
                            objects,
                            () -> reader,
                            base,
                            generation,
                            cacheLimit,
                            SoftBasebackup.whole(manifest, content(image, files)),
                            pgdata);
        } else {
            // Of all files, which may take longer than what was replaced is kept.
            store.hold(generation, manifest);
            new DataDirectory(pgdata).hydrate(reader, content(image, files), user);
            store.release(generation, manifest);
        }
        return manifest.end();
    }

    private SnapshotReader imageReader(SnapshotStore store, String image, TimelineBase base) throws IOException {
        Path files = images.files(image);
        return new SnapshotReader(store, DataDirectory.imageManifest(files, image, base), files);
    }

    /** A thousand files are looked at once, not at every start. */
    private DataDirectory.Content content(String image, Path files) throws IOException {
        DataDirectory.Content known = contents.get(image);
        if (known == null) {
            known = new DataDirectory(files).content();
            contents.put(image, known);
        }
        return known;
    }

    private Estate estate(TimelineBase base) {
        return new Estate(objects, base.timeline(), caches);
    }

    @Override
    public void inherit(TimelineBase base, int parent, Lsn end, Path pgdata) throws IOException {
        estate(base).give(parent, end, pgdata, user);
    }

    @Override
    public void foresee(PgWalDirectory wal, Lsn redo, Path pgdata) {
        caches.ifPresent(running -> running.foresee(wal, redo, pgdata));
    }

    @Override
    public void serving(Path pgdata) {
        caches.ifPresent(running -> running.serving(pgdata));
    }

    @Override
    public void advance(Path pgdata, Lsn published, RunningTransactions running) throws IOException {
        if (caches.isPresent()) {
            caches.get().advance(pgdata, published, running);
        }
    }

    @Override
    public void share(Path pgdata) {
        caches.ifPresent(running -> running.share(pgdata));
    }

    @Override
    public void following(Path pgdata) {
        caches.ifPresent(running -> running.following(pgdata));
    }

    @Override
    public Optional<ReadThroughFigures> cache(Path pgdata) {
        return caches.flatMap(running -> running.figures(pgdata));
    }

    @Override
    public void bequeath(TimelineBase base, Path pgdata) throws IOException {
        PgControl control = PgControl.read(pgdata);
        if (control.systemIdentifier() == base.systemIdentifier()
                && control.checkpoint().isAfter(base.end())) {
            estate(base).take(control.timeline(), control.shutdownEnd(), pgdata);
        }
    }

    @Override
    public void discard(String image, Path pgdata) throws IOException {
        if (caches.isPresent()) {
            caches.get().end(pgdata);
        }
        images.discard(image, pgdata);
    }

    @Override
    public void remove(Path directory) throws IOException {
        if (caches.isPresent()) {
            caches.get().end(directory);
        }
        images.remove(directory);
    }
}

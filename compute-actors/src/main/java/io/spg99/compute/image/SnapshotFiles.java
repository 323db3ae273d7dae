package io.spg99.compute.image;

import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.postgres.PgControl;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.snapshot.DataDirectory;
import io.spg99.storage.snapshot.Manifest;
import io.spg99.storage.snapshot.SnapshotReader;
import io.spg99.storage.snapshot.SnapshotStore;
import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Generations start on the newest snapshot of their timeline, or on its base image while there is none. All files are brought
 * before the start: a copy of the base image, in which what the snapshot has otherwise is overwritten.
 */
public final class SnapshotFiles implements StartFiles {

    private final BaseImages images;
    private final ObjectStore objects;
    private final OsUser user;

    /** Of base images, which never change. */
    private final Map<String, DataDirectory.Content> contents = new ConcurrentHashMap<>();

    public SnapshotFiles(BaseImages images, ObjectStore objects, OsUser user) {
        this.images = images;
        this.objects = objects;
        this.user = user;
    }

    @Override
    public void layOut(String image, Path directory) throws IOException {
        images.layOut(image, directory);
    }

    @Override
    public Lsn materialize(String image, TimelineBase base, Path pgdata) throws IOException {
        SnapshotStore store = new SnapshotStore(objects, base.timeline());
        Optional<Manifest> newest = store.newest();
        Lsn start = images.materialize(image, base, pgdata);
        if (newest.isEmpty()) {
            return start;
        }
        Manifest manifest = newest.get();
        if (manifest.systemIdentifier() != base.systemIdentifier()
                || manifest.segmentSize() != base.segmentSize()
                || !manifest.image().equals(image)) {
            throw new IOException("snapshot is not one of this timeline: timeline=" + base.timeline() + " snapshot="
                    + manifest.end() + " image=" + manifest.image());
        }
        Path files = images.files(image);
        new DataDirectory(pgdata).hydrate(new SnapshotReader(store, manifest, files), content(image, files), user);
        return manifest.walStart();
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

    @Override
    public void inherit(TimelineBase base, Lsn end, Path pgdata) throws IOException {
        new Estate(objects, base.timeline()).give(end, pgdata, user);
    }

    @Override
    public void bequeath(TimelineBase base, Path pgdata) throws IOException {
        PgControl control = PgControl.read(pgdata);
        if (control.systemIdentifier() == base.systemIdentifier()
                && control.checkpoint().isAfter(base.end())) {
            new Estate(objects, base.timeline()).take(control.shutdownEnd(), pgdata);
        }
    }

    @Override
    public void discard(String image, Path pgdata) throws IOException {
        images.discard(image, pgdata);
    }
}

package io.spg99.cluster.node;

import io.spg99.compute.image.BaseImages;
import io.spg99.nodes.pageserver.BaseFiles;
import io.spg99.storage.safekeeper.TimelineBase;
import java.io.IOException;
import java.nio.file.Path;

/** The computes' base images, for redo workers. */
final class ImageFiles implements BaseFiles {

    private final BaseImages images;

    ImageFiles(BaseImages images) {
        this.images = images;
    }

    @Override
    public void materialize(String image, TimelineBase base, Path pgdata) throws IOException {
        images.layOut(image, pgdata);
        images.materialize(image, base, pgdata);
    }

    @Override
    public void discard(String image, Path pgdata) throws IOException {
        images.discard(image, pgdata);
    }

    @Override
    public Path files(String image) throws IOException {
        return images.files(image);
    }
}

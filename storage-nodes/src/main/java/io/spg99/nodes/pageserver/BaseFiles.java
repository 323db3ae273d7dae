package io.spg99.nodes.pageserver;

import io.spg99.storage.safekeeper.TimelineBase;
import java.io.IOException;
import java.nio.file.Path;

/** Port: the base images that timelines begin with. All methods block. */
public interface BaseFiles {

    /**
     * Makes {@code pgdata}, which must not exist, a copy of an image under the timeline's identity, belonging to the user
     * PostgreSQL runs as.
     */
    void materialize(String image, TimelineBase base, Path pgdata) throws IOException;

    /** Takes back what {@link #materialize} made: afterwards {@code pgdata} does not exist. */
    void discard(String image, Path pgdata) throws IOException;

    /** The image's files, not to be changed. */
    Path files(String image) throws IOException;
}

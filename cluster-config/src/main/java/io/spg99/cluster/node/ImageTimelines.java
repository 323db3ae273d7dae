package io.spg99.cluster.node;

import io.spg99.compute.image.BaseImages;
import io.spg99.lifecycle.database.TimelineStore;
import io.spg99.lifecycle.model.Base;
import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.wal.TimelineId;
import java.io.IOException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Executor;
import java.util.function.Function;
import org.apache.pekko.Done;

/** Begins timelines on the shared base image; what belongs to one timeline alone is below {@code timelines/<id>/}. */
final class ImageTimelines implements TimelineStore {

    private final BaseImages images;
    private final ObjectStore objects;
    private final Function<TimelineId, CompletionStage<?>> forget;
    private final Executor blocking;

    /** @param forget makes the Pageserver write nothing more for a timeline */
    ImageTimelines(
            BaseImages images,
            ObjectStore objects,
            Function<TimelineId, CompletionStage<?>> forget,
            Executor blocking) {
        this.images = images;
        this.objects = objects;
        this.forget = forget;
        this.blocking = blocking;
    }

    private interface Step<T> {
        T run() throws IOException;
    }

    private <T> CompletionStage<T> blocking(Step<T> step) {
        return CompletableFuture.supplyAsync(
                () -> {
                    try {
                        return step.run();
                    } catch (IOException e) {
                        throw new CompletionException(e);
                    }
                },
                blocking);
    }

    @Override
    public CompletionStage<Base> make(TimelineId timeline) {
        return blocking(() -> new Base(images.ensure(), images.newBase(timeline)));
    }

    @Override
    public CompletionStage<Done> delete(TimelineId timeline) {
        return forget.apply(timeline)
                .thenCompose(forgotten -> blocking(() -> {
                    for (String key : objects.list("timelines/" + timeline + "/")) {
                        objects.delete(key);
                    }
                    return Done.getInstance();
                }));
    }
}

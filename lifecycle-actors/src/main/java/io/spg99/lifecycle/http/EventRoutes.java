package io.spg99.lifecycle.http;

import io.spg99.lifecycle.catalog.EventRows;
import java.time.Duration;
import java.time.Instant;
import java.time.format.DateTimeParseException;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import org.apache.pekko.NotUsed;
import org.apache.pekko.http.javadsl.model.ContentTypes;
import org.apache.pekko.http.javadsl.model.HttpEntities;
import org.apache.pekko.http.javadsl.model.HttpMethods;
import org.apache.pekko.http.javadsl.model.HttpResponse;
import org.apache.pekko.http.javadsl.model.headers.RawHeader;
import org.apache.pekko.japi.Pair;
import org.apache.pekko.stream.javadsl.Source;
import org.apache.pekko.util.ByteString;

/**
 * What happens to databases, as server-sent events. A client that comes back says with {@code Last-Event-ID} what it had last, and
 * misses nothing; one that says nothing hears what happens from now on.
 */
final class EventRoutes {

    private static final int AT_ONCE = 100;

    /** How often the catalog is looked at while nothing happens. */
    private static final Duration POLL = Duration.ofMillis(250);

    /** Less than proxies and the HTTP server wait for. */
    private static final Duration KEEP_ALIVE = Duration.ofSeconds(15);

    private static final ByteString COMMENT = ByteString.fromString(":\n\n");

    private final EventRows events;

    EventRoutes(ApiServices services) {
        this.events = services.catalog().events();
    }

    List<Route> routes() {
        return List.of(Route.of(HttpMethods.GET, "/v2/events", this::follow).query("since"));
    }

    private CompletionStage<HttpResponse> follow(ApiRequest request) {
        return begin(request)
                .thenApply(last -> HttpResponse.create()
                        .addHeader(RawHeader.create("Cache-Control", "no-store"))
                        .withEntity(HttpEntities.create(ContentTypes.parse("text/event-stream"), stream(last))));
    }

    private CompletionStage<Long> begin(ApiRequest request) {
        Optional<String> last = request.lastEventId();
        Optional<String> since = request.query("since");
        try {
            if (last.isPresent()) {
                return CompletableFuture.completedStage(Long.parseLong(last.get()));
            }
            return since.isPresent() ? events.lastBefore(Instant.parse(since.get())) : events.last();
        } catch (NumberFormatException e) {
            throw ApiError.badField("Last-Event-ID", "header \"Last-Event-ID\" must be the id of an event");
        } catch (DateTimeParseException e) {
            throw ApiError.badField("since", "query parameter \"since\" must be a time like 2026-11-22T09:00:00Z");
        }
    }

    private Source<ByteString, NotUsed> stream(long last) {
        // Headers go with the first bytes: a client must not wait for the first event to know that it is heard.
        return Source.single(COMMENT)
                .concat(Source.unfoldAsync(last, this::next).filter(bytes -> !bytes.isEmpty()))
                .keepAlive(KEEP_ALIVE, () -> COMMENT);
    }

    private CompletionStage<Optional<Pair<Long, ByteString>>> next(long last) {
        return events.after(last, AT_ONCE)
                .thenCompose(rows -> rows.isEmpty()
                        ? CompletableFuture.supplyAsync(
                                () -> Optional.of(Pair.create(last, ByteString.emptyByteString())),
                                CompletableFuture.delayedExecutor(POLL.toMillis(), TimeUnit.MILLISECONDS))
                        : CompletableFuture.completedStage(
                                Optional.of(Pair.create(rows.getLast().id(), bytes(rows)))));
    }

    private static ByteString bytes(List<EventRows.Row> rows) {
        StringBuilder text = new StringBuilder();
        rows.forEach(row -> text.append("id: ")
                .append(row.id())
                .append("\ndata: ")
                .append(row.json())
                .append("\n\n"));
        return ByteString.fromString(text.toString());
    }
}

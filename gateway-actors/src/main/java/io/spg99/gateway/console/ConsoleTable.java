package io.spg99.gateway.console;

import io.spg99.gateway.console.PoolLook.State;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Rows of {@code SHOW}: values in the order of the subject's columns, text or whole numbers. */
public final class ConsoleTable {

    private static final long SECOND = 1_000_000;

    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss 'UTC'", Locale.ROOT)
            .withZone(ZoneOffset.UTC);

    private ConsoleTable() {}

    /**
     * @param lists   by name
     * @param config  by name
     * @param version of this program
     */
    public static List<List<Object>> rows(
            Subject subject,
            List<PoolLook> pools,
            Map<String, Integer> lists,
            Map<String, String> config,
            String version) {
        List<List<Object>> rows = new ArrayList<>();
        switch (subject) {
            case POOLS -> pools.forEach(pool -> rows.add(pool(pool)));
            case CLIENTS -> pools.forEach(pool -> pool.clients().forEach(client -> rows.add(client(pool, client))));
            case SERVERS -> pools.forEach(pool -> pool.servers().forEach(server -> rows.add(server(pool, server))));
            case STATS ->
                pools.forEach(pool -> rows.add(List.of(
                        pool.database(),
                        pool.user(),
                        pool.transactions(),
                        pool.received(),
                        pool.sent(),
                        pool.waitMicros())));
            case DATABASES -> pools.forEach(pool -> rows.add(database(pool)));
            case LEASES ->
                pools.forEach(pool -> pool.lease()
                        .ifPresent(lease -> rows.add(List.of(
                                pool.database(),
                                pool.user(),
                                pool.databaseId(),
                                lease.generation(),
                                lease.writer().host() + ":" + lease.writer().port(),
                                lease.serverConnections()))));
            case PINNED ->
                pools.forEach(pool -> pool.clients()
                        .forEach(client -> client.pinned()
                                .forEach(reason ->
                                        rows.add(List.of(pool.database(), pool.user(), client.id(), reason)))));
            case LISTS -> lists.forEach((name, items) -> rows.add(List.of(name, items)));
            case CONFIG -> config.forEach((key, value) -> rows.add(List.of(key, value)));
            case VERSION -> rows.add(List.of("SPG99 " + version));
        }
        return rows;
    }

    private static List<Object> pool(PoolLook pool) {
        long wait = pool.clients().stream()
                .mapToLong(PoolLook.Client::waitMicros)
                .max()
                .orElse(0);
        boolean session = !pool.clients().isEmpty() && pool.clients().stream().allMatch(PoolLook.Client::dedicated);
        return List.of(
                pool.database(),
                pool.user(),
                pool.clients(State.ACTIVE),
                pool.clients(State.WAITING),
                pool.clients(State.IDLE),
                pool.servers(State.ACTIVE),
                pool.servers(State.IDLE),
                pool.servers(State.LOGIN),
                wait / SECOND,
                wait % SECOND,
                mode(session),
                number(pool.paused()),
                number(pool.frozen()));
    }

    private static List<Object> client(PoolLook pool, PoolLook.Client client) {
        return List.of(
                "C",
                pool.user(),
                pool.database(),
                word(client.state()),
                client.host(),
                client.port(),
                time(client.since()),
                client.waitMicros() / SECOND,
                client.waitMicros() % SECOND,
                client.id(),
                client.backend(),
                client.tls(),
                client.application(),
                mode(client.dedicated()),
                String.join(",", client.pinned()));
    }

    private static List<Object> server(PoolLook pool, PoolLook.Server server) {
        return List.of(
                "S",
                pool.user(),
                pool.database(),
                word(server.state()),
                server.address(),
                time(server.since()),
                server.backend(),
                server.client(),
                server.generation());
    }

    private static List<Object> database(PoolLook pool) {
        return List.of(
                pool.database(),
                pool.lease().map(lease -> lease.writer().host()).orElse(""),
                pool.lease().map(lease -> lease.writer().port()).orElse(0),
                pool.database(),
                pool.user(),
                pool.lease().map(lease -> lease.serverConnections()).orElse(0),
                pool.servers().size(),
                pool.clients().size(),
                number(pool.paused()),
                pool.databaseId());
    }

    private static String mode(boolean session) {
        return session ? "session" : "transaction";
    }

    private static String word(State state) {
        return state.name().toLowerCase(Locale.ROOT);
    }

    private static int number(boolean value) {
        return value ? 1 : 0;
    }

    private static String time(Instant instant) {
        return TIME.format(instant);
    }
}

package io.spg99.gateway.login;

import java.net.Inet6Address;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * How long the password check of a login waits, by the address it comes from: longer with each wrong password from there. A
 * right password waits as long, or its being right would show in the time. Users that have logged in from an address do not wait
 * there, as long as it is not their own password that is guessed. Any thread.
 */
public final class LoginBackoff {

    /**
     * @param freeFailures  wrong passwords of an address before anything waits
     * @param first         wait after that; it doubles with each wrong password
     * @param longest       the wait grows no further
     * @param forgetAfter   time without a wrong password after which an address begins anew
     * @param maxAddresses  remembered; the longest unused is forgotten for a new one. Also bounds the users remembered
     */
    public record Settings(
            int freeFailures, Duration first, Duration longest, Duration forgetAfter, int maxAddresses) {}

    /** An IPv4 address, or the network of an IPv6 address: who has one of its 2^64 addresses has them all. */
    private record Source(long bits, boolean ipv6) {}

    private record Known(Source source, String user) {}

    private record Failures(int count, long lastNanos) {}

    private static final class Bounded<K, V> extends LinkedHashMap<K, V> {
        private static final long serialVersionUID = 1;
        private final int limit;

        Bounded(int limit) {
            super(16, 0.75f, true);
            this.limit = limit;
        }

        @Override
        protected boolean removeEldestEntry(Map.Entry<K, V> eldest) {
            return size() > limit;
        }
    }

    private final Settings settings;
    private final LongSupplier nanoTime;
    private final Map<Source, Failures> failures;
    private final Map<Known, Boolean> known;

    public LoginBackoff(Settings settings, LongSupplier nanoTime) {
        this.settings = settings;
        this.nanoTime = nanoTime;
        failures = new Bounded<>(settings.maxAddresses());
        known = new Bounded<>(settings.maxAddresses());
    }

    /** Wait before the password of this user is checked. */
    public synchronized Duration delay(@Nullable SocketAddress remote, String user) {
        Source source = source(remote);
        Failures before = failures.get(source);
        if (before == null) {
            return Duration.ZERO;
        }
        if (isForgotten(before)) {
            failures.remove(source);
            return Duration.ZERO;
        }
        int beyond = before.count() - settings.freeFailures();
        if (beyond < 0 || known.get(new Known(source, user)) != null) {
            return Duration.ZERO;
        }
        long nanos = settings.first().toNanos();
        long longest = settings.longest().toNanos();
        for (int i = 0; i < beyond && nanos < longest; i++) {
            nanos *= 2;
        }
        return Duration.ofNanos(Math.min(nanos, longest));
    }

    private boolean isForgotten(Failures before) {
        return nanoTime.getAsLong() - before.lastNanos()
                > settings.forgetAfter().toNanos();
    }

    /** The password was wrong, or there is no such user. */
    public synchronized void failed(@Nullable SocketAddress remote, String user) {
        Source source = source(remote);
        known.remove(new Known(source, user));
        long now = nanoTime.getAsLong();
        failures.merge(
                source,
                new Failures(1, now),
                (before, first) -> isForgotten(before) ? first : new Failures(before.count() + 1, now));
    }

    /** The password was right. What others failed with counts on: a user of one's own is no way around the wait. */
    public synchronized void succeeded(@Nullable SocketAddress remote, String user) {
        known.put(new Known(source(remote), user), true);
    }

    /** Whatever is not an Internet address is one source. */
    private static Source source(@Nullable SocketAddress remote) {
        InetAddress address = remote instanceof InetSocketAddress internet ? internet.getAddress() : null;
        if (address == null) {
            return new Source(0, false);
        }
        ByteBuffer bytes = ByteBuffer.wrap(address.getAddress());
        return address instanceof Inet6Address ? new Source(bytes.getLong(), true) : new Source(bytes.getInt(), false);
    }
}

package io.spg99.gateway.server;

import com.sun.management.UnixOperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What the limit of open files (RLIMIT_NOFILE; the JVM raises the soft one to the hard one) leaves for clients: at a
 * client too many there must still be descriptors for telling it so, for server connections and for whatever else the process does.
 */
final class DescriptorLimit {

    private static final Logger LOG = LoggerFactory.getLogger(DescriptorLimit.class);

    /** Kept for everything but clients: this share of the limit, and no less than so many. */
    private static final int RESERVED_SHARE = 8;

    private static final int LEAST_RESERVED = 64;

    /** Of what is left for clients, at most this share for those that have not logged in. */
    private static final int PRE_AUTH_SHARE = 4;

    /** With fewer clients a Gateway is not worth starting. */
    private static final long LEAST_CLIENTS = 16;

    private DescriptorLimit() {}

    /**
     * The settings with limits that the descriptors of this process allow.
     *
     * @throws IOException if these are too few for a Gateway
     */
    static GatewaySettings apply(GatewaySettings settings) throws IOException {
        if (!(ManagementFactory.getOperatingSystemMXBean() instanceof UnixOperatingSystemMXBean unix)) {
            return settings;
        }
        long limit = unix.getMaxFileDescriptorCount();
        long open = unix.getOpenFileDescriptorCount();
        GatewaySettings.Limits wanted = settings.limits();
        GatewaySettings.Limits limits = within(wanted, limit, open);
        String message = "open files: limit={} open={} clients={} before-login={}";
        if (limits.equals(wanted)) {
            LOG.info(message, limit, open, limits.connections(), limits.preAuthConnections());
        } else {
            LOG.warn(
                    message + "; raise the limit (ulimit -n) for {} and {}",
                    limit,
                    open,
                    limits.connections(),
                    limits.preAuthConnections(),
                    wanted.connections(),
                    wanted.preAuthConnections());
        }
        return settings.withLimits(limits);
    }

    /** @param open descriptors that are in use already */
    static GatewaySettings.Limits within(GatewaySettings.Limits wanted, long limit, long open) throws IOException {
        long forClients = limit - open - Math.max(LEAST_RESERVED, limit / RESERVED_SHARE);
        if (forClients < LEAST_CLIENTS) {
            throw new IOException("the limit of open files is too low for a Gateway, limit=" + limit + " open=" + open
                    + "; raise it (ulimit -n)");
        }
        int preAuth = (int) Math.min(wanted.preAuthConnections(), forClients / PRE_AUTH_SHARE);
        int connections = (int) Math.min(wanted.connections(), forClients - preAuth);
        return new GatewaySettings.Limits(wanted.startupPacket(), wanted.loginMessage(), preAuth, connections);
    }
}

package io.spg99.cluster.node;

import java.util.List;
import java.util.Set;

/**
 * What makes a process a member of the cluster, whatever it does there.
 *
 * @param host  address that this member's ports are bound to and others reach it at
 * @param port  of Pekko's remoting; 0 for any
 * @param seeds {@code host:port} of members to join; empty: this one begins a cluster of its own
 */
public record MemberSettings(Set<Role> roles, String host, int port, List<String> seeds) {

    public MemberSettings {
        roles = Set.copyOf(roles);
        seeds = List.copyOf(seeds);
    }
}

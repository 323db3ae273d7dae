package io.spg99.lifecycle.http;

import java.util.SortedMap;

/** Port: how the roles of this node are. Asked at each request; must not block. */
@FunctionalInterface
public interface Health {

    SortedMap<String, RoleHealth> roles();

    /**
     * @param live   false if only a restart of the node can help
     * @param ready  it does its work now
     * @param detail one short sentence, shown to anybody: nothing secret
     */
    record RoleHealth(boolean live, boolean ready, String detail) {}
}

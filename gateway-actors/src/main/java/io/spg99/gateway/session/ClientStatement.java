package io.spg99.gateway.session;

/** A prepared statement as its client knows it. */
public final class ClientStatement {

    public final ServerStatement server;
    /** It is the unnamed one: prepared as such on a server connection, and nobody else's. */
    public final boolean unnamed;
    /** Fingerprint of the description that the client was given; zero if it asked for none. */
    public long described;
    /** The description has changed: as with PostgreSQL, it cannot be used any more. */
    public boolean stale;

    /** It can be prepared on another server connection. */
    public final boolean carried;

    public ClientStatement(ServerStatement server, boolean unnamed, boolean carried) {
        this.server = server;
        this.unnamed = unnamed;
        this.carried = carried;
    }
}

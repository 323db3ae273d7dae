package io.spg99.gateway.wire;

/** Constants of the protocol (PostgreSQL documentation, "Frontend/Backend Protocol", "Message Formats"). */
public final class Protocol {

    /** Protocol 3.0, the only one spoken to clients and to backends. */
    public static final int VERSION_3_0 = 3 << 16;

    static final int MAJOR = 3;

    /** "The value is chosen to contain 1234 in the most significant 16 bits", so that no version collides with it. */
    static final int CANCEL_REQUEST = 1234 << 16 | 5678;

    static final int SSL_REQUEST = 1234 << 16 | 5679;
    static final int GSSENC_REQUEST = 1234 << 16 | 5680;

    /** First byte of a TLS handshake record: direct negotiation without an SSLRequest. */
    static final int TLS_HANDSHAKE = 0x16;

    /** ALPN name of the protocol. */
    public static final String ALPN = "postgresql";

    /** Type byte and length word. */
    public static final int HEADER_BYTES = 5;

    /** PostgreSQL's own limit of a message (MaxAllocSize - 1). Bodies are never buffered here. */
    static final int MAX_LARGE_MESSAGE = 0x3ffffffe;

    /** PostgreSQL's limit of messages that carry no data. */
    static final int MAX_SMALL_MESSAGE = 10_000;

    // Frontend messages.
    public static final byte BIND = 'B';
    public static final byte CLOSE = 'C';
    public static final byte COPY_DATA = 'd';
    public static final byte COPY_DONE = 'c';
    public static final byte COPY_FAIL = 'f';
    public static final byte DESCRIBE = 'D';
    public static final byte EXECUTE = 'E';
    public static final byte FLUSH = 'H';
    public static final byte FUNCTION_CALL = 'F';
    public static final byte PARSE = 'P';
    public static final byte PASSWORD = 'p';
    public static final byte QUERY = 'Q';
    public static final byte SYNC = 'S';
    public static final byte TERMINATE = 'X';

    // Backend messages.
    static final byte AUTHENTICATION = 'R';
    static final byte BACKEND_KEY_DATA = 'K';
    public static final byte BIND_COMPLETE = '2';
    public static final byte CLOSE_COMPLETE = '3';
    static final byte COMMAND_COMPLETE = 'C';
    static final byte COPY_IN_RESPONSE = 'G';
    static final byte ERROR_RESPONSE = 'E';
    static final byte DATA_ROW = 'D';
    public static final byte EMPTY_QUERY = 'I';
    static final byte NEGOTIATE_PROTOCOL_VERSION = 'v';
    public static final byte NO_DATA = 'n';
    static final byte NOTICE_RESPONSE = 'N';
    static final byte NOTIFICATION_RESPONSE = 'A';
    static final byte PARAMETER_DESCRIPTION = 't';
    static final byte PARAMETER_STATUS = 'S';
    public static final byte PARSE_COMPLETE = '1';
    static final byte PORTAL_SUSPENDED = 's';
    static final byte READY_FOR_QUERY = 'Z';
    static final byte ROW_DESCRIPTION = 'T';

    // Kinds of Authentication messages.
    static final int AUTH_OK = 0;
    static final int AUTH_CLEARTEXT = 3;
    static final int AUTH_SASL = 10;
    static final int AUTH_SASL_CONTINUE = 11;
    static final int AUTH_SASL_FINAL = 12;

    // Transaction status in ReadyForQuery.
    static final int INT8_OID = 20;
    static final int TEXT_OID = 25;
    public static final byte STATUS_IDLE = 'I';
    public static final byte STATUS_IN_TRANSACTION = 'T';

    private Protocol() {}
}

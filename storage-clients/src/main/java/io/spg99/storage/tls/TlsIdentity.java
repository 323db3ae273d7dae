package io.spg99.storage.tls;

import java.nio.file.Path;

/**
 * One part's certificate, its key and the platform's CA, as files.
 *
 * @param certificate PEM chain
 * @param key         PEM, PKCS#8, not encrypted, mode 0600
 * @param keyDer      the same key as PKCS#8 DER, the form PgJDBC reads
 * @param ca          PEM
 */
public record TlsIdentity(Path certificate, Path key, Path keyDer, Path ca) {

    /** Common names, which are PostgreSQL's cert authentication names too. */
    public static final String GATEWAY = "spg99-gateway";

    public static final String SAFEKEEPER = "spg99-safekeeper";
    public static final String COMPUTE = "spg99-compute";
    public static final String PAGESERVER = "spg99-pageserver";

    /** Every internal server certificate carries this DNS name, whatever host it runs on; clients expect it. */
    public static final String SERVER_NAME = "node.spg99.internal";
}

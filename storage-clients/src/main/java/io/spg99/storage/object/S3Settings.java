package io.spg99.storage.object;

import java.net.URI;
import java.util.Optional;

/**
 * A bucket of S3, or of a server that speaks its protocol.
 *
 * @param endpoint    of another server than Amazon's; addressed by path, {@code <endpoint>/<bucket>/<key>}
 * @param prefix      of all keys, without a slash at its end; empty for none
 * @param credentials looked for where AWS's tools look for them if not given
 */
public record S3Settings(
        Optional<URI> endpoint, String region, String bucket, String prefix, Optional<Credentials> credentials) {

    /** An access key. */
    public record Credentials(String accessKey, String secretKey) {
        @Override
        public String toString() {
            return "Credentials[accessKey=" + accessKey + "]";
        }
    }
}

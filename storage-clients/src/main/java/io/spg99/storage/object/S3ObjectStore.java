package io.spg99.storage.object;

import java.io.EOFException;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.checksums.RequestChecksumCalculation;
import software.amazon.awssdk.core.checksums.ResponseChecksumValidation;
import software.amazon.awssdk.core.exception.SdkException;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3ClientBuilder;
import software.amazon.awssdk.services.s3.model.CompletedPart;
import software.amazon.awssdk.services.s3.model.S3Exception;
import software.amazon.awssdk.services.s3.model.S3Object;

/**
 * Object storage in a bucket. Needs a server that honours {@code If-None-Match: *} on writing, as Amazon's and most others do:
 * that is what keeps a name from being written twice. The client repeats what fails for a passing reason, waiting longer each
 * time. An answer that was lost and a repetition that finds the object there look the same: then a put says "exists", and
 * callers that need to know whose it is have it in the name or in the content.
 */
public final class S3ObjectStore implements ObjectStore, AutoCloseable {

    /** Larger files go in parts of this size, each of which can be repeated alone; S3 asks for 5 MB at least. */
    static final int PART = 16 << 20;

    private static final Duration CONNECT_LIMIT = Duration.ofSeconds(5);

    /** For one attempt, and for a wait for the next bytes. */
    private static final Duration ATTEMPT_LIMIT = Duration.ofSeconds(30);

    /** For a call with all its attempts. */
    private static final Duration CALL_LIMIT = Duration.ofMinutes(2);

    private static final int ATTEMPTS = 5;

    /** Before the second attempt of a put that met another one's; twice as long before each further one. */
    private static final Duration CONFLICT_PAUSE = Duration.ofMillis(200);

    private static final int NOT_FOUND = 404;
    private static final int CONFLICT = 409;
    private static final int PRECONDITION_FAILED = 412;
    private static final int RANGE_NOT_SATISFIABLE = 416;

    private final S3Client client;
    private final String bucket;
    private final String prefix;

    public S3ObjectStore(S3Settings settings) {
        this(settings, ATTEMPT_LIMIT, CALL_LIMIT);
    }

    /** With other time limits. */
    S3ObjectStore(S3Settings settings, Duration attemptLimit, Duration callLimit) {
        this.bucket = settings.bucket();
        this.prefix = settings.prefix().isEmpty() ? "" : settings.prefix() + "/";
        AwsCredentialsProvider credentials = settings.credentials()
                .<AwsCredentialsProvider>map(given -> StaticCredentialsProvider.create(
                        AwsBasicCredentials.create(given.accessKey(), given.secretKey())))
                .orElseGet(() -> DefaultCredentialsProvider.builder().build());
        S3ClientBuilder builder = S3Client.builder()
                .region(Region.of(settings.region()))
                .credentialsProvider(credentials)
                // Not every server knows the newer checksums; layers and manifests have their own.
                .requestChecksumCalculation(RequestChecksumCalculation.WHEN_REQUIRED)
                .responseChecksumValidation(ResponseChecksumValidation.WHEN_REQUIRED)
                .httpClientBuilder(UrlConnectionHttpClient.builder()
                        .connectionTimeout(CONNECT_LIMIT)
                        .socketTimeout(attemptLimit))
                .overrideConfiguration(override -> override.apiCallAttemptTimeout(attemptLimit)
                        .apiCallTimeout(callLimit)
                        .retryStrategy(retry -> retry.maxAttempts(ATTEMPTS)));
        settings.endpoint()
                .ifPresent(endpoint -> builder.endpointOverride(endpoint).forcePathStyle(true));
        this.client = builder.build();
    }

    S3Client client() {
        return client;
    }

    private String name(String key) {
        return prefix + ObjectKey.require(key);
    }

    @Override
    public boolean putIfAbsent(String key, Path content) throws IOException {
        String name = name(key);
        if (Files.size(content) > PART) {
            return !exists(key) && putUnlessThere(name, () -> putParts(name, content));
        }
        return put(name, RequestBody.fromFile(content));
    }

    @Override
    public boolean putIfAbsent(String key, byte[] content) throws IOException {
        return put(name(key), RequestBody.fromBytes(content));
    }

    private boolean put(String name, RequestBody body) throws IOException {
        return putUnlessThere(
                name,
                () -> client.putObject(
                        request -> request.bucket(bucket).key(name).ifNoneMatch("*"), body));
    }

    private interface Attempt {
        void run() throws IOException;
    }

    /**
     * Only 412 says that the object is there. 409 says that somebody else was at this name, who need not have succeeded: all is
     * tried again then, from its beginning.
     */
    private boolean putUnlessThere(String name, Attempt attempt) throws IOException {
        for (int left = ATTEMPTS - 1; ; left--) {
            try {
                attempt.run();
                return true;
            } catch (S3Exception e) {
                if (e.statusCode() == PRECONDITION_FAILED
                        || (e.statusCode() == CONFLICT && left == 0 && isThere(name))) {
                    return false;
                }
                if (e.statusCode() != CONFLICT || left == 0) {
                    throw failed("written", name, e);
                }
                pause(CONFLICT_PAUSE.multipliedBy(1L << (ATTEMPTS - 1 - left)));
            } catch (SdkException e) {
                throw failed("written", name, e);
            }
        }
    }

    private static void pause(Duration time) throws IOException {
        try {
            TimeUnit.MILLISECONDS.sleep(time.toMillis());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        }
    }

    private void putParts(String name, Path content) throws IOException {
        String upload = client.createMultipartUpload(
                        request -> request.bucket(bucket).key(name))
                .uploadId();
        try {
            List<CompletedPart> parts = putParts(name, upload, content);
            client.completeMultipartUpload(request -> request.bucket(bucket)
                    .key(name)
                    .uploadId(upload)
                    .ifNoneMatch("*")
                    .multipartUpload(completed -> completed.parts(parts)));
        } catch (SdkException | IOException e) {
            abort(name, upload, e);
            throw e;
        }
    }

    private List<CompletedPart> putParts(String name, String upload, Path content) throws IOException {
        List<CompletedPart> parts = new ArrayList<>();
        try (FileChannel file = FileChannel.open(content, StandardOpenOption.READ)) {
            for (long offset = 0; offset < file.size(); offset += PART) {
                ByteBuffer part = ByteBuffer.allocate((int) Math.min(PART, file.size() - offset));
                while (part.hasRemaining()) {
                    if (file.read(part, offset + part.position()) < 0) {
                        throw new EOFException("file became shorter while it was read: file=" + content);
                    }
                }
                int number = parts.size() + 1;
                String tag = client.uploadPart(
                                request -> request.bucket(bucket)
                                        .key(name)
                                        .uploadId(upload)
                                        .partNumber(number),
                                RequestBody.fromByteBuffer(part.flip()))
                        .eTag();
                parts.add(CompletedPart.builder().partNumber(number).eTag(tag).build());
            }
        }
        return parts;
    }

    private void abort(String name, String upload, Exception reason) {
        try {
            client.abortMultipartUpload(
                    request -> request.bucket(bucket).key(name).uploadId(upload));
        } catch (SdkException e) {
            // A rule of the bucket removes it, docs/PAGESERVER.md; the first failure is the one to report.
            reason.addSuppressed(e);
        }
    }

    @Override
    public InputStream open(String key) throws IOException {
        String name = name(key);
        try {
            return client.getObject(request -> request.bucket(bucket).key(name));
        } catch (SdkException e) {
            throw failed("read", name, e);
        }
    }

    @Override
    public byte[] read(String key, long offset, int length) throws IOException {
        String name = name(key);
        if (length == 0) {
            return new byte[0];
        }
        String range = "bytes=" + offset + "-" + (offset + length - 1);
        try {
            byte[] bytes = client.getObjectAsBytes(
                            request -> request.bucket(bucket).key(name).range(range))
                    .asByteArrayUnsafe();
            if (bytes.length != length) {
                throw tooShort(name, offset, length);
            }
            return bytes;
        } catch (S3Exception e) {
            if (e.statusCode() == RANGE_NOT_SATISFIABLE) {
                EOFException tooShort = tooShort(name, offset, length);
                tooShort.initCause(e);
                throw tooShort;
            }
            throw failed("read", name, e);
        } catch (SdkException e) {
            throw failed("read", name, e);
        }
    }

    private static EOFException tooShort(String name, long offset, int length) {
        return new EOFException("object is too short: key=" + name + " expectedBytes=" + (offset + length));
    }

    @Override
    public boolean exists(String key) throws IOException {
        return isThere(name(key));
    }

    private boolean isThere(String name) throws IOException {
        try {
            client.headObject(request -> request.bucket(bucket).key(name));
            return true;
        } catch (S3Exception e) {
            if (e.statusCode() == NOT_FOUND) {
                return false;
            }
            throw failed("looked for", name, e);
        } catch (SdkException e) {
            throw failed("looked for", name, e);
        }
    }

    @Override
    public List<String> list(String start) throws IOException {
        return objects(start).stream()
                .map(object -> object.key().substring(prefix.length()))
                .sorted()
                .toList();
    }

    @Override
    public long size(String start) throws IOException {
        return objects(start).stream().mapToLong(S3Object::size).sum();
    }

    private List<S3Object> objects(String start) throws IOException {
        try {
            return client
                    .listObjectsV2Paginator(request -> request.bucket(bucket).prefix(prefix + start))
                    .contents()
                    .stream()
                    .toList();
        } catch (SdkException e) {
            throw failed("listed", prefix + start, e);
        }
    }

    @Override
    public void delete(String key) throws IOException {
        String name = name(key);
        try {
            client.deleteObject(request -> request.bucket(bucket).key(name));
        } catch (SdkException e) {
            throw failed("deleted", name, e);
        }
    }

    private IOException failed(String what, String name, Exception cause) {
        if (cause instanceof S3Exception s3 && s3.statusCode() == NOT_FOUND && !what.equals("written")) {
            FileNotFoundException missing = new FileNotFoundException("no such object: key=" + name);
            missing.initCause(cause);
            return missing;
        }
        return new IOException(
                "object cannot be " + what + ": bucket=" + bucket + " key=" + name + " reason=" + cause.getMessage(),
                cause);
    }

    @Override
    public void close() {
        client.close();
    }
}

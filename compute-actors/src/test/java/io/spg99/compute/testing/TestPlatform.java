package io.spg99.compute.testing;

import io.spg99.compute.image.BaseImages;
import io.spg99.storage.object.LocalObjectStore;
import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.postgres.FileTree;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.postgres.PostgresBinaries;
import io.spg99.storage.tls.TlsIdentity;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.function.Supplier;

/** PostgreSQL and certificates, set up once for all tests of this JVM, in a directory that PostgreSQL's user can reach. */
public final class TestPlatform {

    private static final Supplier<TestPlatform> SHARED = new Supplier<>() {
        private TestPlatform platform = new TestPlatform();

        @Override
        public TestPlatform get() {
            return platform;
        }
    };

    private final Path root;
    private final OsUser user;
    private final PostgresBinaries binaries;
    private final ObjectStore objects;
    private final BaseImages images;
    private final TestCertificates authority;
    private final TlsIdentity compute;
    private final TlsIdentity safekeeper;
    private final TlsIdentity gateway;

    public static TestPlatform shared() {
        return SHARED.get();
    }

    private TestPlatform() {
        try {
            root = reachableDirectory("spg99-test-");
            Runtime.getRuntime().addShutdownHook(new Thread(() -> deleteQuietly(root)));
            user = OsUser.forPostgres();
            binaries = PostgresBinaries.unpack(root.resolve("binaries"));
            objects = new LocalObjectStore(root.resolve("objects"));
            images = new BaseImages(binaries, user, objects, root.resolve("images"));
            authority = new TestCertificates(root.resolve("tls"), "test CA");
            compute = authority.issue(TlsIdentity.COMPUTE);
            safekeeper = authority.issue(TlsIdentity.SAFEKEEPER);
            gateway = authority.issue(TlsIdentity.GATEWAY);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** A fresh directory under /tmp that every user may enter. */
    public static Path reachableDirectory(String prefix) throws IOException {
        Path directory = Files.createTempDirectory(Path.of("/tmp"), prefix);
        return Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    private static void deleteQuietly(Path directory) {
        try {
            FileTree.delete(directory);
        } catch (IOException e) {
            System.err.println("test directory could not be removed: " + e);
        }
    }

    /** A fresh directory for one test. */
    public Path directory(String name) throws IOException {
        Path directory = Files.createTempDirectory(root, name + "-");
        return Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    public OsUser user() {
        return user;
    }

    public PostgresBinaries binaries() {
        return binaries;
    }

    public ObjectStore objects() {
        return objects;
    }

    public BaseImages images() {
        return images;
    }

    public TestCertificates authority() {
        return authority;
    }

    public TlsIdentity compute() {
        return compute;
    }

    public TlsIdentity safekeeper() {
        return safekeeper;
    }

    public TlsIdentity gateway() {
        return gateway;
    }
}

package io.spg99.cluster.node;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.spg99.storage.object.LocalObjectStore;
import io.spg99.storage.object.S3ObjectStore;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ObjectStorageTest {

    @TempDir
    Path directory;

    private static Config config(String settings) {
        return ConfigFactory.parseString("spg99.object-storage { " + settings + " }")
                .withFallback(ConfigFactory.parseResources("spg99.conf"))
                .withFallback(ConfigFactory.defaultReference())
                .resolve();
    }

    @Test
    void givenNothing_whenOpened_thenItIsTheDirectory() throws IOException {
        Config config = config("");
        assertTrue(ObjectStorage.isLocal(config));
        LocalObjectStore store = assertInstanceOf(LocalObjectStore.class, ObjectStorage.open(config, directory));
        assertTrue(store.putIfAbsent("a/b", new byte[] {1}));
        assertTrue(new LocalObjectStore(directory).exists("a/b"));
    }

    @Test
    void givenAServerOfS3sProtocol_whenOpened_thenItIsAskedForTheBucketAndThePrefixWithTheKey() throws IOException {
        List<String> asked = new CopyOnWriteArrayList<>();
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", exchange -> {
            String signed = String.valueOf(exchange.getRequestHeaders().getFirst("Authorization"));
            asked.add(exchange.getRequestMethod() + " " + exchange.getRequestURI() + " "
                    + signed.replaceAll(".*Credential=([^/]*)/[0-9]*/([^/]*)/.*", "$1 $2"));
            exchange.sendResponseHeaders(404, -1);
            exchange.close();
        });
        server.start();
        try {
            Config config = config("""
                    kind = s3
                    s3 { endpoint = "http://127.0.0.1:%d", bucket = pages, prefix = "a/platform", region = eu-north-1
                         access-key = key, secret-key = secret }""".formatted(server.getAddress().getPort()));
            try (S3ObjectStore store = assertInstanceOf(S3ObjectStore.class, ObjectStorage.open(config, directory))) {
                assertEquals(false, store.exists("timelines/x"));
            }
        } finally {
            server.stop(0);
        }
        assertEquals(List.of("HEAD /pages/a/platform/timelines/x key eu-north-1"), asked);
    }

    @Test
    void givenSettingsThatAreWrong_whenOpened_thenTheErrorNamesTheSetting() {
        IOException bucket = assertThrows(IOException.class, () -> ObjectStorage.open(config("kind = s3"), directory));
        assertTrue(String.valueOf(bucket.getMessage()).contains("s3.bucket must be set"), bucket.getMessage());
        IOException kind = assertThrows(IOException.class, () -> ObjectStorage.open(config("kind = ftp"), directory));
        assertTrue(String.valueOf(kind.getMessage()).contains("kind=ftp"), kind.getMessage());
    }
}

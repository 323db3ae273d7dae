package io.spg99.tests;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * {@code pg_dump} and {@code pg_restore} of the server's major version, which those of an older one refuse to talk to: what the
 * machine has, or else those of Debian 13, fetched once from the machine's own mirror of Debian and run on their own C library.
 */
final class DumpPrograms {

    private static final int MAJOR = 17;

    private static final Path FETCHED = Path.of("target", "dump-programs").toAbsolutePath();

    private static final int LIMIT_SECONDS = 120;

    private static final String FETCH = """
            set -eu
            mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 '/debian/*$')
            mkdir -p apt/lists/partial apt/archives/partial apt/none packages root bin
            : >apt/status
            echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >apt/sources
            apt() {
                apt-get -qq -o Dir::Etc::SourceList="$PWD/apt/sources" -o Dir::Etc::SourceParts="$PWD/apt/none" \
                    -o Dir::State::Lists="$PWD/apt/lists" -o Dir::State::status="$PWD/apt/status" \
                    -o Dir::Cache="$PWD/apt" -o Acquire::Languages=none -o Acquire::http::Timeout=20 \
                    -o Acquire::Retries=0 -o APT::Sandbox::User=root "$@"
            }
            home=$PWD
            apt update
            apt download postgresql-client-17 libpq5 libc6 zlib1g libzstd1 liblz4-1 libssl3t64 libgssapi-krb5-2 libkrb5-3 \
                libk5crypto3 libkrb5support0 libcom-err2 libkeyutils1 libldap2 libsasl2-2 libxxhash0
            for package in *.deb; do
                dpkg-deb -x "$package" root
            done
            rm -rf ./*.deb apt
            libraries=$(dirname "$(find "$home/root" -name libpq.so.5)")
            loader=$(find "$home/root" -name 'ld-linux-*.so.*' | head -n 1)
            for program in pg_dump pg_restore; do
                printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' "$loader" "$libraries" \
                    "$home/root/usr/lib/postgresql/17/bin/$program" >bin/$program
                chmod +x bin/$program
                bin/$program --version
            done
            """;

    private final CompletableFuture<Optional<Path>> directory;

    private DumpPrograms(CompletableFuture<Optional<Path>> directory) {
        this.directory = directory;
    }

    /** Begins to look for them, and to fetch them if need be; others may go on meanwhile. */
    static DumpPrograms prepare() {
        CompletableFuture<Optional<Path>> directory = new CompletableFuture<>();
        Thread.ofPlatform().daemon().name("dump-programs").start(() -> {
            try {
                directory.complete(find());
            } catch (IOException | RuntimeException e) {
                directory.completeExceptionally(e);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        return new DumpPrograms(directory);
    }

    private static Optional<Path> find() throws IOException, InterruptedException {
        if (isNewEnough("pg_dump")) {
            return Optional.of(Path.of(""));
        }
        Path bin = FETCHED.resolve("bin");
        if (!isNewEnough(bin.resolve("pg_restore").toString())) {
            Files.createDirectories(FETCHED);
            Process fetch = new ProcessBuilder("sh", "-c", FETCH)
                    .directory(FETCHED.toFile())
                    .redirectErrorStream(true)
                    .redirectOutput(FETCHED.resolve("log").toFile())
                    .start();
            if (!fetch.waitFor(LIMIT_SECONDS, TimeUnit.SECONDS)) {
                fetch.descendants().forEach(ProcessHandle::destroyForcibly);
                fetch.destroyForcibly();
            }
        }
        return Optional.of(bin).filter(found -> Files.exists(found.resolve("pg_restore")));
    }

    private static boolean isNewEnough(String program) throws IOException, InterruptedException {
        try {
            Process process = new ProcessBuilder(program, "--version").start();
            String version = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            return process.waitFor() == 0 && Integer.parseInt(version.replaceAll("(?s)^\\D*(\\d+).*", "$1")) >= MAJOR;
        } catch (IOException e) {
            return false;
        }
    }

    /** Skips the test if there are none. */
    String program(String name) throws Exception {
        Optional<Path> found = directory.get(LIMIT_SECONDS, TimeUnit.SECONDS);
        assumeTrue(
                found.isPresent(),
                "no pg_dump of version 17 or newer (Debian 13: apt-get install postgresql-client), and none to be fetched: see "
                        + FETCHED.resolve("log"));
        return found.orElseThrow().resolve(name).toString();
    }
}

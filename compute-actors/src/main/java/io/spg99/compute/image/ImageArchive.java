package io.spg99.compute.image;

import com.github.luben.zstd.ZstdInputStream;
import com.github.luben.zstd.ZstdOutputStream;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveInputStream;
import org.apache.commons.compress.archivers.tar.TarArchiveOutputStream;

/** A base image as one file: a tar, zstd-compressed, whose first entry is the {@link ImageInfo} that belongs to it. */
final class ImageArchive {

    private static final String INFO = "image.json";
    private static final String FILES = "files/";
    private static final FileAttribute<Set<PosixFilePermission>> PRIVATE_DIRECTORY =
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------"));
    private static final FileAttribute<Set<PosixFilePermission>> PRIVATE_FILE =
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"));

    private ImageArchive() {}

    static void pack(ImageInfo info, Path pgdata, Path archive) throws IOException {
        try (TarArchiveOutputStream tar = new TarArchiveOutputStream(
                        new ZstdOutputStream(new BufferedOutputStream(Files.newOutputStream(archive))));
                Stream<Path> paths = Files.walk(pgdata)) {
            byte[] json = info.toJson();
            TarArchiveEntry first = new TarArchiveEntry(INFO);
            first.setSize(json.length);
            tar.putArchiveEntry(first);
            tar.write(json);
            tar.closeArchiveEntry();
            for (Path path : paths.filter(p -> !p.equals(pgdata)).sorted().toList()) {
                String name = FILES + pgdata.relativize(path);
                boolean directory = Files.isDirectory(path);
                TarArchiveEntry entry = new TarArchiveEntry(directory ? name + "/" : name);
                entry.setSize(directory ? 0 : Files.size(path));
                tar.putArchiveEntry(entry);
                if (!directory) {
                    Files.copy(path, tar);
                }
                tar.closeArchiveEntry();
            }
        }
    }

    /** Unpacks to {@code pgdata}, which must not exist; all files private. */
    static ImageInfo unpack(InputStream archive, Path pgdata) throws IOException {
        ImageInfo info = null;
        Files.createDirectory(pgdata, PRIVATE_DIRECTORY);
        try (TarArchiveInputStream tar =
                new TarArchiveInputStream(new ZstdInputStream(new BufferedInputStream(archive)))) {
            for (TarArchiveEntry entry = tar.getNextEntry(); entry != null; entry = tar.getNextEntry()) {
                String name = entry.getName();
                if (name.equals(INFO)) {
                    info = ImageInfo.fromJson(tar.readAllBytes());
                    continue;
                }
                Path path = pgdata.resolve(name.substring(Math.min(FILES.length(), name.length())))
                        .normalize();
                if (!name.startsWith(FILES) || !path.startsWith(pgdata)) {
                    throw new IOException("base image: unexpected archive entry: entry=" + name);
                }
                if (entry.isDirectory()) {
                    Files.createDirectory(path, PRIVATE_DIRECTORY);
                } else {
                    Files.createFile(path, PRIVATE_FILE);
                    try (var out = Files.newOutputStream(path)) {
                        tar.transferTo(out);
                    }
                }
            }
        }
        if (info == null) {
            throw new IOException("base image: no " + INFO + " in the archive");
        }
        return info;
    }

    /** Reads only the information about an image. */
    static ImageInfo info(InputStream archive) throws IOException {
        try (TarArchiveInputStream tar =
                new TarArchiveInputStream(new ZstdInputStream(new BufferedInputStream(archive)))) {
            TarArchiveEntry entry = tar.getNextEntry();
            if (entry == null || !entry.getName().equals(INFO)) {
                throw new IOException("base image: the archive does not begin with " + INFO);
            }
            return ImageInfo.fromJson(tar.readAllBytes());
        }
    }
}

package io.spg99.tests;

import io.spg99.storage.file.FileTree;
import io.spg99.tests.process.DevProcess;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;

/**
 * One running {@code dev}, as a user has it, for every test class of a run that asks for one: it takes seconds to start. Who needs
 * more than a client of it can do has a database of its own, or a {@code dev}.
 */
final class SharedDev implements ParameterResolver {

    /** Closed by JUnit at the end of the run. */
    private static final class Running implements AutoCloseable {
        private final Path directory;
        private final DevProcess dev;

        Running() {
            try {
                directory = DevProcess.temporaryDirectory();
                dev = DevProcess.start(directory.resolve("data"));
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        @Override
        public void close() throws IOException {
            dev.close();
            FileTree.delete(directory);
        }
    }

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
        return parameter.getParameter().getType() == DevProcess.class;
    }

    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
        return context.getRoot()
                .getStore(Namespace.create(SharedDev.class))
                .getOrComputeIfAbsent(Running.class, type -> new Running(), Running.class)
                .dev;
    }
}

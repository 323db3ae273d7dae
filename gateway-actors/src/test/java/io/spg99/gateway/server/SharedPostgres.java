package io.spg99.gateway.server;

import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolutionException;
import org.junit.jupiter.api.extension.ParameterResolver;

/** One PostgreSQL for all test classes of a run, started by the first that asks for it. */
final class SharedPostgres implements ParameterResolver {

    /** Closed by JUnit at the end of the run. */
    private static final class Running implements AutoCloseable {
        private final TestPostgres postgres;

        Running() {
            try {
                postgres = new TestPostgres();
            } catch (Exception e) {
                throw new ParameterResolutionException("PostgreSQL does not start", e);
            }
        }

        @Override
        public void close() {
            try {
                postgres.stop();
            } catch (Exception e) {
                throw new IllegalStateException("PostgreSQL does not stop", e);
            }
        }
    }

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
        return parameter.getParameter().getType() == TestPostgres.class;
    }

    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
        return context.getRoot()
                .getStore(ExtensionContext.Namespace.create(SharedPostgres.class))
                .getOrComputeIfAbsent(Running.class, type -> new Running(), Running.class)
                .postgres;
    }
}

package io.spg99.tests.fault;

import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;
import org.junit.jupiter.api.extension.ExtensionContext.Store;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;

/**
 * One {@link Platform} for every test of a run that asks for one, as four JVMs take seconds to start. Each test makes
 * databases of its own; after each everything is as before.
 */
final class SharedPlatform implements ParameterResolver, AfterEachCallback {

    private static Platform platform(ExtensionContext context) {
        Store store = context.getRoot().getStore(Namespace.create(SharedPlatform.class));
        return store.getOrComputeIfAbsent(Platform.class, key -> start(), Platform.class);
    }

    private static Platform start() {
        try {
            return Platform.start();
        } catch (Exception e) {
            throw new IllegalStateException("the platform did not start", e);
        }
    }

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
        return parameter.getParameter().getType() == Platform.class;
    }

    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
        return platform(context);
    }

    @Override
    public void afterEach(ExtensionContext context) throws Exception {
        platform(context).restore();
    }
}

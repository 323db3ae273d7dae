package io.spg99.cluster.cli;

import java.util.Objects;
import picocli.CommandLine.IVersionProvider;

/** The version that Maven wrote into the jar. */
final class Version implements IVersionProvider {
    @Override
    public String[] getVersion() {
        String version =
                Objects.requireNonNullElse(Main.class.getPackage().getImplementationVersion(), "(not packaged)");
        return new String[] {"spg99 " + version, "Java " + Runtime.version()};
    }
}

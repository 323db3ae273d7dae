package io.spg99.bench;

import io.spg99.cluster.cli.Subcommand;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code ./spg99 bench}. */
@Command(
        name = "bench",
        description = "Measures SPG99 beside the alternative, interleaved in one run, and prints the ratio.",
        mixinStandardHelpOptions = true,
        synopsisSubcommandLabel = "BENCHMARK",
        subcommands = {
            ClientsBench.class,
            ColdStartBench.class,
            CommitBench.class,
            CrashBench.class,
            ReadBench.class,
            RedoBench.class,
            StorageBench.class,
            GatewayBench.class,
            GatewayProcess.class,
            HandoffBench.class
        })
public final class BenchCommand implements Subcommand {

    @Spec
    private CommandSpec spec;

    @Override
    public void run() {
        throw new CommandLine.ParameterException(spec.commandLine(), "Which benchmark?");
    }
}

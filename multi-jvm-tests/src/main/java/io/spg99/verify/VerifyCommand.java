package io.spg99.verify;

import io.spg99.cluster.cli.Subcommand;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code ./spg99 verify}. */
@Command(
        name = "verify",
        description = "Looks for orders of events that break a rule.",
        mixinStandardHelpOptions = true,
        synopsisSubcommandLabel = "WHAT",
        subcommands = {VerifyWal.class})
public final class VerifyCommand implements Subcommand {

    @Spec
    private CommandSpec spec;

    @Override
    public void run() {
        throw new CommandLine.ParameterException(spec.commandLine(), "Verify what?");
    }
}

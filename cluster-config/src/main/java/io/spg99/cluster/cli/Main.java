package io.spg99.cluster.cli;

import io.spg99.cluster.input.UserError;
import java.util.ServiceLoader;
import org.slf4j.LoggerFactory;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/** {@code ./spg99}: exit code 0 when all went well, 1 when the user must change something, 2 for a wrong call. */
@Command(
        name = "spg99",
        description = "Serverless PostgreSQL on stock PostgreSQL 17.",
        mixinStandardHelpOptions = true,
        versionProvider = Version.class,
        synopsisSubcommandLabel = "COMMAND",
        subcommands = {DevCommand.class, NodeCommand.class, CommandLine.HelpCommand.class},
        footer = {"", "Run 'spg99 COMMAND --help' for a command's options."})
public final class Main {

    private Main() {}

    public static void main(String[] arguments) {
        CommandLine commandLine = new CommandLine(new Main());
        for (Subcommand subcommand : ServiceLoader.load(Subcommand.class)) {
            commandLine.addSubcommand(subcommand);
        }
        commandLine.setExecutionExceptionHandler((failure, command, parsed) -> {
            if (failure instanceof UserError) {
                command.getErr().println("spg99: " + failure.getMessage());
            } else {
                LoggerFactory.getLogger(Main.class).error("command failed", failure);
                command.getErr().println("spg99: failed: " + failure.getMessage() + logHint());
            }
            return 1;
        });
        commandLine.setUsageHelpAutoWidth(true);
        commandLine.setCaseInsensitiveEnumValuesAllowed(true);
        System.exit(commandLine.execute(arguments));
    }

    private static String logHint() {
        String directory = System.getProperty("spg99.log.dir");
        return directory == null ? "" : "; more in " + directory + "/spg99.log";
    }
}

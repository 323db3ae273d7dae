package io.spg99.tests.process;

import java.io.IOException;

/** Programs of the machine, of which only matters whether they do what they are asked. */
public final class Program {

    private Program() {}

    /** Waits for the program's end; false too if there is none of that name, or this thread is interrupted. */
    public static boolean succeeds(String... command) {
        try {
            return new ProcessBuilder(command)
                            .redirectErrorStream(true)
                            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                            .start()
                            .waitFor()
                    == 0;
        } catch (IOException e) {
            return false;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }
}

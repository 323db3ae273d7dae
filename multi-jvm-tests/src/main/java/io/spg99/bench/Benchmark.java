package io.spg99.bench;

import io.spg99.storage.file.FileTree;
import io.spg99.tests.process.DevProcess;
import java.nio.file.Path;

/** A benchmark in a directory of its own, which is gone afterwards. */
abstract class Benchmark implements Runnable {

    @Override
    public final void run() {
        try {
            Path directory = DevProcess.temporaryDirectory();
            try {
                measure(directory);
            } finally {
                FileTree.delete(directory);
            }
        } catch (Exception e) {
            throw new IllegalStateException("the benchmark failed: " + e, e);
        }
    }

    /** Everything that is written lies in {@code directory}; what was started has ended. */
    abstract void measure(Path directory) throws Exception;
}

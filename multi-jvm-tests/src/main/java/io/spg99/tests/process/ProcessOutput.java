package io.spg99.tests.process;

import java.io.BufferedReader;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/** What a child process prints; read on until its end, so that it never blocks on a full pipe. */
public final class ProcessOutput {

    private final Process process;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final StringBuilder text = new StringBuilder();
    private boolean ended;

    private ProcessOutput(Process process) {
        this.process = process;
    }

    public static ProcessOutput of(Process process) {
        ProcessOutput output = new ProcessOutput(process);
        Thread.ofPlatform().daemon().name("output-" + process.pid()).start(output::read);
        return output;
    }

    private void read() {
        try (BufferedReader lines = process.inputReader()) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                add(line + "\n", false);
            }
            add("", true);
        } catch (IOException e) {
            add(e.toString(), true);
        }
    }

    private void add(String more, boolean last) {
        lock.lock();
        try {
            text.append(more);
            ended = last;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /**
     * Waits until the process has printed {@code words}.
     *
     * @throws IllegalStateException with all it printed, if it does not within {@code limit}; it is killed then
     */
    void await(String words, Duration limit) {
        lock.lock();
        try {
            long left = limit.toNanos();
            while (text.indexOf(words) < 0 && !ended && left > 0) {
                left = changed.awaitNanos(left);
            }
            if (text.indexOf(words) >= 0) {
                return;
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            lock.unlock();
        }
        process.destroyForcibly();
        throw new IllegalStateException("not printed: words='%s' limit=%s output=%s".formatted(words, limit, text));
    }

    /** Waits as {@link #await} for {@code words}, a value, and {@code end}; returns the value. */
    public String awaitValue(String words, char end, Duration limit) {
        await(words, limit);
        lock.lock();
        try {
            int from = text.indexOf(words) + words.length();
            int to = text.indexOf(String.valueOf(end), from);
            return text.substring(from, to);
        } finally {
            lock.unlock();
        }
    }
}

package io.spg99.verify;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.Marker;
import org.slf4j.event.Level;
import org.slf4j.helpers.LegacyAbstractLogger;
import org.slf4j.helpers.MessageFormatter;
import org.slf4j.helpers.NOPLogger;

/** What happened last, in words; costs nothing when it is off. */
final class Trace {

    private final int most;
    private final Deque<String> lines = new ArrayDeque<>();

    private @Nullable Scheduler scheduler;

    private Trace(int most) {
        this.most = most;
    }

    static Trace off() {
        return new Trace(0);
    }

    /** Keeps the last {@code most} lines. */
    static Trace last(int most) {
        return new Trace(most);
    }

    void say(long micros, @Nullable Instance who, Supplier<String> what) {
        if (most == 0) {
            return;
        }
        if (lines.size() == most) {
            lines.removeFirst();
        }
        lines.addLast("%,12d µs  %-10s %s".formatted(micros, who == null ? "-" : who, brief(what.get())));
    }

    /** Records as they print themselves, without what is the same in all of them. */
    private static String brief(String text) {
        return text.replaceAll("(, )?timeline=" + GenerationWal.TIMELINE + "(, | )?", " ")
                .replaceAll("Term\\[generation=(\\d+), begin=([0-9A-F/]+)]", "$1@$2")
                .replaceAll("WalHistory\\[terms=\\[([^]]*)]]", "[$1]")
                .replaceAll("WalSource\\[safekeeper=(sk\\d)[^]]*]", "$1")
                .replaceAll("TimelineBase\\[.*firstWal=[^]]*]", "base");
    }

    /** What the code says that runs now. */
    void say(String what) {
        Scheduler running = scheduler;
        if (running != null) {
            running.say(() -> what);
        }
    }

    boolean isOn() {
        return most > 0;
    }

    List<String> lines() {
        return List.copyOf(lines);
    }

    /** What production code logs. */
    Logger logger(Scheduler running) {
        scheduler = running;
        return most == 0 ? NOPLogger.NOP_LOGGER : new TraceLogger(running);
    }

    private static final class TraceLogger extends LegacyAbstractLogger {

        private static final long serialVersionUID = 1;

        private final transient Scheduler scheduler;

        TraceLogger(Scheduler scheduler) {
            this.scheduler = scheduler;
        }

        @Override
        protected @Nullable String getFullyQualifiedCallerName() {
            return null;
        }

        @Override
        protected void handleNormalizedLoggingCall(
                Level level,
                @Nullable Marker marker,
                String pattern,
                @Nullable Object @Nullable [] arguments,
                @Nullable Throwable cause) {
            scheduler.say(() -> "[" + MessageFormatter.basicArrayFormat(pattern, arguments) + "]");
        }

        @Override
        public boolean isTraceEnabled() {
            return false;
        }

        @Override
        public boolean isDebugEnabled() {
            return true;
        }

        @Override
        public boolean isInfoEnabled() {
            return true;
        }

        @Override
        public boolean isWarnEnabled() {
            return true;
        }

        @Override
        public boolean isErrorEnabled() {
            return true;
        }
    }
}

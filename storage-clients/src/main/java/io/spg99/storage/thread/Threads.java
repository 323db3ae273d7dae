package io.spg99.storage.thread;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Port: where blocking code runs, what time it is there, and how it waits. */
public interface Threads {

    /** Opens once; whoever waits for it goes on. */
    interface Gate {

        void open();

        boolean isOpen();

        /** @return true if it is open, false if the time has passed */
        boolean await(long millis) throws InterruptedException;
    }

    /** Daemon threads of the JVM. */
    Threads JVM = new Threads() {
        @Override
        public void start(String name, Runnable body) {
            Thread thread = new Thread(body, name);
            thread.setDaemon(true);
            thread.start();
        }

        @Override
        public Gate gate() {
            CountDownLatch latch = new CountDownLatch(1);
            return new Gate() {
                @Override
                public void open() {
                    latch.countDown();
                }

                @Override
                public boolean isOpen() {
                    return latch.getCount() == 0;
                }

                @Override
                public boolean await(long millis) throws InterruptedException {
                    return latch.await(millis, TimeUnit.MILLISECONDS);
                }
            };
        }

        @Override
        public long nanoTime() {
            return System.nanoTime();
        }
    };

    /** Runs {@code body} on a thread of its own. */
    void start(String name, Runnable body);

    /** A closed gate. */
    Gate gate();

    /** As {@link System#nanoTime}: good for differences only. */
    long nanoTime();
}

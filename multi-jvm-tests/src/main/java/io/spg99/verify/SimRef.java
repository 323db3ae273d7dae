package io.spg99.verify;

import java.util.function.Consumer;
import org.apache.pekko.actor.ActorPath;
import org.apache.pekko.actor.typed.ActorRef;

/**
 * A ref that leads into the simulation. Pekko does not mean ActorRef to be implemented; no actor system ever sees this one,
 * only code that tells it things.
 */
final class SimRef<T> implements ActorRef<T> {

    private static final long serialVersionUID = 1;

    private final String name;
    private final transient Consumer<? super T> receiver;

    SimRef(String name, Consumer<? super T> receiver) {
        this.name = name;
        this.receiver = receiver;
    }

    @Override
    public void tell(T message) {
        receiver.accept(message);
    }

    @Override
    @SuppressWarnings("unchecked") // as Pekko does it: who takes a T takes a U
    public <U extends T> ActorRef<U> narrow() {
        return (ActorRef<U>) this;
    }

    @Override
    @SuppressWarnings("unchecked") // as Pekko does it
    public <U> ActorRef<U> unsafeUpcast() {
        return (ActorRef<U>) this;
    }

    @Override
    public ActorPath path() {
        throw new UnsupportedOperationException("a simulated ref has no path: ref=" + name);
    }

    @Override
    public int compareTo(ActorRef<?> other) {
        return name.compareTo(other.toString());
    }

    @Override
    public boolean equals(Object other) {
        return this == other;
    }

    @Override
    public int hashCode() {
        return name.hashCode();
    }

    @Override
    public String toString() {
        return name;
    }
}

package io.spg99.gateway.wire;

/** What a decoder made of the bytes so far. Only a {@link Message} consumes any. */
public sealed interface Decoded<T> {

    record Message<T>(T value) implements Decoded<T> {}

    record NeedMore<T>() implements Decoded<T> {}

    /** The connection cannot go on: this error, then close. */
    record Malformed<T>(SqlError error) implements Decoded<T> {}

    static <T> Decoded<T> message(T value) {
        return new Message<>(value);
    }

    static <T> Decoded<T> needMore() {
        return new NeedMore<>();
    }

    static <T> Decoded<T> malformed(String message) {
        return new Malformed<>(SqlError.protocolViolation(message));
    }
}

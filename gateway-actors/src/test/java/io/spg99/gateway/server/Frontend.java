package io.spg99.gateway.server;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;

/** Messages of a client, and random sequences of them. */
final class Frontend {

    private static final List<String> TEXTS = List.of(
            "SELECT 1",
            "SELECT $1::int",
            "SELEC",
            "SELECT 1 / 0",
            "BEGIN",
            "COMMIT",
            "ROLLBACK",
            "",
            "SELECT g FROM generate_series(1, 3) g",
            "SELECT 1 / (2 - g) FROM generate_series(1, 3) g",
            "SET application_name = 'fuzz'",
            "SHOW application_name",
            "RESET application_name",
            "SAVEPOINT s",
            "ROLLBACK TO s",
            "CREATE TEMP TABLE IF NOT EXISTS tt (a int)",
            "INSERT INTO tt VALUES (1)",
            "DROP TABLE IF EXISTS tt",
            "COPY (SELECT 1) TO STDOUT",
            "DEALLOCATE ALL",
            "DISCARD ALL",
            // By another name than those of the protocol: see docs/POOLING.md.
            "PREPARE sql AS SELECT 'by SQL'",
            "EXECUTE sql",
            "DEALLOCATE sql",
            "DEALLOCATE b");

    private static final List<String> NAMES = List.of("", "", "a", "b", "c");

    private Frontend() {}

    private static byte[] message(char type, Consumer<ByteBuf> body) {
        ByteBuf out = Unpooled.buffer();
        out.writeByte(type).writeInt(0);
        body.accept(out);
        out.setInt(1, out.readableBytes() - 1);
        return ByteBufUtil.getBytes(out);
    }

    private static void string(ByteBuf out, String text) {
        out.writeBytes(text.getBytes(StandardCharsets.UTF_8)).writeByte(0);
    }

    static byte[] query(String sql) {
        return message('Q', out -> string(out, sql));
    }

    static byte[] parse(String name, String sql) {
        return message('P', out -> {
            string(out, name);
            string(out, sql);
            out.writeShort(0);
        });
    }

    /** With so many parameters, all of them 7. */
    static byte[] bind(String portal, String name, int parameters) {
        return message('B', out -> {
            string(out, portal);
            string(out, name);
            out.writeShort(0).writeShort(parameters);
            for (int i = 0; i < parameters; i++) {
                out.writeInt(1).writeByte('7');
            }
            out.writeShort(0);
        });
    }

    static byte[] describe(char kind, String name) {
        return named('D', kind, name);
    }

    static byte[] close(char kind, String name) {
        return named('C', kind, name);
    }

    private static byte[] named(char type, char kind, String name) {
        return message(type, out -> {
            out.writeByte(kind);
            string(out, name);
        });
    }

    static byte[] execute(String portal, int rows) {
        return message('E', out -> {
            string(out, portal);
            out.writeInt(rows);
        });
    }

    static byte[] sync() {
        return message('S', out -> {});
    }

    static byte[] flush() {
        return message('H', out -> {});
    }

    static byte[] copyData(String rows) {
        return message('d', out -> out.writeBytes(rows.getBytes(StandardCharsets.UTF_8)));
    }

    static byte[] copyDone() {
        return message('c', out -> {});
    }

    static byte[] copyFail() {
        return message('f', out -> string(out, "enough"));
    }

    /** pg_backend_pid has OID 2026 and no arguments: here with a wrong OID, which is an error. */
    static byte[] functionCall() {
        return message('F', out -> out.writeInt(1).writeShort(0).writeShort(0).writeShort(0));
    }

    /** A valid sequence: whatever fails in it, PostgreSQL goes on. */
    static List<byte[]> sequence(Random random, int length) {
        List<byte[]> messages = new ArrayList<>();
        while (messages.size() < length) {
            String name = NAMES.get(random.nextInt(NAMES.size()));
            String text = TEXTS.get(random.nextInt(TEXTS.size()));
            switch (random.nextInt(14)) {
                case 0, 1 -> messages.add(parse(name, text));
                case 2 -> {
                    messages.add(parse("", text));
                    messages.add(bind("", "", text.contains("$1") ? 1 : 0));
                    messages.add(describe('P', ""));
                    messages.add(execute("", 0));
                    messages.add(sync());
                }
                case 3, 4 -> messages.add(bind(random.nextInt(4) == 0 ? "p" : "", name, random.nextInt(2)));
                case 5 -> messages.add(describe(random.nextBoolean() ? 'S' : 'P', name));
                case 6 -> messages.add(execute(random.nextInt(4) == 0 ? "p" : "", random.nextInt(3)));
                case 7 -> messages.add(close(random.nextBoolean() ? 'S' : 'P', name));
                case 8 -> messages.add(flush());
                case 9, 10 -> messages.add(sync());
                case 11, 12 -> {
                    // As drivers do: not in the middle of a batch.
                    messages.add(sync());
                    messages.add(query(text));
                }
                default -> {
                    messages.add(sync());
                    messages.add(query("COPY fuzz FROM STDIN"));
                    messages.add(copyData("1\n2\n"));
                    messages.add(random.nextBoolean() ? copyDone() : copyFail());
                }
            }
        }
        messages.add(sync());
        messages.add(query("ROLLBACK"));
        return messages;
    }
}

package io.spg99.storage.snapshot;

import java.util.regex.Pattern;

/**
 * A layer as a manifest names it.
 *
 * @param name   last word of its key
 * @param blocks number of blocks in it, whoever refers to them
 * @param bytes  length of the object
 */
public record Layer(String name, int blocks, long bytes) {

    private static final Pattern NAME = Pattern.compile("[0-9A-F]{12}-[0-9A-F]{16}");

    public Layer {
        if (!NAME.matcher(name).matches()) {
            throw new IllegalArgumentException("not a layer's name: name=" + name);
        }
        if (blocks < 1 || blocks > LayerFormat.MOST_BLOCKS || bytes < LayerFormat.HEADER + LayerFormat.tail(blocks)) {
            throw new IllegalArgumentException("not a layer: name=" + name + " blocks=" + blocks + " bytes=" + bytes);
        }
    }

    /** @param madeAtMillis when its writing began; {@code random} makes it unique */
    static String name(long madeAtMillis, long random) {
        return "%012X-%016X".formatted(madeAtMillis & 0xFFFF_FFFF_FFFFL, random);
    }

    /** When the layer of that name was begun, in milliseconds since 1970; it is a name as {@link #name} makes it. */
    static long madeAtMillis(String name) {
        return Long.parseLong(name.substring(0, 12), 16);
    }

    static boolean isName(String name) {
        return NAME.matcher(name).matches();
    }
}

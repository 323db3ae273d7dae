package io.spg99.storage.object;

import java.util.regex.Pattern;

/** The form that names of objects have, whatever stores them. */
final class ObjectKey {

    /** A word never begins with a dot: neither {@code ..} nor a directory of temporary files can be named. */
    private static final Pattern FORM = Pattern.compile("[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*");

    private static final int LONGEST = 900;

    private ObjectKey() {}

    static String require(String key) {
        if (key.length() > LONGEST || !FORM.matcher(key).matches()) {
            throw new IllegalArgumentException("not an object key: key=" + key);
        }
        return key;
    }
}

package io.spg99.lifecycle.model;

import java.util.regex.Pattern;

/** The rule for names of tenants and databases. */
public final class ObjectName {

    public static final int MAX_BYTES = 63;

    public static final String RULE =
            "a name begins with a Latin letter or _, goes on with Latin letters, digits, _ and $, and has at most 63 bytes";

    /** All allowed characters are one byte long in UTF-8. */
    private static final Pattern FORM = Pattern.compile("[A-Za-z_][A-Za-z0-9_$]{0," + (MAX_BYTES - 1) + "}");

    private ObjectName() {}

    public static boolean isValid(String name) {
        return FORM.matcher(name).matches();
    }
}

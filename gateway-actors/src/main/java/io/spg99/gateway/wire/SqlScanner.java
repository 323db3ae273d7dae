package io.spg99.gateway.wire;

import io.netty.buffer.ByteBuf;
import io.netty.util.ByteProcessor;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * Reads SQL text byte by byte, as PostgreSQL's lexer divides it (literals, quoted identifiers, dollar quotes, comments),
 * and tells what its words mean: for the transaction ({@link #verdict}), for the session ({@link #effects}), and a
 * fingerprint of its words without literals ({@link #shape}). Where the text could be read in two ways it assumes the
 * worse.
 */
public final class SqlScanner {

    private enum State {
        /** Between tokens. */
        TEXT,
        WORD,
        NUMBER,
        /** One character that may begin a comment, a parameter or a dollar quote was there. */
        SLASH,
        DASH,
        DOLLAR,
        LINE_COMMENT,
        BLOCK_COMMENT,
        BLOCK_COMMENT_STAR,
        BLOCK_COMMENT_SLASH,
        LITERAL,
        /** A quote in a literal: its end, or the first of two. */
        LITERAL_QUOTE,
        ESCAPE_LITERAL,
        ESCAPE_LITERAL_BACKSLASH,
        ESCAPE_LITERAL_QUOTE,
        QUOTED_NAME,
        DOLLAR_TAG,
        DOLLAR_BODY,
        /** A dollar sign in a dollar quote: perhaps its end. */
        DOLLAR_END
    }

    private static final int MAX_WORD = 32;
    private static final int MAX_TAG = 64;

    /** What a word means in first place of a statement, or anywhere. */
    private enum Word {
        NONE,
        BEGIN,
        COMMIT,
        ROLLBACK,
        SET,
        RESET,
        PREPARE,
        TRANSACTION,
        /** LOCAL, CONSTRAINTS: a SET of it ends with the transaction. */
        LOCAL,
        /** What may come before TEMP. */
        BEFORE_TEMP,
        TEMP,
        WITH,
        HOLD,
        FIRST_LISTEN,
        FIRST_PREPARE,
        FIRST_LOAD,
        FIRST_OPAQUE,
        FIRST_UNDO,
        FIRST_DISCARD,
        SET_CONFIG,
        SEQUENCE,
        HIDDEN
    }

    private static final Map<String, Word> WORDS = Map.ofEntries(
            Map.entry("begin", Word.BEGIN),
            Map.entry("start", Word.BEGIN),
            Map.entry("commit", Word.COMMIT),
            Map.entry("end", Word.COMMIT),
            Map.entry("rollback", Word.ROLLBACK),
            Map.entry("abort", Word.ROLLBACK),
            Map.entry("set", Word.SET),
            Map.entry("reset", Word.RESET),
            Map.entry("prepare", Word.PREPARE),
            Map.entry("deallocate", Word.FIRST_PREPARE),
            Map.entry("transaction", Word.TRANSACTION),
            Map.entry("local", Word.LOCAL),
            Map.entry("constraints", Word.LOCAL),
            Map.entry("create", Word.BEFORE_TEMP),
            Map.entry("replace", Word.BEFORE_TEMP),
            Map.entry("global", Word.BEFORE_TEMP),
            Map.entry("into", Word.BEFORE_TEMP),
            Map.entry("temp", Word.TEMP),
            Map.entry("temporary", Word.TEMP),
            Map.entry("with", Word.WITH),
            Map.entry("hold", Word.HOLD),
            Map.entry("listen", Word.FIRST_LISTEN),
            Map.entry("unlisten", Word.FIRST_UNDO),
            Map.entry("load", Word.FIRST_LOAD),
            Map.entry("do", Word.FIRST_OPAQUE),
            Map.entry("call", Word.FIRST_OPAQUE),
            Map.entry("drop", Word.FIRST_UNDO),
            Map.entry("close", Word.FIRST_UNDO),
            Map.entry("discard", Word.FIRST_DISCARD),
            Map.entry("set_config", Word.SET_CONFIG),
            Map.entry("currval", Word.SEQUENCE),
            Map.entry("lastval", Word.SEQUENCE),
            Map.entry("setseed", Word.HIDDEN),
            Map.entry("dblink_connect", Word.HIDDEN),
            Map.entry("dblink_connect_u", Word.HIDDEN));

    /** Open addressing over the words' hashes; a power of two well above their number. */
    private static final int SLOTS = 256;

    private static final long[] HASHES = new long[SLOTS];
    private static final Word[] MEANINGS = new Word[SLOTS];

    private static final long SHAPE_SEED = 0xcbf29ce484222325L;
    private static final long PRIME = 0x100000001b3L;

    static {
        WORDS.forEach((text, word) -> {
            long hash = hash(text);
            int slot = slot(hash);
            while (MEANINGS[slot] != null) {
                slot = (slot + 1) & (SLOTS - 1);
            }
            HASHES[slot] = hash;
            MEANINGS[slot] = word;
        });
    }

    private static long hash(String word) {
        long hash = SHAPE_SEED;
        for (byte b : word.getBytes(StandardCharsets.US_ASCII)) {
            hash = (hash ^ b) * PRIME;
        }
        return hash;
    }

    private static int slot(long hash) {
        return (int) (hash ^ hash >>> 32) & (SLOTS - 1);
    }

    private State state = State.TEXT;
    private int commentDepth;
    private long wordHash;
    private int wordLength;
    private final byte[] word = new byte[MAX_WORD];
    private final byte[] tag = new byte[MAX_TAG];
    private int tagLength;
    private int tagMatched;
    /** The last byte of a literal was a backslash. */
    private boolean backslash;

    /** No word of the statement has been there yet. */
    private boolean first;
    /** Tokens of the statement. */
    private boolean empty;

    private Word previous = Word.NONE;
    private Word statementWord = Word.NONE;
    private int words;
    private int statements;
    private Statement firstKind = Statement.OTHER;
    private boolean commit;
    private boolean leaves;
    private boolean ambiguous;
    private int effects;
    private long shape;

    private final ByteProcessor processor = this::accept;

    public SqlScanner() {
        reset();
    }

    /** Before each text. */
    public void reset() {
        state = State.TEXT;
        commentDepth = 0;
        backslash = false;
        statements = 0;
        firstKind = Statement.OTHER;
        commit = false;
        leaves = false;
        ambiguous = false;
        effects = 0;
        shape = SHAPE_SEED;
        beginStatement();
    }

    private void beginStatement() {
        first = true;
        empty = true;
        words = 0;
        previous = Word.NONE;
        statementWord = Word.NONE;
    }

    /** Reads a part of the text. */
    public void scan(ByteBuf in, int index, int length) {
        in.forEachByte(index, length, processor);
    }

    private boolean accept(byte b) {
        switch (state) {
            case TEXT -> onText(b);
            case WORD -> onWord(b);
            case NUMBER -> {
                if (!isWordByte(b) && b != '.') {
                    state = State.TEXT;
                    onText(b);
                }
            }
            case SLASH -> {
                if (b == '*') {
                    commentDepth = 1;
                    state = State.BLOCK_COMMENT;
                } else {
                    symbol('/');
                    onText(b);
                }
            }
            case DASH -> {
                if (b == '-') {
                    state = State.LINE_COMMENT;
                } else {
                    symbol('-');
                    onText(b);
                }
            }
            case LINE_COMMENT -> {
                if (b == '\n' || b == '\r') {
                    state = State.TEXT;
                }
            }
            case BLOCK_COMMENT -> state = inComment(b);
            case BLOCK_COMMENT_STAR -> {
                if (b == '/') {
                    commentDepth--;
                    state = commentDepth == 0 ? State.TEXT : State.BLOCK_COMMENT;
                } else {
                    state = inComment(b);
                }
            }
            case BLOCK_COMMENT_SLASH -> {
                if (b == '*') {
                    commentDepth++;
                    state = State.BLOCK_COMMENT;
                } else {
                    state = inComment(b);
                }
            }
            case LITERAL -> {
                if (b == '\'') {
                    // Without standard_conforming_strings this one would be part of the literal.
                    ambiguous |= backslash;
                    state = State.LITERAL_QUOTE;
                }
                backslash = b == '\\';
            }
            case LITERAL_QUOTE -> afterQuote(b, State.LITERAL);
            case ESCAPE_LITERAL -> {
                if (b == '\\') {
                    state = State.ESCAPE_LITERAL_BACKSLASH;
                } else if (b == '\'') {
                    state = State.ESCAPE_LITERAL_QUOTE;
                }
            }
            case ESCAPE_LITERAL_BACKSLASH -> state = State.ESCAPE_LITERAL;
            case ESCAPE_LITERAL_QUOTE -> afterQuote(b, State.ESCAPE_LITERAL);
            case QUOTED_NAME -> {
                if (b == '"') {
                    state = State.TEXT;
                    endWord();
                } else {
                    addToWord(b);
                }
            }
            case DOLLAR -> onDollar(b);
            case DOLLAR_TAG -> onDollarTag(b);
            case DOLLAR_BODY -> {
                if (b == '$') {
                    tagMatched = 0;
                    state = State.DOLLAR_END;
                }
            }
            case DOLLAR_END -> onDollarEnd(b);
        }
        return true;
    }

    private void afterQuote(byte b, State inside) {
        if (b == '\'') {
            state = inside;
        } else {
            backslash = false;
            state = State.TEXT;
            onText(b);
        }
    }

    private static State inComment(byte b) {
        return b == '*' ? State.BLOCK_COMMENT_STAR : b == '/' ? State.BLOCK_COMMENT_SLASH : State.BLOCK_COMMENT;
    }

    private void onText(byte b) {
        if (isWordStart(b)) {
            beginWord();
            state = State.WORD;
            addToWord(lower(b));
            return;
        }
        switch (b) {
            case ' ', '\t', '\n', '\r', '\f', 0x0b -> {}
            case '\'' -> {
                token();
                state = State.LITERAL;
            }
            case '"' -> {
                beginWord();
                state = State.QUOTED_NAME;
            }
            case '/' -> state = State.SLASH;
            case '-' -> state = State.DASH;
            case '$' -> {
                token();
                state = State.DOLLAR;
            }
            case ';' -> {
                shape = (shape ^ ';') * PRIME;
                beginStatement();
            }
            case '0', '1', '2', '3', '4', '5', '6', '7', '8', '9' -> {
                token();
                state = State.NUMBER;
            }
            // Lists of literals of any length have one shape.
            case ',' -> previous = Word.NONE;
            default -> symbol(b);
        }
    }

    private void symbol(int character) {
        state = State.TEXT;
        token();
        shape = (shape ^ character) * PRIME;
    }

    /** Something other than a word; in first place it makes a statement that none of the first words describes. */
    private void token() {
        if (empty) {
            empty = false;
            statements++;
        }
        // "(SELECT ..." is a statement too: a parenthesis does not take the first place.
        previous = Word.NONE;
    }

    private void beginWord() {
        wordHash = SHAPE_SEED;
        wordLength = 0;
    }

    private void addToWord(byte b) {
        wordHash = (wordHash ^ b) * PRIME;
        if (wordLength < MAX_WORD) {
            word[wordLength] = b;
        }
        wordLength++;
    }

    private void onWord(byte b) {
        if (isWordByte(b) || b == '$') {
            addToWord(lower(b));
            return;
        }
        if (b == '\'' && wordLength == 1) {
            // E'...' has escapes; B, N and X are plain.
            token();
            state = word[0] == 'e' ? State.ESCAPE_LITERAL : State.LITERAL;
            return;
        }
        state = State.TEXT;
        endWord();
        onText(b);
    }

    private void endWord() {
        if (empty) {
            empty = false;
            statements++;
        }
        words++;
        shape = (shape ^ wordHash) * PRIME;
        Word meaning = meaning();
        if (first) {
            first = false;
            statementWord = meaning;
            onFirst(meaning);
        } else {
            onFurther(meaning);
        }
        previous = meaning;
    }

    private Word meaning() {
        int slot = slot(wordHash);
        while (MEANINGS[slot] != null) {
            if (HASHES[slot] == wordHash) {
                return MEANINGS[slot];
            }
            slot = (slot + 1) & (SLOTS - 1);
        }
        if (wordLength > 7 && word[0] == 'p' && word[1] == 'g' && word[2] == '_') {
            onSystemName();
        }
        return Word.NONE;
    }

    /** Names of families: {@code pg_temp_3}, {@code pg_try_advisory_lock_shared}. */
    private void onSystemName() {
        String name = new String(word, 0, Math.min(wordLength, MAX_WORD), StandardCharsets.ISO_8859_1);
        if (name.startsWith("pg_advisory_unlock")) {
            effects |= Effects.UNDO;
        } else if (name.startsWith("pg_advisory_lock") || name.startsWith("pg_try_advisory_lock")) {
            effects |= Effects.ADVISORY;
        } else if (name.startsWith("pg_temp_")) {
            effects |= Effects.TEMPORARY;
        }
    }

    private void onFirst(Word meaning) {
        Statement kind = switch (meaning) {
            case BEGIN -> Statement.BEGIN;
            case COMMIT, PREPARE -> Statement.COMMIT;
            case ROLLBACK -> Statement.ROLLBACK;
            default -> Statement.OTHER;
        };
        if (statements == 1) {
            firstKind = kind;
        }
        commit |= kind == Statement.COMMIT;
        leaves |= kind == Statement.BEGIN || kind == Statement.ROLLBACK;
        switch (meaning) {
            case RESET -> effects |= Effects.SETTINGS;
            case FIRST_LISTEN -> effects |= Effects.LISTEN;
            case FIRST_PREPARE -> effects |= Effects.PREPARE;
            case FIRST_LOAD -> effects |= Effects.LOAD;
            case FIRST_OPAQUE -> effects |= Effects.OPAQUE;
            case FIRST_UNDO -> effects |= Effects.UNDO;
            case FIRST_DISCARD -> effects |= Effects.SETTINGS | Effects.UNDO;
            default -> anywhere(meaning);
        }
    }

    private void onFurther(Word meaning) {
        if (words == 2 && statementWord == Word.SET && meaning != Word.LOCAL && meaning != Word.TRANSACTION) {
            effects |= Effects.SETTINGS;
        }
        if (words == 2 && statementWord == Word.PREPARE && meaning != Word.TRANSACTION) {
            effects |= Effects.PREPARE;
        }
        if (meaning == Word.TEMP && (previous == Word.BEFORE_TEMP || previous == Word.LOCAL)) {
            effects |= Effects.TEMPORARY;
        }
        if (meaning == Word.HOLD && previous == Word.WITH) {
            effects |= Effects.HOLD;
        }
        anywhere(meaning);
    }

    private void anywhere(Word meaning) {
        switch (meaning) {
            case SET_CONFIG -> effects |= Effects.SET_CONFIG;
            case SEQUENCE -> effects |= Effects.SEQUENCE;
            case HIDDEN -> effects |= Effects.HIDDEN;
            default -> {}
        }
        if (wordLength == 7 && wordHash == PG_TEMP) {
            effects |= Effects.TEMPORARY;
        }
    }

    private static final long PG_TEMP = hash("pg_temp");

    private void onDollar(byte b) {
        if (b == '$') {
            tagLength = 0;
            state = State.DOLLAR_BODY;
        } else if (isWordStart(b)) {
            tag[0] = b;
            tagLength = 1;
            state = State.DOLLAR_TAG;
        } else {
            // A parameter's number.
            state = State.NUMBER;
            accept(b);
        }
    }

    private void onDollarTag(byte b) {
        if (b == '$') {
            state = State.DOLLAR_BODY;
        } else if (isWordByte(b) && tagLength < MAX_TAG) {
            tag[tagLength++] = b;
        } else {
            ambiguous = true;
            state = State.TEXT;
            onText(b);
        }
    }

    private void onDollarEnd(byte b) {
        if (b == '$') {
            if (tagMatched == tagLength) {
                state = State.TEXT;
            } else {
                tagMatched = 0;
            }
        } else if (tagMatched < tagLength && tag[tagMatched] == b) {
            tagMatched++;
        } else {
            state = State.DOLLAR_BODY;
        }
    }

    /** After the last byte; once. */
    public void end() {
        if (state == State.WORD) {
            endWord();
        }
        boolean open = state != State.TEXT
                && state != State.WORD
                && state != State.NUMBER
                && state != State.LINE_COMMENT
                && state != State.LITERAL_QUOTE
                && state != State.ESCAPE_LITERAL_QUOTE;
        if (ambiguous) {
            effects |= Effects.OPAQUE | Effects.UNDO;
        } else if (open) {
            // PostgreSQL will refuse it.
            effects |= Effects.OPAQUE;
        }
    }

    /** What it means for the transaction. */
    public Statement verdict() {
        return ambiguous || commit || (leaves && statements > 1) ? Statement.COMMIT : firstKind;
    }

    /** How many statements the text holds. */
    public int statements() {
        return statements;
    }

    /** Bits of {@link Effects}. */
    public int effects() {
        return effects;
    }

    /** The same for texts that differ in literals only. */
    public long shape() {
        return shape;
    }

    private static byte lower(byte b) {
        return b >= 'A' && b <= 'Z' ? (byte) (b | 0x20) : b;
    }

    /** Letters, underscore, and any byte of a character beyond ASCII. */
    private static boolean isWordStart(byte b) {
        int lower = b | 0x20;
        return (lower >= 'a' && lower <= 'z') || b == '_' || b < 0;
    }

    private static boolean isWordByte(byte b) {
        return isWordStart(b) || (b >= '0' && b <= '9');
    }
}

package io.spg99.gateway.wire;

import java.nio.charset.StandardCharsets;

/**
 * Classifies SQL text, byte by byte, by the first word of each of its statements. It knows no quoting: a semicolon in
 * a literal only makes it careful without need (COMMIT where OTHER would do), never the reverse.
 */
final class StatementScanner {

    private enum State {
        /** Before the first word; comments are skipped properly, no literal can have begun. */
        START,
        START_SLASH,
        START_DASH,
        BLOCK_COMMENT,
        BLOCK_COMMENT_STAR,
        BLOCK_COMMENT_SLASH,
        LINE_COMMENT,
        WORD,
        BODY,
        /** After a semicolon: perhaps a further statement. */
        SEMICOLON,
        DONE
    }

    private static final int MAX_WORD = 9;

    private State state = State.START;
    private int commentDepth;
    private final byte[] word = new byte[MAX_WORD];
    private int wordLength;
    private int statements;
    private Statement first = Statement.OTHER;
    private boolean commit;
    private boolean leaves;

    void reset() {
        state = State.START;
        commentDepth = 0;
        wordLength = 0;
        statements = 0;
        first = Statement.OTHER;
        commit = false;
        leaves = false;
    }

    /** The verdict is reached; more bytes change nothing. */
    boolean done() {
        return state == State.DONE;
    }

    void accept(byte b) {
        switch (state) {
            case START -> onStart(b);
            case START_SLASH -> {
                if (b == '*') {
                    commentDepth = 1;
                    state = State.BLOCK_COMMENT;
                } else {
                    toBody(b);
                }
            }
            case START_DASH -> {
                if (b == '-') {
                    state = State.LINE_COMMENT;
                } else {
                    toBody(b);
                }
            }
            case BLOCK_COMMENT -> state = inComment(b);
            case BLOCK_COMMENT_STAR -> {
                if (b == '/') {
                    commentDepth--;
                    state = commentDepth == 0 ? State.START : State.BLOCK_COMMENT;
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
            case LINE_COMMENT -> {
                if (b == '\n' || b == '\r') {
                    state = State.START;
                }
            }
            case WORD -> onWord(b);
            case BODY -> onBody(b);
            case SEMICOLON -> onSemicolon(b);
            case DONE -> {}
        }
    }

    private static State inComment(byte b) {
        return b == '*' ? State.BLOCK_COMMENT_STAR : b == '/' ? State.BLOCK_COMMENT_SLASH : State.BLOCK_COMMENT;
    }

    private void onStart(byte b) {
        if (isSpace(b) || b == ';') {
            return;
        }
        if (b == '/') {
            state = State.START_SLASH;
        } else if (b == '-') {
            state = State.START_DASH;
        } else if (isLetter(b)) {
            startWord(b);
        } else {
            toBody(b);
        }
    }

    private void toBody(byte b) {
        statements++;
        state = State.BODY;
        onBody(b);
    }

    private void startWord(byte b) {
        statements++;
        wordLength = 0;
        state = State.WORD;
        onWord(b);
    }

    private void onWord(byte b) {
        if (isLetter(b) || b == '_' || (b >= '0' && b <= '9')) {
            if (wordLength < MAX_WORD) {
                word[wordLength++] = isLetter(b) ? (byte) (b | 0x20) : b;
            }
            return;
        }
        endWord();
        if (state != State.DONE) {
            state = State.BODY;
            onBody(b);
        }
    }

    private void endWord() {
        Statement kind = wordLength < MAX_WORD ? kindOfWord() : Statement.OTHER;
        if (statements == 1) {
            first = kind;
        }
        if (kind == Statement.COMMIT) {
            commit = true;
            state = State.DONE;
        }
        leaves |= kind == Statement.BEGIN || kind == Statement.ROLLBACK;
    }

    private Statement kindOfWord() {
        return switch (new String(word, 0, wordLength, StandardCharsets.US_ASCII)) {
            case "begin", "start" -> Statement.BEGIN;
            case "commit", "end", "prepare" -> Statement.COMMIT;
            case "rollback", "abort" -> Statement.ROLLBACK;
            default -> Statement.OTHER;
        };
    }

    private void onBody(byte b) {
        if (b == ';') {
            state = State.SEMICOLON;
        }
    }

    private void onSemicolon(byte b) {
        if (isSpace(b) || b == ';') {
            return;
        }
        if (isLetter(b)) {
            startWord(b);
        } else if (b == '/' || b == '-') {
            // A comment, or the inside of a literal; what follows cannot be told without lexing it all.
            commit = true;
            state = State.DONE;
        } else {
            toBody(b);
        }
    }

    /** To be asked once, after the last byte. */
    Statement verdict() {
        if (state == State.WORD) {
            endWord();
        }
        return commit || (leaves && statements > 1) ? Statement.COMMIT : first;
    }

    private static boolean isSpace(byte b) {
        return b == ' ' || (b >= '\t' && b <= '\r');
    }

    private static boolean isLetter(byte b) {
        int lower = b | 0x20;
        return lower >= 'a' && lower <= 'z';
    }
}

package io.spg99.verify;

/** One run of a program on a machine, from its start until it is killed. */
final class Instance {

    private final String name;
    private final String machine;

    /** Of a writer; 0 for everybody else. */
    private final int generation;

    private boolean alive = true;

    Instance(String name, String machine) {
        this(name, machine, 0);
    }

    Instance(String name, String machine, int generation) {
        this.generation = generation;
        this.name = name;
        this.machine = machine;
    }

    String machine() {
        return machine;
    }

    int generation() {
        return generation;
    }

    boolean isAlive() {
        return alive;
    }

    void die() {
        alive = false;
    }

    @Override
    public String toString() {
        return name;
    }
}

package io.spg99.lifecycle;

/** Marker: serialized with Jackson CBOR. Class names are wire format: do not rename or move such a record. */
public interface LifecycleMessage {}

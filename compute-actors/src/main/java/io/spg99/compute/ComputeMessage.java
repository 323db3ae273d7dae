package io.spg99.compute;

/** Marker: serialized with Jackson CBOR. Nothing of it is stored: nodes of one version speak it to each other. */
public interface ComputeMessage {}

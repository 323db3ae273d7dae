package io.spg99.lifecycle.model;

import io.spg99.storage.safekeeper.TimelineBase;

/** Where a timeline begins: the key of its base image in object storage, and the WAL that goes with it. */
public record Base(String image, TimelineBase timeline) {}

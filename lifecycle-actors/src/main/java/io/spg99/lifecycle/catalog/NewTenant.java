package io.spg99.lifecycle.catalog;

/** A tenant that was just made, with its credentials. */
public record NewTenant(Tenant tenant, Credentials credentials) {}

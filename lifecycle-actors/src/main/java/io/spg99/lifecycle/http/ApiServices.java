package io.spg99.lifecycle.http;

import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import io.spg99.lifecycle.catalog.Catalog;
import io.spg99.lifecycle.catalog.Secrets;
import io.spg99.lifecycle.database.Databases;
import java.util.function.Supplier;

/**
 * What the API works with.
 *
 * @param gatewayAddress {@code host:port} that clients connect to, for DSNs
 */
public record ApiServices(
        Catalog catalog,
        Databases databases,
        Secrets secrets,
        Health health,
        PrometheusMeterRegistry meters,
        Supplier<String> gatewayAddress) {}

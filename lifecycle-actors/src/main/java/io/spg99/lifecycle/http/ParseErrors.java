package io.spg99.lifecycle.http;

import org.apache.pekko.event.LoggingAdapter;
import org.apache.pekko.http.ParsingErrorHandler;
import org.apache.pekko.http.javadsl.model.HttpResponse;
import org.apache.pekko.http.scaladsl.model.ErrorInfo;
import org.apache.pekko.http.scaladsl.model.StatusCode;
import org.apache.pekko.http.scaladsl.settings.ServerSettings;

/**
 * Answers what is no request, and so never comes to {@link HttpApi}, in the error form of the contract. Made by Pekko HTTP, by
 * its name.
 */
final class ParseErrors extends ParsingErrorHandler {

    @Override
    public HttpResponse handle(StatusCode status, ErrorInfo info, LoggingAdapter log, ServerSettings settings) {
        log.debug("not a request: status={} reason={}", status.intValue(), info.summary());
        return Responses.error(ApiError.unreadable(status, info.summary()));
    }
}

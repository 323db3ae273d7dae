package io.spg99.nodes.safekeeper.serve;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.handler.codec.DecoderException;
import io.netty.handler.ssl.SslHandler;
import io.spg99.nodes.safekeeper.log.TimelineLog;
import io.spg99.storage.replication.ReplicationException;
import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.tls.TlsIdentity;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;
import java.io.IOException;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.naming.InvalidNameException;
import javax.naming.ldap.LdapName;
import javax.net.ssl.SSLPeerUnverifiedException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One client's replication session.
 *
 * <pre>
 * Startup (user = timeline id)   -> AuthenticationOk, parameters, ReadyForQuery
 * IDENTIFY_SYSTEM, SHOW, TIMELINE_HISTORY n
 * START_REPLICATION X/X [TIMELINE n] -> CopyBoth, 'w' and 'k' messages, as far as the client may read
 *   end of a historic timeline   -> CopyDone; on the client's CopyDone: next timeline and switch point
 * Terminate
 * </pre>
 *
 * <p>Runs on the channel's event loop, which it shares with other sessions of the WAL server only: it may read files.
 */
final class WalSession extends SimpleChannelInboundHandler<FrontendMessage> {

    static final long KEEPALIVE_MILLIS = 1000;

    /** As PostgreSQL's MAX_SEND_SIZE. */
    private static final int CHUNK = 128 * 1024;

    private static final Pattern START_REPLICATION = Pattern.compile(
            "START_REPLICATION\\s+(?:SLOT\\s+\\S+\\s+)?(?:PHYSICAL\\s+)?([0-9A-F]{1,8}/[0-9A-F]{1,8})(?:\\s+TIMELINE\\s+([0-9]{1,9}))?",
            Pattern.CASE_INSENSITIVE);
    private static final Pattern TIMELINE_HISTORY =
            Pattern.compile("TIMELINE_HISTORY\\s+([0-9]{1,9})", Pattern.CASE_INSENSITIVE);
    private static final Pattern SHOW = Pattern.compile("SHOW\\s+\"?([A-Z_]{1,63})\"?", Pattern.CASE_INSENSITIVE);

    /**
     * Version of the replication protocol spoken here, which has not changed since. Clients refuse servers newer than
     * themselves and take older ones; the WAL itself is PostgreSQL 17's and says so in every page.
     */
    private static final String SERVER_VERSION = "15.0";

    private static final Map<String, String> PARAMETERS = Map.of(
            "server_version", SERVER_VERSION,
            "server_encoding", "UTF8",
            "client_encoding", "UTF8",
            "DateStyle", "ISO, MDY",
            "IntervalStyle", "postgres",
            "TimeZone", "UTC",
            "integer_datetimes", "on",
            "standard_conforming_strings", "on");

    private static final Logger LOG = LoggerFactory.getLogger(WalSession.class);

    private final Function<TimelineId, Optional<ServedTimeline>> timelines;
    private final Runnable wake = this::wakeUp;

    private @Nullable ChannelHandlerContext channel;
    private @Nullable ServedTimeline timeline;

    /** The client is a Safekeeper of this platform. */
    private boolean peer;

    /** What is being sent; null between streams. */
    private @Nullable ServedStream stream;

    /** The stream is at its end, and the client was told. */
    private boolean done;

    /** Nothing was sent since the last tick. */
    private boolean quiet;

    private @Nullable ScheduledFuture<?> keepalives;

    WalSession(Function<TimelineId, Optional<ServedTimeline>> timelines) {
        this.timelines = timelines;
    }

    @Override
    public void handlerAdded(ChannelHandlerContext context) {
        channel = context;
    }

    @Override
    protected void channelRead0(ChannelHandlerContext context, FrontendMessage message) {
        switch (message) {
            case FrontendMessage.Startup startup -> onStartup(context, startup.parameters());
            case FrontendMessage.Query query -> onQuery(context, query.text());
            case FrontendMessage.Feedback feedback -> onFeedback(context, feedback);
            case FrontendMessage.CopyDone done -> onCopyDone(context);
            case FrontendMessage.Terminate terminate -> context.close();
            case FrontendMessage.Unsupported unsupported ->
                fatal(context, "08P01", "only simple queries are understood: message=" + unsupported.type());
        }
    }

    private void onStartup(ChannelHandlerContext context, Map<String, String> parameters) {
        String user = parameters.getOrDefault("user", "");
        String replication = parameters.getOrDefault("replication", "").toLowerCase(Locale.ROOT);
        if (!List.of("true", "on", "yes", "1").contains(replication)) {
            fatal(context, "28000", "only physical replication connections are served here");
            return;
        }
        Optional<ServedTimeline> found = timelineId(user).flatMap(timelines);
        if (found.isEmpty()) {
            fatal(context, "3D000", "timeline \"" + user + "\" is not served here; the user name is the timeline id");
            return;
        }
        timeline = found.get();
        peer = context.pipeline().get(SslHandler.class) == null
                ? isSafekeeper(parameters.getOrDefault("application_name", ""))
                : commonName(context).equals(TlsIdentity.SAFEKEEPER);
        ByteBuf out = context.alloc().buffer();
        BackendMessages.authenticated(out);
        PARAMETERS.forEach((name, value) -> BackendMessages.parameter(out, name, value));
        context.write(out);
        context.writeAndFlush(BackendMessages.ready(context.alloc()));
    }

    /** Only processes of our own user reach the Unix socket. They have all our keys, too: they are who they say. */
    private static boolean isSafekeeper(String applicationName) {
        return SafekeeperId.ALL.stream().anyMatch(id -> id.value().equals(applicationName));
    }

    private static Optional<TimelineId> timelineId(String user) {
        try {
            return Optional.of(new TimelineId(user));
        } catch (IllegalArgumentException e) {
            return Optional.empty();
        }
    }

    private static String commonName(ChannelHandlerContext context) {
        SslHandler tls = context.pipeline().get(SslHandler.class);
        try {
            X509Certificate certificate =
                    (X509Certificate) tls.engine().getSession().getPeerCertificates()[0];
            return new LdapName(certificate.getSubjectX500Principal().getName())
                    .getRdns().stream()
                            .filter(part -> part.getType().equalsIgnoreCase("CN"))
                            .map(part -> String.valueOf(part.getValue()))
                            .findFirst()
                            .orElse("");
        } catch (SSLPeerUnverifiedException | InvalidNameException e) {
            return "";
        }
    }

    private void onQuery(ChannelHandlerContext context, String text) {
        ServedTimeline served = timeline;
        if (served == null || stream != null) {
            fatal(context, "08P01", "a query is not expected now");
            return;
        }
        String query = text.strip();
        while (query.endsWith(";")) {
            query = query.substring(0, query.length() - 1).strip();
        }
        Matcher start = START_REPLICATION.matcher(query);
        Matcher history = TIMELINE_HISTORY.matcher(query);
        Matcher show = SHOW.matcher(query);
        if (query.isEmpty()) {
            context.write(BackendMessages.emptyQuery(context.alloc()));
            context.writeAndFlush(BackendMessages.ready(context.alloc()));
        } else if (query.equalsIgnoreCase("IDENTIFY_SYSTEM")) {
            onIdentify(context, served);
        } else if (start.matches()) {
            onStart(context, served, Lsn.parse(start.group(1)), start.group(2));
        } else if (history.matches()) {
            onHistory(context, served, Integer.parseInt(history.group(1)));
        } else if (show.matches()) {
            onShow(context, served, show.group(1).toLowerCase(Locale.ROOT));
        } else if (query.regionMatches(true, 0, "SET ", 0, 4)) {
            ByteBuf out = context.alloc().buffer();
            BackendMessages.complete(out, "SET");
            reply(context, out);
        } else {
            error(context, "0A000", "not a command of this WAL server");
        }
    }

    private void onIdentify(ChannelHandlerContext context, ServedTimeline served) {
        TimelineLog.View view = served.view();
        ByteBuf out = context.alloc().buffer();
        List<@Nullable String> values = new ArrayList<>();
        values.add(Long.toUnsignedString(served.base().systemIdentifier()));
        values.add(Integer.toString(view.generation()));
        values.add(served.limit(peer).toString());
        values.add(null);
        BackendMessages.row(
                out,
                List.of(
                        new BackendMessages.Column("systemid", BackendMessages.OID_TEXT, -1),
                        new BackendMessages.Column("timeline", BackendMessages.OID_INT8, 8),
                        new BackendMessages.Column("xlogpos", BackendMessages.OID_TEXT, -1),
                        new BackendMessages.Column("dbname", BackendMessages.OID_TEXT, -1)),
                values);
        BackendMessages.complete(out, "IDENTIFY_SYSTEM");
        reply(context, out);
    }

    private void onShow(ChannelHandlerContext context, ServedTimeline served, String parameter) {
        String value = switch (parameter) {
            case "wal_segment_size" -> (served.base().segmentSize() >> 20) + "MB";
            case "data_directory_mode" -> "0700";
            case "server_version" -> SERVER_VERSION;
            default -> PARAMETERS.get(parameter);
        };
        if (value == null) {
            error(context, "42704", "unrecognized configuration parameter \"" + parameter + "\"");
            return;
        }
        ByteBuf out = context.alloc().buffer();
        BackendMessages.row(
                out, List.of(new BackendMessages.Column(parameter, BackendMessages.OID_TEXT, -1)), List.of(value));
        BackendMessages.complete(out, "SHOW");
        reply(context, out);
    }

    private void onHistory(ChannelHandlerContext context, ServedTimeline served, int generation) {
        Optional<WalHistory> lineage = ServedStream.lineage(served.view(), generation);
        if (lineage.isEmpty()) {
            error(context, "58P01", "could not open file \"pg_wal/%08X.history\"".formatted(generation));
            return;
        }
        StringBuilder content = new StringBuilder();
        List<WalHistory.Term> terms = lineage.get().terms();
        for (int i = 0; i + 1 < terms.size(); i++) {
            content.append(terms.get(i).generation())
                    .append('\t')
                    .append(terms.get(i + 1).begin())
                    .append("\tgeneration started\n");
        }
        ByteBuf out = context.alloc().buffer();
        BackendMessages.row(
                out,
                List.of(
                        new BackendMessages.Column("filename", BackendMessages.OID_TEXT, -1),
                        new BackendMessages.Column("content", BackendMessages.OID_TEXT, -1)),
                List.of("%08X.history".formatted(generation), content.toString()));
        BackendMessages.complete(out, "TIMELINE_HISTORY");
        reply(context, out);
    }

    private void onStart(ChannelHandlerContext context, ServedTimeline served, Lsn from, @Nullable String requested) {
        int generation = requested == null ? served.view().generation() : Integer.parseInt(requested);
        try {
            stream = ServedStream.open(served, peer, from, generation);
        } catch (ReplicationException e) {
            error(context, e.sqlState(), String.valueOf(e.getMessage()));
            return;
        }
        done = false;
        quiet = false;
        LOG.debug(
                "timeline={} sends WAL from {} of generation={}", served.base().timeline(), from, generation);
        context.writeAndFlush(BackendMessages.copyBoth(context.alloc()));
        served.listen(wake);
        keepalives = context.executor()
                .scheduleAtFixedRate(this::onTick, KEEPALIVE_MILLIS, KEEPALIVE_MILLIS, TimeUnit.MILLISECONDS);
        pump();
    }

    /** The timeline has changed; called on any thread. */
    private void wakeUp() {
        ChannelHandlerContext context = channel;
        if (context != null) {
            context.executor().execute(this::pump);
        }
    }

    private void onTick() {
        ChannelHandlerContext context = channel;
        ServedStream current = stream;
        ServedTimeline served = timeline;
        if (context == null || current == null || served == null) {
            return;
        }
        if (quiet && !done && context.channel().isWritable()) {
            context.writeAndFlush(BackendMessages.keepalive(context.alloc(), served.limit(peer)));
        }
        quiet = true;
        pump();
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext context) {
        pump();
        context.fireChannelWritabilityChanged();
    }

    /** Sends what may be sent, for as long as the channel takes it. */
    private void pump() {
        ChannelHandlerContext context = channel;
        ServedStream current = stream;
        ServedTimeline served = timeline;
        if (context == null || current == null || served == null || done) {
            return;
        }
        try {
            boolean more = true;
            while (more && context.channel().isWritable()) {
                more = sendChunk(context, current);
            }
            context.flush();
        } catch (IOException e) {
            LOG.warn(
                    "timeline={} cannot read WAL at {}: {}",
                    served.base().timeline(),
                    current.position(),
                    e.toString());
            fatal(context, "58030", "cannot read WAL at " + current.position());
        }
    }

    /** @return true if there may be more to send now */
    private boolean sendChunk(ChannelHandlerContext context, ServedStream current) throws IOException {
        Lsn end = current.end();
        if (current.isOver()) {
            done = true;
            context.writeAndFlush(BackendMessages.copyDone(context.alloc()));
            return false;
        }
        Lsn at = current.position();
        if (!at.isBefore(end)) {
            return false;
        }
        int length = (int) Math.min(CHUNK, end.minus(at));
        ByteBuf out = context.alloc().buffer(BackendMessages.WAL_HEADER + length);
        try {
            int read = current.read(out.internalNioBuffer(BackendMessages.WAL_HEADER, length), end);
            BackendMessages.walHeader(out, at, end, read);
            out.writerIndex(BackendMessages.WAL_HEADER + read);
            quiet = false;
            context.write(out.retain());
        } finally {
            out.release();
        }
        return true;
    }

    private void onFeedback(ChannelHandlerContext context, FrontendMessage.Feedback feedback) {
        ServedTimeline served = timeline;
        ServedStream current = stream;
        if (feedback.replyRequested() && served != null && current != null && !done) {
            context.writeAndFlush(BackendMessages.keepalive(context.alloc(), served.limit(peer)));
        }
    }

    private void onCopyDone(ChannelHandlerContext context) {
        ServedStream current = stream;
        ServedTimeline served = timeline;
        if (current == null || served == null) {
            return;
        }
        endStream();
        ByteBuf out = context.alloc().buffer();
        if (done) {
            nextTerm(served.view(), current.generation())
                    .ifPresent(next -> BackendMessages.row(
                            out,
                            List.of(
                                    new BackendMessages.Column("next_tli", BackendMessages.OID_INT8, 8),
                                    new BackendMessages.Column("next_tli_startpos", BackendMessages.OID_TEXT, -1)),
                            List.of(
                                    Integer.toString(next.generation()),
                                    next.begin().toString())));
        } else {
            context.write(BackendMessages.copyDone(context.alloc()));
        }
        // Twice, as PostgreSQL does it: its own clients wait for the second.
        BackendMessages.complete(out, "START_STREAMING");
        BackendMessages.complete(out, "START_REPLICATION");
        reply(context, out);
    }

    private static Optional<WalHistory.Term> nextTerm(TimelineLog.View view, int generation) {
        return view.history().terms().stream()
                .filter(term -> term.generation() > generation)
                .findFirst();
    }

    private void endStream() {
        stream = null;
        ServedTimeline served = timeline;
        if (served != null) {
            served.unlisten(wake);
        }
        ScheduledFuture<?> ticks = keepalives;
        if (ticks != null) {
            ticks.cancel(false);
            keepalives = null;
        }
    }

    private static void reply(ChannelHandlerContext context, ByteBuf result) {
        context.write(result);
        context.writeAndFlush(BackendMessages.ready(context.alloc()));
    }

    private static void error(ChannelHandlerContext context, String sqlState, String message) {
        context.write(BackendMessages.error(context.alloc(), "ERROR", sqlState, message));
        context.writeAndFlush(BackendMessages.ready(context.alloc()));
    }

    private void fatal(ChannelHandlerContext context, String sqlState, String message) {
        endStream();
        context.writeAndFlush(BackendMessages.error(context.alloc(), "FATAL", sqlState, message))
                .addListener(done -> context.close());
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        endStream();
        context.fireChannelInactive();
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
        if (cause instanceof DecoderException) {
            LOG.info("WAL client {} refused: {}", context.channel().remoteAddress(), cause.getMessage());
            fatal(context, "08P01", "malformed message");
        } else {
            LOG.debug("WAL client {} lost: {}", context.channel().remoteAddress(), cause.toString());
            context.close();
        }
    }
}

//! What gunicorn's settings mean here. Knows not where they were read, which `gunicorn_conf` and `words` do.

use super::plan::Meaning::{As, Joint, Missing, Nearly, Needless, Same};
use super::plan::{Given, Plan, Row, Takes};
use super::texts;

const HTTP2: &str = "HTTP/2 is not spoken yet; a proxy in front can";
const ASGI: &str = "it is about ASGI, and whiskyjack serves WSGI";
const LOGGING: &str = "the server's own lines do not pass through Python's logging; that of the application is configured by the application";
const SYSLOG: &str =
    "the server writes to standard error, which a service manager hands on to its journal";
const STRICT: &str = "such requests can be understood in two ways, and are refused";
const DIRTY: &str = "there are no processes beside the workers; a task queue does long work";
const UWSGI: &str = "the uwsgi protocol is not spoken; let the proxy speak HTTP (nginx: proxy_pass, not uwsgi_pass)";
const IMPORT: &str = "there are no hooks; what the application's module does when it is imported is done once in each worker (with preload: once before all)";
const MIDDLEWARE: &str =
    "there are no hooks; a middleware around the application sees every request";
const LEAVE: &str = "there are no hooks; functions registered with atexit run when a worker ends";
const SUPERVISOR: &str = "there are no hooks; no code of the application runs in the supervisor";
const LIVE_SYSTEMD: &str = "there are no hooks; the log tells of it, and systemd can be told";
const TLS: &str = "there is no such choice: TLS is as strict as its library makes it";

/// Every setting of gunicorn 27.
pub static ROWS: &[Row] = &[
    Row::value("config", "-c --config", Joint),
    Row::value("wsgi_app", "", Joint),
    Row::value("bind", "-b --bind", Joint),
    Row::value("backlog", "--backlog", Same("backlog")),
    Row::value("workers", "-w --workers", Same("workers")),
    Row::value("worker_class", "-k --worker-class", Joint),
    Row::value("threads", "--threads", Joint),
    Row::value("worker_connections", "--worker-connections", Joint),
    Row::value("max_requests", "--max-requests", Same("max-requests")),
    Row::value("max_requests_jitter", "--max-requests-jitter", Same("max-requests-jitter")),
    Row::value(
        "timeout",
        "-t --timeout",
        Nearly("timeout", "ends the request that takes so long, with 504, not its worker"),
    ),
    Row::value("graceful_timeout", "--graceful-timeout", Same("graceful-timeout")),
    Row::value("keepalive", "--keep-alive", Same("keep-alive")),
    Row::value(
        "limit_request_line",
        "--limit-request-line",
        As("limit-request-line", texts::limit_of_16m),
    ),
    Row::value("limit_request_fields", "--limit-request-fields", Same("limit-request-fields")),
    Row::value(
        "limit_request_field_size",
        "--limit-request-field_size --limit-request-field-size",
        As("limit-request-field-size", texts::limit_of_16m),
    ),
    Row::switch("reload", "--reload", Same("reload")),
    Row::value("reload_engine", "--reload-engine", As("reload-engine", texts::reload_engine)),
    Row::value("reload_extra_files", "--reload-extra-file", Same("reload-include")),
    Row::switch("spew", "--spew", Missing("tracing each line is a debugger's work")),
    Row::switch(
        "check_config",
        "--check-config",
        Needless("it is no setting; --check-config does the same here"),
    ),
    Row::switch(
        "print_config",
        "--print-config",
        Needless("it is no setting; --print-config does the same here"),
    ),
    Row::switch("preload_app", "--preload", Same("preload")),
    Row::switch("sendfile", "--sendfile --no-sendfile", Joint),
    Row::switch(
        "reuse_port",
        "--reuse-port",
        Needless("workers share one socket, and take from it evenly"),
    ),
    Row::value("chdir", "--chdir", Same("chdir")),
    Row::switch(
        "daemon",
        "-D --daemon",
        Missing("the server stays in the foreground; let systemd or a container keep it"),
    ),
    Row::value("raw_env", "-e --env", Same("env")),
    Row::value("pidfile", "-p --pid", Same("pid")),
    Row::value(
        "worker_tmp_dir",
        "--worker-tmp-dir",
        Needless("workers write no files to show that they are alive"),
    ),
    Row::value("user", "-u --user", Same("user")),
    Row::value("group", "-g --group", Same("group")),
    Row::value("umask", "-m --umask", As("umask", texts::octal)),
    Row::switch("initgroups", "--initgroups", Needless("a user's other groups come with the user")),
    Row::value(
        "tmp_upload_dir",
        "",
        Missing("large bodies go to unnamed files in the directory that the variable TMPDIR names"),
    ),
    Row::value(
        "secure_scheme_headers",
        "",
        Missing(
            "the scheme is read from X-Forwarded-Proto and Forwarded, of proxies in forwarded-allow-ips",
        ),
    ),
    Row::value(
        "forwarded_allow_ips",
        "--forwarded-allow-ips",
        Nearly(
            "forwarded-allow-ips",
            "believes the address and the host that these say as well, not the scheme alone",
        ),
    ),
    Row::value("accesslog", "--access-logfile", Same("access-log")),
    Row::switch(
        "disable_redirect_access_to_syslog",
        "--disable-redirect-access-to-syslog",
        Needless("nothing is written to syslog"),
    ),
    Row::value("access_log_format", "--access-logformat", Same("access-log-format")),
    Row::value("errorlog", "--error-logfile --log-file", Joint),
    Row::value("loglevel", "--log-level", As("log-level", texts::level)),
    Row::switch(
        "capture_output",
        "--capture-output",
        Needless(
            "what the application prints is on standard output and standard error, as the log is",
        ),
    ),
    Row::value("logger_class", "--logger-class", Missing(LOGGING)),
    Row::value("logconfig", "--log-config", Missing(LOGGING)),
    Row::value("logconfig_dict", "", Missing(LOGGING)),
    Row::value("logconfig_json", "--log-config-json", Missing(LOGGING)),
    Row::value("syslog_addr", "--log-syslog-to", Missing(SYSLOG)),
    Row::switch("syslog", "--log-syslog", Missing(SYSLOG)),
    Row::value("syslog_prefix", "--log-syslog-prefix", Missing(SYSLOG)),
    Row::value("syslog_facility", "--log-syslog-facility", Missing(SYSLOG)),
    Row::switch(
        "enable_stdio_inheritance",
        "-R --enable-stdio-inheritance",
        Needless("workers write to the streams that the server was started with"),
    ),
    Row::value("statsd_host", "--statsd-host", Same("statsd-host")),
    Row::value("dogstatsd_tags", "--dogstatsd-tags", Same("statsd-tags")),
    Row::value("statsd_prefix", "--statsd-prefix", Same("statsd-prefix")),
    Row::switch("enable_backlog_metric", "--enable-backlog-metric", Same("metrics")),
    Row::value("proc_name", "-n --name", Same("name")),
    Row::value("default_proc_name", "", Same("name")),
    Row::value("pythonpath", "--pythonpath", Same("pythonpath")),
    Row::value(
        "paste",
        "--paste --paster",
        Missing(
            "it is no setting; its application is served as whiskyjack.contrib.paste:load_app(\"/path/to/file.ini\")",
        ),
    ),
    Row::value(
        "raw_paste_global_conf",
        "--paste-global",
        Missing(
            "load_app() takes what the file says; call paste.deploy.loadapp() with global_conf in a module",
        ),
    ),
    Row::value("on_starting", "", Missing(SUPERVISOR)),
    Row::value("on_reload", "", Missing(SUPERVISOR)),
    Row::value("when_ready", "", Missing(LIVE_SYSTEMD)),
    Row::value("pre_fork", "", Missing(SUPERVISOR)),
    Row::value("post_fork", "", Missing(IMPORT)),
    Row::value("post_worker_init", "", Missing(IMPORT)),
    Row::value("worker_int", "", Missing(LEAVE)),
    Row::value(
        "worker_abort",
        "",
        Missing("there are no hooks; the log has the stack of a request that is past its timeout"),
    ),
    Row::value("pre_exec", "", Missing(SUPERVISOR)),
    Row::value("pre_request", "", Missing(MIDDLEWARE)),
    Row::value("post_request", "", Missing(MIDDLEWARE)),
    Row::value(
        "child_exit",
        "",
        Missing("there are no hooks; the log has a record of each worker that died, and why"),
    ),
    Row::value("worker_exit", "", Missing(LEAVE)),
    Row::value("nworkers_changed", "", Missing(SUPERVISOR)),
    Row::value("on_exit", "", Missing(SUPERVISOR)),
    Row::value("ssl_context", "", Missing("there are no hooks, and TLS is not Python's")),
    Row {
        key: "proxy_protocol",
        flags: "--proxy-protocol",
        takes: Takes::OneOf(&["off", "v1", "v2", "auto"]),
        meaning: Joint,
    },
    Row::value("proxy_allow_ips", "--proxy-allow-from", Same("proxy-allow-from")),
    Row::value("protocol", "--protocol", Joint),
    Row::value("uwsgi_allow_ips", "--uwsgi-allow-from", Missing(UWSGI)),
    Row::value("keyfile", "--keyfile", Same("keyfile")),
    Row::value("certfile", "--certfile", Same("certfile")),
    Row::value("ssl_version", "--ssl-version", Missing(TLS)),
    Row::value("cert_reqs", "--cert-reqs", As("cert-reqs", cert_reqs)),
    Row::value("ca_certs", "--ca-certs", Same("ca-certs")),
    Row::switch("suppress_ragged_eofs", "--suppress-ragged-eofs", Missing(TLS)),
    Row::switch("do_handshake_on_connect", "--do-handshake-on-connect", Missing(TLS)),
    Row::value("ciphers", "--ciphers", Same("ciphers")),
    Row::value("http_protocols", "--http-protocols", Joint),
    Row::value("http2_cleartext", "--http2-cleartext", Missing(HTTP2)),
    Row::value("http2_max_concurrent_streams", "--http2-max-concurrent-streams", Missing(HTTP2)),
    Row::value("http2_initial_window_size", "--http2-initial-window-size", Missing(HTTP2)),
    Row::value("http2_max_frame_size", "--http2-max-frame-size", Missing(HTTP2)),
    Row::value("http2_max_header_list_size", "--http2-max-header-list-size", Missing(HTTP2)),
    Row::switch("permit_obsolete_folding", "--permit-obsolete-folding", Missing(STRICT)),
    Row::switch("strip_header_spaces", "--strip-header-spaces", Missing(STRICT)),
    Row::switch(
        "permit_unconventional_http_method",
        "--permit-unconventional-http-method",
        Needless("every method that RFC 9110 allows is taken"),
    ),
    Row::switch(
        "permit_unconventional_http_version",
        "--permit-unconventional-http-version",
        Missing(STRICT),
    ),
    Row::switch(
        "casefold_http_method",
        "--casefold-http-method",
        Missing("RFC 9110 has methods differ by their case; a middleware can change them"),
    ),
    Row::value(
        "forwarder_headers",
        "--forwarder-headers",
        Missing("no field of a request can set SCRIPT_NAME or PATH_INFO; root-path can"),
    ),
    Row::value("header_map", "--header-map", As("header-map", header_map)),
    Row::value("asgi_loop", "--asgi-loop", Missing(ASGI)),
    Row::value("asgi_lifespan", "--asgi-lifespan", Missing(ASGI)),
    Row::value("asgi_disconnect_grace_period", "--asgi-disconnect-grace-period", Missing(ASGI)),
    Row::value("websocket_max_message_size", "--websocket-max-message-size", Missing(ASGI)),
    Row::value("http_parser", "--http-parser", Needless("there is one parser, in Rust")),
    Row::value("root_path", "--root-path", Same("root-path")),
    Row::value("dirty_apps", "--dirty-app", Missing(DIRTY)),
    Row::value("dirty_workers", "--dirty-workers", Missing(DIRTY)),
    Row::value("dirty_timeout", "--dirty-timeout", Missing(DIRTY)),
    Row::value("dirty_threads", "--dirty-threads", Missing(DIRTY)),
    Row::value("dirty_graceful_timeout", "--dirty-graceful-timeout", Missing(DIRTY)),
    Row::value("on_dirty_starting", "", Missing(DIRTY)),
    Row::value("dirty_post_fork", "", Missing(DIRTY)),
    Row::value("dirty_worker_init", "", Missing(DIRTY)),
    Row::value("dirty_worker_exit", "", Missing(DIRTY)),
    Row::value("control_socket", "--control-socket", Same("control")),
    Row::value(
        "control_socket_mode",
        "--control-socket-mode",
        Missing("only its owner may use the control socket"),
    ),
    Row::switch(
        "control_socket_disable",
        "--no-control-socket",
        Needless("there is no control socket unless --control names one"),
    ),
];

fn header_map(text: &str) -> Result<String, String> {
    Ok(if text == "dangerous" { "allow" } else { text }.to_owned())
}

/// The numbers of Python's `ssl.VerifyMode`, or their names.
fn cert_reqs(text: &str) -> Result<String, String> {
    Ok(match text.rsplit('.').next().unwrap_or(text) {
        "0" | "CERT_NONE" => "none",
        "1" | "CERT_OPTIONAL" => "optional",
        "2" | "CERT_REQUIRED" => "required",
        _ => text,
    }
    .to_owned())
}

/// The equivalent of what was given, the weakest source first.
pub fn plan(sources: Vec<Vec<Given>>, app: Option<&str>) -> Plan {
    let given = merged(sources);
    let last = |key: &str| given.iter().rev().find(|given| given.row.key == key);
    let mut plan = Plan::default();
    match (app, last("wsgi_app")) {
        (Some(app), _) => plan.set("app", app, app),
        (None, Some(app)) => plan.set("app", app.text(), &app.written),
        (None, None) => {}
    }
    for given in &given {
        plan.take(given);
        joint(&mut plan, given);
    }
    concurrency(&mut plan, last("worker_class"), last("threads"), last("worker_connections"));
    if last("forwarded_allow_ips").is_none() {
        plan.remarks.push(
            "gunicorn believes X-Forwarded-Proto from 127.0.0.1 and ::1 unasked, whiskyjack nobody: behind a proxy, set forwarded-allow-ips".to_owned(),
        );
    }
    plan
}

/// What a later source says of a setting replaces what all earlier ones say.
fn merged(sources: Vec<Vec<Given>>) -> Vec<Given> {
    let mut merged: Vec<Given> = Vec::new();
    for source in sources {
        merged.retain(|old| source.iter().all(|new| new.row.key != old.row.key));
        merged.extend(source);
    }
    merged
}

/// What depends on the value.
fn joint(plan: &mut Plan, given: &Given) {
    let (text, written) = (given.text(), given.written.as_str());
    match (given.row.key, text) {
        ("bind", _) => {
            // a file may have several in one text, as GUNICORN_CMD_ARGS may
            for text in given.texts.iter().flat_map(|texts| texts.split(',')) {
                plan.set("bind", &texts::address(text.trim(), 8000), written);
            }
        }
        ("sendfile", "false") => {
            plan.miss(
                written,
                "files leave by sendfile wherever the system can, and there is no switch",
            );
        }
        ("errorlog", "-" | "/dev/stderr") => {
            plan.need_not(written, "messages go to standard error");
        }
        ("errorlog", _) => {
            plan.miss(
                written,
                "messages go to standard error, which whoever starts the server can send to a file",
            );
        }
        ("proxy_protocol", "off" | "false") => {
            plan.need_not(written, "no PROXY header is expected unless one is asked for");
        }
        // without a value, as gunicorn's flag may be
        ("proxy_protocol", "true") => plan.set("proxy-protocol", "auto", written),
        ("proxy_protocol", _) => plan.set("proxy-protocol", text, written),
        ("protocol", "http") => plan.need_not(written, "HTTP is what is spoken"),
        ("protocol", _) => plan.miss(written, UWSGI),
        ("http_protocols", "h1") => plan.need_not(written, "HTTP/1.1 is what is spoken"),
        ("http_protocols", _) => plan.miss(written, HTTP2),
        _ => {}
    }
}

/// A sync worker does one request at a time, and its application may rely on that.
fn concurrency(
    plan: &mut Plan,
    class: Option<&Given>,
    threads: Option<&Given>,
    connections: Option<&Given>,
) {
    let kind = class.map_or("sync", Given::text);
    let kind = match kind.rsplit('.').next().unwrap_or(kind) {
        "sync" | "SyncWorker" => "sync",
        "gthread" | "ThreadWorker" => "gthread",
        "gevent" | "GeventWorker" | "gevent_pywsgi" | "GeventPyWSGIWorker" | "gevent_wsgi"
        | "eventlet" | "EventletWorker" => "green",
        "tornado" | "TornadoWorker" => "tornado",
        "asgi" | "ASGIWorker" | "UvicornWorker" | "UvicornH11Worker" => "asgi",
        _ => "other",
    };
    let written = class.map(|class| class.written.as_str());
    let is_threaded = threads.is_some_and(|threads| threads.text() != "1");
    match (kind, written) {
        ("sync", _) if is_threaded => {}
        ("sync", written) => {
            plan.set("threads", "1", written.unwrap_or("gunicorn's default, worker_class sync"));
            plan.remark("threads", "one request at a time, as in a sync worker; raise it if the application may be called by several threads");
        }
        ("gthread", Some(written)) => plan.need_not(written, "workers have threads"),
        ("green", Some(written)) => plan.miss(
            written,
            "there are no green threads; threads are the system's, and cost nothing until the application waits: set as many as requests may wait at once",
        ),
        ("tornado" | "asgi", Some(written)) => {
            plan.miss(written, "whiskyjack serves WSGI applications");
        }
        (_, Some(written)) => plan.miss(written, "there is one kind of worker"),
        (_, None) => {}
    }
    if let Some(threads) = threads
        && matches!(kind, "sync" | "gthread")
        && (kind != "sync" || is_threaded)
    {
        plan.set("threads", threads.text(), &threads.written);
    } else if kind == "gthread" {
        plan.set("threads", "1", "gunicorn's default, threads 1");
    }
    if let Some(connections) = connections {
        match kind {
            "sync" if !is_threaded => {
                plan.need_not(&connections.written, "a sync worker has one connection at a time");
            }
            _ => plan.set("limit-connections", connections.text(), &connections.written),
        }
    }
}

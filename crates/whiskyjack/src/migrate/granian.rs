//! What Granian's settings mean here.

use super::plan::Meaning::{As, Joint, Missing, Nearly, Needless, Same};
use super::plan::{Given, Plan, Row};
use super::texts;

const HTTP2: &str = "HTTP/2 is not spoken yet; a proxy in front can";
const RUNTIME: &str = "there is no runtime beside the threads that call the application";
const LOOP: &str = "it is about ASGI and RSGI, and whiskyjack serves WSGI";
const RELOAD: &str = "reload-exclude takes patterns of a shell, no regular expressions";
const SAMPLES: &str = "the supervisor looks at each worker's memory every second";

/// Every setting of Granian 2.8.
pub static ROWS: &[Row] = &[
    Row::value("host", "--host", Joint),
    Row::value("port", "--port", Joint),
    Row::value("uds", "--uds", Joint),
    Row::value("uds-permissions", "--uds-permissions", Same("unix-socket-mode")),
    Row::value("interface", "--interface", Joint),
    Row::value("http", "--http", Joint),
    Row::switch("websockets", "--ws --no-ws", Joint),
    Row::value("workers", "--workers", Same("workers")),
    Row::value("blocking-threads", "--blocking-threads", Same("threads")),
    Row::value(
        "blocking-threads-idle-timeout",
        "--blocking-threads-idle-timeout",
        Needless("a thread that has nothing to do sleeps, and costs nothing"),
    ),
    Row::value("runtime-threads", "--runtime-threads", Needless(RUNTIME)),
    Row::value("runtime-blocking-threads", "--runtime-blocking-threads", Needless(RUNTIME)),
    Row::value("runtime-mode", "--runtime-mode", Needless(RUNTIME)),
    Row::value("loop", "--loop", Missing(LOOP)),
    Row::value("task-impl", "--task-impl", Missing(LOOP)),
    Row::value("backlog", "--backlog", Same("backlog")),
    Row::value(
        "backpressure",
        "--backpressure",
        Nearly(
            "limit-connections",
            "counts the connections of a worker, idle ones too; queue-timeout bounds how long a request waits",
        ),
    ),
    Row::value("http1-buffer-size", "--http1-buffer-size", Same("limit-request-head")),
    Row::value(
        "http1-header-read-timeout",
        "--http1-header-read-timeout",
        As("head-timeout", texts::milliseconds),
    ),
    Row::switch("http1-keep-alive", "--http1-keep-alive --no-http1-keep-alive", Joint),
    Row::switch(
        "http1-pipeline-flush",
        "--http1-pipeline-flush --no-http1-pipeline-flush",
        Needless("responses to pipelined requests leave together"),
    ),
    Row::switch(
        "http2-adaptive-window",
        "--http2-adaptive-window --no-http2-adaptive-window",
        Missing(HTTP2),
    ),
    Row::value(
        "http2-initial-connection-window-size",
        "--http2-initial-connection-window-size",
        Missing(HTTP2),
    ),
    Row::value(
        "http2-initial-stream-window-size",
        "--http2-initial-stream-window-size",
        Missing(HTTP2),
    ),
    Row::value("http2-keep-alive-interval", "--http2-keep-alive-interval", Missing(HTTP2)),
    Row::value("http2-keep-alive-timeout", "--http2-keep-alive-timeout", Missing(HTTP2)),
    Row::value("http2-max-concurrent-streams", "--http2-max-concurrent-streams", Missing(HTTP2)),
    Row::value("http2-max-frame-size", "--http2-max-frame-size", Missing(HTTP2)),
    Row::value("http2-max-headers-size", "--http2-max-headers-size", Missing(HTTP2)),
    Row::value("http2-max-send-buffer-size", "--http2-max-send-buffer-size", Missing(HTTP2)),
    Row::switch("log-enabled", "--log --no-log", Joint),
    Row::value("log-level", "--log-level", As("log-level", texts::level)),
    Row::value(
        "log-config",
        "--log-config",
        Missing(
            "the server's own lines do not pass through Python's logging; that of the application is configured by the application",
        ),
    ),
    Row::switch("log-access-enabled", "--access-log --no-access-log", Joint),
    Row::value(
        "log-access-fmt",
        "--access-log-fmt",
        Missing("the lines of the access log are made in another way"),
    ),
    Row::value("ssl-certificate", "--ssl-certificate", Same("certfile")),
    Row::value("ssl-keyfile", "--ssl-keyfile", Same("keyfile")),
    Row::value(
        "ssl-keyfile-password",
        "--ssl-keyfile-password",
        Missing("a key with a password is not read"),
    ),
    Row::value("ssl-protocol-min", "--ssl-protocol-min", Missing("there is no such choice")),
    Row::value("ssl-ca", "--ssl-ca", Same("ca-certs")),
    Row::value("ssl-crl", "--ssl-crl", Missing("lists of revoked certificates are not read")),
    Row::switch("ssl-client-verify", "--ssl-client-verify --no-ssl-client-verify", Joint),
    Row::value("url-path-prefix", "--url-path-prefix", As("root-path", root_path)),
    Row::switch(
        "respawn-failed-workers",
        "--respawn-failed-workers --no-respawn-failed-workers",
        Needless("a worker that died is always replaced"),
    ),
    Row::value(
        "respawn-interval",
        "--respawn-interval",
        Needless("workers that die again and again are replaced ever more slowly"),
    ),
    Row::value("rss-sample-interval", "--rss-sample-interval", Missing(SAMPLES)),
    Row::value("rss-samples", "--rss-samples", Missing(SAMPLES)),
    Row::value("workers-lifetime", "--workers-lifetime", Same("max-worker-lifetime")),
    Row::value("workers-max-rss", "--workers-max-rss", As("max-worker-rss", texts::mebibytes)),
    Row::value("workers-kill-timeout", "--workers-kill-timeout", Same("graceful-timeout")),
    Row::switch("factory", "--factory --no-factory", Joint),
    Row::value("working-dir", "--working-dir", Same("chdir")),
    Row::value("env-files", "--env-files", Same("env-file")),
    Row::value("static-path-route", "--static-path-route", Same("static")),
    Row::value("static-path-mount", "--static-path-mount", Same("static")),
    Row::value("static-path-dir-to-file", "--static-path-dir-to-file", Same("static")),
    Row::value("static-path-expires", "--static-path-expires", Same("static")),
    Row::switch("metrics-enabled", "--metrics --no-metrics", Same("metrics")),
    Row::value("metrics-scrape-interval", "--metrics-scrape-interval", Same("metrics")),
    Row::value("metrics-address", "--metrics-address", Same("metrics")),
    Row::value("metrics-port", "--metrics-port", Same("metrics")),
    Row::switch("reload", "--reload --no-reload", Same("reload")),
    Row::value("reload-paths", "--reload-paths", Same("reload-include")),
    Row::value("reload-ignore-dirs", "--reload-ignore-dirs", Same("reload-exclude")),
    Row::value("reload-ignore-patterns", "--reload-ignore-patterns", Missing(RELOAD)),
    Row::value("reload-ignore-paths", "--reload-ignore-paths", Same("reload-exclude")),
    Row::value("reload-tick", "--reload-tick", Needless("what changes within 50 ms is one change")),
    Row::switch(
        "reload-ignore-worker-failure",
        "--reload-ignore-worker-failure --no-reload-ignore-worker-failure",
        Needless("a reload that fails leaves the workers that serve"),
    ),
    Row::value("process-name", "--process-name", Same("name")),
    Row::value("pid-file", "--pid-file", Same("pid")),
];

fn root_path(text: &str) -> Result<String, String> {
    Ok(format!("/{}", text.trim_matches('/')))
}

/// The environment variable of a setting.
pub fn variable(row: &Row) -> String {
    format!("GRANIAN_{}", row.key.to_ascii_uppercase().replace('-', "_"))
}

/// The equivalent of what was given, what weighs more standing later.
pub fn plan(given: &[Given], app: Option<&str>) -> Plan {
    let last = |key: &str| given.iter().rev().find(|given| given.row.key == key);
    let mut plan = Plan::default();
    if let Some(app) = app {
        match last("factory").filter(|factory| texts::is_true(factory.text())) {
            Some(factory) => {
                let written = format!("{} {app}", factory.written);
                plan.set("app", &called(app), &written);
            }
            None => plan.set("app", app, app),
        }
    }
    address(&mut plan, last("host"), last("port"), last("uds"));
    for given in given {
        plan.take(given);
        joint(&mut plan, given);
    }
    if last("interface").is_none() {
        plan.remarks.push(
            "Granian's default interface is RSGI, whiskyjack serves WSGI: the application must be a WSGI one".to_owned(),
        );
    }
    plan
}

/// A factory, called.
fn called(app: &str) -> String {
    let app = if app.contains(':') { app.to_owned() } else { format!("{app}:create_app") };
    if app.ends_with(')') { app } else { format!("{app}()") }
}

fn address(plan: &mut Plan, host: Option<&Given>, port: Option<&Given>, uds: Option<&Given>) {
    if let Some(uds) = uds {
        plan.set("bind", &format!("unix:{}", uds.text()), &uds.written);
    } else if host.is_some() || port.is_some() {
        let written: Vec<_> =
            [host, port].into_iter().flatten().map(|given| given.written.as_str()).collect();
        let host = host.map_or("127.0.0.1", Given::text);
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let port = port.map_or("8000", Given::text);
        plan.set("bind", &format!("{host}:{port}"), &written.join(" "));
    }
}

fn joint(plan: &mut Plan, given: &Given) {
    let written = given.written.as_str();
    match (given.row.key, given.text()) {
        ("interface", "wsgi") => plan.need_not(written, "WSGI is what is served"),
        ("interface", _) => plan.miss(written, "whiskyjack serves WSGI applications"),
        ("http", "1" | "auto") => plan.need_not(written, "HTTP/1.1 is what is spoken"),
        ("http", _) => plan.miss(written, HTTP2),
        ("websockets", "true") => plan.miss(written, "WebSockets are not part of WSGI"),
        ("http1-keep-alive", "false") => plan.set("keep-alive", "0", written),
        ("log-enabled", "false") => plan.set("log-level", "error", written),
        ("log-access-enabled", "true") => plan.set("access-log", "-", written),
        ("ssl-client-verify", "true") => plan.set("cert-reqs", "required", written),
        _ => {}
    }
}

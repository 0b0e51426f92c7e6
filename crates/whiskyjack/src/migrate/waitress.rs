//! What waitress's settings mean here.

use super::plan::Meaning::{As, Joint, Missing, Needless, Same};
use super::plan::{Given, Plan, Row};
use super::texts;

const LOOP: &str = "the loop that waits for sockets has nothing to set";
const FAMILIES: &str = "the address says which family it is of";

/// Every setting of waitress 3.
pub static ROWS: &[Row] = &[
    Row::value("app", "--app", Joint),
    Row::switch("call", "--call", Joint),
    Row::value("host", "--host", Joint),
    Row::value("port", "--port", Joint),
    Row::switch("ipv4", "--ipv4 --no-ipv4", Needless(FAMILIES)),
    Row::switch("ipv6", "--ipv6 --no-ipv6", Needless(FAMILIES)),
    Row::value("listen", "--listen", Joint),
    Row::value("unix-socket", "--unix-socket", Joint),
    Row::value("unix-socket-perms", "--unix-socket-perms", Same("unix-socket-mode")),
    Row::value("threads", "--threads", Joint),
    Row::value("trusted-proxy", "--trusted-proxy", Same("forwarded-allow-ips")),
    Row::value(
        "trusted-proxy-count",
        "--trusted-proxy-count",
        Missing("proxies are known by their addresses: name each of them in forwarded-allow-ips"),
    ),
    Row::value(
        "trusted-proxy-headers",
        "--trusted-proxy-headers",
        Missing(
            "of a proxy in forwarded-allow-ips, X-Forwarded-* and Forwarded are believed; let it remove what it does not set",
        ),
    ),
    Row::switch(
        "log-untrusted-proxy-headers",
        "--log-untrusted-proxy-headers --no-log-untrusted-proxy-headers",
        Missing("such fields are left out without a word"),
    ),
    Row::switch(
        "clear-untrusted-proxy-headers",
        "--clear-untrusted-proxy-headers --no-clear-untrusted-proxy-headers",
        Joint,
    ),
    Row::value("url-scheme", "--url-scheme", Joint),
    Row::value("url-prefix", "--url-prefix", As("root-path", root_path)),
    Row::value("backlog", "--backlog", Same("backlog")),
    Row::value(
        "recv-bytes",
        "--recv-bytes",
        Needless("how much is read at once has nothing to set"),
    ),
    Row::value("send-bytes", "--send-bytes", Needless("what is ready leaves at once")),
    Row::value("outbuf-overflow", "--outbuf-overflow", Same("high-water")),
    Row::value("outbuf-high-watermark", "--outbuf-high-watermark", Same("response-spool")),
    Row::value("inbuf-overflow", "--inbuf-overflow", Same("body-in-memory")),
    Row::value("connection-limit", "--connection-limit", Same("limit-connections")),
    Row::value(
        "cleanup-interval",
        "--cleanup-interval",
        Needless("each connection is closed when its own time has come"),
    ),
    Row::value("channel-timeout", "--channel-timeout", Same("keep-alive")),
    Row::switch(
        "log-socket-errors",
        "--log-socket-errors --no-log-socket-errors",
        Needless("a client that goes away is told only at log-level debug"),
    ),
    Row::value("max-request-header-size", "--max-request-header-size", Same("limit-request-head")),
    Row::value("max-request-body-size", "--max-request-body-size", Same("limit-request-body")),
    Row::switch(
        "expose-tracebacks",
        "--expose-tracebacks --no-expose-tracebacks",
        Missing("tracebacks go to the log, never to a client"),
    ),
    Row::value("ident", "--ident", Same("server-header")),
    Row::value("asyncore-loop-timeout", "--asyncore-loop-timeout", Needless(LOOP)),
    Row::switch("asyncore-use-poll", "--asyncore-use-poll --no-asyncore-use-poll", Needless(LOOP)),
    Row::value(
        "channel-request-lookahead",
        "--channel-request-lookahead",
        Needless("a client that has gone is noticed without it"),
    ),
    Row::value("server-name", "--server-name", Missing("SERVER_NAME is what the Host field says")),
];

fn root_path(text: &str) -> Result<String, String> {
    Ok(format!("/{}", text.trim_matches('/')))
}

/// The equivalent of what was given; a word without a flag names the application.
pub fn plan(given: &[Given], place: Option<&str>) -> Plan {
    let last = |key: &str| given.iter().rev().find(|given| given.row.key == key);
    let mut plan = Plan::default();
    if let Some(app) = last("app").map(Given::text).or(place) {
        match last("call") {
            Some(call) => plan.set("app", &format!("{app}()"), &format!("{} {app}", call.written)),
            None => plan.set("app", app, app),
        }
    }
    addresses(&mut plan, given);
    match last("threads") {
        Some(threads) => plan.set("threads", threads.text(), &threads.written),
        None => plan.set("threads", "4", "waitress's default"),
    }
    for given in given {
        plan.take(given);
        joint(&mut plan, given);
    }
    plan
}

fn addresses(plan: &mut Plan, given: &[Given]) {
    let last = |key: &str| given.iter().rev().find(|given| given.row.key == key);
    if let Some(socket) = last("unix-socket") {
        return plan.set("bind", &format!("unix:{}", socket.text()), &socket.written);
    }
    let listens: Vec<_> = given.iter().filter(|given| given.row.key == "listen").collect();
    for listen in &listens {
        for text in listen.text().split_whitespace() {
            plan.set("bind", &texts::address(text, 8080), &listen.written);
        }
    }
    if listens.is_empty() {
        let (host, port) = (last("host"), last("port"));
        let written: Vec<_> =
            [host, port].into_iter().flatten().map(|given| given.written.as_str()).collect();
        let written = match written.is_empty() {
            true => "waitress's default".to_owned(),
            false => written.join(" "),
        };
        let host = host.map_or("0.0.0.0", Given::text);
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let port = port.map_or("8080", Given::text);
        plan.set("bind", &texts::address(&format!("{host}:{port}"), 8080), &written);
    }
}

fn joint(plan: &mut Plan, given: &Given) {
    let written = given.written.as_str();
    match (given.row.key, given.text()) {
        ("clear-untrusted-proxy-headers", "false") => {
            plan.set("forwarded-untrusted", "keep", written);
        }
        ("clear-untrusted-proxy-headers", _) => plan.set("forwarded-untrusted", "remove", written),
        ("url-scheme", "http") => plan.need_not(
            written,
            "http is the scheme unless a proxy in forwarded-allow-ips says otherwise",
        ),
        ("url-scheme", _) => plan.miss(
            written,
            "the scheme is what a proxy in forwarded-allow-ips says in X-Forwarded-Proto",
        ),
        _ => {}
    }
}

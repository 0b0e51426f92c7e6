//! What uWSGI's options mean here together. `uwsgi_options` has what each means by itself.

use super::plan::{Given, Plan};
use super::texts;
use super::uwsgi_options::PYTHON;
use std::path::Path;

/// The equivalent of what was given; a word without a flag names a Python file.
pub fn plan(given: &[Given], place: Option<&str>) -> Plan {
    let last = |key: &str| given.iter().rev().find(|given| given.row.key == key);
    let mut plan = Plan::default();
    application(&mut plan, given, place);
    match last("threads") {
        Some(threads) => plan.set("threads", threads.text(), &threads.written),
        None => {
            plan.set("threads", "1", "uWSGI's default");
            plan.remark("threads", "one request at a time in each worker; raise it if the application may be called by several threads");
        }
    }
    for given in given {
        plan.take(given);
        joint(&mut plan, given);
    }
    let is_off = |key: &str| last(key).is_none_or(|given| !texts::is_true(given.text()));
    let is_several = last("processes").is_some_and(|given| given.text() != "1");
    match last("lazy-apps") {
        Some(lazy) if !is_off("lazy-apps") => {
            plan.need_not(
                &lazy.written,
                "each worker loads the application by itself unless preload says otherwise",
            );
        }
        // Who wants files to be watched wants them loaded anew, which preload is against.
        _ if is_several && is_off("py-autoreload") => {
            plan.set("preload", "true", "uWSGI's default, without lazy-apps");
            plan.remark("preload", "what the application opens when it is imported (database connections, threads) is made before the fork");
        }
        _ => {}
    }
    if is_off("disable-logging") {
        plan.set("access-log", "-", "uWSGI's default, without disable-logging");
    }
    plan
}

fn application(plan: &mut Plan, given: &[Given], place: Option<&str>) {
    let last = |key: &str| given.iter().rev().find(|given| given.row.key == key);
    let callable = last("callable");
    let named = |source: &str| match callable {
        Some(callable)
            if !source.contains(".py:") && (source.ends_with(".py") || !source.contains(':')) =>
        {
            format!("{source}:{}", callable.text())
        }
        _ => source.to_owned(),
    };
    let source = last("module").or_else(|| last("wsgi-file"));
    match source {
        Some(source) => {
            let written = match callable {
                Some(callable) => format!("{}, {}", source.written, callable.written),
                None => source.written.clone(),
            };
            let text = source.text();
            let is_file = source.row.key == "wsgi-file";
            if is_file && !text.ends_with(".py") {
                plan.miss(
                    &written,
                    "a file of Python code is known by its name, which must end in .py",
                );
            } else {
                plan.set("app", &named(text), &written);
            }
        }
        None => {
            if let Some(place) = place {
                plan.set("app", &named(place), place);
            }
        }
    }
    let mounts: Vec<_> = given.iter().filter(|given| given.row.key == "mount").collect();
    for mount in &mounts {
        let (path, app) = mount.text().split_once('=').unwrap_or(("", mount.text()));
        if mounts.len() > 1 || source.is_some() || !path.starts_with('/') {
            plan.miss(
                &mount.written,
                "a server serves one application; mount several with a dispatching middleware",
            );
            continue;
        }
        plan.set("app", &named(app), &mount.written);
        if path != "/" {
            plan.set("root-path", path.trim_end_matches('/'), &mount.written);
        }
    }
    if let Some(manage) = last("manage-script-name") {
        match mounts.len() {
            1 => plan.need_not(
                &manage.written,
                "SCRIPT_NAME is what root-path says, and PATH_INFO the rest",
            ),
            _ => plan.miss(&manage.written, "without a mount there is nothing to split off"),
        }
    }
}

fn joint(plan: &mut Plan, given: &Given) {
    let (text, written) = (given.text(), given.written.as_str());
    match (given.row.key, text) {
        ("socket", _) => {
            bind(plan, text, written);
            plan.remark("bind", "HTTP is spoken here, not the uwsgi protocol: let the proxy do so too (nginx: proxy_pass, not uwsgi_pass)");
        }
        ("http" | "http-socket", _) => bind(plan, text, written),
        ("https", _) => {
            let mut parts = text.split(',');
            bind(plan, parts.next().unwrap_or(text), written);
            for (name, part) in ["certfile", "keyfile"].into_iter().zip(parts) {
                plan.set(name, part, written);
            }
        }
        ("virtualenv", _) => {
            plan.need_not(
                written,
                &format!(
                    "{PYTHON}: install it there, and start {}",
                    Path::new(text).join("bin/whiskyjack").display()
                ),
            );
        }
        ("plugin", _)
            if text.split(',').all(|name| {
                name.trim().starts_with("python") || ["http", "logfile"].contains(&name.trim())
            }) =>
        {
            plan.need_not(written, PYTHON);
        }
        ("plugin", _) => plan.miss(written, "there are no plugins"),
        ("http-keepalive", "true" | "1") => {
            plan.need_not(written, "connections are kept for as long as keep-alive says")
        }
        ("http-keepalive", _) => plan.set("keep-alive", text, written),
        ("http-enable-proxy-protocol", _) => plan.set("proxy-protocol", "auto", written),
        ("disable-logging", "true") => {
            plan.need_not(written, "there is no access log unless access-log asks for one");
        }
        _ => {}
    }
}

fn bind(plan: &mut Plan, text: &str, written: &str) {
    if text.starts_with('@') || text.starts_with("\\0") {
        return plan.miss(written, "sockets in the abstract namespace are not listened at");
    }
    if let Some(number) = text.strip_prefix("fd://") {
        return plan.set("bind", &format!("fd://{number}"), written);
    }
    // an equals sign names one of the shared sockets
    if text.starts_with('=') {
        return plan.miss(written, "there are no shared sockets to refer to; name the address");
    }
    match text.rsplit_once(':') {
        Some(_) => plan.set("bind", text.strip_prefix('*').unwrap_or(text), written),
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            plan.set("bind", &format!(":{text}"), written);
        }
        None => plan.set("bind", &format!("unix:{text}"), written),
    }
}

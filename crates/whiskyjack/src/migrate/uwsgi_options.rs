//! uWSGI's options, as far as they are about serving a WSGI application, and what each means here by itself.

use super::plan::Meaning::{As, Joint, Missing, Nearly, Needless, Same};
use super::plan::{Row, Takes};
use super::texts;

const HTTP: &str = "HTTP is parsed in the workers, and needs no router in front";
const LOGS: &str =
    "messages go to standard error, which whoever starts the server can send to a file";
const KEEPER: &str = "the server stays in the foreground and starts nothing else; let systemd or a container keep processes";
const QUEUE: &str = "there are no processes beside the workers; a task queue does long work";
const ALWAYS: &str = "it is so";
/// Why no interpreter is chosen.
pub const PYTHON: &str = "the server runs in the Python that it is installed in";
const GONE: &str = "a client that goes away is told only at log-level debug";
const CHEAPER: &str =
    "the number of workers does not follow the load; threads cost nothing until they are needed";
const ROUTING: &str = "requests are not routed or rewritten; a proxy or a middleware can";
const HOOKS: &str = "there are no hooks; what the application's module does when it is imported is done once in each worker";
const EMPEROR: &str = "a server serves one application; start one for each";

/// The options that people use, by their first name.
pub static ROWS: &[Row] = &[
    // addresses
    Row::value("socket", "-s --socket --uwsgi-socket", Joint),
    Row::value("http-socket", "--http-socket --http11-socket", Joint),
    Row::value("http", "--http --httprouter --http-router", Joint),
    Row::value("https", "--https --https-socket", Joint),
    Row::value("listen", "-l --listen", Same("backlog")),
    Row {
        key: "chmod-socket",
        flags: "-C --chmod-socket --chmod",
        takes: Takes::Perhaps,
        meaning: As("unix-socket-mode", chmod),
    },
    Row::value("chown-socket", "--chown-socket", Same("unix-socket-owner")),
    Row::switch(
        "abstract-socket",
        "-a --abstract-socket",
        Missing("sockets in the abstract namespace are not listened at"),
    ),
    Row::switch(
        "reuse-port",
        "--reuse-port",
        Needless("workers share one socket, and take from it evenly"),
    ),
    Row::switch(
        "vacuum",
        "--vacuum",
        Needless("socket files and the pid file go away with the server"),
    ),
    Row::switch(
        "so-keepalive",
        "--so-keepalive",
        Missing("connections that idle are closed after keep-alive, and need no probes"),
    ),
    Row::switch("tcp-nodelay", "--tcp-nodelay", Needless(ALWAYS)),
    // the application
    Row::value("module", "-w --module --wsgi", Joint),
    Row::value("wsgi-file", "--wsgi-file --file", Joint),
    Row::value("callable", "--callable", Joint),
    Row::value("mount", "--mount", Joint),
    Row::switch("manage-script-name", "--manage-script-name", Joint),
    Row::switch(
        "need-app",
        "--need-app",
        Needless("without an application the server does not start"),
    ),
    Row::value("chdir", "--chdir --chdir2", Same("chdir")),
    Row::value("pythonpath", "--pythonpath --python-path --pp", Same("pythonpath")),
    Row::value("virtualenv", "-H --home --virtualenv --venv --pyhome", Joint),
    Row::value("env", "--env", Same("env")),
    Row::value("plugin", "--plugin --plugins --need-plugin", Joint),
    Row::switch("single-interpreter", "-i --single-interpreter", Needless(ALWAYS)),
    Row::switch("no-default-app", "--no-default-app", Needless(ALWAYS)),
    Row::value(
        "paste",
        "--paste --ini-paste --ini-paste-logged",
        Missing(
            "it is no setting; its application is served as whiskyjack.contrib.paste:load_app(\"/path/to/file.ini\")",
        ),
    ),
    Row::value(
        "import",
        "--import --pyimport --py-import --python-import --shared-import",
        Missing("import it in the application's module"),
    ),
    Row::switch(
        "catch-exceptions",
        "--catch-exceptions",
        Missing("tracebacks go to the log, never to a client"),
    ),
    // processes and threads
    Row::value("processes", "-p --processes --workers", Same("workers")),
    Row::value("threads", "--threads", Joint),
    Row::switch(
        "enable-threads",
        "-T --enable-threads",
        Needless("an application can start threads"),
    ),
    Row::switch("master", "-M --master", Needless("a supervisor keeps the workers")),
    Row::switch("lazy-apps", "--lazy-apps --lazy", Joint),
    Row::switch(
        "thunder-lock",
        "--thunder-lock",
        Needless("no more workers wake up than there is work for"),
    ),
    Row::switch(
        "no-orphans",
        "--no-orphans",
        Needless("workers end when their supervisor is gone"),
    ),
    Row::switch("die-on-term", "--die-on-term", Needless("SIGTERM ends the server")),
    Row::switch(
        "exit-on-reload",
        "--exit-on-reload",
        Missing("SIGHUP reloads, and does not end the server"),
    ),
    Row::value(
        "offload-threads",
        "--offload-threads",
        Needless("slow clients and files hold no thread"),
    ),
    Row::value(
        "async",
        "--async",
        Missing("there are no green threads; threads cost nothing until the application waits"),
    ),
    Row::value(
        "gevent",
        "--gevent",
        Missing("there are no green threads; threads cost nothing until the application waits"),
    ),
    Row::switch(
        "py-call-osafterfork",
        "--py-call-osafterfork",
        Needless("Python is told of every fork"),
    ),
    Row::value("cheaper", "--cheaper", Missing(CHEAPER)),
    Row::value("cheaper-algo", "--cheaper-algo", Missing(CHEAPER)),
    Row::value("cheaper-initial", "--cheaper-initial", Missing(CHEAPER)),
    Row::value("cheaper-step", "--cheaper-step", Missing(CHEAPER)),
    Row::value(
        "cpu-affinity",
        "--cpu-affinity",
        Missing("processes are not bound to processors; systemd's CPUAffinity can"),
    ),
    Row::value(
        "thread-stacksize",
        "--thread-stacksize --threads-stacksize",
        Missing("the stack of a thread has the size that Python expects"),
    ),
    // how long, how much
    Row::value(
        "harakiri",
        "-t --harakiri",
        Nearly("timeout", "ends the request that takes so long, with 504, not its worker"),
    ),
    Row::switch(
        "harakiri-verbose",
        "--harakiri-verbose",
        Needless("the log has the stack of each request that is past its timeout"),
    ),
    Row::value(
        "py-tracebacker",
        "--py-tracebacker",
        Needless("the log has the stack of each request that is past its timeout"),
    ),
    Row::value("max-requests", "-R --max-requests", Same("max-requests")),
    Row::value("max-requests-delta", "--max-requests-delta", Same("max-requests-jitter")),
    Row::value("max-worker-lifetime", "--max-worker-lifetime", Same("max-worker-lifetime")),
    Row::value(
        "max-worker-lifetime-delta",
        "--max-worker-lifetime-delta",
        Missing("workers are replaced one after the other anyway"),
    ),
    Row::value(
        "min-worker-lifetime",
        "--min-worker-lifetime",
        Needless("workers that die again and again are replaced ever more slowly"),
    ),
    Row::value(
        "reload-on-rss",
        "--reload-on-rss --evil-reload-on-rss",
        As("max-worker-rss", texts::mebibytes),
    ),
    Row::value(
        "reload-on-as",
        "--reload-on-as --evil-reload-on-as",
        Missing("addresses are no memory; max-worker-rss counts what is resident"),
    ),
    Row::value(
        "worker-reload-mercy",
        "--worker-reload-mercy --reload-mercy",
        Same("graceful-timeout"),
    ),
    Row::value("buffer-size", "-b --buffer-size", Same("limit-request-head")),
    Row::value("limit-post", "--limit-post", Same("limit-request-body")),
    Row::value("post-buffering", "--post-buffering", As("body-in-memory", in_memory)),
    Row::value(
        "post-buffering-bufsize",
        "--post-buffering-bufsize",
        Needless("how much is read at once has nothing to set"),
    ),
    Row::value("socket-timeout", "-z --socket-timeout", Same("body-timeout")),
    Row::value(
        "http-timeout",
        "--http-timeout",
        Nearly("write-timeout", "head-timeout and body-timeout bound what the client sends"),
    ),
    Row::value("http-headers-timeout", "--http-headers-timeout", Same("head-timeout")),
    Row { key: "http-keepalive", flags: "--http-keepalive", takes: Takes::Perhaps, meaning: Joint },
    Row::value("so-send-timeout", "--so-send-timeout --socket-send-timeout", Same("write-timeout")),
    Row::value(
        "max-fd",
        "--max-fd",
        Missing(
            "the limit of open files is raised as far as it goes; systemd's LimitNOFILE sets how far",
        ),
    ),
    Row::value("limit-as", "--limit-as", Missing("let systemd or the container limit memory")),
    // HTTP
    Row::switch(
        "http-auto-chunked",
        "--http-auto-chunked",
        Needless("responses without a length are sent in chunks"),
    ),
    Row::switch(
        "http-chunked-input",
        "--http-chunked-input --wsgi-manage-chunked-input",
        Needless("bodies in chunks are read"),
    ),
    Row::switch("http-raw-body", "--http-raw-body", Needless(HTTP)),
    Row::switch("http-websockets", "--http-websockets", Missing("WebSockets are not part of WSGI")),
    Row::switch(
        "http-auto-gzip",
        "--http-auto-gzip",
        Missing("responses are not compressed; a middleware or a proxy can"),
    ),
    Row {
        key: "http-enable-proxy-protocol",
        flags: "--http-enable-proxy-protocol",
        takes: Takes::Perhaps,
        meaning: Joint,
    },
    Row::value("http-processes", "--http-processes --http-workers", Needless(HTTP)),
    Row::value("http-to", "--http-to", Needless(HTTP)),
    Row::value("http-buffer-size", "--http-buffer-size", Needless(HTTP)),
    Row::value("add-header", "--add-header", Missing("no fields are added; a middleware can")),
    Row::value("static-map", "--static-map --static-map2", Same("static")),
    Row::value("check-static", "--check-static --check-static-docroot", Same("static")),
    Row::value("static-index", "--static-index", Same("static")),
    Row::value("static-expires", "--static-expires --static-expires-uri", Same("static")),
    Row::value(
        "route",
        "--route --route-host --route-uri --route-if --route-run",
        Missing(ROUTING),
    ),
    Row::switch("ignore-sigpipe", "--ignore-sigpipe", Needless(GONE)),
    Row::switch("ignore-write-errors", "--ignore-write-errors", Needless(GONE)),
    Row::switch("disable-write-exception", "--disable-write-exception", Needless(GONE)),
    Row::switch(
        "wsgi-disable-file-wrapper",
        "--wsgi-disable-file-wrapper",
        Missing("wsgi.file_wrapper is always there"),
    ),
    // whose
    Row::value("uid", "--uid", Same("user")),
    Row::value("gid", "--gid", Same("group")),
    Row::value("add-gid", "--add-gid", Missing("a user's other groups come with the user")),
    Row::value("umask", "--umask", Same("umask")),
    Row::value(
        "chroot",
        "--chroot",
        Missing("let systemd's RootDirectory or a container confine it"),
    ),
    // reload
    Row::value(
        "touch-reload",
        "--touch-reload --touch-chain-reload --touch-workers-reload",
        Same("touch-reload"),
    ),
    Row::value(
        "py-autoreload",
        "--py-autoreload --py-auto-reload --python-autoreload --python-auto-reload",
        As("reload", switched),
    ),
    Row::value("fs-reload", "--fs-reload", Same("touch-reload")),
    Row::value(
        "master-fifo",
        "--master-fifo",
        Missing("signals, and the socket of --control, take orders"),
    ),
    Row::value("pidfile", "--pidfile --safe-pidfile --pidfile2", Same("pid")),
    Row::value("daemonize", "-d --daemonize --daemonize2", Missing(KEEPER)),
    Row::value(
        "attach-daemon",
        "--attach-daemon --attach-daemon2 --smart-attach-daemon --smart-attach-daemon2",
        Missing(KEEPER),
    ),
    Row::value("emperor", "--emperor", Missing(EMPEROR)),
    // logs
    Row::switch("disable-logging", "-L --disable-logging", Joint),
    Row::value("logto", "--logto --logto2 --logger", Missing(LOGS)),
    Row::value(
        "req-logger",
        "--req-logger",
        Missing("access-log names a file, or standard output"),
    ),
    Row::value("log-format", "--log-format --logformat", Same("access-log-format")),
    Row::switch("log-master", "--log-master", Needless("each worker writes whole lines")),
    Row::value("log-slow", "--log-slow", As("slow-log", texts::milliseconds)),
    Row::switch("log-4xx", "--log-4xx", Needless("the access log has every request")),
    Row::switch("log-5xx", "--log-5xx", Needless("the access log has every request")),
    Row::switch("log-date", "--log-date", Needless("every line has its time")),
    Row::switch(
        "log-x-forwarded-for",
        "--log-x-forwarded-for",
        Missing("the access log has the address that a proxy in forwarded-allow-ips tells"),
    ),
    Row::value(
        "log-maxsize",
        "--log-maxsize",
        Missing("files are not rotated; SIGUSR1 opens them anew after logrotate"),
    ),
    Row {
        key: "memory-report",
        flags: "-m --memory-report",
        takes: Takes::Perhaps,
        meaning: Missing("requests do not tell of memory"),
    },
    Row::value("stats", "--stats --stats-server", Same("metrics")),
    Row::switch("enable-metrics", "--enable-metrics", Same("metrics")),
    Row::switch(
        "auto-procname",
        "--auto-procname",
        Needless("processes have names that tell them apart"),
    ),
    Row::value("procname", "--procname --procname-prefix --procname-prefix-spaced", Same("name")),
    Row::value(
        "procname-master",
        "--procname-master",
        Needless("processes have names that tell them apart"),
    ),
    Row::switch("strict", "--strict", Needless("a setting that is none is an error")),
    Row::switch(
        "close-on-exec",
        "--close-on-exec",
        Needless("programs that the application starts do not get the sockets"),
    ),
    Row::switch("never-swap", "--never-swap", Missing("memory is not locked")),
    // work beside requests
    Row::value(
        "cron",
        "--cron --cron2 --unique-cron --legion-cron",
        Missing("let cron or a systemd timer start work by the clock"),
    ),
    Row { key: "mule", flags: "--mule", takes: Takes::Perhaps, meaning: Missing(QUEUE) },
    Row::value("mules", "--mules", Missing(QUEUE)),
    Row::value("spooler", "-Q --spooler", Missing(QUEUE)),
    Row::value(
        "cache2",
        "--cache2 --cache",
        Missing("there is no cache; let the application have one of its own"),
    ),
    Row::value(
        "hook",
        "--hook-asap --hook-pre-app --hook-post-app --hook-post-fork --hook-as-user --hook-master-start --exec-asap --exec-pre-app --exec-as-user --exec-post-app",
        Missing(HOOKS),
    ),
];

/// Options without a value that no row has, by which a command line can be cut into words.
const SWITCHES: &[&str] = &[
    "c",
    "h",
    "r",
    "freebind",
    "honour-stdin",
    "no-threads-wait",
    "dynamic-apps",
    "emperor-tyrant",
    "emperor-nofollow",
    "reaper",
    "no-fd-passing",
    "persistent-ipcsem",
    "spooler-ordered",
    "spooler-quiet",
    "no-initgroups",
    "jailed",
    "refork",
    "no-server",
    "command-mode",
    "no-defer-accept",
    "pcre-jit",
    "propagate-touch",
    "ignore-script-name",
    "reload-on-exception",
    "stats-http",
    "stats-minified",
    "stats-no-cores",
    "stats-no-metrics",
    "ssl-verbose",
    "cheap",
    "idle-hog",
    "no-site",
    "paste-logger",
    "reload-os-env",
    "wsgi-strict",
    "wsgi-accept-buffer",
    "start_response-nodelay",
    "harakiri-no-arh",
    "log-micros",
    "log-zero",
    "log-big",
    "log-sendfile",
    "log-reopen",
    "log-truncate",
    "log-backtrace",
    "skip-zero",
    "skip-atexit",
    "skip-atexit-teardown",
    "http-manage-source",
    "http-cheap",
    "http-backend-http",
    "ugreen",
    "show-config",
    "version",
    "cache-no-expire",
    "write-errors-exception-only",
    "multiwatch",
];

/// How an option takes its value that no row has.
pub fn unlisted(name: &str) -> Takes {
    if SWITCHES.contains(&name) { Takes::Nothing } else { Takes::Value }
}

/// The row of an option, by any of its names without hyphens.
pub fn find(name: &str) -> Option<&'static Row> {
    let name = name.replace('_', "-");
    ROWS.iter().find(|row| row.flags.split(' ').any(|flag| flag.strip_prefix("--") == Some(&name)))
}

fn chmod(text: &str) -> Result<String, String> {
    // without a value it is everybody's
    Ok(if text == "true" { "666" } else { text }.to_owned())
}

fn in_memory(text: &str) -> Result<String, String> {
    Ok(if text == "true" { "128k" } else { text }.to_owned())
}

fn switched(text: &str) -> Result<String, String> {
    Ok(texts::is_true(text).to_string())
}

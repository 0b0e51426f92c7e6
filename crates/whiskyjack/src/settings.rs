//! Every setting once: name, type, default, help and group. The only room that names a default.
//! Knows not where a value comes from: `sources` does.

use crate::choices::{
    ClientCertificates, Level, ProxyVersions, ReloadEngine, TimeoutAction, Unbelieved, Underscores,
};
use crate::environment::Assignments;
use crate::identity::Account;
use crate::reloader::patterns::Glob;
use crate::sockets::Bind;
use crate::spec::Spec;
use crate::values::{
    FieldText, Output, Owner, Permissions, RootPath, Shape, Size, Timeout, UrlPath, Value, Whole,
    Workers,
};
use std::path::PathBuf;
use std::time::Duration;
use whiskyjack_server::trust::Trusted;

/// What is known of a setting before it has a value.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// `keep-alive`: the flag is `--keep-alive`, the variable `WHISKYJACK_KEEP_ALIVE`, the key `keep-alive`
    pub name: &'static str,
    /// the flag of one letter
    pub short: Option<char>,
    /// flags that mean the same, as gunicorn spells it; the help does not name them
    pub aliases: &'static [&'static str],
    /// what stands for the value in the help
    pub placeholder: &'static str,
    /// where in the help it stands
    pub group: Group,
    /// how the value is given
    pub shape: Shape,
    /// the only values there are, where they are few
    pub choices: &'static [&'static str],
    /// the value where nobody says otherwise, as one would write it
    pub default: &'static str,
    help: &'static str,
}

impl Setting {
    /// What the setting does, one or two sentences.
    pub fn help(&self) -> &'static str {
        self.help.trim()
    }

    /// The environment variable.
    pub fn variable(&self) -> String {
        format!("WHISKYJACK_{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// The value as `show` would write it, or what would be right.
    pub fn check(&self, text: &str) -> Result<String, String> {
        let text = |setting: &'static Setting| match setting.name == self.name {
            true => text.to_owned(),
            false => setting.default.to_owned(),
        };
        let settings = Settings::read(text).map_err(|(_, remedy)| remedy)?;
        let shown = TABLE.iter().zip(settings.show());
        let shown = shown.into_iter().find(|(setting, _)| setting.name == self.name);
        Ok(shown.expect("the table has this setting").1)
    }

    /// Whether the setting is given by its place on the command line rather than by a flag.
    pub fn is_positional(&self) -> bool {
        self.name == "app"
    }
}

/// The headings of the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// what is served
    Application,
    /// where it is served
    Addresses,
    /// what is encrypted with
    Tls,
    /// how much at once
    Concurrency,
    /// how processes come and go
    Workers,
    /// how long
    Timeouts,
    /// how much
    Limits,
    /// what the answers look like
    Http,
    /// what is written down
    Logs,
    /// what helps who writes the application
    Development,
}

impl Group {
    /// The headings in order.
    pub const ALL: [Group; 10] = [
        Group::Application,
        Group::Addresses,
        Group::Tls,
        Group::Concurrency,
        Group::Workers,
        Group::Timeouts,
        Group::Limits,
        Group::Http,
        Group::Logs,
        Group::Development,
    ];

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Group::Application => "Application",
            Group::Addresses => "Addresses",
            Group::Tls => "TLS",
            Group::Concurrency => "Concurrency",
            Group::Workers => "Workers",
            Group::Timeouts => "Timeouts",
            Group::Limits => "Limits",
            Group::Http => "HTTP",
            Group::Logs => "Logs",
            Group::Development => "Development",
        }
    }
}

/// From one table: the struct of values, the table of settings, and the way from the one to the other.
macro_rules! settings {
    ($(
        $(#[doc = $help:literal])+
        $field:ident: $type:ty = $default:literal,
            $name:literal $(/ $short:literal)? $(| $alias:literal)*, $placeholder:literal, $group:ident;
    )+) => {
        /// The value of every setting.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $($(#[doc = $help])+ pub $field: $type,)+
        }

        /// Every setting, in the order of the help.
        pub const TABLE: &[Setting] = &[$(
            Setting {
                name: $name,
                short: short(&[$($short)?]),
                aliases: &[$($alias),*],
                placeholder: $placeholder,
                group: Group::$group,
                shape: <$type as Value>::SHAPE,
                choices: <$type as Value>::CHOICES,
                default: $default,
                help: concat!($($help),+),
            },
        )+];

        impl Settings {
            /// Takes the text of every setting from `text`, and its value from the text. The error is the first setting
            /// whose text is wrong, and what would be right.
            pub fn read(
                mut text: impl FnMut(&'static Setting) -> String,
            ) -> Result<Settings, (&'static Setting, String)> {
                let mut table = TABLE.iter();
                let mut next = || table.next().expect("the table has a row for every field");
                Ok(Settings {
                    $($field: {
                        let setting = next();
                        <$type>::parse(&text(setting)).map_err(|problem| (setting, problem))?
                    },)+
                })
            }

            /// The text of every setting, in the order of the table.
            pub fn show(&self) -> Vec<String> {
                vec![$(self.$field.show(),)+]
            }
        }
    };
}

settings! {
    /// What to serve: `module`, `module:attribute`, `module:factory("argument")`, `package.module:object.attribute`
    /// or `path/to/file.py[:attribute]`. Without an attribute it is `application`, `app`, or what `create_app()` or
    /// `make_app()` returns. Without APP it is `wsgi.py`, `app.py`, or the Django project whose `manage.py` is here.
    app: Option<Spec> = "", "app", "APP", Application;

    /// Change to this directory first; modules and paths are looked for there.
    chdir: Option<PathBuf> = "", "chdir", "DIR", Application;

    /// Directories to look for modules in, before all others but the current one.
    pythonpath: Vec<PathBuf> = "", "pythonpath", "DIR", Application;

    /// A variable for the application, `NAME=value`; wins over `env-file`. A comma before another `NAME=` begins the next one.
    env: Assignments = "", "env" / 'e', "NAME=VALUE", Application;

    /// A file of variables for the application, `NAME=value` in each line; read anew by a reload.
    env_file: Vec<PathBuf> = "", "env-file", "FILE", Application;

    /// The path under which the application stands (SCRIPT_NAME).
    root_path: RootPath = "", "root-path", "PATH", Application;

    /// Hold the application to PEP 3333: a rule that it breaks is an error that says which one, how, and by which code.
    validate: bool = "false", "validate", "BOOL", Application;

    /// Once the application is loaded, collect its garbage and have the collector look no more at what is left (`gc.freeze()`): a full collection
    /// is short then, and writes to no memory that `preload` shares.
    gc_freeze: bool = "true", "gc-freeze", "BOOL", Application;

    /// Where to listen: `host:port`, `[::1]:port`, `:port` (all IPv4 addresses), `port` (127.0.0.1), `unix:/path`,
    /// `fd://N`, or `systemd[:NAME]` (the sockets of a socket unit; the default where there are some). Port 0 takes a free one and prints it. Where the variable PORT is set, the default is 0.0.0.0:$PORT.
    bind: Vec<Bind> = "127.0.0.1:8000", "bind" / 'b', "ADDRESS", Addresses;

    /// Connections that may wait to be accepted.
    backlog: Whole<1, 1_000_000> = "2048", "backlog", "COUNT", Addresses;

    /// Permission bits of a Unix socket, in octal. Only its owner and group may connect by default.
    unix_socket_mode: Permissions = "660", "unix-socket-mode", "MODE", Addresses;

    /// Who a Unix socket belongs to: `user`, `user:group` or `:group`.
    unix_socket_owner: Option<Owner> = "", "unix-socket-owner", "OWNER", Addresses;

    /// Begin each connection with a PROXY header, by which a proxy tells the client's address: version `v1`, `v2`, or either
    /// (`auto`). Nobody is then served without one.
    proxy_protocol: ProxyVersions = "off", "proxy-protocol", "VERSION", Addresses;

    /// Proxies that may send a PROXY header: addresses, networks such as `10.0.0.0/8`, `unix:` (whoever connects over a Unix
    /// socket) or `*` (anyone). Connections of all others are closed.
    proxy_allow_from: Vec<Trusted> = "127.0.0.1,::1", "proxy-allow-from", "ADDRESS", Addresses;

    /// How long a PROXY header may take to come; 0 is for ever.
    proxy_timeout: Timeout = "5s", "proxy-timeout", "DURATION", Addresses;

    /// Speak HTTPS with the certificate in this file: PEM, the server's own first, then those between it and its authority. Read
    /// anew by a reload.
    certfile: Option<PathBuf> = "", "certfile", "FILE", Tls;

    /// The certificate's private key, in PEM and without a passphrase; read before `user` is taken on. Where nothing is said it stands in `certfile`.
    keyfile: Option<PathBuf> = "", "keyfile", "FILE", Tls;

    /// Authorities, in PEM, whose certificates clients may show; needs `cert-reqs`.
    ca_certs: Option<PathBuf> = "", "ca-certs", "FILE", Tls;

    /// Whether clients have to show a certificate of `ca-certs`: they are not asked, may have none, or need one. One that is shown has to be good.
    cert_reqs: ClientCertificates = "none", "cert-reqs", "POLICY", Tls;

    /// Processes that run the application; `auto` is one for each processor that affinity and control group allow. 0 serves in this
    /// very process, without a supervisor. Where the variable WEB_CONCURRENCY is set, it is the default.
    workers: Workers = "1", "workers" / 'w', "COUNT", Concurrency;

    /// Threads that run the application. A thread costs next to nothing until the application blocks.
    threads: Whole<1, 65_535> = "8", "threads", "COUNT", Concurrency;

    /// WebSockets at once, each with a thread of its own beside `threads`; over it a client is answered with 503. Where nothing is said 1000, and
    /// none with `--threads 1`: such an application is called by one thread alone. 0 is none.
    websockets: Option<Whole<0, 65_535>> = "", "websockets", "COUNT", Concurrency;

    /// Connections open at once; over it, new ones wait in the backlog.
    limit_connections: Whole<1, 1_000_000> = "10000", "limit-connections", "COUNT", Concurrency;

    /// Connections open at once from one IP address; one more is closed. 0 is any number, as behind a proxy it must
    /// be, unless a PROXY header tells of the client: then it is the client's address that counts.
    limit_connections_per_address: Whole<0, 1_000_000> =
        "0", "limit-connections-per-address", "COUNT", Concurrency;

    /// Requests that one connection may carry; 0 is any number.
    requests_per_connection: Whole<0, { usize::MAX }> = "0", "requests-per-connection", "COUNT", Concurrency;

    /// Load the application once, in a process from which the workers are forked, so that they share its memory. What it opens while
    /// it is imported (connections to a database) is shared as well; a thread that it starts is in no worker.
    preload: bool = "false", "preload", "BOOL", Workers;

    /// A new worker is asked for this path, and serves once it is answered with a status below 400.
    ready_path: Option<UrlPath> = "", "ready-path", "PATH", Workers;

    /// How long a worker may take to load the application and be ready.
    boot_timeout: Duration = "60s", "boot-timeout", "DURATION", Workers;

    /// Replace a worker that has answered so many requests; 0 is never.
    max_requests: Whole<0, { usize::MAX }> = "0", "max-requests", "COUNT", Workers;

    /// Of `max-requests`, how many more a worker may answer, by chance, so that not all are replaced at once.
    max_requests_jitter: Whole<0, 1_000_000_000> = "0", "max-requests-jitter", "COUNT", Workers;

    /// Replace a worker that has more memory resident than this; 0 is any.
    max_worker_rss: Size<0, { u64::MAX }> = "0", "max-worker-rss", "SIZE", Workers;

    /// Replace a worker that is older than this; 0 is never.
    max_worker_lifetime: Timeout = "0", "max-worker-lifetime", "DURATION", Workers;

    /// Replace and kill a worker that could not run any Python for so long, as when C code keeps the interpreter; 0 is never. One that has had
    /// nothing to do for some seconds is not asked.
    stall_timeout: Timeout = "60s", "stall-timeout", "DURATION", Workers;

    /// Reload when one of these files is touched or replaced.
    touch_reload: Vec<PathBuf> = "", "touch-reload", "FILE", Workers;

    /// After a SIGTERM, how long to go on taking connections, with `Connection: close` in every answer, until load balancers have noticed.
    drain_delay: Duration = "0", "drain-delay", "DURATION", Workers;

    /// Write the number of the supervising process to this file.
    pid: Option<PathBuf> = "", "pid" / 'p', "FILE", Workers;

    /// Become this user once everything is opened; its other groups come with it. Only root can.
    user: Option<Account> = "", "user" / 'u', "USER", Workers;

    /// Become of this group once everything is opened; the user's own where only `user` is given.
    group: Option<Account> = "", "group" / 'g', "GROUP", Workers;

    /// Permission bits that files made by the application do not get, in octal; inherited where nothing is said.
    umask: Option<Permissions> = "", "umask" / 'm', "MODE", Workers;

    /// What `ps` shows behind the processes; APP where nothing is said.
    name: Option<FieldText> = "", "name" / 'n', "NAME", Workers;

    /// Listen at this Unix socket for `whiskyjack reload`, `stop` and `status`. Only its owner may connect.
    control: Option<PathBuf> = "", "control", "PATH", Workers;

    /// How long a connection may idle between two requests; 0 closes it after each response.
    keep_alive: Duration = "65s", "keep-alive", "DURATION", Timeouts;

    /// How long the application may take until it gives the first, or the next, piece of its response: then the client is answered
    /// with 504, or cut off where the response had begun, and the log says what the thread is doing. 0 is for ever.
    timeout: Timeout = "30s", "timeout" / 't', "DURATION", Timeouts;

    /// What to do about the thread: only `log` what it is doing, or `raise` whiskyjack.RequestTimeout in it as well.
    timeout_action: TimeoutAction = "log", "timeout-action", "ACTION", Timeouts;

    /// Ask for a fresh process once so many threads are past their deadline and have not come back; half of them where nothing is said.
    /// 0 is never.
    timeout_stuck_threads: Option<Whole<0, 65_535>> = "", "timeout-stuck-threads", "COUNT", Timeouts;

    /// Log what a request is doing that takes so long, once, without ending it; 0 is never.
    slow_log: Timeout = "0", "slow-log", "DURATION", Timeouts;

    /// How long a request may wait for a thread: then it is answered with 503. 0 is for ever.
    queue_timeout: Timeout = "30s", "queue-timeout", "DURATION", Timeouts;

    /// How long the head of a request may take to come; 0 is for ever.
    head_timeout: Timeout = "15s", "head-timeout", "DURATION", Timeouts;

    /// How long the body of a request may stall; 0 is for ever.
    body_timeout: Timeout = "30s", "body-timeout", "DURATION", Timeouts;

    /// Bytes a second that the body of a request must bring on average, counted once body-timeout has passed; 0 is any.
    min_body_rate: Size<0, 0x4000_0000> = "240", "min-body-rate", "SIZE", Timeouts;

    /// How long a client may take none of a response; 0 is for ever.
    write_timeout: Timeout = "60s", "write-timeout", "DURATION", Timeouts;

    /// Bytes a second of a response that a client must take on average, counted once write-timeout has passed; 0 is any.
    min_write_rate: Size<0, 0x4000_0000> = "240", "min-write-rate", "SIZE", Timeouts;

    /// How long requests under way may take to finish after a stop was asked for.
    graceful_timeout: Duration = "30s", "graceful-timeout", "DURATION", Timeouts;

    /// Longest request line; longer is answered with 414.
    limit_request_line: Size<16, 0x100_0000> = "8190", "limit-request-line", "SIZE", Limits;

    /// Most fields in a request; more is answered with 431.
    limit_request_fields: Whole<1, 65_535> = "100", "limit-request-fields", "COUNT", Limits;

    /// Longest field line of a request; longer is answered with 431.
    limit_request_field_size: Size<16, 0x100_0000> = "8190", "limit-request-field-size" | "limit-request-field_size", "SIZE", Limits;

    /// Largest head of a request; larger is answered with 431.
    limit_request_head: Size<64, 0x100_0000> = "64k", "limit-request-head", "SIZE", Limits;

    /// Largest body of a request; larger is answered with 413. 0 is any size.
    limit_request_body: Size<0, { u64::MAX }> = "1G", "limit-request-body", "SIZE", Limits;

    /// Most bytes of chunk extensions in the body of a request.
    limit_chunk_extensions: Size<0, 0x100_0000> = "16k", "limit-chunk-extensions", "SIZE", Limits;

    /// Largest trailer section of a request.
    limit_request_trailers: Size<0, 0x100_0000> = "8k", "limit-request-trailers", "SIZE", Limits;

    /// How much of a request's body is held in memory; the rest goes to an unnamed temporary file.
    body_in_memory: Size<0, 0x4000_0000> = "128k", "body-in-memory", "SIZE", Limits;

    /// How much of a response is held in memory for a slow client; the rest goes to an unnamed temporary file.
    high_water: Size<1, 0x4000_0000> = "1M", "high-water", "SIZE", Limits;

    /// How much of all responses to slow clients together is held in temporary files before their applications wait. 0 writes none.
    response_spool: Size<0, { u64::MAX }> = "256M", "response-spool", "SIZE", Limits;

    /// How much of a body that the application left unread is read and thrown away to keep the connection.
    drain: Size<0, 0x4000_0000> = "64k", "drain", "SIZE", Limits;

    /// Call the application before the body of a request has come. A slow upload then holds a thread.
    streaming_uploads: bool = "false", "streaming-uploads", "BOOL", Http;

    /// The Server field of responses; empty sends none.
    server_header: FieldText = "whiskyjack", "server-header", "TEXT", Http;

    /// What to do with request fields whose name has an underscore, which an application cannot tell from a hyphen.
    header_map: Underscores = "drop", "header-map", "POLICY", Http;

    /// Proxies whose `X-Forwarded-*` and `Forwarded` fields are believed: addresses, networks such as `10.0.0.0/8`, `unix:`
    /// (whoever connects over a Unix socket) or `*` (anyone).
    forwarded_allow_ips: Vec<Trusted> = "", "forwarded-allow-ips", "ADDRESS", Http;

    /// What to do with those fields from all others: not let the application see them, or hand them on as they came.
    forwarded_untrusted: Unbelieved = "remove", "forwarded-untrusted", "POLICY", Http;

    /// Write a line for each request to this file, or to standard output (`-`), in the common log format.
    access_log: Option<Output> = "", "access-log" | "access-logfile", "FILE", Logs;

    /// The least severe messages written to standard error.
    log_level: Level = "info", "log-level", "LEVEL", Logs;

    /// Replace the worker when a file of the application has changed: a module that it has imported or could, an `env-file`, or what
    /// `reload-include` names. An import that fails is shown in the terminal and in the browser until it is mended. Not for production.
    reload: bool = "false", "reload", "BOOL", Development;

    /// Files to watch as well: a file, a directory, a name such as `*.html` in any directory, or a path such as `templates/**/*.html`.
    reload_include: Vec<Glob> = "", "reload-include" | "reload-extra-file", "GLOB", Development;

    /// Files and directories not to watch: a name such as `migrations` anywhere, or a path such as `build/*.py`.
    reload_exclude: Vec<Glob> = "", "reload-exclude", "GLOB", Development;

    /// What tells of changes: the system (`auto`), or a look at each file every second (`poll`), as for files on other machines.
    reload_engine: ReloadEngine = "auto", "reload-engine", "ENGINE", Development;

    /// Show what the application raises in the browser: in Werkzeug's debugger where it is installed, which runs code for who has the
    /// PIN, otherwise on a page of its own. For one worker, bound to loopback. Not for production.
    debug: bool = "false", "debug", "BOOL", Development;

    /// Let `debug` be where others may reach it: all they need to run code here is its PIN.
    debug_unsafe_bind: bool = "false", "debug-unsafe-bind", "BOOL", Development;
}

/// The setting of this name.
pub fn find(name: &str) -> Option<&'static Setting> {
    TABLE.iter().find(|setting| setting.name == name)
}

/// The one short flag or none: what a macro repeats comes as a list.
const fn short(letters: &[char]) -> Option<char> {
    match letters {
        [letter, ..] => Some(*letter),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Settings {
        Settings::read(|setting| setting.default.to_owned()).expect("every default is right")
    }

    #[test]
    fn every_default_shows_as_it_is_written() {
        let shown = defaults().show();
        for (setting, shown) in TABLE.iter().zip(shown) {
            assert_eq!(shown, setting.default, "{}", setting.name);
        }
    }

    #[test]
    fn no_name_stands_twice_and_no_row_is_without_help() {
        for (index, setting) in TABLE.iter().enumerate() {
            let names = |setting: &Setting| [&[setting.name], setting.aliases].concat();
            for other in &TABLE[index + 1..] {
                assert!(names(other).iter().all(|name| !names(setting).contains(name)));
            }
            assert!(setting.help().ends_with('.'), "{}", setting.name);
            assert!(setting.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
        }
    }

    #[test]
    fn the_variable_is_the_name_in_capitals() {
        let keep_alive = TABLE.iter().find(|setting| setting.name == "keep-alive").expect("there");
        assert_eq!(keep_alive.variable(), "WHISKYJACK_KEEP_ALIVE");
    }

    #[test]
    fn a_wrong_text_names_its_setting() {
        let read = Settings::read(|setting| match setting.name {
            "threads" => "many".to_owned(),
            _ => setting.default.to_owned(),
        });
        assert_eq!(read.expect_err("many is no number").0.name, "threads");
    }
}

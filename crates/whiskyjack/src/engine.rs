//! From the program's settings to what the server wants to know. The only room that knows both.

use crate::choices::{ProxyVersions, TimeoutAction};
use crate::settings::Settings;
use crate::sockets::url;
use crate::values::Value;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::Socket;
use std::sync::Arc;
use whiskyjack_proto::body::BodyLimits;
use whiskyjack_proto::parse::HeadLimits;
use whiskyjack_proto::proxy::Versions;
use whiskyjack_server::config::{Board, Config, Observer, ProxyProtocol, Relief};
use whiskyjack_server::trust::{Trust, Trusted};

/// What the server of a worker has to do with its supervisor; nothing, where there is none.
#[derive(Debug, Default)]
pub struct Supervised {
    /// where it writes what it is doing
    pub board: Option<Arc<dyn Board>>,
    /// who replaces it
    pub relief: Option<Arc<dyn Relief>>,
}

/// What the server is told, but for what it encrypts with. `connections` is how many the process has room for.
pub fn config(
    settings: &Settings,
    connections: usize,
    observer: Option<Arc<dyn Observer>>,
    supervised: Supervised,
) -> Config {
    let name = settings.server_header.text();
    Config {
        threads: settings.threads.number(),
        server_name: (!name.is_empty()).then(|| name.to_owned()),
        head: HeadLimits {
            line: settings.limit_request_line.length(),
            fields: settings.limit_request_fields.number(),
            field: settings.limit_request_field_size.length(),
            head: settings.limit_request_head.length(),
        },
        body: BodyLimits {
            extensions: settings.limit_chunk_extensions.length(),
            trailers: settings.limit_request_trailers.length(),
            body: match settings.limit_request_body.bytes() {
                0 => u64::MAX,
                bytes => bytes,
            },
        },
        body_in_memory: settings.body_in_memory.length(),
        streaming_uploads: settings.streaming_uploads,
        head_timeout: settings.head_timeout.0,
        body_timeout: settings.body_timeout.0,
        body_rate: settings.min_body_rate.bytes(),
        write_timeout: settings.write_timeout.0,
        write_rate: settings.min_write_rate.bytes(),
        keep_alive: settings.keep_alive,
        requests_per_connection: settings.requests_per_connection.number() as u64,
        connections,
        connections_per_address: settings.limit_connections_per_address.number(),
        high_water: settings.high_water.length(),
        response_spool: settings.response_spool.bytes(),
        drain: settings.drain.bytes(),
        graceful_timeout: settings.graceful_timeout,
        timeout: settings.timeout.0,
        raise: settings.timeout_action == TimeoutAction::Raise,
        slow_log: settings.slow_log.0,
        stuck_threads: match settings.timeout_stuck_threads {
            Some(count) => count.number(),
            None => settings.threads.number().div_ceil(2),
        },
        queue_timeout: settings.queue_timeout.0,
        relief: supervised.relief,
        proxy: proxy(settings),
        tls: None,
        websockets: match settings.websockets {
            Some(count) => count.number(),
            None if settings.threads.number() == 1 => 0,
            None => WEBSOCKETS,
        },
        observer,
        board: supervised.board,
    }
}

/// WebSockets at once where nothing is said.
const WEBSOCKETS: usize = 1000;

fn proxy(settings: &Settings) -> Option<ProxyProtocol> {
    let versions = match settings.proxy_protocol {
        ProxyVersions::Off => return None,
        ProxyVersions::V1 => Versions::One,
        ProxyVersions::V2 => Versions::Two,
        ProxyVersions::Auto => Versions::Both,
    };
    let trusted = Trust(settings.proxy_allow_from.clone());
    Some(ProxyProtocol { versions, trusted, timeout: settings.proxy_timeout.0 })
}

/// Sees to it that every socket has somebody who may send the PROXY header which is expected there.
pub fn check_proxies(settings: &Settings, sockets: &[Socket]) -> Result<(), String> {
    if settings.proxy_protocol == ProxyVersions::Off {
        return Ok(());
    }
    for socket in sockets {
        let is_unix = socket.local_addr().is_ok_and(|local| local.as_socket().is_none());
        let is_reachable = settings.proxy_allow_from.iter().any(|trusted| match trusted {
            Trusted::Anyone => true,
            Trusted::UnixSocket => is_unix,
            Trusted::Network(_) => !is_unix,
        });
        if !is_reachable {
            return Err(format!(
                "proxy-allow-from = \"{}\": nobody may send the PROXY header that {} expects; add {}",
                settings.proxy_allow_from.show(),
                url(socket),
                if is_unix { "unix:" } else { "the proxy's address" }
            ));
        }
    }
    Ok(())
}

/// Descriptors that are left to the application: its files, its database.
const RESERVED: u64 = 128;

/// Raises the process's limit of open files as far as `connections` need it, each with a temporary file for its body, and
/// returns how many there is room for. Not further than that: select() in an application cannot see descriptors over 1024.
pub fn make_room(connections: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let Some(soft) = limit.current else { return connections };
    let wanted = (connections as u64).saturating_mul(2).saturating_add(RESERVED);
    let raised = wanted.min(limit.maximum.unwrap_or(u64::MAX));
    let raise = Rlimit { current: Some(raised), maximum: limit.maximum };
    let room = match raised > soft && setrlimit(Resource::Nofile, raise).is_ok() {
        true => raised,
        false => soft,
    };
    let fits = connections_within(room, connections);
    if fits < connections {
        log::warn!(
            "connections are limited to {fits}, not {connections}: the process may open {room} files"
        );
    }
    fits
}

/// How many of `connections` there is room for in a process whose limit is not ours to raise.
pub fn room(connections: usize) -> usize {
    match getrlimit(Resource::Nofile).current {
        Some(soft) => connections_within(soft, connections),
        None => connections,
    }
}

fn connections_within(descriptors: u64, connections: usize) -> usize {
    let room = match descriptors.checked_sub(RESERVED) {
        Some(room) if room >= RESERVED => room,
        // too tight for any rule: half each
        _ => (descriptors / 2).max(1),
    };
    connections.min(usize::try_from(room).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn settings(name: &str, text: &str) -> Settings {
        let value = |setting: &crate::settings::Setting| match setting.name == name {
            true => text.to_owned(),
            false => setting.default.to_owned(),
        };
        Settings::read(value).expect("right")
    }

    #[test]
    fn the_defaults_are_those_that_are_promised() {
        let config = config(&settings("", ""), 10_000, None, Supervised::default());
        assert_eq!(config.threads, 8);
        assert_eq!(config.server_name.as_deref(), Some("whiskyjack"));
        assert_eq!(config.keep_alive.as_secs(), 65);
        assert_eq!(config.head.head, 65_536);
        assert_eq!(config.body.body, 1 << 30);
        assert_eq!(config.body_in_memory, 131_072);
        assert_eq!(config.timeout, Some(Duration::from_secs(30)));
        assert_eq!(config.queue_timeout, Some(Duration::from_secs(30)));
        assert_eq!((config.raise, config.slow_log), (false, None));
        assert_eq!(config.websockets, 1000);
    }

    #[test]
    fn an_application_of_one_thread_is_called_beside_it_only_where_that_is_said() {
        let one = |websockets: &str| {
            let text = |setting: &crate::settings::Setting| match setting.name {
                "threads" => "1".to_owned(),
                "websockets" => websockets.to_owned(),
                _ => setting.default.to_owned(),
            };
            let settings = Settings::read(text).expect("right");
            config(&settings, 1, None, Supervised::default()).websockets
        };
        assert_eq!((one(""), one("5")), (0, 5));
    }

    #[test]
    fn half_of_the_threads_are_enough_stuck_ones_where_nothing_is_said() {
        let enough = |name, text| {
            config(&settings(name, text), 1, None, Supervised::default()).stuck_threads
        };
        assert_eq!(enough("", ""), 4);
        assert_eq!(enough("threads", "1"), 1);
        assert_eq!(enough("threads", "5"), 3);
        assert_eq!(enough("timeout-stuck-threads", "0"), 0);
    }

    #[test]
    fn zero_turns_a_timeout_and_the_limit_of_a_body_off() {
        assert_eq!(
            config(&settings("body-timeout", "0"), 1, None, Supervised::default()).body_timeout,
            None
        );
        assert_eq!(
            config(&settings("limit-request-body", "0"), 1, None, Supervised::default()).body.body,
            u64::MAX
        );
    }

    #[test]
    fn a_proxy_header_is_expected_only_where_it_is_asked_for() {
        assert!(config(&settings("", ""), 1, None, Supervised::default()).proxy.is_none());
        for (text, versions) in
            [("v1", Versions::One), ("v2", Versions::Two), ("auto", Versions::Both)]
        {
            let proxy = config(&settings("proxy-protocol", text), 1, None, Supervised::default())
                .proxy
                .expect("asked for");
            assert_eq!((proxy.versions, proxy.timeout), (versions, Some(Duration::from_secs(5))));
            let has = |address: &str| proxy.trusted.has_address(address.parse().expect("right"));
            assert!(has("127.0.0.1") && has("::1") && !has("192.0.2.1"));
        }
    }

    #[test]
    fn an_empty_server_header_is_none() {
        assert_eq!(
            config(&settings("server-header", ""), 1, None, Supervised::default()).server_name,
            None
        );
    }

    #[test]
    fn connections_leave_descriptors_to_the_application() {
        assert_eq!(connections_within(20_128, 10_000), 10_000);
        assert_eq!(connections_within(1024, 10_000), 896);
        assert_eq!(connections_within(100, 10_000), 50);
    }
}

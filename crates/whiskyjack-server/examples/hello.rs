//! A Rust application on the engine, with no Python in the process:
//! `cargo run --release -p whiskyjack-server --example hello -- 127.0.0.1:8000`

use socket2::{Domain, Socket, Type};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use whiskyjack_proto::body::BodyLimits;
use whiskyjack_proto::head::ResponseHead;
use whiskyjack_proto::parse::HeadLimits;
use whiskyjack_server::config::Config;
use whiskyjack_server::exchange::{Application, Exchange, Failure};
use whiskyjack_server::listener::Listener;
use whiskyjack_server::server::Server;

struct Hello;

impl Application for Hello {
    fn call(&self, exchange: &mut dyn Exchange) -> Result<(), Failure> {
        let body = format!("Hello, {}!\n", exchange.head().target().escape_ascii());
        let mut head = ResponseHead::default();
        head.set_status(b"200 OK")
            .and_then(|()| head.push(b"Content-Type", b"text/plain; charset=utf-8"))
            .map_err(|_| Failure::Application)?;
        exchange.start(&head, Some(body.len() as u64));
        exchange.write_last(&body.as_bytes())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".into());
    let address: SocketAddr = address.parse()?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    let server = Server::new(config(), vec![Listener::new(socket)?], Arc::new(Hello))?;
    for address in server.addresses() {
        println!("{address:?}");
    }
    server.run()?;
    Ok(())
}

fn config() -> Config {
    Config {
        threads: 4,
        server_name: Some("hello".into()),
        head: HeadLimits { line: 8190, fields: 100, field: 8190, head: 64 << 10 },
        body: BodyLimits { extensions: 16 << 10, trailers: 16 << 10, body: 1 << 30 },
        body_in_memory: 512 << 10,
        streaming_uploads: false,
        head_timeout: Some(Duration::from_secs(15)),
        body_timeout: Some(Duration::from_secs(30)),
        body_rate: 240,
        write_timeout: Some(Duration::from_secs(60)),
        write_rate: 240,
        keep_alive: Duration::from_secs(65),
        requests_per_connection: 0,
        connections: 10_000,
        connections_per_address: 0,
        high_water: 1 << 20,
        response_spool: 256 << 20,
        drain: 64 << 10,
        graceful_timeout: Duration::from_secs(30),
        timeout: Some(Duration::from_secs(30)),
        raise: false,
        slow_log: None,
        stuck_threads: 0,
        queue_timeout: Some(Duration::from_secs(30)),
        relief: None,
        proxy: None,
        tls: None,
        websockets: 0,
        observer: None,
        board: None,
    }
}

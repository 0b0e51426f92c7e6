//! Starts servers and speaks with them. The only place in these tests that opens sockets.

// Each file of tests uses a part of it.
#![allow(dead_code)]

use socket2::{Domain, SockRef, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use whiskyjack_proto::body::BodyLimits;
use whiskyjack_proto::head::ResponseHead;
use whiskyjack_proto::parse::HeadLimits;
use whiskyjack_server::config::Config;
use whiskyjack_server::exchange::{Address, Application, Exchange, Failure};
use whiskyjack_server::listener::Listener;
use whiskyjack_server::server::{Counts, Ended, Handle, Server};

/// A test fails, rather than hangs, after this long.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn config(threads: usize) -> Config {
    Config {
        threads,
        server_name: None,
        head: HeadLimits { line: 8190, fields: 100, field: 8190, head: 64 << 10 },
        body: BodyLimits { extensions: 16 << 10, trailers: 16 << 10, body: 1 << 30 },
        body_in_memory: 64 << 10,
        streaming_uploads: false,
        head_timeout: Some(PATIENCE),
        body_timeout: Some(PATIENCE),
        body_rate: 240,
        write_timeout: Some(PATIENCE),
        write_rate: 240,
        keep_alive: PATIENCE,
        requests_per_connection: 0,
        connections: 1000,
        connections_per_address: 0,
        high_water: 1 << 20,
        response_spool: 256 << 20,
        drain: 64 << 10,
        graceful_timeout: PATIENCE,
        timeout: None,
        raise: false,
        slow_log: None,
        stuck_threads: 0,
        queue_timeout: None,
        relief: None,
        proxy: None,
        tls: None,
        websockets: 0,
        observer: None,
        board: None,
    }
}

pub struct Running {
    address: SocketAddr,
    pub handle: Handle,
    thread: Option<JoinHandle<Ended>>,
}

/// Serves on a port of the system's choice until dropped.
pub fn serve(config: Config, application: impl Application) -> Running {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(1024).unwrap();
    let listener = Listener::new(socket).unwrap();
    let Address::Inet(address) = *listener.local() else { panic!("bound to an IPv4 address") };
    let server = Server::new(config, vec![listener], Arc::new(application)).unwrap();
    let handle = server.handle();
    let thread = std::thread::spawn(move || server.run().unwrap());
    Running { address, handle, thread: Some(thread) }
}

impl Running {
    pub fn connect(&self) -> Peer {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Peer { stream, unread: Vec::new() }
    }

    /// One request on a connection of its own.
    pub fn ask(&self, path: &str) -> Response {
        let mut peer = self.connect();
        peer.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        peer.response()
    }

    /// Waits until the counts are as they should be.
    pub fn until(&self, are_right: impl Fn(Counts) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !are_right(self.handle.counts()) {
            assert!(Instant::now() < until, "{:?}", self.handle.counts());
            std::thread::yield_now();
        }
    }

    pub fn drain(mut self) -> Ended {
        self.handle.drain();
        self.thread.take().expect("a server ends once").join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
    }
}

pub struct Peer {
    stream: TcpStream,
    unread: Vec<u8>,
}

pub struct Flood {
    stream: TcpStream,
    stop: Arc<AtomicBool>,
    threads: [JoinHandle<()>; 2],
}

impl Flood {
    pub fn stop(self) {
        // It must have gone on until now.
        assert!(self.threads.iter().all(|thread| !thread.is_finished()));
        self.stop.store(true, Ordering::Relaxed);
        self.stream.shutdown(Shutdown::Both).unwrap();
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Peer {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends the same bytes again and again, and reads whatever comes back, on threads of its own.
    pub fn flood(self, bytes: Vec<u8>) -> Flood {
        let stop = Arc::new(AtomicBool::new(false));
        let mut writer = self.stream.try_clone().unwrap();
        let mut reader = self.stream.try_clone().unwrap();
        let until = Arc::clone(&stop);
        let writing = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) && writer.write_all(&bytes).is_ok() {}
        });
        let reading = std::thread::spawn(move || {
            let mut block = vec![0; 1 << 20];
            while matches!(reader.read(&mut block), Ok(1..)) {}
        });
        Flood { stream: self.stream, stop, threads: [writing, reading] }
    }

    /// Breaks the connection off.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    pub fn end_writing(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Sends one byte after the other until something comes back.
    pub fn drip_until_answered(&mut self) {
        self.stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut block = [0; 1024];
        let count = loop {
            self.send(b"x");
            match self.stream.read(&mut block) {
                Ok(count) => break count,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        };
        self.unread.extend_from_slice(&block[..count]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// The next response, which must say its body's length or be chunked.
    pub fn response(&mut self) -> Response {
        let head = self.until(b"\r\n\r\n");
        let head = String::from_utf8(head).unwrap();
        let status: u16 = head[9..12].parse().unwrap();
        let lower = head.to_ascii_lowercase();
        let mut body = Vec::new();
        if let Some(at) = lower.find("content-length: ") {
            let digits = lower[at + 16..].split("\r\n").next().unwrap();
            body = self.exactly(digits.parse().unwrap());
        } else if lower.contains("transfer-encoding: chunked") {
            loop {
                let line = String::from_utf8(self.until(b"\r\n")).unwrap();
                let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
                body.extend(self.exactly(size));
                assert_eq!(self.exactly(2), b"\r\n");
                if size == 0 {
                    break;
                }
            }
        }
        Response { status, head, body }
    }

    /// Reads to the end; whether the server has ended a chunked response, or at least not broken the connection.
    pub fn is_ended_well(&mut self) -> bool {
        let mut rest = std::mem::take(&mut self.unread);
        self.stream.read_to_end(&mut rest).is_ok() && rest.ends_with(b"\r\n0\r\n\r\n")
    }

    /// All that comes until the server ends the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.unread);
        self.stream.read_to_end(&mut rest).unwrap();
        rest
    }

    fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return self.unread.drain(..at + end.len()).collect();
            }
            self.more();
        }
    }

    fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            self.more();
        }
        self.unread.drain(..count).collect()
    }

    fn more(&mut self) {
        let mut block = [0; 64 << 10];
        let count = self.stream.read(&mut block).unwrap();
        assert!(
            count > 0,
            "the connection ended after {:?}",
            String::from_utf8_lossy(&self.unread)
        );
        self.unread.extend_from_slice(&block[..count]);
    }
}

/// An application from a closure that reads the exchange and returns status and body.
pub struct Answer<F>(pub F);

impl<F> Application for Answer<F>
where
    F: Fn(&mut dyn Exchange) -> Result<Vec<u8>, Failure> + Send + Sync + 'static,
{
    fn call(&self, exchange: &mut dyn Exchange) -> Result<(), Failure> {
        let body = (self.0)(exchange)?;
        exchange.start(&head(), Some(body.len() as u64));
        exchange.write_last(&body.as_slice())
    }
}

/// The head of a plain 200.
pub fn head() -> ResponseHead {
    let mut head = ResponseHead::default();
    head.set_status(b"200 OK").unwrap();
    head.push(b"Content-Type", b"text/plain").unwrap();
    head
}

/// Reads a whole request body.
pub fn body(exchange: &mut dyn Exchange) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let mut block = [0; 1000];
    while let count @ 1.. = exchange.read(&mut block)? {
        body.extend_from_slice(&block[..count]);
    }
    Ok(body)
}

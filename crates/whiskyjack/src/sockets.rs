//! From a written address to a socket that listens. Knows neither Python nor what will be served on it.

use crate::activation;
use crate::sys;
use crate::values::{Owner, Permissions, Value, absolute};
use rustix::fs::Mode;
use rustix::process::umask;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fmt;
use std::fs::{self, Permissions as FilePermissions};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// An address to listen at, as the operator wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// a host name or address, and a port
    Tcp(String, u16),
    /// a Unix socket in the file system
    Unix(PathBuf),
    /// a socket that the process was started with
    Descriptor(i32),
    /// the sockets that the service manager has opened, or those of this name
    Passed(String),
}

impl Value for Bind {
    fn parse(text: &str) -> Result<Self, String> {
        parse(text).ok_or_else(|| {
            "write host:port, [::1]:port, :port, port, unix:/path, fd://N, systemd or systemd:NAME".to_owned()
        })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

fn parse(text: &str) -> Option<Bind> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return (!path.is_empty() && !path.contains('\0')).then(|| Bind::Unix(path.into()));
    }
    if let Some(number) = text.strip_prefix("fd://") {
        return all_digits(number).then(|| number.parse().ok().map(Bind::Descriptor))?;
    }
    match text.split_once(':') {
        None if text == "systemd" => return Some(Bind::Passed(String::new())),
        // a port is a number, and a name of systemd's is none
        Some(("systemd", name)) if !name.is_empty() && !all_digits(name) => {
            return Some(Bind::Passed(name.to_owned()));
        }
        _ => {}
    }
    let (host, port) = match text.rsplit_once(':') {
        None => ("127.0.0.1", text),
        Some(("", port)) => ("0.0.0.0", port),
        Some((host, port)) => (host, port),
    };
    if !all_digits(port) {
        return None;
    }
    let port = port.parse().ok()?;
    let host = match host.strip_prefix('[') {
        Some(host) => host.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.to_string(),
        // more colons than one want brackets, or a port could not be told from an address
        None if host.contains([':', '/', ' ', ']']) => return None,
        None => host.to_owned(),
    };
    Some(Bind::Tcp(host, port))
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bind::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Bind::Tcp(host, port) => write!(f, "{host}:{port}"),
            Bind::Unix(path) => write!(f, "unix:{}", path.display()),
            Bind::Descriptor(number) => write!(f, "fd://{number}"),
            Bind::Passed(name) if name.is_empty() => f.write_str("systemd"),
            Bind::Passed(name) => write!(f, "systemd:{name}"),
        }
    }
}

/// Why there is no socket at an address.
#[derive(Debug)]
pub struct Error {
    bind: String,
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    InUse,
    NotASocketFile,
    NoSuchUser(String),
    NotListening,
    NothingPassed,
    Twice(i32),
    System(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen at {}: ", self.bind)?;
        match &self.reason {
            Reason::InUse => f.write_str("another process listens there already"),
            Reason::NotASocketFile => f.write_str("a file is in the way that is no socket"),
            Reason::NoSuchUser(name) => write!(f, "there is no user or group `{name}`"),
            Reason::NotListening => f.write_str("the descriptor is no listening stream socket"),
            Reason::NothingPassed => f.write_str(
                "the service manager has passed no such socket (LISTEN_FDS, LISTEN_FDNAMES): start the socket unit, or name an address",
            ),
            Reason::Twice(number) => write!(f, "descriptor {number} is named twice"),
            Reason::System(error) if error.kind() == ErrorKind::PermissionDenied => {
                write!(f, "{error} (ports below 1024 are for root)")
            }
            Reason::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Reason {
    fn from(error: io::Error) -> Reason {
        match error.kind() {
            ErrorKind::AddrInUse => Reason::InUse,
            _ => Reason::System(error),
        }
    }
}

/// How sockets are made.
#[derive(Clone, Debug)]
pub struct Options {
    /// connections that may wait
    pub backlog: i32,
    /// of the file of a Unix socket
    pub mode: Permissions,
    /// of the file of a Unix socket
    pub owner: Option<Owner>,
}

/// Sockets that listen, and the files that go away with them.
#[derive(Debug, Default)]
pub struct Bound {
    /// the sockets
    pub sockets: Vec<Socket>,
    /// as what each was asked for
    pub binds: Vec<String>,
    /// the files of those that have one
    pub files: SocketFiles,
}

/// Makes a listening socket for every address, or none at all.
pub fn bind(binds: &[Bind], options: &Options) -> Result<Bound, Error> {
    bind_or_inherit(binds, options, &mut Vec::new())
}

/// The same, where a predecessor has handed on some of them, each with what it was asked for. What is not taken stays.
pub fn bind_or_inherit(
    binds: &[Bind],
    options: &Options,
    inherited: &mut Vec<(String, Socket)>,
) -> Result<Bound, Error> {
    let mut bound = Bound::default();
    for bind in binds {
        let name = bind.to_string();
        let handed_on: Vec<_> = inherited
            .extract_if(.., |(asked, _)| *asked == name)
            .map(|(_, socket)| socket)
            .collect();
        let made = match bind {
            _ if !handed_on.is_empty() => take_over(bind, handed_on, &mut bound),
            Bind::Tcp(host, port) => bind_tcp(host, *port, options, &mut bound.sockets),
            Bind::Unix(path) => bind_unix(&absolute(path), options, &mut bound),
            Bind::Descriptor(number) => adopt(*number, &mut bound.sockets),
            Bind::Passed(name) => adopt_passed(name, &mut bound.sockets),
        };
        if let Err(reason) = made {
            bound.files.remove();
            return Err(Error { bind: name, reason });
        }
        bound.binds.resize(bound.sockets.len(), name);
    }
    Ok(bound)
}

fn take_over(bind: &Bind, sockets: Vec<Socket>, bound: &mut Bound) -> Result<(), Reason> {
    if let Bind::Unix(path) = bind {
        bound.files.0.push(SocketFile::of(&absolute(path))?);
    }
    bound.sockets.extend(sockets);
    Ok(())
}

/// One socket for each address that the host has: `localhost` is often both 127.0.0.1 and ::1.
fn bind_tcp(
    host: &str,
    port: u16,
    options: &Options,
    sockets: &mut Vec<Socket>,
) -> Result<(), Reason> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in (host, port).to_socket_addrs()? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let mut port = port;
    let mut refused = None;
    let before = sockets.len();
    for mut address in addresses {
        // port 0: the addresses of one host share the port that the first one got
        address.set_port(port);
        match listen_tcp(address, options.backlog) {
            Ok(socket) => {
                port = socket.local_addr()?.as_socket().map_or(port, |local| local.port());
                sockets.push(socket);
            }
            // a name may have an address of a family that this machine does not speak
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT)
                ) =>
            {
                refused = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match refused {
        Some(error) if sockets.len() == before => Err(error.into()),
        _ if sockets.len() == before => Err(io::Error::other("the host has no address").into()),
        _ => Ok(()),
    }
}

fn listen_tcp(address: SocketAddr, backlog: i32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // else [::] would take the IPv4 port too, and show IPv4 clients as ::ffff:192.0.2.1
        socket.set_only_v6(true)?;
    }
    // accepted connections inherit it, which saves a system call for each
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket)
}

fn bind_unix(path: &Path, options: &Options, bound: &mut Bound) -> Result<(), Reason> {
    let owner = options.owner.as_ref();
    let user = owner.and_then(|owner| owner.user.as_deref()).map(|name| number(name, sys::user_id));
    let group =
        owner.and_then(|owner| owner.group.as_deref()).map(|name| number(name, sys::group_id));
    let (user, group) = (user.transpose()?, group.transpose()?);
    clear_way(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(path)?;
    // Nobody may connect before mode and owner are as they should be. No other thread exists yet that the mask could touch.
    let mask = umask(Mode::RWXU | Mode::RWXG | Mode::RWXO);
    let made = socket.bind(&address);
    umask(mask);
    made?;
    bound.files.0.push(SocketFile::of(path)?);
    if user.is_some() || group.is_some() {
        chown(path, user, group)?;
    }
    fs::set_permissions(path, FilePermissions::from_mode(options.mode.0))?;
    socket.listen(options.backlog)?;
    bound.sockets.push(socket);
    Ok(())
}

fn number(name: &str, look_up: impl Fn(&str) -> io::Result<Option<u32>>) -> Result<u32, Reason> {
    match look_up(name)? {
        Some(number) => Ok(number),
        None => name.parse().map_err(|_| Reason::NoSuchUser(name.to_owned())),
    }
}

/// Removes the socket file of a server that is gone. That of a live one, and whatever is no socket, stays.
fn clear_way(path: &Path) -> Result<(), Reason> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !metadata.file_type().is_socket() {
        return Err(Reason::NotASocketFile);
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(fs::remove_file(path)?),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // a full backlog, or a mode that does not let us in, is a sign of life as well
        Ok(_) | Err(_) => Err(Reason::InUse),
    }
}

fn adopt_passed(name: &str, sockets: &mut Vec<Socket>) -> Result<(), Reason> {
    let numbers = activation::descriptors(name);
    if numbers.is_empty() {
        return Err(Reason::NothingPassed);
    }
    numbers.into_iter().try_for_each(|number| adopt(number, sockets))
}

fn adopt(number: i32, sockets: &mut Vec<Socket>) -> Result<(), Reason> {
    if sockets.iter().any(|socket| socket.as_raw_fd() == number) {
        return Err(Reason::Twice(number));
    }
    let socket = Socket::from(sys::take_descriptor(number)?);
    let is_stream = matches!(socket.r#type(), Ok(kind) if kind == Type::STREAM);
    if !is_stream || !socket.is_listener().unwrap_or(false) {
        // it is not ours to close
        std::mem::forget(socket);
        return Err(Reason::NotListening);
    }
    socket.set_cloexec(true)?;
    if socket.local_addr()?.as_socket().is_some() {
        socket.set_tcp_nodelay(true)?;
    }
    sockets.push(socket);
    Ok(())
}

/// The files of Unix sockets that this process made.
#[derive(Clone, Debug, Default)]
pub struct SocketFiles(Vec<SocketFile>);

#[derive(Clone, Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<SocketFile> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(SocketFile { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }
}

impl SocketFiles {
    /// Removes those that are still ours: another server may have put its own in the place.
    pub fn remove(&self) {
        for file in &self.0 {
            let found = fs::symlink_metadata(&file.path);
            if found.is_ok_and(|found| (found.dev(), found.ino()) == (file.device, file.inode)) {
                // whoever removed it first has done what we wanted
                let _ = fs::remove_file(&file.path);
            }
        }
    }
}

/// A socket's address as one would type it into a browser, or `unix:/path`.
pub fn url(socket: &Socket) -> String {
    let local = match socket.local_addr() {
        Ok(local) => local,
        Err(error) => return format!("an unknown address ({error})"),
    };
    match (local.as_socket(), local.as_pathname()) {
        (Some(address), _) => {
            let host = match address.ip() {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            };
            format!("http://{host}:{}", address.port())
        }
        (None, Some(path)) => format!("unix:{}", path.display()),
        (None, None) => "an unnamed socket".to_owned(),
    }
}

/// The addresses of sockets at which HTTPS is spoken, or HTTP.
pub fn urls(sockets: &[Socket], is_secured: bool) -> Vec<String> {
    let secured = |plain: String| match plain.strip_prefix("http://") {
        Some(rest) if is_secured => format!("https://{rest}"),
        _ => plain,
    };
    sockets.iter().map(url).map(secured).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn options() -> Options {
        Options { backlog: 8, mode: Permissions(0o660), owner: None }
    }

    fn tcp(host: &str, port: u16) -> Option<Bind> {
        Some(Bind::Tcp(host.to_owned(), port))
    }

    /// A path for a socket, unlike that of any other test.
    fn path(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("wj-{name}-{}.sock", std::process::id()));
        let _ = fs::remove_file(&path);
        path
    }

    #[test]
    fn every_form_of_address_is_read() {
        assert_eq!(parse("example.org:80"), tcp("example.org", 80));
        assert_eq!(parse("127.0.0.1:0"), tcp("127.0.0.1", 0));
        assert_eq!(parse("[::1]:8000"), tcp("::1", 8000));
        assert_eq!(parse(":8000"), tcp("0.0.0.0", 8000));
        assert_eq!(parse("8000"), tcp("127.0.0.1", 8000));
        assert_eq!(parse("unix:/run/x"), Some(Bind::Unix("/run/x".into())));
        assert_eq!(parse("unix:///run/x"), Some(Bind::Unix("/run/x".into())));
        assert_eq!(parse("fd://3"), Some(Bind::Descriptor(3)));
        assert_eq!(parse("systemd"), Some(Bind::Passed(String::new())));
        assert_eq!(parse("systemd:web"), Some(Bind::Passed("web".to_owned())));
        assert_eq!(parse("systemd:80"), tcp("systemd", 80));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "host",
            "host:",
            "::1:80",
            "[::1]",
            "[::1:80",
            "host:99999",
            "host:-1",
            "fd://x",
            "unix:",
            "http://x:80",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_address_shows_as_it_is_written() {
        for text in ["example.org:80", "[::1]:8000", "unix:/run/x", "fd://3", "systemd:x"] {
            assert_eq!(parse(text).expect("an address").to_string(), text);
        }
    }

    #[test]
    fn port_0_takes_a_free_port_and_a_taken_one_is_refused() {
        let bound = bind(&[Bind::Tcp("127.0.0.1".into(), 0)], &options()).expect("a socket");
        let url = url(&bound.sockets[0]);
        let port: u16 = url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        assert_ne!(port, 0);
        let error = bind(&[Bind::Tcp("127.0.0.1".into(), port)], &options()).expect_err("taken");
        let expected =
            format!("cannot listen at 127.0.0.1:{port}: another process listens there already");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn the_addresses_of_a_name_share_one_port() {
        let bound = bind(&[Bind::Tcp("localhost".into(), 0)], &options()).expect("a socket");
        let ports: Vec<_> = bound
            .sockets
            .iter()
            .map(|socket| url(socket).rsplit(':').next().map(str::to_owned))
            .collect();
        assert!(ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    }

    #[test]
    fn a_stale_socket_file_is_replaced_and_a_live_one_refused() {
        let path = path("stale");
        drop(UnixListener::bind(&path).expect("a socket"));
        assert!(path.exists());
        let bound = bind(&[Bind::Unix(path.clone())], &options()).expect("replaced");
        assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o777, 0o660);
        assert_eq!(url(&bound.sockets[0]), format!("unix:{}", path.display()));
        let error = bind(&[Bind::Unix(path.clone())], &options()).expect_err("live");
        assert!(error.to_string().contains("another process"), "{error}");
        bound.files.remove();
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let path = path("file");
        fs::write(&path, "precious").expect("a file");
        assert!(bind(&[Bind::Unix(path.clone())], &options()).is_err());
        assert_eq!(fs::read_to_string(&path).expect("a file"), "precious");
        fs::remove_file(&path).expect("removed");
    }

    #[test]
    fn a_socket_file_of_another_server_stays() {
        let path = path("other");
        let bound = bind(&[Bind::Unix(path.clone())], &options()).expect("a socket");
        // renamed, not removed: a file system may give the same inode to the next file
        let aside = path.with_extension("aside");
        fs::rename(&path, &aside).expect("moved aside");
        let _other = UnixListener::bind(&path).expect("another server");
        bound.files.remove();
        assert!(path.exists());
        fs::remove_file(&path).expect("removed");
        fs::remove_file(&aside).expect("removed");
    }

    #[test]
    fn when_one_address_fails_no_socket_file_is_left() {
        let path = path("undone");
        let binds = [Bind::Unix(path.clone()), Bind::Descriptor(987_654)];
        assert!(bind(&binds, &options()).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn an_unknown_owner_is_named() {
        let path = path("owner");
        let owner = Some(Owner { user: Some("no-such-user".into()), group: None });
        let error =
            bind(&[Bind::Unix(path)], &Options { owner, ..options() }).expect_err("unknown");
        assert!(error.to_string().contains("no user or group `no-such-user`"), "{error}");
    }
}

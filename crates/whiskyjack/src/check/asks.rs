//! The requests that an application is checked with: what browsers, clients and scanners send, and what applications forget.

use std::fmt::Write as _;
use whiskyjack_proto::connection;
use whiskyjack_proto::head::RequestHead;
use whiskyjack_proto::parse::{HeadLimits, HeadParser, Progress};

/// A request, and how its client behaves.
#[derive(Clone)]
pub(super) struct Ask {
    /// what the report calls it
    pub(super) name: String,
    pub(super) head: RequestHead,
    pub(super) body: Body,
    pub(super) patience: Patience,
    /// how often it is put, on one connection
    pub(super) times: usize,
}

/// How the body comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// all of it was here before the application was called, in memory
    Collected(Vec<u8>),
    /// the same, but in a file
    Spooled(Vec<u8>),
    /// in pieces; the length is known if it was announced
    Streaming(Option<u64>, Vec<Vec<u8>>),
    /// in pieces, and then the client is gone
    BrokenOff(Vec<Vec<u8>>),
}

/// How much of a response the client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// all of it
    Endless,
    /// so many pieces, and then it is gone
    Pieces(usize),
}

/// What requests are made with.
struct Maker<'a> {
    path: &'a str,
    made: Vec<Ask>,
}

/// The requests for a path. The error says why it can't be asked for.
pub(super) fn of(path: &str) -> Result<Vec<Ask>, String> {
    let mut maker = Maker { path, made: Vec::new() };
    maker.reading()?;
    maker.odd_targets()?;
    maker.fields()?;
    maker.bodies()?;
    maker.clients()?;
    Ok(maker.made)
}

const NONE: Body = Body::Collected(Vec::new());
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
const BINARY: &str = "Content-Type: application/octet-stream";

impl Maker<'_> {
    fn reading(&mut self) -> Result<(), String> {
        let path = self.path;
        self.add("", "GET", path, &[], NONE)?;
        self.add("", "HEAD", path, &[], NONE)?;
        self.add("", "OPTIONS", path, &[], NONE)?;
        self.add("", "OPTIONS", "*", &[], NONE)?;
        self.add("", "DELETE", path, &[], NONE)?;
        self.add("twice on one connection", "GET", path, &[], NONE)?.times = 2;
        self.add_with("HTTP/1.0, without Host", &format!("GET {path} HTTP/1.0"), &[], NONE)?;
        let fields = ["Host: check.example", "Connection: keep-alive"];
        self.add_with("HTTP/1.0, keep-alive", &format!("GET {path} HTTP/1.0"), &fields, NONE)?;
        Ok(())
    }

    fn odd_targets(&mut self) -> Result<(), String> {
        let path = self.path.split('?').next().unwrap_or_default();
        let base = path.trim_end_matches('/');
        for (name, target) in [
            ("with a query", format!("{path}?a=1&b=%C3%A9&c&&=d")),
            ("with an empty query", format!("{path}?")),
            ("with escapes in the path", format!("{base}/caf%C3%A9/%20%2F%3F")),
            ("with bytes that are no UTF-8", format!("{base}/%FF%FE%80?%FF=%FE")),
            ("with a NUL in the path", format!("{base}/a%00b")),
            ("with dots and double slashes", format!("//{base}/a/../b/./")),
            ("with a long path", format!("{base}/{}", "long/".repeat(400))),
            ("in absolute form", format!("http://check.example{path}")),
        ] {
            self.add(name, "GET", &target, &[], NONE)?;
        }
        Ok(())
    }

    fn fields(&mut self) -> Result<(), String> {
        let path = self.path;
        for (name, fields) in [
            ("with bytes beyond ASCII in a field", &["X-Name: caf\u{e9}"][..]),
            (
                "with repeated fields",
                &["Cookie: a=b", "Cookie: c=\"d", "Accept: */*", "Accept: text/html"],
            ),
            ("with an empty field", &["Accept:", "Cookie:", "Content-Type:"]),
            ("for a part", &["Range: bytes=0-3"]),
            ("for a part that is not there", &["Range: bytes=900000000000-"]),
            (
                "if it has changed",
                &["If-None-Match: *", "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT"],
            ),
            ("with a body that a GET has no use for", &["Content-Type: text/plain"]),
        ] {
            let body = match name.contains("body") {
                true => Body::Collected(b"body".to_vec()),
                false => NONE,
            };
            self.add(name, "GET", path, fields, body)?;
        }
        Ok(())
    }

    fn bodies(&mut self) -> Result<(), String> {
        let path = self.path;
        let form = b"name=caf%C3%A9&text=a+b&text=c&empty=&=".to_vec();
        let multipart = b"--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"caf\xc3\xa9.bin\"\r\n\
            Content-Type: application/octet-stream\r\n\r\n\x00\xff\r\n--edge--\r\n"
            .to_vec();
        let large: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        let pieces: Vec<Vec<u8>> = form.chunks(7).map(<[u8]>::to_vec).collect();
        let length = form.len() as u64;
        self.add("a form", "POST", path, &[FORM], Body::Collected(form))?;
        let kind = "Content-Type: multipart/form-data; boundary=edge";
        self.add("a form with a file", "POST", path, &[kind], Body::Collected(multipart))?;
        let kind = "Content-Type: application/json";
        self.add("JSON", "POST", path, &[kind], Body::Collected(b"{\"a\": [1, null]}".to_vec()))?;
        self.add("JSON", "PUT", path, &[kind], Body::Collected(b"[]".to_vec()))?;
        self.add("JSON", "PATCH", path, &[kind], Body::Collected(b"{}".to_vec()))?;
        self.add("nothing", "POST", path, &[FORM, "Content-Length: 0"], NONE)?;
        self.add("a large body", "POST", path, &[BINARY], Body::Spooled(large))?;
        let announced = Body::Streaming(Some(length), pieces.clone());
        self.add("a form that is still coming", "POST", path, &[FORM], announced)?;
        let chunked = Body::Streaming(None, pieces.clone());
        self.add("a form in chunks, still coming", "POST", path, &[FORM], chunked)?;
        self.add("a form that breaks off", "POST", path, &[FORM], Body::BrokenOff(pieces))?;
        Ok(())
    }

    fn clients(&mut self) -> Result<(), String> {
        let path = self.path;
        for (name, patience) in [
            ("by a client that takes nothing", Patience::Pieces(0)),
            ("by a client that leaves after a piece", Patience::Pieces(1)),
        ] {
            self.add(name, "GET", path, &[], NONE)?.patience = patience;
        }
        Ok(())
    }

    fn add(
        &mut self,
        name: &str,
        method: &str,
        target: &str,
        fields: &[&str],
        body: Body,
    ) -> Result<&mut Ask, String> {
        let fields = [&["Host: check.example"], fields].concat();
        self.add_with(name, &format!("{method} {target} HTTP/1.1"), &fields, body)
    }

    fn add_with(
        &mut self,
        name: &str,
        line: &str,
        fields: &[&str],
        body: Body,
    ) -> Result<&mut Ask, String> {
        let head = parsed(line, fields, &body).ok_or_else(|| {
            format!(
                "`{}` can't be asked for: a path begins with / and is percent-encoded",
                self.path
            )
        })?;
        let (asked, _) = line.rsplit_once(' ').unwrap_or((line, ""));
        let mut title: String = asked.chars().take(60).collect();
        if title.len() < asked.len() {
            title += "...";
        }
        if !name.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(title, ", {name}");
        }
        self.made.push(Ask { name: title, head, body, patience: Patience::Endless, times: 1 });
        Ok(self.made.last_mut().expect("one was pushed"))
    }
}

fn parsed(line: &str, fields: &[&str], body: &Body) -> Option<RequestHead> {
    let mut text: String = [&[line], fields].concat().join("\r\n") + "\r\n";
    let length = match body {
        Body::Collected(bytes) | Body::Spooled(bytes) => Some(bytes.len() as u64),
        Body::Streaming(length, _) => *length,
        Body::BrokenOff(_) => Some(1_000_000),
    };
    match length {
        Some(0) => {}
        Some(length) => text += &format!("Content-Length: {length}\r\n"),
        None => text += "Transfer-Encoding: chunked\r\n",
    }
    text += "\r\n";
    let bytes: Vec<u8> = text.chars().map(u8::try_from).collect::<Result<_, _>>().ok()?;
    let limits = HeadLimits { line: 65_536, fields: 100, field: 65_536, head: 262_144 };
    let mut head = RequestHead::default();
    match HeadParser::default().parse(&bytes, &limits, &mut head) {
        Ok(Progress::Complete(length)) if length == bytes.len() => {
            connection::intent(&head).ok().map(|_| head)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_has_a_name_of_its_own() {
        let mut names: Vec<String> =
            of("/").expect("a path").into_iter().map(|ask| ask.name).collect();
        let count = names.len();
        assert!(count >= 30, "{count}");
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_path_may_have_a_query_of_its_own() {
        assert!(of("/shop?page=2").is_ok());
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in ["", "shop", "/a b", "/caf\u{e9}", "/\u{20ac}", "/a\r\nX: y", "/#x"] {
            assert!(of(path).is_err(), "{path}");
        }
    }
}

//! From a response head to bytes, with the framing that the request, the status and the known length call for.
//! Knows no body: it says how the body is delimited, and whoever sends it keeps to that.

use crate::framing::{self, ResponseFraming};
use crate::grammar;
use crate::head::{FieldSpan, RequestHead, ResponseHead, Version};
use std::mem;
use std::ops::Range;

/// What of a request decides how its response is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// the version of the request
    pub version: Version,
    /// the method is HEAD
    pub head_only: bool,
    /// the request and the server both allow another request after this one
    pub persistent: bool,
}

impl Asked {
    /// What this request asked, where `persistent` is the connection's answer to it.
    pub fn of(head: &RequestHead, persistent: bool) -> Asked {
        Asked { version: head.version(), head_only: head.method() == b"HEAD", persistent }
    }
}

/// The fields that the server adds where the application has not set them.
#[derive(Clone, Copy, Debug)]
pub struct Defaults<'a> {
    /// the Date field's value
    pub date: &'a [u8; 29],
    /// the Server field's value; `None` sends none
    pub server: Option<&'a [u8]>,
}

/// How a response goes on after its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// how its body is delimited
    pub framing: ResponseFraming,
    /// whether the connection may serve another request afterwards
    pub persistent: bool,
    /// the head had fields that were left out: [`is_left_out`] says which
    pub dropped: bool,
}

/// What a field of the application's is to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// a matter between the application and the peer
    EndToEnd,
    /// Date, which the server adds otherwise
    Date,
    /// Server, which the server adds otherwise
    Server,
    /// Content-Length, which the plan decides on
    Length,
    /// Connection, which is written anew
    Connection,
    /// what else belongs to one connection only (RFC 9110 7.6.1), and so to the server
    HopByHop,
}

impl Kind {
    fn of(name: &[u8]) -> Kind {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            2 if is(b"TE") => Kind::HopByHop,
            4 if is(b"Date") => Kind::Date,
            6 if is(b"Server") => Kind::Server,
            7 if is(b"Trailer") || is(b"Upgrade") => Kind::HopByHop,
            10 if is(b"Connection") => Kind::Connection,
            10 if is(b"Keep-Alive") => Kind::HopByHop,
            14 if framing::is_content_length(name) => Kind::Length,
            16 if is(b"Proxy-Connection") => Kind::HopByHop,
            17 if framing::is_transfer_encoding(name) => Kind::HopByHop,
            _ => Kind::EndToEnd,
        }
    }
}

/// Appends the head's bytes to `out` and says how to go on. `length` is the body's length where the server knows it
/// although the application did not set Content-Length.
///
/// The answer to HEAD has the application's Content-Length, or else `length`, unless that is 0: an application that answers HEAD
/// with nothing has not said how long its answer to GET would be. Where no length is known, nothing stands for it (RFC 9110 9.3.2
/// lets it out). A 304 has only the length that the application set.
pub fn response_head(
    out: &mut Vec<u8>,
    asked: Asked,
    response: &ResponseHead,
    length: Option<u64>,
    defaults: Defaults<'_>,
) -> Plan {
    out.reserve(response.bytes.len() + 160);
    let mut lines = Lines(response.status_line.range());
    let is_bodiless = matches!(response.status(), 100..200 | 204 | 205);
    let mut dropped = false;
    let mut closes = false;
    let mut has_date = false;
    let mut has_server = false;
    let mut has_length = false;
    for span in &response.fields {
        let value = &response.bytes[span.value.range()];
        match Kind::of(&response.bytes[span.name.range()]) {
            Kind::EndToEnd => lines.keep(out, response, *span),
            Kind::Date => {
                has_date = true;
                lines.keep(out, response, *span);
            }
            Kind::Server => {
                has_server = true;
                lines.keep(out, response, *span);
            }
            // One with a zero in front (RFC 9110 8.6 lets it) is written anew.
            Kind::Length if is_bodiless || (value.len() > 1 && value[0] == b'0') => {}
            Kind::Length => {
                has_length = true;
                lines.keep(out, response, *span);
            }
            Kind::Connection => {
                for option in grammar::list(value) {
                    if option.eq_ignore_ascii_case(b"close") {
                        closes = true;
                    } else {
                        dropped = true;
                    }
                }
            }
            Kind::HopByHop => dropped = true,
        }
    }
    lines.write(out, response);
    if !has_date {
        out.extend_from_slice(b"Date: ");
        out.extend_from_slice(defaults.date);
        out.extend_from_slice(b"\r\n");
    }
    if let (false, Some(server)) = (has_server, defaults.server) {
        // The operator's text is held to the same grammar as the application's.
        if grammar::is_value(server) {
            field(out, b"Server", server);
        }
    }
    let announced = response.content_length();
    let (framing, announced) = match (response.status(), asked.head_only) {
        // RFC 9110 8.6: never a length with these, whatever the application says.
        (100..200 | 204, _) => (ResponseFraming::None, None),
        // RFC 9110 15.3.6: a 205 has no content, and this says so.
        (205, _) => (ResponseFraming::None, Some(0)),
        (304, _) => (ResponseFraming::None, announced),
        (_, true) => (ResponseFraming::None, announced.or(length.filter(|&length| length > 0))),
        _ => match (announced.or(length), asked.version) {
            (Some(length), _) => (ResponseFraming::Length(length), Some(length)),
            (None, Version::Http11) => (ResponseFraming::Chunked, None),
            (None, Version::Http10) => (ResponseFraming::Close, None),
        },
    };
    if let Some(length) = announced.filter(|_| !has_length) {
        content_length(out, length);
    }
    if framing == ResponseFraming::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    let persistent = asked.persistent && !closes && framing != ResponseFraming::Close;
    connection(out, asked.version, persistent);
    out.extend_from_slice(b"\r\n");
    Plan { framing, persistent, dropped }
}

/// Whether a field of the application's is left out of its response, or a part of it: it belongs to one connection only
/// (RFC 9110 7.6.1), and so to the server.
pub fn is_left_out(name: &[u8], value: &[u8]) -> bool {
    match Kind::of(name) {
        Kind::HopByHop => true,
        Kind::Connection => {
            grammar::list(value).any(|option| !option.eq_ignore_ascii_case(b"close"))
        }
        Kind::EndToEnd | Kind::Date | Kind::Server | Kind::Length => false,
    }
}

/// Appends an interim response (RFC 9110 15.2), for example 100 or 103, with its fields. What frames a message or belongs to the
/// connection is left out.
pub fn interim_head(out: &mut Vec<u8>, response: &ResponseHead) {
    let mut lines = Lines(response.status_line.range());
    for span in &response.fields {
        match Kind::of(&response.bytes[span.name.range()]) {
            Kind::EndToEnd | Kind::Date | Kind::Server => lines.keep(out, response, *span),
            Kind::Length | Kind::Connection | Kind::HopByHop => {}
        }
    }
    lines.write(out, response);
    out.extend_from_slice(b"\r\n");
}

/// What asks the peer for the body that it announced (RFC 9110 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// In how many seconds a client whom we had no room for may come again (RFC 9110 10.2.3). Soon enough for a burst to be over, and not at once.
const RETRY_AFTER: &[u8] = b"5";

/// What goes out in the application's place, for a request that it does not see or fails at: a whole response. Returns how many
/// bytes of body it has.
pub fn refusal(out: &mut Vec<u8>, status: u16, asked: Asked, defaults: Defaults<'_>) -> usize {
    let mut digits = itoa::Buffer::new();
    let parts = [digits.format(status).as_bytes(), b" ", reason(status).as_bytes(), b"\n"];
    whole(out, status, asked, defaults, &parts)
}

/// The same with words of its own.
pub fn refusal_saying(
    out: &mut Vec<u8>,
    status: u16,
    asked: Asked,
    defaults: Defaults<'_>,
    text: &str,
) -> usize {
    whole(out, status, asked, defaults, &[text.as_bytes()])
}

fn whole(
    out: &mut Vec<u8>,
    status: u16,
    asked: Asked,
    defaults: Defaults<'_>,
    body: &[&[u8]],
) -> usize {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
    field(out, b"Date", defaults.date);
    if let Some(server) = defaults.server.filter(|server| grammar::is_value(server)) {
        field(out, b"Server", server);
    }
    field(out, b"Content-Type", b"text/plain; charset=utf-8");
    if status == 503 {
        field(out, b"Retry-After", RETRY_AFTER);
    }
    let length = body.iter().map(|part| part.len()).sum();
    content_length(out, length as u64);
    connection(out, asked.version, asked.persistent);
    out.extend_from_slice(b"\r\n");
    if asked.head_only {
        return 0;
    }
    for part in body {
        out.extend_from_slice(part);
    }
    length
}

/// Lines of a response that stand one behind the other, the status line first, and go out as they are, in one piece.
struct Lines(Range<usize>);

impl Lines {
    /// Adds the line of this field; if it does not follow the ones before it, those go out first.
    fn keep(&mut self, out: &mut Vec<u8>, response: &ResponseHead, field: FieldSpan) {
        let line = field.line();
        if line.start == self.0.end {
            self.0.end = line.end;
        } else {
            self.write(out, response);
            self.0 = line;
        }
    }

    fn write(&mut self, out: &mut Vec<u8>, response: &ResponseHead) {
        out.extend_from_slice(&response.bytes[mem::take(&mut self.0)]);
    }
}

fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// RFC 9112 9.3: what the peer would not take for granted.
fn connection(out: &mut Vec<u8>, version: Version, persistent: bool) {
    match (persistent, version) {
        (true, Version::Http11) => {}
        (true, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
    }
}

fn content_length(out: &mut Vec<u8>, length: u64) {
    field(out, b"Content-Length", itoa::Buffer::new().format(length).as_bytes());
}

/// The standard reason phrase of a status code, empty for an unknown one.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Asked = Asked { version: Version::Http11, head_only: false, persistent: true };
    const HEAD: Asked = Asked { head_only: true, ..GET };
    const OLD: Asked = Asked { version: Version::Http10, ..GET };
    const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";
    const DEFAULTS: Defaults<'_> = Defaults { date: DATE, server: None };

    /// What follows the status line and the Date, and the plan.
    fn written(
        asked: Asked,
        status: &str,
        fields: &[(&str, &str)],
        length: Option<u64>,
    ) -> (String, Plan) {
        let mut head = ResponseHead::default();
        head.set_status(status.as_bytes()).expect("a good status");
        for (name, value) in fields {
            head.push(name.as_bytes(), value.as_bytes()).expect("a good field");
        }
        let mut out = Vec::new();
        let plan = response_head(&mut out, asked, &head, length, DEFAULTS);
        let text = String::from_utf8(out).expect("ASCII");
        let rest = text.strip_prefix(&format!("HTTP/1.1 {status}\r\n")).expect("a status line");
        (rest.replace("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", ""), plan)
    }

    #[test]
    fn a_known_length_is_announced() {
        let (text, plan) = written(GET, "200 OK", &[("A", "b")], Some(5));
        assert_eq!(text, "A: b\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(
            plan,
            Plan { framing: ResponseFraming::Length(5), persistent: true, dropped: false }
        );
    }

    #[test]
    fn the_applications_length_goes_before_the_servers() {
        let (text, plan) = written(GET, "200 OK", &[("content-length", "05")], Some(7));
        assert_eq!(text, "Content-Length: 5\r\n\r\n");
        assert_eq!(plan.framing, ResponseFraming::Length(5));
    }

    #[test]
    fn the_applications_length_is_written_as_a_plain_number() {
        let fields = [("content-length", "005"), ("X-A", "1")];
        assert_eq!(written(GET, "200 OK", &fields, None).0, "X-A: 1\r\nContent-Length: 5\r\n\r\n");
        let fields = [("content-length", "0"), ("X-A", "1")];
        assert_eq!(written(GET, "200 OK", &fields, None).0, "content-length: 0\r\nX-A: 1\r\n\r\n");
    }

    #[test]
    fn the_fields_between_those_left_out_keep_their_order() {
        let fields = [
            ("X-A", "1"),
            ("Keep-Alive", "timeout=5"),
            ("X-B", "2"),
            ("X-C", "3"),
            ("Connection", "close"),
            ("X-D", "4"),
            ("TE", "trailers"),
        ];
        let (text, plan) = written(GET, "204 No Content", &fields, None);
        assert_eq!(text, "X-A: 1\r\nX-B: 2\r\nX-C: 3\r\nX-D: 4\r\nConnection: close\r\n\r\n");
        assert!(plan.dropped);
    }

    #[test]
    fn an_unknown_length_is_chunked_on_1_1_and_ends_the_connection_on_1_0() {
        let (text, plan) = written(GET, "200 OK", &[], None);
        assert_eq!(text, "Transfer-Encoding: chunked\r\n\r\n");
        assert_eq!((plan.framing, plan.persistent), (ResponseFraming::Chunked, true));
        let (text, plan) = written(OLD, "200 OK", &[], None);
        assert_eq!(text, "Connection: close\r\n\r\n");
        assert_eq!((plan.framing, plan.persistent), (ResponseFraming::Close, false));
    }

    #[test]
    fn http_1_0_is_told_that_the_connection_stays() {
        let (text, plan) = written(OLD, "200 OK", &[], Some(0));
        assert_eq!(text, "Content-Length: 0\r\nConnection: keep-alive\r\n\r\n");
        assert!(plan.persistent);
    }

    #[test]
    fn the_application_may_close_the_connection() {
        let (text, plan) = written(GET, "200 OK", &[("connection", "Close")], Some(0));
        assert_eq!(text, "Content-Length: 0\r\nConnection: close\r\n\r\n");
        assert_eq!((plan.persistent, plan.dropped), (false, false));
        let (text, plan) = written(Asked { persistent: false, ..GET }, "200 OK", &[], Some(0));
        assert_eq!(text, "Content-Length: 0\r\nConnection: close\r\n\r\n");
        assert!(!plan.persistent);
    }

    #[test]
    fn other_hop_by_hop_fields_are_left_out_and_the_first_is_named() {
        for name in
            ["Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "upgrade"]
        {
            let (text, plan) = written(GET, "200 OK", &[("A", "b"), (name, "chunked")], Some(0));
            assert_eq!(text, "A: b\r\nContent-Length: 0\r\n\r\n");
            assert_eq!((plan.dropped, plan.persistent), (true, true));
        }
        let (text, plan) = written(GET, "200 OK", &[("Connection", "keep-alive")], Some(0));
        assert_eq!((text.as_str(), plan.dropped), ("Content-Length: 0\r\n\r\n", true));
    }

    #[test]
    fn a_status_without_content_has_neither_body_nor_length() {
        for status in ["204 No Content", "101 Switching Protocols"] {
            let (text, plan) = written(GET, status, &[("Content-Length", "5")], Some(5));
            assert_eq!((text.as_str(), plan.framing), ("\r\n", ResponseFraming::None));
        }
        let (text, plan) = written(OLD, "204 No Content", &[], None);
        assert_eq!((text.as_str(), plan.persistent), ("Connection: keep-alive\r\n\r\n", true));
        let (text, plan) = written(GET, "205 Reset Content", &[("Content-Length", "5")], None);
        assert_eq!(
            (text.as_str(), plan.framing),
            ("Content-Length: 0\r\n\r\n", ResponseFraming::None)
        );
    }

    #[test]
    fn a_304_keeps_only_the_applications_length() {
        let (text, plan) = written(GET, "304 Not Modified", &[("Content-Length", "5")], None);
        assert_eq!(
            (text.as_str(), plan.framing),
            ("Content-Length: 5\r\n\r\n", ResponseFraming::None)
        );
        assert_eq!(written(GET, "304 Not Modified", &[], Some(5)).0, "\r\n");
    }

    #[test]
    fn the_answer_to_head_says_the_length_that_get_would_have() {
        let (text, plan) = written(HEAD, "200 OK", &[("Content-Length", "5")], Some(0));
        assert_eq!(
            (text.as_str(), plan.framing),
            ("Content-Length: 5\r\n\r\n", ResponseFraming::None)
        );
        assert_eq!(written(HEAD, "200 OK", &[], Some(7)).0, "Content-Length: 7\r\n\r\n");
    }

    #[test]
    fn the_answer_to_head_says_no_length_that_nobody_knows() {
        assert_eq!(written(HEAD, "200 OK", &[], Some(0)).0, "\r\n");
        let (text, plan) = written(HEAD, "200 OK", &[], None);
        assert_eq!((text.as_str(), plan.persistent), ("\r\n", true));
    }

    #[test]
    fn date_and_server_are_added_unless_the_application_set_them() {
        let mut head = ResponseHead::default();
        head.set_status(b"200 OK").expect("a good status");
        let defaults = Defaults { date: DATE, server: Some(b"Jack") };
        let mut out = Vec::new();
        response_head(&mut out, GET, &head, Some(0), defaults);
        assert_eq!(
            out,
            b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: Jack\r\nContent-Length: 0\r\n\r\n"
        );
        head.push(b"date", b"never").expect("a good field");
        head.push(b"SERVER", b"mine").expect("a good field");
        out.clear();
        response_head(&mut out, GET, &head, Some(0), defaults);
        assert_eq!(
            out,
            b"HTTP/1.1 200 OK\r\ndate: never\r\nSERVER: mine\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn an_interim_response_has_its_fields_and_no_framing() {
        let mut head = ResponseHead::default();
        head.set_status(b"103 Early Hints").expect("a good status");
        for (name, value) in [("Link", "</a>"), ("Content-Length", "5"), ("Connection", "close")] {
            head.push(name.as_bytes(), value.as_bytes()).expect("a good field");
        }
        let mut out = Vec::new();
        interim_head(&mut out, &head);
        assert_eq!(out, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    }

    #[test]
    fn a_refusal_is_a_whole_response() {
        let mut out = Vec::new();
        let asked = Asked { version: Version::Http11, head_only: false, persistent: false };
        refusal(&mut out, 400, asked, DEFAULTS);
        assert_eq!(
            out.escape_ascii().to_string(),
            b"HTTP/1.1 400 Bad Request\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
              Content-Type: text/plain; charset=utf-8\r\nContent-Length: 16\r\nConnection: close\r\n\r\n400 Bad Request\n"
                .escape_ascii()
                .to_string()
        );
        let whole = out.len();
        out.clear();
        refusal(&mut out, 400, Asked { head_only: true, ..asked }, DEFAULTS);
        assert_eq!(out.len(), whole - 16);
        out.clear();
        refusal(&mut out, 500, Asked { persistent: true, ..asked }, DEFAULTS);
        assert!(!out.escape_ascii().to_string().contains("Connection"));
        let asked = Asked { version: Version::Http10, head_only: false, persistent: true };
        refusal(&mut out, 500, asked, DEFAULTS);
        assert!(out.escape_ascii().to_string().contains("Connection: keep-alive"));
    }
}

//! What may come next on a connection: persistence, expectations, and what a head must hold as a whole.
//! Knows no bytes on the wire: the parser has judged each line, this judges them together.

use crate::error::Error;
use crate::framing::{self, RequestFraming};
use crate::grammar;
use crate::head::{RequestHead, Version};
use crate::target::{self, Form};

/// What the head of a request decides about its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    /// how the body is delimited
    pub framing: RequestFraming,
    /// the peer lets the connection serve another request (RFC 9112 9.3)
    pub persistent: bool,
    /// the peer waits for `100 Continue` (RFC 9110 10.1.1; never on HTTP/1.0, never without a body)
    pub expects_continue: bool,
    /// the peer asks for a WebSocket (RFC 6455 4.2.1, as far as it concerns HTTP)
    pub websocket: bool,
}

/// Checks what a parsed head must hold as a whole (Host, framing, Expect, Connection, target form) and says what follows from it.
pub fn intent(head: &RequestHead) -> Result<Intent, Error> {
    check_target(head)?;
    let mut hosts = 0;
    let mut close = false;
    let mut keep_alive = false;
    let mut expects_continue = false;
    let mut upgrades = false;
    for (name, value) in head.fields() {
        if name == b"Host" || name.eq_ignore_ascii_case(b"Host") {
            hosts += 1;
            if hosts > 1 {
                return Err(Error::HostRepeated);
            }
            if !grammar::is_authority(value) {
                return Err(Error::Host);
            }
        } else if name.eq_ignore_ascii_case(b"Connection") {
            for option in grammar::list(value) {
                close |= option.eq_ignore_ascii_case(b"close");
                keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                upgrades |= option.eq_ignore_ascii_case(b"upgrade");
            }
        } else if name.eq_ignore_ascii_case(b"Expect") {
            // RFC 9110 10.1.1: only this expectation is defined. An empty one is no expectation that we could meet, either.
            if value.is_empty()
                || !grammar::list(value).all(|one| one.eq_ignore_ascii_case(b"100-continue"))
            {
                return Err(Error::Expectation);
            }
            expects_continue = true;
        }
    }
    let latest = head.version() == Version::Http11;
    if hosts == 0 && latest {
        return Err(Error::HostMissing);
    }
    let framing = framing::request_framing(head)?;
    Ok(Intent {
        framing,
        persistent: !close && (latest || keep_alive),
        expects_continue: expects_continue && latest && framing != RequestFraming::Empty,
        websocket: upgrades && latest && framing == RequestFraming::Empty && is_websocket(head),
    })
}

/// RFC 6455 4.2.1, but for what its own implementation checks.
fn is_websocket(head: &RequestHead) -> bool {
    let (mut is_named, mut has_key) = (false, false);
    for (name, value) in head.fields() {
        if name.eq_ignore_ascii_case(b"Upgrade") {
            is_named |= grammar::list(value).any(|one| one.eq_ignore_ascii_case(b"websocket"));
        } else if name.eq_ignore_ascii_case(b"Sec-WebSocket-Key") {
            has_key |= !value.is_empty();
        }
    }
    is_named && has_key && head.method() == b"GET"
}

/// RFC 9112 3.2: each form belongs to certain methods. RFC 9110 9.3.6: CONNECT would make this a proxy, which it is not.
fn check_target(head: &RequestHead) -> Result<(), Error> {
    if head.method() == b"CONNECT" {
        return Err(Error::Connect);
    }
    let target = head.target();
    match target::form(target) {
        Form::Origin => {}
        Form::Absolute(authority) => {
            if !grammar::is_authority(&target[authority]) {
                return Err(Error::Authority);
            }
        }
        Form::Asterisk if head.method() == b"OPTIONS" => return Ok(()),
        Form::Asterisk | Form::Other => return Err(Error::TargetForm),
    }
    // The query is handed on as it is, so that a lone `%` in it harms nobody, and people type it. The path gets decoded. A `\` in it is
    // a `/` to some, and no browser sends it.
    let (path, _) = target::split(target);
    if memchr::memchr(b'\\', path).is_some() {
        return Err(Error::TargetByte);
    }
    if !grammar::is_percent_encoded(path) {
        return Err(Error::PercentEncoding);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use Version::{Http10, Http11};

    fn asked(line: (&str, &str, Version), fields: &[(&str, &str)]) -> Result<Intent, Error> {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        intent(&RequestHead::from_parts(line.0.as_bytes(), line.1.as_bytes(), line.2, fields)?)
    }

    #[test]
    fn a_websocket_is_asked_for_by_all_that_its_handshake_needs() {
        let whole = [
            ("Host", "a"),
            ("Upgrade", "WebSocket"),
            ("Connection", "keep-alive, Upgrade"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let asks = |line, fields: &[(&str, &str)]| asked(line, fields).map(|asked| asked.websocket);
        assert_eq!(asks(("GET", "/", Http11), &whole), Ok(true));
        assert_eq!(asks(("GET", "/", Http10), &whole), Ok(false));
        assert_eq!(asks(("POST", "/", Http11), &whole), Ok(false));
        for left_out in 1..whole.len() {
            let mut fields = whole.to_vec();
            fields.remove(left_out);
            assert_eq!(asks(("GET", "/", Http11), &fields), Ok(false), "{fields:?}");
        }
        let with_body = [&whole[..], &[("Content-Length", "1")]].concat();
        assert_eq!(asks(("GET", "/", Http11), &with_body), Ok(false));
    }

    fn target(method: &str, target: &str) -> Result<(), Error> {
        asked((method, target, Http11), &[("Host", "a")]).map(|_| ())
    }

    fn hosts(version: Version, values: &[&str]) -> Result<(), Error> {
        let fields: Vec<_> = values.iter().map(|value| ("hOST", *value)).collect();
        asked(("GET", "/", version), &fields).map(|_| ())
    }

    #[test]
    fn http_1_1_has_exactly_one_host_and_http_1_0_at_most_one() {
        assert_eq!(hosts(Http11, &["a"]), Ok(()));
        assert_eq!(hosts(Http11, &[]), Err(Error::HostMissing));
        assert_eq!(hosts(Http11, &["a", "a"]), Err(Error::HostRepeated));
        assert_eq!(hosts(Http10, &[]), Ok(()));
        assert_eq!(hosts(Http10, &["a", "b"]), Err(Error::HostRepeated));
        for bad in ["", "a,b", "a b", "a/b", "user@a", "a:b"] {
            assert_eq!(hosts(Http11, &[bad]), Err(Error::Host));
            assert_eq!(hosts(Http10, &[bad]), Err(Error::Host));
        }
    }

    #[test]
    fn each_form_of_target_has_its_methods() {
        assert_eq!(target("GET", "/"), Ok(()));
        assert_eq!(target("OPTIONS", "*"), Ok(()));
        assert_eq!(target("GET", "http://b/"), Ok(()));
        assert_eq!(target("OPTIONS", "https://b"), Ok(()));
        assert_eq!(target("GET", "*"), Err(Error::TargetForm));
        assert_eq!(target("options", "*"), Err(Error::TargetForm));
        assert_eq!(target("GET", "a:443"), Err(Error::TargetForm));
        assert_eq!(target("GET", "ftp://a/"), Err(Error::TargetForm));
        assert_eq!(target("GET", "a"), Err(Error::TargetForm));
        assert_eq!(target("CONNECT", "a:443"), Err(Error::Connect));
        assert_eq!(target("connect", "a:443"), Err(Error::TargetForm));
    }

    #[test]
    fn an_absolute_target_has_a_host_and_no_user() {
        for bad in
            ["http:///", "http://", "http://user@b/", "http://b,c/", "http://b:x/", "http://?q"]
        {
            assert_eq!(target("GET", bad), Err(Error::Authority), "{bad}");
        }
        assert_eq!(asked(("GET", "http://b/", Http11), &[]).map(|_| ()), Err(Error::HostMissing));
    }

    #[test]
    fn a_path_is_percent_encoded_and_a_query_is_its_readers_matter() {
        assert_eq!(target("GET", "/%41%2f?100%"), Ok(()));
        assert_eq!(target("GET", "/?\\%zz"), Ok(()));
        for bad in ["/%", "/%4", "/%zz", "/%%41", "/100%?a", "http://b/%g0"] {
            assert_eq!(target("GET", bad), Err(Error::PercentEncoding), "{bad}");
        }
        assert_eq!(target("GET", "/a\\b"), Err(Error::TargetByte));
    }

    #[test]
    fn http_1_1_persists_unless_closed_and_http_1_0_only_if_asked() {
        let persistent = |version, values: &[&str]| {
            let connection = values.iter().map(|value| ("Connection", *value));
            let fields: Vec<_> = [("Host", "a")].into_iter().chain(connection).collect();
            asked(("GET", "/", version), &fields).map(|intent| intent.persistent)
        };
        assert_eq!(persistent(Http11, &[]), Ok(true));
        assert_eq!(persistent(Http11, &["Close"]), Ok(false));
        assert_eq!(persistent(Http11, &["keep-alive, close"]), Ok(false));
        assert_eq!(persistent(Http11, &["keep-alive", "x ,\tCLOSE"]), Ok(false));
        assert_eq!(persistent(Http11, &["closed", "x-close"]), Ok(true));
        assert_eq!(persistent(Http10, &[]), Ok(false));
        assert_eq!(persistent(Http10, &["Keep-Alive"]), Ok(true));
        assert_eq!(persistent(Http10, &["keep-alive", "close"]), Ok(false));
    }

    #[test]
    fn only_100_continue_is_met_and_only_where_a_body_follows_on_1_1() {
        let expects = |version, value, length| {
            let fields = [("Host", "a"), ("Expect", value), ("Content-Length", length)];
            asked(("PUT", "/", version), &fields).map(|intent| intent.expects_continue)
        };
        assert_eq!(expects(Http11, "100-Continue", "5"), Ok(true));
        assert_eq!(expects(Http11, "100-continue", "0"), Ok(false));
        assert_eq!(expects(Http10, "100-continue", "5"), Ok(false));
        for bad in ["", "200-ok", "100-continue, x", "100-continue;a=b", "100"] {
            assert_eq!(expects(Http11, bad, "5"), Err(Error::Expectation));
        }
    }
}

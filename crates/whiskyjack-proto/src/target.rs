//! The request target: which of its forms it has, and the pieces of it (RFC 9112 3.2).
//! Knows no method and no Host field: `connection` holds them against each other.

use std::ops::Range;

/// The form of a request target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// a path, perhaps with a query
    Origin,
    /// a whole http or https URI; here is its authority
    Absolute(Range<usize>),
    /// `*`
    Asterisk,
    /// something else, such as the authority that CONNECT takes
    Other,
}

/// The form of this target.
pub(crate) fn form(target: &[u8]) -> Form {
    match target {
        [b'/', ..] => Form::Origin,
        b"*" => Form::Asterisk,
        _ => {
            let start = if starts_with(target, b"http://") {
                7
            } else if is_https(target) {
                8
            } else {
                return Form::Other;
            };
            let authority = &target[start..];
            let length = memchr::memchr2(b'/', b'?', authority).unwrap_or(authority.len());
            Form::Absolute(start..start + length)
        }
    }
}

/// Whether this is an https URI as a whole.
pub(crate) fn is_https(target: &[u8]) -> bool {
    starts_with(target, b"https://")
}

fn starts_with(target: &[u8], scheme: &[u8]) -> bool {
    target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

/// What of the target names the resource on this server: all of it in origin-form; what follows the authority in absolute-form,
/// `/` where nothing does; `*` stays.
pub(crate) fn path_and_query(target: &[u8]) -> &[u8] {
    match form(target) {
        Form::Absolute(authority) if authority.end == target.len() => b"/",
        Form::Absolute(authority) => &target[authority.end..],
        Form::Origin | Form::Asterisk | Form::Other => target,
    }
}

/// The path, `/` where an absolute target has none, and the query behind its `?`.
pub(crate) fn split(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    let whole = path_and_query(target);
    match memchr::memchr(b'?', whole) {
        None => (whole, None),
        Some(0) => (b"/", Some(&whole[1..])),
        Some(mark) => (&whole[..mark], Some(&whole[mark + 1..])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_forms_are_told_apart() {
        assert_eq!(form(b"/a?b"), Form::Origin);
        assert_eq!(form(b"//a"), Form::Origin);
        assert_eq!(form(b"*"), Form::Asterisk);
        assert_eq!(form(b"HTTP://a:1/b"), Form::Absolute(7..10));
        assert_eq!(form(b"https://a?b/c"), Form::Absolute(8..9));
        assert_eq!(form(b"http:///a"), Form::Absolute(7..7));
        for other in [&b"a:443"[..], b"a", b"**", b"http:/a", b"ftp://a/", b"?a", b""] {
            assert_eq!(form(other), Form::Other);
        }
    }

    #[test]
    fn an_absolute_target_without_a_path_means_the_root() {
        assert_eq!(path_and_query(b"http://a"), b"/");
        assert_eq!(path_and_query(b"http://a/b?c"), b"/b?c");
        assert_eq!(split(b"http://a?b/c"), (&b"/"[..], Some(&b"b/c"[..])));
        assert_eq!(split(b"/a?b?c"), (&b"/a"[..], Some(&b"b?c"[..])));
        assert_eq!(split(b"/a?"), (&b"/a"[..], Some(&b""[..])));
        assert_eq!(split(b"*"), (&b"*"[..], None));
    }
}

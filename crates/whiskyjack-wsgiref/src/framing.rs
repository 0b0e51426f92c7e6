//! What ends the body of a handler's response, and whether another response may follow on the connection. Knows no stream: bytes come in
//! and go out framed.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use whiskyjack_proto::body::{CHUNK_PREFIX, CHUNK_SUFFIX, LAST_CHUNK, chunk_prefix};

/// The framing of one response (RFC 9112 6.3).
#[pyclass(module = "whiskyjack._whiskyjack.wsgiref")]
#[derive(Debug)]
pub struct ResponseFraming {
    /// Whether the connection can carry another request, as far as is known by now (RFC 9112 9.3).
    #[pyo3(get, set)]
    persists: bool,
    /// Whether the body comes in chunks.
    #[pyo3(get)]
    is_chunked: bool,
    /// Whether the response may say its length (RFC 9110 8.6): what there is no body of, only the application can have measured.
    #[pyo3(get)]
    has_length: bool,
    has_body: bool,
    /// bytes that the length leaves
    left: Option<u64>,
}

#[pymethods]
impl ResponseFraming {
    /// For the response with this status code to a request with this method. `given` is the length that the application gave, `known` what is
    /// known of it beside that; `is_modern` says that both sides speak HTTP/1.1, and `persists` that the connection could carry another request.
    #[new]
    fn new(
        method: &str,
        code: &str,
        given: Option<&str>,
        known: Option<&str>,
        is_modern: bool,
        persists: bool,
    ) -> ResponseFraming {
        let has_body = method != "HEAD" && !matches!(code, "204" | "304");
        let has_length = code != "204" && (has_body || given.is_some());
        let mut framing =
            ResponseFraming { persists, is_chunked: false, has_length, has_body, left: None };
        if has_body {
            match given.or(known) {
                Some(length) => framing.left = digits(length),
                None => framing.is_chunked = is_modern,
            }
            // Else the connection's end ends it.
            framing.persists &= framing.is_chunked || framing.left.is_some();
        }
        framing
    }

    /// The bytes that stand for a piece of the body, as far as it belongs to it: what is more than the length says would be read as the
    /// next response.
    fn frame<'py>(&mut self, py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        if !self.has_body || data.is_empty() {
            return Ok(PyBytes::new(py, b""));
        }
        if self.is_chunked {
            let mut size = [0; CHUNK_PREFIX];
            let count = chunk_prefix(data.len() as u64, &mut size);
            return Ok(PyBytes::new(py, &[&size[..count], data, CHUNK_SUFFIX].concat()));
        }
        let Some(left) = &mut self.left else { return Ok(PyBytes::new(py, data)) };
        let count = data.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
        *left -= count as u64;
        Ok(PyBytes::new(py, &data[..count]))
    }

    /// The bytes that end the body.
    fn end<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        // Never padded: the client has to see that something is missing.
        self.persists &= self.left.is_none_or(|left| left == 0);
        PyBytes::new(py, if self.is_chunked { LAST_CHUNK } else { b"" })
    }
}

/// 1*DIGIT, and nothing else (RFC 9110 8.6).
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(
        method: &str,
        code: &str,
        given: Option<&str>,
        known: Option<&str>,
    ) -> ResponseFraming {
        ResponseFraming::new(method, code, given, known, true, true)
    }

    #[test]
    fn a_body_ends_by_its_length_by_chunks_or_with_the_connection() {
        let by_length = framing("GET", "200", None, Some("3"));
        assert_eq!(
            (by_length.persists, by_length.is_chunked, by_length.left),
            (true, false, Some(3))
        );
        let by_chunks = framing("GET", "200", None, None);
        assert_eq!((by_chunks.persists, by_chunks.is_chunked, by_chunks.left), (true, true, None));
        let old = ResponseFraming::new("GET", "200", None, None, false, true);
        assert_eq!((old.persists, old.is_chunked, old.left), (false, false, None));
        for wrong in ["+3", "3 ", "", "99999999999999999999"] {
            assert!(!framing("GET", "200", Some(wrong), None).persists, "{wrong}");
        }
    }

    #[test]
    fn what_has_no_body_says_a_length_only_where_the_application_did() {
        assert!(!framing("HEAD", "200", None, Some("0")).has_length);
        assert!(framing("HEAD", "200", Some("7"), Some("7")).has_length);
        assert!(framing("GET", "304", Some("7"), Some("7")).has_length);
        assert!(!framing("GET", "204", Some("7"), Some("7")).has_length);
        let silent = framing("HEAD", "200", None, None);
        assert!(silent.persists && !silent.is_chunked);
    }

    #[test]
    fn nothing_beyond_the_length_goes_out_and_nothing_is_padded() {
        Python::attach(|py| {
            let mut framing = framing("GET", "200", Some("3"), None);
            assert_eq!(framing.frame(py, b"on").expect("bytes").as_bytes(), b"on");
            assert_eq!(framing.frame(py, b"e more").expect("bytes").as_bytes(), b"e");
            assert_eq!(framing.end(py).as_bytes(), b"");
            assert!(framing.persists);
            let mut short = self::framing("GET", "200", Some("3"), None);
            assert_eq!(short.frame(py, b"on").expect("bytes").as_bytes(), b"on");
            assert_eq!(short.end(py).as_bytes(), b"");
            assert!(!short.persists);
            let mut chunked = self::framing("GET", "200", None, None);
            assert_eq!(chunked.frame(py, b"").expect("bytes").as_bytes(), b"");
            assert_eq!(chunked.frame(py, b"piece").expect("bytes").as_bytes(), b"5\r\npiece\r\n");
            assert_eq!(chunked.end(py).as_bytes(), b"0\r\n\r\n");
        });
    }
}

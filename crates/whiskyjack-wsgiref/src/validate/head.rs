//! What an application gives to start_response.

use super::judge::Judge;
use super::rule::Rule;
use super::violation::{Breach, Verdict};
use crate::hop;
use crate::native::{self, shown};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTraceback, PyTuple, PyType};

/// What the head of a response says of its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) length: Option<u64>,
    has_type: bool,
}

/// Holds status and headers to PEP 3333, and says what they promise.
pub(crate) fn check(
    judge: &Judge<'_, '_>,
    status: &Bound<'_, PyAny>,
    headers: &Bound<'_, PyAny>,
) -> Verdict<Head> {
    let code = check_status(judge, status)?;
    let head = Head { status: code, ..check_headers(headers)? };
    check_content(&head, headers)?;
    if code == 204 && head.length.is_some() {
        return Err(
            Breach::new(Rule::LengthForbidden, "a 204 response has a Content-Length").into()
        );
    }
    Ok(head)
}

/// The code of a status.
pub(crate) fn check_status(judge: &Judge<'_, '_>, status: &Bound<'_, PyAny>) -> Verdict<u16> {
    check_type(status, "Status")?;
    check_native("the status", status)?;
    let text = status.cast::<PyString>()?.to_str().unwrap_or_default();
    let wrong = |found: String| Breach::new(Rule::Status, found);
    let code = text.split_whitespace().next().unwrap_or_default();
    if code.chars().count() != 3 {
        let found = format!("the status is {}, and a code has three digits", shown(status));
        let words = format!(
            "Status codes must be three characters: {}",
            PyString::new(judge.py, code).repr()?.to_string_lossy()
        );
        return Err(wrong(found).in_words(words).into());
    }
    if !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong(format!("the status has no code: {}", shown(status))).into());
    }
    let number: u16 = code.parse().unwrap_or_default();
    if number < 100 {
        let words = format!("Status code is invalid: {number}");
        let breach = Breach::new(Rule::StatusFinal, format!("the status is {}", shown(status)));
        return Err(breach.in_words(words).into());
    }
    if number < 200 {
        return Err(
            Breach::new(Rule::StatusFinal, format!("the status is {}", shown(status))).into()
        );
    }
    if native::has_control(status, false)? {
        let found = format!("the status has a control character: {}", shown(status));
        return Err(wrong(found).into());
    }
    if text.trim() != text {
        return Err(wrong(format!("the status has space around it: {}", shown(status))).into());
    }
    if text.as_bytes().get(3) != Some(&b' ') {
        let words = format!(
            "The status string ({}) should be a three-digit integer followed by a single space and a status explanation",
            status.repr()?.to_string_lossy()
        );
        judge.warn(wrong(format!("the status is {}", shown(status))).in_words(words))?;
    }
    if number > 599 {
        judge.warn(Breach::new(Rule::StatusFinal, format!("the status is {}", shown(status))))?;
    }
    Ok(number)
}

/// Fields of which a response has one at most. All others are lists, but for Set-Cookie, which may be repeated nevertheless.
const SINGLE: [&str; 11] = [
    "age",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expires",
    "last-modified",
    "location",
    "retry-after",
];

/// What the headers say, if they are a list of pairs of strings as HTTP has them.
pub(crate) fn check_headers(headers: &Bound<'_, PyAny>) -> Verdict<Head> {
    let Ok(list) = headers.cast_exact::<PyList>() else {
        let kind = headers.get_type();
        let found = format!("the headers are {}, not a list", shown(headers));
        let words = format!(
            "Headers ({}) must be of type list: {}",
            headers.repr()?.to_string_lossy(),
            kind.repr()?.to_string_lossy()
        );
        return Err(Breach::new(Rule::Headers, found).in_words(words).into());
    };
    let mut head = Head::default();
    let mut seen = 0_u16;
    for item in list.iter() {
        let (name, value) = check_pair(&item)?;
        let text = check_name(&name, &value)?;
        check_value(&name, &value)?;
        if hop::is_one(&text) {
            let found = format!("a hop-by-hop field is given: {text}: {}", shown(&value));
            return Err(Breach::new(Rule::HopByHop, found).into());
        }
        let Some(index) = SINGLE.iter().position(|single| single.eq_ignore_ascii_case(&text))
        else {
            continue;
        };
        if seen & (1 << index) != 0 {
            return Err(Breach::new(Rule::HeaderOnce, format!("{text} is given twice")).into());
        }
        seen |= 1 << index;
        match SINGLE[index] {
            "content-type" => head.has_type = true,
            "content-length" => head.length = Some(length(&value)?),
            _ => {}
        }
    }
    Ok(head)
}

fn check_pair<'py>(item: &Bound<'py, PyAny>) -> Verdict<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let Ok(pair) = item.cast_exact::<PyTuple>() else {
        let words = format!(
            "Individual headers ({}) must be of type tuple: {}",
            item.repr()?.to_string_lossy(),
            item.get_type().repr()?.to_string_lossy()
        );
        let found = format!("a header is no tuple: {}", shown(item));
        return Err(Breach::new(Rule::Headers, found).in_words(words).into());
    };
    if pair.len() != 2 {
        let found = format!("a header has {} parts: {}", pair.len(), shown(item));
        return Err(Breach::new(Rule::Headers, found).in_words("").into());
    }
    Ok((pair.get_item(0)?, pair.get_item(1)?))
}

fn check_name(name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> Verdict<String> {
    check_type(name, "Header name")?;
    check_type(value, "Header value")?;
    let text = name.cast::<PyString>()?.to_str().unwrap_or_default();
    let wrong = |found: String, words: String| {
        Err(Breach::new(Rule::HeaderName, found).in_words(words).into())
    };
    let repr = || name.repr().map(|repr| repr.to_string_lossy().into_owned());
    if text.eq_ignore_ascii_case("status") {
        return wrong(
            format!("a header is called Status, with the value {}", shown(value)),
            format!(
                "The Status header cannot be used; it conflicts with CGI script, and HTTP status is not given through headers \
                 (value: {}).",
                value.repr()?.to_string_lossy()
            ),
        );
    }
    if text.contains(['\n', ':']) {
        return wrong(
            format!("the name of a header has a colon or a line feed: {}", shown(name)),
            format!("Header names may not contain ':' or '\\n': {}", repr()?),
        );
    }
    let mut bytes = text.bytes();
    let is_name = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if !is_name {
        return wrong(
            format!("a header is called {}", shown(name)),
            format!("Bad header name: {}", repr()?),
        );
    }
    if text.ends_with(['-', '_']) {
        return wrong(
            format!("the name of a header ends in a hyphen or an underscore: {}", shown(name)),
            format!("Names may not end in '-' or '_': {}", repr()?),
        );
    }
    Ok(text.to_owned())
}

fn check_value(name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> Verdict {
    if native::ascii(value).is_some_and(|value| !value.bytes().any(|b| b.is_ascii_control())) {
        return Ok(());
    }
    let found = || format!("the value of {name} has a control character: {}", shown(value));
    let text = native::encoded(value.cast::<PyString>()?)?;
    if let Some(control) = text.iter().copied().find(|byte| *byte < b' ') {
        let control = PyString::new(value.py(), &char::from(control).to_string());
        let words = format!(
            "Bad header value: {} (bad char: {})",
            value.repr()?.to_string_lossy(),
            control.repr()?
        );
        return Err(Breach::new(Rule::HeaderValue, found()).in_words(words).into());
    }
    if text.contains(&0x7f) {
        return Err(Breach::new(Rule::HeaderValue, found()).into());
    }
    check_native(&format!("the value of {name}"), value)
}

fn length(value: &Bound<'_, PyAny>) -> Verdict<u64> {
    let text = native::ascii(value).unwrap_or_default();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(length) if is_number => Ok(length),
        _ => {
            let found = format!("the Content-Length is {}", shown(value));
            Err(Breach::new(Rule::LengthForm, found).into())
        }
    }
}

/// Content-Type is there where there is content, and only there.
pub(crate) fn check_content(head: &Head, headers: &Bound<'_, PyAny>) -> Verdict {
    let is_bodyless = matches!(head.status, 204 | 304);
    if head.has_type != is_bodyless {
        return Ok(());
    }
    let breach = match is_bodyless {
        true => {
            Breach::new(Rule::ContentType, format!("a {} response has a Content-Type", head.status))
                .in_words(format!(
                    "Content-Type header found in a {} response, which must not return content.",
                    head.status
                ))
        }
        false => Breach::new(Rule::ContentType, "there is no Content-Type").in_words(format!(
            "No Content-Type header found in headers ({})",
            headers.str()?.to_string_lossy()
        )),
    };
    Err(breach.into())
}

/// `exc_info` is None or what `sys.exc_info()` gives. Whether it is there, and tells of an exception.
pub(crate) fn check_exc_info(
    judge: &Judge<'_, '_>,
    exc_info: Option<&Bound<'_, PyAny>>,
) -> Verdict<bool> {
    let Some(exc_info) = exc_info.filter(|exc_info| !exc_info.is_none()) else {
        return Ok(false);
    };
    let Ok(parts) = exc_info.cast_exact::<PyTuple>() else {
        let words = format!(
            "exc_info ({}) is not a tuple: {}",
            exc_info.repr()?.to_string_lossy(),
            exc_info.get_type().repr()?.to_string_lossy()
        );
        let found = format!("exc_info is {}", shown(exc_info));
        return Err(Breach::new(Rule::ExcInfo, found).in_words(words).into());
    };
    let is_right = parts.len() == 3
        && parts.get_item(0)?.is_instance_of::<PyType>()
        && parts.get_item(1)?.is_instance_of::<pyo3::exceptions::PyBaseException>()
        && (parts.get_item(2)?.is_none() || parts.get_item(2)?.is_instance_of::<PyTraceback>());
    if is_right {
        return Ok(true);
    }
    if parts.len() == 3 && parts.iter().all(|part| part.is_none()) {
        let found = "exc_info tells of no exception: (None, None, None)";
        judge.warn(Breach::new(Rule::ExcInfo, found))?;
        return Ok(false);
    }
    Err(Breach::new(Rule::ExcInfo, format!("exc_info is {}", shown(exc_info))).into())
}

/// A string is a str, and no subclass of it.
pub(crate) fn check_type(text: &Bound<'_, PyAny>, title: &str) -> Verdict {
    if text.is_exact_instance_of::<PyString>() {
        return Ok(());
    }
    let hint = if text.is_instance_of::<PyBytes>() { "; decode it as latin-1" } else { "" };
    let found = format!("the {} is no str: {}{hint}", title.to_lowercase(), shown(text));
    let words = format!("{title} must be of type str (got {})", text.repr()?.to_string_lossy());
    Err(Breach::new(Rule::Native, found).in_words(words).into())
}

fn check_native(what: &str, text: &Bound<'_, PyAny>) -> Verdict {
    if native::is_latin1(text) {
        return Ok(());
    }
    let found = format!("{what} has a character above U+00FF: {}", shown(text));
    Err(Breach::new(Rule::Native, found).into())
}

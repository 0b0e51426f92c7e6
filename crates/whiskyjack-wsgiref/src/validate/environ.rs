//! What a server gives to an application: the environ, and the streams in it.

use super::judge::Judge;
use super::rule::Rule;
use super::violation::{Breach, Verdict};
use crate::native::{self, shown};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

/// Holds an environ to PEP 3333.
pub(crate) fn check(judge: &Judge<'_, '_>, environ: &Bound<'_, PyAny>) -> Verdict {
    let py = environ.py();
    let Ok(environ) = environ.cast_exact::<PyDict>() else {
        let kind = environ.get_type();
        let found = format!("the environ is {}, not dict", shown(kind.as_any()));
        return Err(Breach::new(Rule::EnvironDict, found)
            .in_words(format!(
                "Environment is not of the right type: {} (environment: {})",
                kind.repr()?.to_string_lossy(),
                environ.repr()?.to_string_lossy()
            ))
            .into());
    };
    check_required(environ)?;
    if !environ.contains(intern!(py, "QUERY_STRING"))? {
        let breach =
            Breach::new(Rule::EnvironRequired, "QUERY_STRING is not there, not even empty");
        judge.warn(breach.in_words(
            "QUERY_STRING is not in the WSGI environment; the cgi module will use sys.argv when this variable is missing, \
             so application errors are more likely",
        ))?;
    }
    // A copy: PyO3 panics where another thread adds a key meanwhile.
    for (key, value) in environ.copy()?.iter() {
        check_variable(&key, &value)?;
    }
    check_values(judge, environ)?;
    check_input(&required(environ, intern!(py, "wsgi.input"))?)?;
    check_errors(&required(environ, intern!(py, "wsgi.errors"))?)?;
    check_paths(environ)
}

/// wsgi.input has its methods.
pub(crate) fn check_input(input: &Bound<'_, PyAny>) -> Verdict {
    let py = input.py();
    let names = [
        intern!(py, "read"),
        intern!(py, "readline"),
        intern!(py, "readlines"),
        intern!(py, "__iter__"),
    ];
    check_methods("wsgi.input", input, &names)
}

/// wsgi.errors has its methods.
pub(crate) fn check_errors(errors: &Bound<'_, PyAny>) -> Verdict {
    let py = errors.py();
    let names = [intern!(py, "flush"), intern!(py, "write"), intern!(py, "writelines")];
    check_methods("wsgi.errors", errors, &names)
}

fn check_methods(key: &str, stream: &Bound<'_, PyAny>, names: &[&Bound<'_, PyString>]) -> Verdict {
    for name in names {
        if !stream.hasattr(*name)? {
            let stream = stream.repr()?;
            let stream = stream.to_string_lossy();
            let found = format!("{key} has no method {name}");
            let words = format!("{key} ({stream}) doesn't have the attribute {name}");
            return Err(Breach::new(Rule::Streams, found).in_words(words).into());
        }
    }
    Ok(())
}

fn check_required(environ: &Bound<'_, PyDict>) -> Verdict {
    let py = environ.py();
    for key in [
        intern!(py, "REQUEST_METHOD"),
        intern!(py, "SERVER_NAME"),
        intern!(py, "SERVER_PORT"),
        intern!(py, "wsgi.version"),
        intern!(py, "wsgi.input"),
        intern!(py, "wsgi.errors"),
        intern!(py, "wsgi.multithread"),
        intern!(py, "wsgi.multiprocess"),
        intern!(py, "wsgi.run_once"),
        // These two the original forgets.
        intern!(py, "wsgi.url_scheme"),
        intern!(py, "SERVER_PROTOCOL"),
    ] {
        required(environ, key)?;
    }
    for key in [intern!(py, "HTTP_CONTENT_TYPE"), intern!(py, "HTTP_CONTENT_LENGTH")] {
        if environ.contains(key)? {
            let right = key.to_str()?.trim_start_matches("HTTP_");
            let words = format!("Environment should not have the key: {key} (use {right} instead)");
            let breach = Breach::new(Rule::EnvironName, format!("the environ has {key}"));
            return Err(breach.in_words(words).into());
        }
    }
    Ok(())
}

fn required<'py>(
    environ: &Bound<'py, PyDict>,
    key: &Bound<'py, PyString>,
) -> Verdict<Bound<'py, PyAny>> {
    match environ.get_item(key)? {
        Some(value) => Ok(value),
        None => {
            let words = format!("Environment missing required key: {}", key.repr()?);
            let breach = Breach::new(Rule::EnvironRequired, format!("the environ has no {key}"));
            Err(breach.in_words(words).into())
        }
    }
}

/// A variable whose name has no dot is a string; what has one is an extension, and its own affair.
fn check_variable(key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> Verdict {
    let Ok(name) = key.cast_exact::<PyString>() else {
        let found = format!("the environ has a key that is no str: {}", shown(key));
        return Err(Breach::new(Rule::EnvironText, found).into());
    };
    let name = name.to_str().unwrap_or_default();
    if name.contains('.') {
        return Ok(());
    }
    if native::ascii(value).is_some() {
        return Ok(());
    }
    if !value.is_exact_instance_of::<PyString>() {
        let kind = value.get_type();
        let words = format!(
            "Environmental variable {name} is not a string: {} (value: {})",
            kind.repr()?.to_string_lossy(),
            value.repr()?.to_string_lossy()
        );
        let found = format!("{name} is no str: {}", shown(value));
        return Err(Breach::new(Rule::EnvironText, found).in_words(words).into());
    }
    // The operating system's variables may stand here too, and are decoded otherwise.
    if (name.starts_with("HTTP_") || OF_REQUEST.contains(&name)) && !native::is_latin1(value) {
        let found = format!("{name} has a character above U+00FF: {}", shown(value));
        return Err(Breach::new(Rule::EnvironText, found).into());
    }
    Ok(())
}

const OF_REQUEST: [&str; 9] = [
    "REQUEST_METHOD",
    "SCRIPT_NAME",
    "PATH_INFO",
    "QUERY_STRING",
    "CONTENT_TYPE",
    "CONTENT_LENGTH",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
];

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "OPTIONS", "PATCH", "PUT", "DELETE", "TRACE"];

fn check_values(judge: &Judge<'_, '_>, environ: &Bound<'_, PyDict>) -> Verdict {
    let py = environ.py();
    let version = required(environ, intern!(py, "wsgi.version"))?;
    if !version.is_exact_instance_of::<PyTuple>() {
        let words = format!("wsgi.version should be a tuple ({})", version.repr()?);
        let found = format!("wsgi.version is {}, not (1, 0)", shown(&version));
        return Err(Breach::new(Rule::EnvironValue, found).in_words(words).into());
    }
    if !version.eq((1, 0))? {
        let found = format!("wsgi.version is {}, not (1, 0)", shown(&version));
        return Err(Breach::new(Rule::EnvironValue, found).into());
    }
    let scheme = required(environ, intern!(py, "wsgi.url_scheme"))?;
    if !matches!(native::ascii(&scheme), Some("http" | "https")) {
        let words = format!("wsgi.url_scheme unknown: {}", scheme.repr()?.to_string_lossy());
        let found = format!("wsgi.url_scheme is {}", shown(&scheme));
        return Err(Breach::new(Rule::EnvironValue, found).in_words(words).into());
    }
    let method = required(environ, intern!(py, "REQUEST_METHOD"))?;
    if !native::ascii(&method).is_some_and(|method| METHODS.contains(&method)) {
        if method.len()? == 0 {
            return Err(Breach::new(Rule::EnvironRequired, "REQUEST_METHOD is empty").into());
        }
        let words = format!("Unknown REQUEST_METHOD: {}", method.repr()?.to_string_lossy());
        let found = format!("REQUEST_METHOD is {}", shown(&method));
        judge.warn(Breach::new(Rule::EnvironValue, found).in_words(words))?;
    }
    // The original's own server has an empty name where it listens on all addresses.
    if required(environ, intern!(py, "SERVER_NAME"))?.len()? == 0 {
        judge.warn(Breach::new(Rule::EnvironRequired, "SERVER_NAME is empty"))?;
    }
    let port = required(environ, intern!(py, "SERVER_PORT"))?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !native::ascii(&port).is_some_and(is_number) {
        let found = format!("SERVER_PORT is no number: {}", shown(&port));
        return Err(Breach::new(Rule::EnvironValue, found).into());
    }
    Ok(())
}

fn check_paths(environ: &Bound<'_, PyDict>) -> Verdict {
    let py = environ.py();
    let script = environ.get_item(intern!(py, "SCRIPT_NAME"))?;
    let path = environ.get_item(intern!(py, "PATH_INFO"))?;
    for (name, value) in [("SCRIPT_NAME", &script), ("PATH_INFO", &path)] {
        let Some(value) = value.as_ref().filter(|value| value.len().is_ok_and(|length| length > 0))
        else {
            continue;
        };
        let slash = value.call_method1(intern!(py, "startswith"), (intern!(py, "/"),))?;
        if !slash.is_truthy()? {
            let repr = value.repr()?;
            let words = format!("{name} doesn't start with /: {}", repr.to_string_lossy());
            let found = format!("{name} does not start with a slash: {}", shown(value));
            return Err(Breach::new(Rule::EnvironValue, found).in_words(words).into());
        }
    }
    if let Some(length) = environ.get_item(intern!(py, "CONTENT_LENGTH"))?
        && length.len()? > 0
    {
        check_length(&length)?;
    }
    let has_script = script.as_ref().is_some_and(|script| script.len().is_ok_and(|len| len > 0));
    if !has_script && path.is_none() {
        let found = "there is neither a PATH_INFO nor a SCRIPT_NAME that is not empty";
        return Err(Breach::new(Rule::EnvironRequired, found)
            .in_words(
                "One of SCRIPT_NAME or PATH_INFO are required (PATH_INFO should at least be '/' if SCRIPT_NAME is empty)",
            )
            .into());
    }
    if script.as_ref().and_then(native::ascii) == Some("/") {
        return Err(Breach::new(Rule::EnvironValue, "SCRIPT_NAME is a slash")
            .in_words(
                "SCRIPT_NAME cannot be '/'; it should instead be '', and PATH_INFO should be '/'",
            )
            .into());
    }
    Ok(())
}

fn check_length(length: &Bound<'_, PyAny>) -> Verdict {
    let text = native::ascii(length).unwrap_or("");
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    let breach =
        Breach::new(Rule::EnvironValue, format!("CONTENT_LENGTH is no number: {}", shown(length)));
    // The original's words are for numbers below zero only.
    if text.parse::<i128>().is_ok_and(|number| number < 0) {
        let words = format!("Invalid CONTENT_LENGTH: {}", length.repr()?);
        return Err(breach.in_words(words).into());
    }
    Err(breach.into())
}

//! By which code a rule was broken: a file, a line and a function, found out when it is needed and not before.

use pyo3::prelude::*;
use pyo3::types::PyType;

/// Where to look.
pub(crate) enum Place<'a, 'py> {
    /// the Python code that has called us
    Caller,
    /// the application itself
    Application(&'a Bound<'py, PyAny>),
    /// what the application has returned, and the application
    Returned(&'a Bound<'py, PyAny>, &'a Bound<'py, PyAny>),
}

impl Place<'_, '_> {
    /// `shop.py:12 in view`
    pub(crate) fn describe(&self, py: Python<'_>) -> Option<String> {
        match self {
            Place::Caller => caller(py).ok(),
            Place::Application(application) => callable(application),
            Place::Returned(result, application) => iterator(result)
                .or_else(|| callable(application).map(|place| format!("what {place} returned"))),
        }
    }
}

fn caller(py: Python<'_>) -> PyResult<String> {
    let frame = py.import("sys")?.call_method0("_getframe")?;
    let line: usize = frame.getattr("f_lineno")?.extract()?;
    place(&frame.getattr("f_code")?, Some(line))
}

/// Where code stands; without a line, where it begins.
fn place(code: &Bound<'_, PyAny>, line: Option<usize>) -> PyResult<String> {
    let file: String = code.getattr("co_filename")?.str()?.extract()?;
    let line = match line {
        Some(line) => line,
        None => code.getattr("co_firstlineno")?.extract()?,
    };
    let name: String = code.getattr("co_qualname")?.str()?.extract()?;
    Ok(format!("{file}:{line} in {name}"))
}

/// Where a callable is written: a function, a method, an object with a `__call__`, or one of these wrapped.
fn callable(object: &Bound<'_, PyAny>) -> Option<String> {
    /// More wrappings than anybody has, should they go in a circle.
    const DEEPEST: usize = 32;
    let mut object = object.clone();
    for _ in 0..DEEPEST {
        // The middleware that is outermost has called us; functools.wraps says what it stands for, which is what its user wrote.
        let inner = ["__wrapped__", "__func__", "func"].iter().find_map(|name| {
            object.getattr_opt(*name).ok().flatten().filter(|inner| inner.is_callable())
        });
        match inner {
            Some(inner) => object = inner,
            None => break,
        }
    }
    if let Ok(code) = object.getattr("__code__") {
        return place(&code, None).ok();
    }
    // A class is an application too: its instances are what it returns.
    let (class, method) = match object.cast::<PyType>() {
        Ok(class) => (class.clone(), "__init__"),
        Err(_) => (object.get_type(), "__call__"),
    };
    class
        .getattr(method)
        .and_then(|method| place(&method.getattr("__code__")?, None))
        .ok()
        // What is not written in Python has a name all the same.
        .or_else(|| object.getattr("__qualname__").ok()?.extract().ok())
        .or_else(|| Some(class.fully_qualified_name().ok()?.to_string()))
}

/// Where a generator stands, or where the method of an iterable is written. None for Python's own.
fn iterator(object: &Bound<'_, PyAny>) -> Option<String> {
    if let Ok(code) = object.getattr("gi_code") {
        let line = object.getattr("gi_frame").and_then(|frame| frame.getattr("f_lineno"));
        return place(&code, line.and_then(|line| line.extract()).ok()).ok();
    }
    ["__next__", "__iter__", "__getitem__"].iter().find_map(|name| {
        let method = object.get_type().getattr(*name).ok()?;
        place(&method.getattr("__code__").ok()?, None).ok()
    })
}

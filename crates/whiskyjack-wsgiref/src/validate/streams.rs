//! `wsgi.input` and `wsgi.errors` as a validated application sees them: with the methods that PEP 3333 lists, and no others.

use super::conversation::Conversation;
use super::judge::Judge;
use super::rule::Rule;
use super::violation::{Breach, Journal, Verdict};
use crate::native::shown;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Holds an application's use of wsgi.input, and what the server gives, to PEP 3333.
#[pyclass(frozen, subclass, weakref, module = "whiskyjack.wsgiref.validate")]
#[derive(Debug)]
pub struct InputWrapper {
    #[pyo3(get)]
    input: Py<PyAny>,
    conversation: Option<Arc<Conversation>>,
    reading: Reading,
}

/// How far reading may go.
#[derive(Debug)]
enum Reading {
    /// The stream ends where the body does (`wsgi.input_terminated`), so that any reading will end.
    Terminated,
    /// CONTENT_LENGTH says what there is, and this is what is left of it.
    Counted(AtomicU64),
    Unknown,
}

impl InputWrapper {
    /// `length` is the CONTENT_LENGTH.
    pub(crate) fn of(
        input: Py<PyAny>,
        conversation: Arc<Conversation>,
        is_terminated: bool,
        length: Option<u64>,
    ) -> InputWrapper {
        let reading = match length {
            _ if is_terminated => Reading::Terminated,
            Some(length) if length > 0 => Reading::Counted(AtomicU64::new(length)),
            _ => Reading::Unknown,
        };
        InputWrapper { input, conversation: Some(conversation), reading }
    }

    fn journal(&self) -> Option<&Journal> {
        self.conversation.as_ref().and_then(|conversation| conversation.journal())
    }

    fn checked<'py>(
        &self,
        py: Python<'py>,
        call: impl FnOnce(&Judge<'_, 'py>) -> Verdict<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let judge = Judge::of_caller(py, self.journal());
        if self.conversation.as_ref().is_some_and(|conversation| conversation.is_over()) {
            let found = "wsgi.input was read after the request was over";
            return Err(judge.raised(Breach::new(Rule::InputLate, found)));
        }
        call(&judge).map_err(|fault| judge.raised(fault))
    }

    /// Counts what was read. No more may come than was asked for.
    fn take(&self, data: &Bound<'_, PyBytes>, asked: Option<u64>) -> Verdict {
        let length = data.as_bytes().len() as u64;
        if let Some(asked) = asked
            && length > asked
        {
            let found = format!("wsgi.input gave {length} bytes where {asked} were asked for");
            return Err(Breach::new(Rule::StreamData, found).into());
        }
        if let Reading::Counted(left) = &self.reading {
            let less = |left: u64| Some(left.saturating_sub(length));
            // It always has something to store.
            let _ = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
        Ok(())
    }

    fn ask(&self, judge: &Judge<'_, '_>, asked: Option<u64>) -> PyResult<()> {
        if let (Reading::Counted(left), Some(asked)) = (&self.reading, asked) {
            let left = left.load(Ordering::Relaxed);
            if asked > left {
                judge.warn(Breach::new(
                    Rule::InputEnd,
                    format!(
                        "{asked} bytes were asked for where CONTENT_LENGTH leaves {left}; a server may wait for them"
                    ),
                ))?;
            }
        }
        Ok(())
    }
}

#[pymethods]
impl InputWrapper {
    #[new]
    fn new(wsgi_input: Py<PyAny>) -> InputWrapper {
        InputWrapper { input: wsgi_input, conversation: None, reading: Reading::Unknown }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.input)
    }

    #[pyo3(signature = (*args))]
    fn read<'py>(&self, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        self.checked(py, |judge| {
            let needs_size = !matches!(self.reading, Reading::Terminated);
            if args.len() > 1 || needs_size && args.is_empty() {
                let found = format!("wsgi.input.read() was called with {}", arguments(args));
                return Err(Breach::new(Rule::InputSize, found).in_words("").into());
            }
            let asked = size(args);
            self.ask(judge, asked)?;
            let data = self.input.bind(py).call_method1(intern!(py, "read"), args)?;
            self.take(bytes(&data)?, asked)?;
            Ok(data)
        })
    }

    #[pyo3(signature = (*args))]
    fn readline<'py>(&self, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        self.checked(py, |_| {
            at_most_one("readline", args)?;
            let line = self.input.bind(py).call_method1(intern!(py, "readline"), args)?;
            self.take(bytes(&line)?, size(args))?;
            Ok(line)
        })
    }

    #[pyo3(signature = (*args))]
    fn readlines<'py>(&self, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        self.checked(py, |_| {
            at_most_one("readlines", args)?;
            let lines = self.input.bind(py).call_method1(intern!(py, "readlines"), args)?;
            let Ok(list) = lines.cast_exact::<PyList>() else {
                let found = format!("wsgi.input.readlines() gave {}", shown(&lines));
                return Err(Breach::new(Rule::StreamData, found).in_words("").into());
            };
            for line in list.iter() {
                self.take(bytes(&line)?, None)?;
            }
            Ok(lines)
        })
    }

    fn __iter__(slf: Py<Self>) -> Lines {
        Lines { input: slf }
    }

    /// Not the application's to close.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let judge = Judge::of_caller(py, self.journal());
        let breach = Breach::new(Rule::Input, "wsgi.input.close() was called");
        Err(judge.raised(breach.in_words("input.close() must not be called")))
    }
}

/// The lines of a wsgi.input.
#[pyclass(frozen, module = "whiskyjack.wsgiref.validate")]
#[derive(Debug)]
pub(crate) struct Lines {
    input: Py<InputWrapper>,
}

#[pymethods]
impl Lines {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.input)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let line = self.input.bind(py).call_method0(intern!(py, "readline"))?;
        Ok(if line.is_truthy()? { Some(line) } else { None })
    }
}

/// The size in the arguments, if it is a limit at all.
fn size(args: &Bound<'_, PyTuple>) -> Option<u64> {
    args.get_item(0).ok()?.extract().ok()
}

fn at_most_one(name: &str, args: &Bound<'_, PyTuple>) -> Verdict {
    if args.len() <= 1 {
        return Ok(());
    }
    let found = format!("wsgi.input.{name}() was called with {}", arguments(args));
    Err(Breach::new(Rule::Input, found).in_words("").into())
}

fn arguments(args: &Bound<'_, PyTuple>) -> String {
    match args.len() {
        0 => "no size".to_owned(),
        count => format!("{count} arguments"),
    }
}

fn bytes<'a, 'py>(data: &'a Bound<'py, PyAny>) -> Verdict<&'a Bound<'py, PyBytes>> {
    data.cast_exact::<PyBytes>().map_err(|_| {
        let found = format!("wsgi.input gave {}, which is no bytes", shown(data));
        Breach::new(Rule::StreamData, found).in_words("").into()
    })
}

/// Holds an application's use of wsgi.errors to PEP 3333.
#[pyclass(frozen, subclass, weakref, module = "whiskyjack.wsgiref.validate")]
#[derive(Debug)]
pub struct ErrorWrapper {
    #[pyo3(get)]
    errors: Py<PyAny>,
    conversation: Option<Arc<Conversation>>,
}

impl ErrorWrapper {
    pub(crate) fn of(errors: Py<PyAny>, conversation: Arc<Conversation>) -> ErrorWrapper {
        ErrorWrapper { errors, conversation: Some(conversation) }
    }

    fn journal(&self) -> Option<&Journal> {
        self.conversation.as_ref().and_then(|conversation| conversation.journal())
    }
}

#[pymethods]
impl ErrorWrapper {
    #[new]
    fn new(wsgi_errors: Py<PyAny>) -> ErrorWrapper {
        ErrorWrapper { errors: wsgi_errors, conversation: None }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.errors)
    }

    fn write(&self, s: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = s.py();
        if !s.is_exact_instance_of::<PyString>() {
            let judge = Judge::of_caller(py, self.journal());
            let found = format!("{} was written to wsgi.errors, which is no str", shown(s));
            return Err(judge.raised(Breach::new(Rule::Errors, found).in_words("")));
        }
        self.errors.bind(py).call_method1(intern!(py, "write"), (s,)).map(drop)
    }

    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        self.errors.bind(py).call_method0(intern!(py, "flush")).map(drop)
    }

    fn writelines(slf: &Bound<'_, Self>, seq: &Bound<'_, PyAny>) -> PyResult<()> {
        for line in seq.try_iter()? {
            slf.call_method1(intern!(slf.py(), "write"), (line?,))?;
        }
        Ok(())
    }

    /// Not the application's to close.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let judge = Judge::of_caller(py, self.journal());
        let breach = Breach::new(Rule::Errors, "wsgi.errors.close() was called");
        Err(judge.raised(breach.in_words("errors.close() must not be called")))
    }
}

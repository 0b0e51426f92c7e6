//! start_response and write() as a validated application sees them.

use super::conversation::Conversation;
use super::head;
use super::judge::Judge;
use super::rule::Rule;
use super::violation::{Breach, Journal, Verdict};
use crate::native::shown;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use std::sync::Arc;

/// Holds what an application gives to start_response to PEP 3333, and hands it on.
#[pyclass(frozen, module = "whiskyjack.wsgiref.validate")]
#[derive(Debug)]
pub(crate) struct StartResponse {
    pub(crate) start_response: Py<PyAny>,
    pub(crate) conversation: Arc<Conversation>,
}

#[pymethods]
impl StartResponse {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.start_response)
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__(
        &self,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<WriteWrapper> {
        let judge = Judge::of_caller(args.py(), self.conversation.journal());
        let called = self.started(&judge, args, kwargs).map_err(|fault| judge.raised(fault))?;
        let write = self.start_response.bind(args.py()).call1(args).inspect_err(|_| {
            if called.has_exception {
                self.conversation.note_raised();
            }
        })?;
        if called.is_sent && called.has_exception {
            let found = "start_response took exc_info although a part of the body is sent";
            return Err(judge.raised(Breach::new(Rule::ErrorRaised, found)));
        }
        if !write.is_callable() {
            let found = format!("start_response returned {}", shown(&write));
            return Err(judge.raised(Breach::new(Rule::WriteReturned, found)));
        }
        Ok(WriteWrapper {
            writer: write.unbind(),
            conversation: Some(Arc::clone(&self.conversation)),
        })
    }
}

/// What is to be known of a call when the server has taken it.
struct Called {
    has_exception: bool,
    is_sent: bool,
}

impl StartResponse {
    fn started(
        &self,
        judge: &Judge<'_, '_>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> Verdict<Called> {
        if !matches!(args.len(), 2 | 3) {
            let found = format!("start_response was called with {} arguments", args.len());
            let words = format!("Invalid number of arguments: {}", args.repr()?.to_string_lossy());
            return Err(Breach::new(Rule::StartCall, found).in_words(words).into());
        }
        if kwargs.is_some_and(|kwargs| !kwargs.is_empty()) {
            let found = "start_response was called with keyword arguments";
            let breach = Breach::new(Rule::StartCall, found);
            return Err(breach.in_words("No keyword arguments allowed").into());
        }
        let exc_info = args.get_item(2).ok();
        let head = head::check(judge, &args.get_item(0)?, &args.get_item(1)?)?;
        let has_exception = head::check_exc_info(judge, exc_info.as_ref())?;
        let is_sent = self.conversation.is_sent();
        self.conversation.start(head, has_exception)?;
        Ok(Called { has_exception, is_sent })
    }
}

/// Holds an application's use of write() to PEP 3333.
#[pyclass(frozen, subclass, module = "whiskyjack.wsgiref.validate")]
#[derive(Debug)]
pub struct WriteWrapper {
    #[pyo3(get)]
    writer: Py<PyAny>,
    conversation: Option<Arc<Conversation>>,
}

impl WriteWrapper {
    fn journal(&self) -> Option<&Journal> {
        self.conversation.as_ref().and_then(|conversation| conversation.journal())
    }

    fn check(&self, data: &Bound<'_, PyAny>) -> Verdict {
        let Ok(bytes) = data.cast_exact::<PyBytes>() else {
            let found =
                format!("write() was called with {}{}", shown(data), super::items::hint(data));
            return Err(Breach::new(Rule::Write, found).in_words("").into());
        };
        if let Some(conversation) = &self.conversation {
            conversation.allow_write()?;
            conversation.count(bytes.as_bytes().len())?;
        }
        Ok(())
    }
}

#[pymethods]
impl WriteWrapper {
    #[new]
    fn new(wsgi_writer: Py<PyAny>) -> WriteWrapper {
        WriteWrapper { writer: wsgi_writer, conversation: None }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.writer)
    }

    fn __call__(&self, s: &Bound<'_, PyAny>) -> PyResult<()> {
        let judge = Judge::of_caller(s.py(), self.journal());
        self.check(s).map_err(|fault| judge.raised(fault))?;
        self.writer.bind(s.py()).call1((s,)).map(drop)
    }
}

//! What a validated application has returned, as the server iterates over it.

use super::conversation::Conversation;
use super::judge::Judge;
use super::place::Place;
use super::rule::Rule;
use super::violation::{Breach, Fault, Journal, Verdict};
use crate::native::shown;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyIterator, PyMemoryView, PyString};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether an application has returned something that can be a body.
pub(crate) fn check_iterator(result: &Bound<'_, PyAny>) -> Verdict {
    let advice = if result.is_instance_of::<PyString>() {
        "return a list of bytes, such as [text.encode()]"
    } else if result.is_instance_of::<PyBytes>() {
        "return it in a list, [body]: to iterate over it gives numbers"
    } else {
        return Ok(());
    };
    let found = format!("the application returned {}; {advice}", shown(result));
    Err(Breach::new(Rule::Iterable, found)
        .in_words(
            "You should not return a string as your application iterator, instead return a single-item list containing a bytestring.",
        )
        .into())
}

/// What would make bytes of an object that is none.
pub(super) fn hint(data: &Bound<'_, PyAny>) -> &'static str {
    if data.is_instance_of::<PyString>() {
        ", which is text; encode it, for example with .encode()"
    } else if data.is_instance_of::<PyByteArray>() || data.is_instance_of::<PyMemoryView>() {
        "; make bytes of it with bytes()"
    } else {
        ", which is no bytes"
    }
}

/// What has been returned where nothing is known of the call: iter() makes an [`IteratorWrapper`] of it.
#[pyclass(frozen, subclass, module = "whiskyjack.wsgiref.validate")]
#[derive(Debug)]
pub struct PartialIteratorWrapper {
    #[pyo3(get)]
    iterator: Py<PyAny>,
}

#[pymethods]
impl PartialIteratorWrapper {
    #[new]
    fn new(wsgi_iterator: Py<PyAny>) -> PartialIteratorWrapper {
        PartialIteratorWrapper { iterator: wsgi_iterator }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.iterator)
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<IteratorWrapper> {
        IteratorWrapper::new(self.iterator.bind(py), None)
    }
}

/// Holds the items of a body, and how the server takes them, to PEP 3333.
#[pyclass(frozen, subclass, weakref, module = "whiskyjack.wsgiref.validate")]
#[derive(Debug)]
pub struct IteratorWrapper {
    #[pyo3(get)]
    original_iterator: Py<PyAny>,
    #[pyo3(get)]
    iterator: Py<PyIterator>,
    closed: AtomicBool,
    started: Started,
}

/// How it is known whether start_response was called.
#[derive(Debug)]
enum Started {
    /// The call is ours.
    Of(Arc<Conversation>, Py<PyAny>),
    /// This object is true once it was called, or there is none.
    Told(Option<Py<PyAny>>),
}

impl IteratorWrapper {
    pub(crate) fn of(
        result: &Bound<'_, PyAny>,
        application: &Bound<'_, PyAny>,
        conversation: Arc<Conversation>,
    ) -> Verdict<IteratorWrapper> {
        let iterator = result.try_iter().map_err(|error| {
            let is_iterable = result.hasattr(intern!(result.py(), "__iter__")).unwrap_or(true);
            match is_iterable {
                true => Fault::Python(error),
                false => {
                    let found = format!("the application returned {}", shown(result));
                    Breach::new(Rule::Iterable, found).into()
                }
            }
        })?;
        Ok(IteratorWrapper {
            original_iterator: result.clone().unbind(),
            iterator: iterator.unbind(),
            closed: AtomicBool::new(false),
            started: Started::Of(conversation, application.clone().unbind()),
        })
    }

    /// Takes all items, or as many as anybody would make for nothing.
    pub(crate) fn exhaust(&self, py: Python<'_>) -> PyResult<()> {
        const MOST: usize = 2_000;
        for _ in 0..MOST {
            if self.__next__(py)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn journal(&self) -> Option<&Journal> {
        match &self.started {
            Started::Of(conversation, _) => conversation.journal(),
            Started::Told(_) => None,
        }
    }

    /// The exception for a fault of what was returned.
    fn raised(&self, py: Python<'_>, fault: impl Into<Fault>) -> PyErr {
        let result = self.original_iterator.bind(py);
        let application = match &self.started {
            Started::Of(_, application) => application.bind(py),
            Started::Told(_) => result,
        };
        let place = Place::Returned(result, application);
        Judge { py, journal: self.journal(), place }.raised(fault)
    }

    fn check(&self, item: &Bound<'_, PyAny>) -> Verdict {
        let Ok(bytes) = item.cast_exact::<PyBytes>() else {
            let words =
                format!("Iterator yielded non-bytestring ({})", item.repr()?.to_string_lossy());
            let found = format!("the body has the item {}{}", shown(item), hint(item));
            return Err(Breach::new(Rule::Item, found).in_words(words).into());
        };
        let is_started = match &self.started {
            Started::Of(conversation, _) => conversation.is_started(),
            Started::Told(None) => true,
            Started::Told(Some(told)) => told.bind(item.py()).is_truthy()?,
        };
        if !is_started {
            let found = "the body has an item, and start_response was not called";
            return Err(Breach::new(Rule::StartBefore, found)
                .in_words(
                    "The application returns and we started iterating over its body, but start_response has not yet been called",
                )
                .into());
        }
        match &self.started {
            Started::Of(conversation, _) => Ok(conversation.count(bytes.as_bytes().len())?),
            Started::Told(_) => Ok(()),
        }
    }

    fn end(&self) -> Verdict {
        match &self.started {
            Started::Of(conversation, _) => Ok(conversation.end()?),
            Started::Told(_) => Ok(()),
        }
    }
}

#[pymethods]
impl IteratorWrapper {
    #[new]
    fn new(
        wsgi_iterator: &Bound<'_, PyAny>,
        check_start_response: Option<Py<PyAny>>,
    ) -> PyResult<IteratorWrapper> {
        Ok(IteratorWrapper {
            original_iterator: wsgi_iterator.clone().unbind(),
            iterator: wsgi_iterator.try_iter()?.unbind(),
            closed: AtomicBool::new(false),
            started: Started::Told(check_start_response),
        })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.original_iterator)?;
        visit.call(&self.iterator)?;
        match &self.started {
            Started::Of(_, application) => visit.call(application),
            Started::Told(Some(told)) => visit.call(told),
            Started::Told(None) => Ok(()),
        }
    }

    #[getter]
    fn closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.closed() {
            let judge = Judge::of_caller(py, self.journal());
            let breach = Breach::new(Rule::Closed, "the body was read after its close()");
            return Err(judge.raised(breach.in_words("Iterator read after closed")));
        }
        let item = self.iterator.bind(py).clone().next().transpose()?;
        let verdict = match &item {
            Some(item) => self.check(item),
            None => self.end(),
        };
        verdict.map_err(|fault| self.raised(py, fault))?;
        Ok(item)
    }

    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.closed.swap(true, Ordering::Relaxed) {
            let found = "close() of what the application returned was called a second time";
            Judge::of_caller(py, self.journal()).warn(Breach::new(Rule::Closed, found))?;
        }
        let result = self.original_iterator.bind(py);
        let closed = match result.getattr_opt(intern!(py, "close"))? {
            Some(close) => close.call0().map(drop),
            None => Ok(()),
        };
        if let Started::Of(conversation, _) = &self.started {
            conversation.note_over();
        }
        closed
    }
}

impl Drop for IteratorWrapper {
    fn drop(&mut self) {
        if *self.closed.get_mut() {
            return;
        }
        // Where the interpreter is on its way out, nobody is left to be told.
        Python::try_attach(|py| {
            const WORDS: &str = "Iterator garbage collected without being closed";
            if let Ok(stderr) = py.import("sys").and_then(|sys| sys.getattr("stderr")) {
                // A stream that can't be written to must not hide what follows.
                let _ = stderr.call_method1("write", (WORDS,));
            }
            let breach = Breach::new(
                Rule::Closed,
                "close() of what the application returned was never called",
            );
            self.raised(py, breach.in_words(WORDS)).write_unraisable(py, None);
        });
    }
}

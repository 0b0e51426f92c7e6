//! The middleware itself: looks at what passes between a server and an application, and changes nothing.

use super::conversation::Conversation;
use super::environ;
use super::items::{IteratorWrapper, check_iterator};
use super::judge::Judge;
use super::place::Place;
use super::rule::Rule;
use super::start::StartResponse;
use super::streams::{ErrorWrapper, InputWrapper};
use super::violation::{Breach, Journal, Verdict};
use crate::native;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::sync::Arc;

/// A WSGI application that holds another one, and the server, to PEP 3333. `validator` makes it.
#[pyclass(frozen, weakref, module = "whiskyjack.wsgiref.validate")]
#[derive(Debug)]
pub struct Validator {
    application: Py<PyAny>,
    journal: Option<Arc<Journal>>,
}

impl Validator {
    /// A validator that raises what it finds.
    pub fn new(application: Py<PyAny>) -> Validator {
        Validator { application, journal: None }
    }

    /// A validator that also writes down what it finds, and that looks at bodies which no server would send.
    pub fn thorough(application: Py<PyAny>, journal: Arc<Journal>) -> Validator {
        Validator { application, journal: Some(journal) }
    }
}

/// Hold a WSGI application, and the server that calls it, to PEP 3333.
///
/// What is returned is an application that calls this one. Nothing is changed that passes between the two; what breaks a rule raises
/// an AssertionError. A body that is never closed is only written of to stderr, as nobody could catch an exception then.
#[pyfunction]
pub fn validator(application: Py<PyAny>) -> Validator {
    Validator::new(application)
}

#[pymethods]
impl Validator {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.application)
    }

    /// The application, under the name that `inspect.unwrap` looks for.
    #[getter(__wrapped__)]
    fn wrapped(&self, py: Python<'_>) -> Py<PyAny> {
        self.application.clone_ref(py)
    }

    #[pyo3(signature = (*args, **kw))]
    fn __call__(
        &self,
        args: &Bound<'_, PyTuple>,
        kw: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<IteratorWrapper> {
        let py = args.py();
        let server = Judge::of_caller(py, self.journal.as_deref());
        let call = self.prepare(&server, args, kw).map_err(|fault| server.raised(fault))?;
        let application = self.application.bind(py);
        let result = application.call1((call.environ, call.start_response))?;
        call.conversation.note_returned();
        let place = Place::Application(application);
        let judge = Judge { py, journal: self.journal.as_deref(), place };
        let is_unsent = self.journal.is_some() && call.conversation.is_bodyless();
        let body = check_result(&result)
            .and_then(|()| IteratorWrapper::of(&result, application, call.conversation))
            .map_err(|fault| judge.raised(fault))?;
        if is_unsent && let Err(error) = body.exhaust(py) {
            body.close(py)?;
            return Err(error);
        }
        Ok(body)
    }
}

/// A call that is about to be made.
struct Call<'py> {
    environ: Bound<'py, PyDict>,
    start_response: Bound<'py, StartResponse>,
    conversation: Arc<Conversation>,
}

impl Validator {
    fn prepare<'py>(
        &self,
        judge: &Judge<'_, 'py>,
        args: &Bound<'py, PyTuple>,
        kw: Option<&Bound<'py, PyDict>>,
    ) -> Verdict<Call<'py>> {
        let py = judge.py;
        if args.len() != 2 {
            let found = format!("the application was called with {} arguments", args.len());
            return Err(Breach::new(Rule::Call, found).in_words("Two arguments required").into());
        }
        if kw.is_some_and(|kw| !kw.is_empty()) {
            let breach =
                Breach::new(Rule::Call, "the application was called with keyword arguments");
            return Err(breach.in_words("No keyword arguments allowed").into());
        }
        let environ = args.get_item(0)?;
        environ::check(judge, &environ)?;
        let environ = environ.cast_into::<PyDict>().map_err(PyErr::from)?;
        let get = |key| {
            Ok::<_, PyErr>(environ.get_item(key)?.unwrap_or_else(|| py.None().into_bound(py)))
        };
        let method = get(intern!(py, "REQUEST_METHOD"))?;
        let is_head = native::ascii(&method) == Some("HEAD");
        let conversation = Arc::new(Conversation::new(self.journal.clone(), is_head));
        let is_terminated = get(intern!(py, "wsgi.input_terminated"))?.is_truthy()?;
        let length = get(intern!(py, "CONTENT_LENGTH"))?;
        let length = native::ascii(&length).and_then(|length| length.parse().ok());
        let input = get(intern!(py, "wsgi.input"))?.unbind();
        let input = InputWrapper::of(input, Arc::clone(&conversation), is_terminated, length);
        environ.set_item(intern!(py, "wsgi.input"), Bound::new(py, input)?)?;
        let errors = get(intern!(py, "wsgi.errors"))?.unbind();
        let errors = ErrorWrapper::of(errors, Arc::clone(&conversation));
        environ.set_item(intern!(py, "wsgi.errors"), Bound::new(py, errors)?)?;
        let start_response = StartResponse {
            start_response: args.get_item(1)?.unbind(),
            conversation: Arc::clone(&conversation),
        };
        let start_response = Bound::new(py, start_response)?;
        Ok(Call { environ, start_response, conversation })
    }
}

/// The application has returned something, and something that can be iterated over in earnest.
fn check_result(result: &Bound<'_, PyAny>) -> Verdict {
    if result.is_none() || !result.ne(false)? {
        let found = match result.is_none() {
            true => "the application returned None (is a `return` missing?)",
            false => "the application returned False",
        };
        return Err(Breach::new(Rule::Iterable, found)
            .in_words("The application must return an iterator, if only an empty list")
            .into());
    }
    check_iterator(result)
}

//! The objects that every call needs and few applications keep: made once for a connection, and given to its next request where
//! nobody has kept one. Which of them are in an environ, `environ` knows.

use crate::input::Input;
use crate::raw;
use crate::start_response::StartResponse;
use pyo3::intern;
use pyo3::prelude::*;

/// One call's objects: the lease, and what uses it.
pub(crate) struct Kit {
    pub(crate) request: Py<StartResponse>,
    pub(crate) start_response: Py<PyAny>,
    pub(crate) write: Py<PyAny>,
    pub(crate) early_hints: Py<PyAny>,
    pub(crate) client_disconnected: Py<PyAny>,
    pub(crate) input: Py<Input>,
    /// how many references there are to each while only we have any
    own: [Option<isize>; OBJECTS],
}

const OBJECTS: usize = 6;

impl Kit {
    pub(crate) fn new(py: Python<'_>) -> PyResult<Kit> {
        let request = Bound::new(py, StartResponse::default())?;
        let method = |name| request.getattr(name).map(Bound::unbind);
        let mut kit = Kit {
            start_response: method(intern!(py, "start_response"))?,
            write: method(intern!(py, "write"))?,
            early_hints: method(intern!(py, "early_hints"))?,
            client_disconnected: method(intern!(py, "client_disconnected"))?,
            input: Py::new(py, Input::new(request.clone().unbind()))?,
            request: request.unbind(),
            own: [None; OBJECTS],
        };
        kit.own = kit.references(py);
        kit.untrack(py);
        Ok(kit)
    }

    /// Where an application's cycles keep its environs the collector would look at all of these, for each request that it has not freed yet. They
    /// lead nowhere: the methods and the input to the request, and that to no object but, during its call, to one of the methods.
    fn untrack(&self, py: Python<'_>) {
        raw::untrack(self.request.bind(py));
        raw::untrack(self.input.bind(py));
        for method in self.methods() {
            raw::untrack(method.bind(py));
        }
    }

    fn methods(&self) -> [&Py<PyAny>; 4] {
        [&self.start_response, &self.write, &self.early_hints, &self.client_disconnected]
    }

    /// Whether another request can have it: nobody can tell then that one had it before. `templates` of ours refer to what an environ
    /// shows, and nobody else may.
    pub(crate) fn is_unused(&self, py: Python<'_>, templates: isize) -> bool {
        let is_ours = |((now, own), is_shown): ((Option<isize>, Option<isize>), bool)| {
            let shown = if is_shown { templates } else { 0 };
            now.is_some() && now == own.map(|own| own + shown)
        };
        self.references(py).into_iter().zip(self.own).zip(SHOWN).all(is_ours)
            && !self.methods().into_iter().any(|method| raw::is_weakly_known(py, method))
    }

    fn references(&self, py: Python<'_>) -> [Option<isize>; OBJECTS] {
        [
            raw::references(py, &self.request),
            raw::references(py, &self.start_response),
            raw::references(py, &self.write),
            raw::references(py, &self.early_hints),
            raw::references(py, &self.client_disconnected),
            raw::references(py, &self.input),
        ]
    }
}

/// Which of the objects, in the order of [`Kit::references`], an environ shows.
const SHOWN: [bool; OBJECTS] = [false, false, false, true, true, true];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_keeps_of_a_kit_is_seen_for_as_long_as_it_is_kept() {
        Python::attach(|py| {
            let kit = Kit::new(py).expect("memory");
            assert!(kit.is_unused(py, 0));
            let kept = kit.start_response.clone_ref(py);
            assert!(!kit.is_unused(py, 0));
            drop(kept);
            let of = kit.write.bind(py).getattr("__self__").expect("a bound method");
            assert!(!kit.is_unused(py, 0));
            drop(of);
            let weakly =
                py.import("weakref").and_then(|weakref| weakref.call_method1("ref", (&kit.write,)));
            assert!(!kit.is_unused(py, 0));
            drop(weakly);
            assert!(kit.is_unused(py, 0));
        });
    }

    #[test]
    fn what_another_thread_keeps_is_seen_too() {
        let kit = Python::attach(|py| Kit::new(py).expect("memory"));
        let keep = || Python::attach(|py| kit.input.clone_ref(py));
        let kept = std::thread::scope(|scope| scope.spawn(keep).join()).expect("no panic");
        Python::attach(|py| {
            assert!(!kit.is_unused(py, 0));
            drop(kept);
            assert!(kit.is_unused(py, 0));
        });
    }

    #[test]
    fn without_a_gil_only_the_thread_that_has_made_a_kit_can_tell() {
        let make = || Python::attach(|py| Kit::new(py).expect("memory"));
        // It has to be there still: what a thread counts is given up for good with it.
        let (told, tell) = std::sync::mpsc::channel::<()>();
        let (give, given) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                give.send(make()).expect("a receiver");
                tell.recv().expect("a word");
            });
            let kit = given.recv().expect("a kit");
            let is_unused = Python::attach(|py| kit.is_unused(py, 0));
            assert_eq!(is_unused, !cfg!(Py_GIL_DISABLED));
            told.send(()).expect("a receiver");
        });
    }
}

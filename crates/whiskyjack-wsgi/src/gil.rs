//! Whether this interpreter has its threads take turns. Knows nothing of what is done about it.

use pyo3::prelude::*;

/// Whether the GIL is on at this moment. It is a matter of the moment, not of the build: in a free-threaded interpreter the variable
/// `PYTHON_GIL` turns it on, and so does the import of an extension module that says that it needs it.
pub fn is_enabled(py: Python<'_>) -> bool {
    // Interpreters before 3.13 cannot say, and always have it.
    let asked = py.import("sys").and_then(|sys| sys.call_method0("_is_gil_enabled")?.extract());
    asked.unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_that_is_built_with_the_gil_has_it_on() {
        let is_enabled = Python::attach(is_enabled);
        assert!(is_enabled || cfg!(Py_GIL_DISABLED));
    }
}

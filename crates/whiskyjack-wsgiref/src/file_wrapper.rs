//! `util.FileWrapper`: an iterable over the blocks of whatever can be read. Knows no server that could send the file itself.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// Wrapper to convert file-like objects to iterables. It has a `close` if the file-like object has one.
#[pyclass(subclass, dict, weakref, module = "whiskyjack.wsgiref.util")]
#[derive(Debug)]
pub struct FileWrapper {
    #[pyo3(get, set)]
    filelike: Py<PyAny>,
    #[pyo3(get, set)]
    blksize: Py<PyAny>,
}

#[pymethods]
impl FileWrapper {
    // A subclass may have an __init__ with other parameters: what is given here is its affair.
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(filelike, blksize=8192)")]
    fn new(
        py: Python<'_>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> FileWrapper {
        FileWrapper { filelike: py.None(), blksize: py.None() }
    }

    #[pyo3(signature = (filelike, blksize=None))]
    fn __init__(
        slf: &Bound<'_, Self>,
        filelike: &Bound<'_, PyAny>,
        blksize: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let blksize = match blksize {
            Some(blksize) => blksize,
            None => 8192_i32.into_pyobject(py)?.into_any().unbind(),
        };
        {
            let mut wrapper = slf.borrow_mut();
            wrapper.filelike = filelike.clone().unbind();
            wrapper.blksize = blksize;
        }
        // PEP 3333: a server asks whether there is a close() before it calls it.
        if let Some(close) = filelike.getattr_opt(intern!(py, "close"))? {
            slf.setattr(intern!(py, "close"), close)?;
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.filelike)?;
        visit.call(&self.blksize)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        let (filelike, blksize) = {
            let wrapper = slf.borrow();
            (wrapper.filelike.bind(py).clone(), wrapper.blksize.bind(py).clone())
        };
        let block = filelike.call_method1(intern!(py, "read"), (blksize,))?;
        Ok(if block.is_truthy()? { Some(block) } else { None })
    }
}

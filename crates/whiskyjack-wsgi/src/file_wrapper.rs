//! `wsgi.file_wrapper`: an iterable over a file's blocks, and what tells whether the kernel may send the file itself.

use crate::raw;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use std::os::fd::OwnedFd;

/// What an application returns to have a file sent: `environ["wsgi.file_wrapper"](file, block_size)`.
#[pyclass(frozen, module = "whiskyjack")]
#[derive(Debug)]
pub struct FileWrapper {
    #[pyo3(get)]
    filelike: Py<PyAny>,
    #[pyo3(get)]
    block_size: usize,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, block_size=8192))]
    fn new(filelike: Py<PyAny>, block_size: usize) -> PyResult<FileWrapper> {
        if block_size == 0 {
            return Err(PyValueError::new_err("block_size must be positive"));
        }
        Ok(FileWrapper { filelike, block_size })
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let filelike = self.filelike.bind(py);
        let block = filelike.call_method1(pyo3::intern!(py, "read"), (self.block_size,))?;
        Ok(if block.is_truthy()? { Some(block) } else { None })
    }

    /// Closes the file, if it can be closed.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(close) = self.filelike.bind(py).getattr_opt(pyo3::intern!(py, "close"))? {
            close.call0()?;
        }
        Ok(())
    }

    // Werkzeug seeks in what it was given here, to answer a request for a range.

    fn seekable(&self, py: Python<'_>) -> PyResult<bool> {
        let filelike = self.filelike.bind(py);
        match filelike.getattr_opt(pyo3::intern!(py, "seekable"))? {
            Some(seekable) => seekable.call0()?.is_truthy(),
            None => filelike.hasattr(pyo3::intern!(py, "seek")),
        }
    }

    #[pyo3(signature = (offset, whence=0, /))]
    fn seek<'py>(&self, py: Python<'py>, offset: i64, whence: i32) -> PyResult<Bound<'py, PyAny>> {
        self.filelike.bind(py).call_method1(pyo3::intern!(py, "seek"), (offset, whence))
    }

    fn tell<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.filelike.bind(py).call_method0(pyo3::intern!(py, "tell"))
    }
}

/// A regular file and the part of it that reading would give.
pub(crate) struct Region {
    pub(crate) file: OwnedFd,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl FileWrapper {
    /// What the kernel may send instead of what reading the file would give. `None`: only reading tells.
    pub(crate) fn region(&self, py: Python<'_>) -> Option<Region> {
        let filelike = self.filelike.bind(py);
        let file = real_file(filelike).ok().flatten()?;
        if !file.call_method0(pyo3::intern!(py, "readable")).ok()?.is_truthy().ok()? {
            return None;
        }
        let descriptor =
            file.call_method0(pyo3::intern!(py, "fileno")).ok()?.extract::<i32>().ok()?;
        let offset = file.call_method0(pyo3::intern!(py, "tell")).ok()?.extract::<u64>().ok()?;
        let file = raw::duplicate(descriptor).ok()?;
        let metadata = file.metadata().ok()?;
        let length = metadata.len().saturating_sub(offset);
        // Files of /proc say that they are empty, and only reading them tells what they hold.
        (metadata.is_file() && length > 0).then(|| Region { offset, length, file: file.into() })
    }
}

/// The file of the `io` module whose own `read` this object's `read` is. An object that has a `fileno()` may still read
/// something else: a `gzip.GzipFile` has the descriptor of the compressed file.
fn real_file<'py>(filelike: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    static CLASSES: PyOnceLock<Classes> = PyOnceLock::new();
    let py = filelike.py();
    let classes = CLASSES.get_or_try_init(py, || Classes::new(py))?;
    let mut read = filelike.getattr(pyo3::intern!(py, "read"))?;
    if filelike.get_type().is(classes.temporary.bind(py)) {
        // tempfile hands out a function around the file's method.
        read = read.getattr(pyo3::intern!(py, "__wrapped__"))?;
    }
    // From 3.12 on some are of a subclass that knows its defining class.
    if !read.is_instance(classes.builtin_method.bind(py))? {
        return Ok(None);
    }
    let owner = read.getattr(pyo3::intern!(py, "__self__"))?;
    if owner.is_instance(classes.raw.bind(py))? {
        return Ok(Some(owner));
    }
    for buffered in [&classes.reader, &classes.random] {
        if owner.is_instance(buffered.bind(py))? {
            let raw = owner.getattr(pyo3::intern!(py, "raw"))?;
            return Ok(raw.get_type().is(classes.raw.bind(py)).then_some(owner));
        }
    }
    Ok(None)
}

struct Classes {
    raw: Py<PyType>,
    reader: Py<PyType>,
    random: Py<PyType>,
    temporary: Py<PyAny>,
    builtin_method: Py<PyAny>,
}

impl Classes {
    fn new(py: Python<'_>) -> PyResult<Classes> {
        let io = py.import("io")?;
        let class = |name| -> PyResult<Py<PyType>> { Ok(io.getattr(name)?.cast_into()?.unbind()) };
        Ok(Classes {
            raw: class("FileIO")?,
            reader: class("BufferedReader")?,
            random: class("BufferedRandom")?,
            temporary: py.import("tempfile")?.getattr("_TemporaryFileWrapper")?.unbind(),
            builtin_method: py.import("types")?.getattr("BuiltinMethodType")?.unbind(),
        })
    }
}

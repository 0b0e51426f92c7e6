//! The few raw calls that the gateway needs, of the C-API on the hot path mostly, each behind a safe function.

use pyo3::buffer::PyBuffer;
use pyo3::ffi;
use pyo3::prelude::*;
#[cfg(Py_GIL_DISABLED)]
use pyo3::types::PyList;
use pyo3::types::string::PyStringData;
use pyo3::types::{PyCFunction, PyDict, PyString, PyType};
#[cfg(Py_GIL_DISABLED)]
use std::cell::Cell;
use std::ffi::c_long;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::Once;
#[cfg(Py_GIL_DISABLED)]
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// A str whose code points are these bytes: PEP 3333's native string.
pub(crate) fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    let length = bytes.len() as ffi::Py_ssize_t; // a slice is never longer than isize::MAX
    // SAFETY: the pointer and length are those of a live slice; the call gives a new reference to a str or sets an error,
    // which is what `from_owned_ptr_or_err` asks for.
    let object = unsafe {
        let object = ffi::PyUnicode_DecodeLatin1(bytes.as_ptr().cast(), length, ptr::null());
        Bound::from_owned_ptr_or_err(py, object)?
    };
    // SAFETY: PyUnicode_DecodeLatin1 gives an exact str.
    Ok(unsafe { object.cast_into_unchecked::<PyString>() })
}

/// The same of bytes that do not depend on a request. Without the GIL it is never let go of: there, threads that count their references to one
/// object wait for each other.
pub(crate) fn lasting<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    match str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => Ok(PyString::intern(py, text)),
        _ => latin1(py, bytes),
    }
}

/// The bytes that a native string stands for; `None` if a code point is above 255.
pub(crate) fn latin1_bytes<'a>(text: &'a Bound<'_, PyString>) -> Option<&'a [u8]> {
    // SAFETY: str is immutable and `text` keeps it alive for 'a. CPython stores a str with the narrowest width that
    // holds it, so that the one-byte form is latin-1 and a wider one has a code point above 255.
    match unsafe { text.data() } {
        Ok(PyStringData::Ucs1(bytes)) => Some(bytes),
        _ => None,
    }
}

/// Sets a key that is not there yet. False, and nothing changed, if it was.
pub(crate) fn insert(
    dict: &Bound<'_, PyDict>,
    key: &Bound<'_, PyString>,
    value: &Bound<'_, PyString>,
) -> PyResult<bool> {
    let before = dict.len();
    // SAFETY: all three are live objects of the right types; the call gives a borrowed reference, which is not kept, or
    // null with an error set.
    let found = unsafe { ffi::PyDict_SetDefault(dict.as_ptr(), key.as_ptr(), value.as_ptr()) };
    if found.is_null() {
        return Err(PyErr::fetch(dict.py()));
    }
    // Not `found == value`: "" and strings of one character are the same object wherever they come from.
    Ok(dict.len() > before)
}

/// How many references there are to an object; `None` where that cannot be told, as other threads may change it meanwhile.
#[cfg(not(Py_GIL_DISABLED))]
pub(crate) fn references<T>(_: Python<'_>, object: &Py<T>) -> Option<isize> {
    // SAFETY: the object is alive, and attached to Python nobody else changes the count while it is read.
    Some(unsafe { ffi::Py_REFCNT(object.as_ptr()) })
}

/// The same without the GIL. There an object has two counts (PEP 703, "Biased reference counting"): the thread that has made it changes one of
/// them, all others the second, and a reference of one may be given up by another. Their sum is right only as long as the first one stands
/// still, which is so on that thread, and where it was given up for good. PyO3 knows the object's parts, and is built for no CPython in which
/// it does not know them.
#[cfg(Py_GIL_DISABLED)]
pub(crate) fn references<T>(py: Python<'_>, object: &Py<T>) -> Option<isize> {
    thread_local! {
        static OWN: Cell<usize> = const { Cell::new(0) };
    }
    let pointer = object.as_ptr();
    if OWN.get() == 0 {
        // What a thread is called there, only an object of its own says.
        OWN.set(owner(PyList::empty(py).as_any()));
    }
    let maker = owner(object.bind(py).as_any());
    // SAFETY: the object is alive, and both counts are read as the atomics that they are.
    (maker == OWN.get() || maker == 0).then(|| unsafe { ffi::Py_REFCNT(pointer) })
}

/// The thread that has made an object; 0 once all threads share its count of references.
#[cfg(Py_GIL_DISABLED)]
fn owner(object: &Bound<'_, PyAny>) -> usize {
    // SAFETY: the object is alive, and its field is aligned and changed by atomic stores alone.
    unsafe { AtomicUsize::from_ptr(&raw mut (*object.as_ptr()).ob_tid).load(Ordering::Acquire) }
}

/// Has the garbage collector pass over an object that can be no part of a cycle: what it refers to, if anything, leads to no other object.
pub(crate) fn untrack(object: &Bound<'_, PyAny>) {
    // SAFETY: the object is alive, and of a type that the collector knows or not: the call is for either kind, tracked or not. What deals
    // with its end asks whether it is tracked.
    unsafe {
        if ffi::PyObject_IS_GC(object.as_ptr()) != 0 {
            ffi::PyObject_GC_UnTrack(object.as_ptr().cast());
        }
    }
}

/// Whether somebody could still find a method of one of our objects by a weak reference. `method` must be what `getattr` makes of a method that
/// is written in Rust.
pub(crate) fn is_weakly_known(py: Python<'_>, method: &Py<PyAny>) -> bool {
    let Ok(function) = method.bind(py).cast::<PyCFunction>() else { return true };
    // SAFETY: a PyCFunction has this layout. The field is read as a whole; another thread can set it only with a reference of its own.
    let list = unsafe {
        let field = &raw mut (*function.as_ptr().cast::<ffi::PyCFunctionObject>()).m_weakreflist;
        AtomicPtr::from_ptr(field).load(Ordering::Acquire)
    };
    !list.is_null()
}

/// The memory of a writable contiguous buffer and how long it is; `None` for another buffer.
fn writable(buffer: &PyBuffer<u8>) -> Option<NonNull<[u8]>> {
    if buffer.readonly() { None } else { buffer.as_slice_ptr() }
}

/// How many bytes can be written to a buffer; `None` if it is read-only or not contiguous.
pub(crate) fn capacity(buffer: &PyBuffer<u8>) -> Option<usize> {
    writable(buffer).map(|memory| memory.len())
}

/// Writes bytes to the front of a buffer, as many as it takes, and says how many.
pub(crate) fn write_front(_: Python<'_>, buffer: &PyBuffer<u8>, bytes: &[u8]) -> usize {
    let Some(memory) = writable(buffer) else { return 0 };
    let count = bytes.len().min(memory.len());
    // SAFETY: while the buffer is exported its memory stays, and it is writable and at least `count` long. It is Python's
    // memory, and `bytes`, which Python can't write to, is no part of it. What other threads do to it is the application's care.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), memory.cast::<u8>().as_ptr(), count) };
    count
}

/// Raises an exception of this type, without arguments, in the thread with this number, wherever it runs Python code next. False if
/// there is no such thread.
pub(crate) fn raise_in(exception: &Bound<'_, PyType>, thread: u64) -> bool {
    // SAFETY: we are attached, which the exception proves; the call takes a reference of its own to it. It looks the number up itself.
    // The number is an unsigned long, which PyO3 has with a sign.
    unsafe { ffi::PyThreadState_SetAsyncExc(thread as c_long, exception.as_ptr()) > 0 }
}

/// Takes back what [`raise_in`] has raised there and has not come out yet.
pub(crate) fn take_back(_: Python<'_>, thread: u64) {
    // SAFETY: we are attached; null is what the call documents for this.
    unsafe { ffi::PyThreadState_SetAsyncExc(thread as c_long, ptr::null_mut()) };
}

/// Sends a signal to the thread with this number of Python's, which must be a thread that has not ended; false if that fails.
pub(crate) fn signal_thread(thread: u64, signal: i32) -> bool {
    // SAFETY: Python's number of a thread is its pthread_t (thread_pthread.h), and the caller sees to it that the thread lives.
    unsafe { libc::pthread_kill(thread as libc::pthread_t, signal) == 0 }
}

/// Runs something that may wait, detached from Python.
pub(crate) fn detached(py: Python<'_>, wait: &mut dyn FnMut()) {
    struct Carried<'a>(&'a mut dyn FnMut());
    // SAFETY: `detach` calls its closure on this very thread. It asks for Send to keep what is bound to the attachment
    // out of it, and the server, whose closure this is, knows no Python.
    unsafe impl Send for Carried<'_> {}
    let carried = Carried(wait);
    py.detach(move || {
        let carried = carried;
        (carried.0)();
    });
}

/// A descriptor of our own for the file that Python's number stands for. Fails if it stands for none.
pub(crate) fn duplicate(descriptor: i32) -> io::Result<File> {
    if descriptor < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the descriptor is not -1, and it is borrowed for the duplication alone. Should another thread close it at
    // this moment, the duplicate is of another file or there is none; the kernel does not mind.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    Ok(File::from(borrowed.try_clone_to_owned()?))
}

static FORKS: AtomicU32 = AtomicU32::new(0);

/// How many forks lie between this process and the one in which this was asked first: by it a child knows what it is, at
/// the price of a load, where asking the kernel for the process's number costs a call.
pub(crate) fn forks() -> u32 {
    static COUNTING: Once = Once::new();
    extern "C" fn count() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: the handler adds to an atomic, which is allowed in the child of a process with threads, and this library,
    // as every extension module, is never unloaded. Should the handler not be taken, for want of memory, forks go unseen.
    COUNTING.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(count));
    });
    FORKS.load(Ordering::Relaxed)
}

/// Ends this process at once: nothing is flushed, no handler runs.
pub(crate) fn end_process(code: i32) -> ! {
    // SAFETY: _exit takes any number and touches no memory of ours.
    unsafe { libc::_exit(code) }
}

//! One call of the application: what it returns is sent item by item to its end, and closed.

use crate::file_wrapper::FileWrapper;
use crate::lease::{Draft, Lease};
use crate::report::Report;
use crate::start_response::{send, send_last, type_name, wait_writable};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyMemoryView, PyString, PyTuple};
use std::panic::{self, AssertUnwindSafe};
use std::slice;
use whiskyjack_proto::head::RequestHead;
use whiskyjack_server::exchange::{Exchange, Failure, Sent};

/// What ended a call before its response was whole.
pub(super) enum Trouble {
    /// an exception came out of the application
    Raised(PyErr),
    /// the application broke PEP 3333; the words are for its author
    Misuse(String),
    /// the response can't be sent
    Unsent(Failure),
}

impl From<PyErr> for Trouble {
    fn from(error: PyErr) -> Trouble {
        Trouble::Raised(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::Unsent(failure)
    }
}

const NEVER_STARTED: &str = "the application did not call start_response() before its first body bytes; \
                             call start_response(status, headers) first";

const TEXT_FILE: &str = "the file that wsgi.file_wrapper was given reads str, not bytes (PEP 3333); \
                         open it in binary mode, as in open(path, \"rb\")";

/// One call of the application.
pub(super) struct Call<'a, 'py> {
    pub(super) py: Python<'py>,
    pub(super) lease: &'a Lease,
    pub(super) report: &'a dyn Report,
}

impl<'py> Call<'_, 'py> {
    pub(super) fn run(
        &self,
        application: &Bound<'py, PyAny>,
        environ: Bound<'py, PyDict>,
        start_response: Bound<'py, PyAny>,
    ) -> Result<(), Trouble> {
        let result = application.call1((environ, start_response))?;
        // A panic passes through, but not without close().
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| self.respond(&result)));
        if let Err(error) = close(&result) {
            let head = self.head()?;
            self.report.raised(self.py, "close() of what the application returned", &error, &head);
        }
        outcome.unwrap_or_else(|panic| panic::resume_unwind(panic))
    }

    /// A copy, because what is done with it may run Python code, which nothing does that uses the exchange.
    fn head(&self) -> PyResult<RequestHead> {
        self.lease.with(self.py, |exchange, _| exchange.head().clone())
    }

    fn respond(&self, result: &Bound<'py, PyAny>) -> Result<(), Trouble> {
        if let Ok(list) = result.cast_exact::<PyList>() {
            if list.len() == 1 {
                return self.send_whole(slice::from_ref(&piece(list.get_item(0)?, 0)?));
            }
            let pieces = list.iter().enumerate().map(|(position, item)| piece(item, position));
            return self.send_whole(&pieces.collect::<Result<Vec<_>, _>>()?);
        }
        if let Ok(tuple) = result.cast_exact::<PyTuple>() {
            let pieces = tuple.iter().enumerate().map(|(position, item)| piece(item, position));
            return self.send_whole(&pieces.collect::<Result<Vec<_>, _>>()?);
        }
        if let Ok(wrapper) = result.cast_exact::<FileWrapper>() {
            return self.send_file(wrapper);
        }
        self.send_items(result)
    }

    /// Sends a body of which all pieces are here, and so its length.
    fn send_whole(&self, pieces: &[Bound<'py, PyBytes>]) -> Result<(), Trouble> {
        let length = pieces.iter().map(|piece| piece.as_bytes().len() as u64).sum();
        let mut pieces = pieces.iter().filter(|piece| !piece.as_bytes().is_empty());
        let Some(mut last) = pieces.next() else {
            return self.finish(None, Some(0));
        };
        for piece in pieces {
            // All of it is in memory already, so that waiting for a slow client would save none, and hold this thread.
            if self.pass_piece(last, Some(length))?.0 == Progress::Bodyless {
                break;
            }
            last = piece;
        }
        self.finish(Some(last), Some(length))
    }

    /// Sends the items of an iterable, each before the next is asked for.
    fn send_items(&self, result: &Bound<'py, PyAny>) -> Result<(), Trouble> {
        check_iterable(result)?;
        let mut items = result.try_iter()?;
        // PEP 3333: an iterable of one item has that item's length. What is its own iterator has no length to ask for.
        let is_single = !items.is(result) && result.len().is_ok_and(|length| length == 1);
        let mut is_bodyless = self.is_bodyless()?;
        let mut position = 0;
        let mut is_empty = true;
        while !is_bodyless {
            let Some(item) = items.next() else { break };
            let item = piece(item?, position)?;
            position += 1;
            let length = item.as_bytes().len();
            if length > 0 && !is_empty {
                self.send_next(&item)?;
            } else if length > 0 {
                is_empty = false;
                let length = is_single.then_some(length as u64);
                is_bodyless = self.send_piece(&item, length)? == Progress::Bodyless;
            } else {
                // start_response may have been called meanwhile.
                is_bodyless = self.is_bodyless()?;
            }
        }
        self.finish(None, (is_empty && !is_bodyless).then_some(0))
    }

    /// Sends a file, and of it no more than the Content-Length: the kernel does if it is a real one, else it is read block by block.
    fn send_file(&self, wrapper: &Bound<'py, FileWrapper>) -> Result<(), Trouble> {
        let Some(region) = wrapper.get().region(self.py) else {
            return self.send_blocks(wrapper);
        };
        let sent = self.lease.with(self.py, |exchange, draft| {
            begin(exchange, draft, Some(region.length))?;
            let length = match draft.head.content_length() {
                None if exchange.missing() == 0 => region.length, // begun by write() without a length
                _ => region.length.min(exchange.missing()),
            };
            if length == 0 || exchange.is_bodyless() {
                return Ok(());
            }
            // Nothing comes after it, so that there is nothing to wait for should the server hold much of it.
            exchange.write_file(region.file, region.offset, length)?;
            Ok::<_, Trouble>(())
        })?;
        sent?;
        self.finish(None, None)
    }

    fn send_blocks(&self, wrapper: &Bound<'py, FileWrapper>) -> Result<(), Trouble> {
        let is_asked_for_nothing = self.lease.with(self.py, |exchange, draft| {
            let announced = draft.head.content_length();
            announced.is_some_and(|length| match exchange.is_started() {
                true => exchange.missing() == 0,
                false => length == 0,
            })
        })?;
        if is_asked_for_nothing || self.is_bodyless()? {
            return self.finish(None, None);
        }
        let mut is_empty = true;
        for (position, block) in wrapper.try_iter()?.enumerate() {
            is_empty = false;
            let block = block?;
            if block.is_instance_of::<PyString>() {
                return Err(Trouble::Misuse(TEXT_FILE.to_owned()));
            }
            if self.send_piece(&piece(block, position)?, None)? == Progress::Bodyless {
                break;
            }
            if self.is_complete()? {
                // What the last block had beyond the Content-Length was not asked for, and is no fault.
                return self.end(None, None).map(drop);
            }
        }
        self.finish(None, is_empty.then_some(0))
    }

    /// Whether all has been sent that the Content-Length asks for, which is not 0.
    fn is_complete(&self) -> PyResult<bool> {
        self.lease.with(self.py, |exchange, draft| {
            draft.head.content_length().is_some() && exchange.missing() == 0
        })
    }

    /// Whether it is known by now that no body may be sent: then the application need not be asked for it.
    fn is_bodyless(&self) -> PyResult<bool> {
        self.lease
            .with(self.py, |exchange, draft| draft.is_started() && forbids_body(exchange, draft))
    }

    /// Sends a piece that is not empty, and waits where the server holds too much then. `length` is the whole body's, where it is known.
    fn send_piece(
        &self,
        piece: &Bound<'py, PyBytes>,
        length: Option<u64>,
    ) -> Result<Progress, Trouble> {
        let (progress, sent) = self.pass_piece(piece, length)?;
        if sent == Sent::Full {
            wait_writable(self.py, self.lease)??;
        }
        Ok(progress)
    }

    /// Sends a piece that is not empty behind the first one, after which there is a body and its head has gone.
    fn send_next(&self, piece: &Bound<'py, PyBytes>) -> Result<(), Trouble> {
        let sent = self.lease.with(self.py, |exchange, draft| {
            draft.birthplace.hold();
            send(exchange, piece)
        })??;
        if sent == Sent::Full {
            wait_writable(self.py, self.lease)??;
        }
        Ok(())
    }

    /// Sends a piece that is not empty, and never waits.
    fn pass_piece(
        &self,
        piece: &Bound<'py, PyBytes>,
        length: Option<u64>,
    ) -> Result<(Progress, Sent), Trouble> {
        self.lease.with(self.py, |exchange, draft| {
            begin(exchange, draft, length)?;
            if exchange.is_bodyless() {
                return Ok((Progress::Bodyless, Sent::Taken));
            }
            Ok::<_, Trouble>((Progress::Sent, send(exchange, piece)?))
        })?
    }

    /// Ends the response and holds what was sent against its Content-Length. `length` is the whole body's, where it is known.
    fn finish(
        &self,
        last: Option<&Bound<'py, PyBytes>>,
        length: Option<u64>,
    ) -> Result<(), Trouble> {
        let balance = self.end(last, length)?;
        if balance.excess > 0 {
            let what = format!(
                "the application gave {} bytes more than its Content-Length; they are cut off",
                balance.excess
            );
            self.report.misused(self.py, &what, &self.head()?);
        }
        if balance.missing > 0 {
            return Err(Trouble::Misuse(format!(
                "the application gave {} bytes less than its Content-Length; the connection is closed",
                balance.missing
            )));
        }
        Ok(())
    }

    /// Ends the response.
    fn end(
        &self,
        last: Option<&Bound<'py, PyBytes>>,
        length: Option<u64>,
    ) -> Result<Balance, Trouble> {
        self.lease.with(self.py, |exchange, draft| {
            begin(exchange, draft, length)?;
            let is_bodyless = exchange.is_bodyless();
            match last.filter(|_| !is_bodyless) {
                Some(last) => send_last(exchange, last)?,
                None => exchange.write_last(&&b""[..])?,
            }
            Ok(match is_bodyless {
                true => Balance { missing: 0, excess: 0 },
                false => Balance { missing: exchange.missing(), excess: exchange.excess() },
            })
        })?
    }
}

/// How the bytes that were given stand against the Content-Length.
struct Balance {
    missing: u64,
    excess: u64,
}

/// What came of a piece.
#[derive(PartialEq, Eq)]
enum Progress {
    Sent,
    /// it was not sent, because there is no body
    Bodyless,
}

/// Starts the response, if that is still to be done.
fn begin(exchange: &mut dyn Exchange, draft: &Draft, length: Option<u64>) -> Result<(), Trouble> {
    draft.birthplace.hold();
    if !draft.is_started() {
        return Err(Trouble::Misuse(NEVER_STARTED.to_owned()));
    }
    if !exchange.is_started() {
        // What a response without a body would have been long is only known where the application has made it anyway.
        let length = match length {
            Some(0) if forbids_body(exchange, draft) => None,
            _ if matches!(draft.head.status(), 204 | 304) => None,
            length => length,
        };
        exchange.start(&draft.head, length);
    }
    Ok(())
}

fn forbids_body(exchange: &dyn Exchange, draft: &Draft) -> bool {
    exchange.is_bodyless()
        || exchange.head().method() == b"HEAD"
        || matches!(draft.head.status(), 204 | 304)
}

/// An item of the response as bytes.
fn piece(item: Bound<'_, PyAny>, position: usize) -> Result<Bound<'_, PyBytes>, Trouble> {
    item.cast_into::<PyBytes>().map_err(|error| {
        let item = error.into_inner();
        let hint = if item.is_instance_of::<PyString>() {
            "; encode it, for example with .encode()"
        } else if item.is_instance_of::<PyByteArray>() || item.is_instance_of::<PyMemoryView>() {
            "; convert it with bytes()"
        } else {
            ""
        };
        Trouble::Misuse(format!(
            "item {position} of what the application returned is {}, not bytes (PEP 3333){hint}",
            article(&item)
        ))
    })
}

/// Refuses what can't be meant, and says what can.
fn check_iterable(result: &Bound<'_, PyAny>) -> Result<(), Trouble> {
    let py = result.py();
    let advice = if result.is_none() {
        "return a list of bytes such as [b\"...\"] (is a `return` missing?)"
    } else if result.is_instance_of::<PyString>() {
        "return a list of bytes, such as [text.encode()]"
    } else if result.is_instance_of::<PyBytes>() || result.is_instance_of::<PyByteArray>() {
        "put it into a list, [body]: to iterate over it gives numbers"
    } else if result.hasattr(intern!(py, "__iter__"))?
        || result.hasattr(intern!(py, "__getitem__"))?
    {
        return Ok(());
    } else if result.hasattr(intern!(py, "__await__"))?
        || result.hasattr(intern!(py, "__aiter__"))?
    {
        "this is an asynchronous application (ASGI?): a WSGI application is a plain function that returns a list of bytes"
    } else {
        "return a list of bytes, such as [b\"...\"], or another iterable of bytes"
    };
    Err(Trouble::Misuse(format!(
        "the application returned {}, which is not an iterable of bytes (PEP 3333): {advice}",
        article(result)
    )))
}

fn article(object: &Bound<'_, PyAny>) -> String {
    if object.is_none() {
        "None".to_owned()
    } else {
        format!("an object of type {}", type_name(object))
    }
}

/// PEP 3333: called at the end of every request, however it ended, where it is there.
fn close(result: &Bound<'_, PyAny>) -> PyResult<()> {
    if result.is_exact_instance_of::<PyList>() || result.is_exact_instance_of::<PyTuple>() {
        return Ok(());
    }
    if let Some(close) = result.getattr_opt(intern!(result.py(), "close"))? {
        close.call0()?;
    }
    Ok(())
}

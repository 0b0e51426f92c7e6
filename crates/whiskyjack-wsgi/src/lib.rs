//! The gateway: PEP 3333 over an `Exchange`. The Rust that knows Python objects.
//!
//! ```
//! use pyo3::prelude::*;
//! use std::sync::Arc;
//! use whiskyjack_server::exchange::Application;
//! use whiskyjack_wsgi::{Gateway, HeaderMap, Options, Untrusted};
//!
//! # fn main() -> PyResult<()> {
//! let options = Options {
//!     root_path: String::new(),
//!     multithread: true,
//!     multiprocess: false,
//!     header_map: HeaderMap::Drop,
//!     trusted: Vec::new(),
//!     untrusted: Untrusted::Remove,
//!     extra: Vec::new(),
//!     server_software: "example".to_owned(),
//! };
//! let gateway = Python::attach(|py| {
//!     let application = py.import("wsgiref.simple_server")?.getattr("demo_app")?;
//!     Gateway::new(py, application.unbind(), options)
//! })?;
//! // A server takes it as it takes an application that is written in Rust.
//! let application: Arc<dyn Application> = Arc::new(gateway);
//! # let _ = application;
//! # Ok(())
//! # }
//! ```

mod child;
mod environ;
mod error;
mod file_wrapper;
mod forwarded;
mod gateway;
pub mod gil;
mod glimpse;
mod input;
mod kit;
mod learned;
mod lease;
mod names;
mod percent;
mod raw;
mod report;
mod seat;
mod secured;
mod socket;
mod start_response;

pub use environ::HeaderMap;
pub use error::ClientDisconnected;
pub use file_wrapper::FileWrapper;
pub use forwarded::Untrusted;
pub use gateway::{Gateway, Options};
pub use report::Report;
pub use seat::RequestTimeout;

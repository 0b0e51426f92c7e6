//! The gateway: PEP 3333 over an `Exchange`. The Rust that knows Python objects.

mod environ;
mod error;
mod file_wrapper;
mod gateway;
mod input;
mod lease;
mod raw;
mod start_response;

pub use environ::HeaderMap;
pub use error::ClientDisconnected;
pub use file_wrapper::FileWrapper;
pub use gateway::{Gateway, Options};

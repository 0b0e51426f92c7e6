//! PEP 3333, line by line, against an exchange in memory.

#[path = "../support/mod.rs"]
mod support;

mod environ;
mod forwarded;
mod input;
mod lease;
mod response;
mod start_response;
mod validate;

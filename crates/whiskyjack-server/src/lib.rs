//! The machine: sockets, threads and deadlines. The only code that waits; it knows no Python.

pub mod config;
pub mod exchange;
pub mod listener;
pub mod server;

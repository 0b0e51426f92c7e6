//! The machine: sockets, threads and deadlines. The only code that waits; it knows no Python.

pub mod config;
mod deadlines;
mod episode;
pub mod exchange;
mod gathering;
mod http1;
mod input;
pub mod listener;
mod monitor;
mod output;
mod pool;
mod reactor;
pub mod server;
#[cfg(test)]
mod simulation;
mod spool;
mod sys;
mod transport;

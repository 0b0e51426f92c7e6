//! The machine: sockets, threads and deadlines. The only code that waits; it knows no Python.

mod alarm;
pub mod call;
pub mod config;
mod deadlines;
mod episode;
pub mod exchange;
mod forecast;
mod gathering;
mod guests;
mod handover;
mod held;
mod http1;
mod input;
pub mod listener;
mod lost;
mod member;
mod monitor;
mod output;
mod overdue;
mod overflow;
mod pool;
mod reactor;
pub mod server;
#[cfg(test)]
mod simulation;
mod slots;
mod spool;
mod succession;
mod sys;
pub mod tls;
mod transport;
pub mod trust;
mod witness;

//! The gateway: PEP 3333 over an `Exchange`.

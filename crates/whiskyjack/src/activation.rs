//! Sockets that the service manager has opened for this process: sd_listen_fds(3). Knows their numbers and names, not what they are.

use std::env;
use std::os::fd::RawFd;

/// How many there are, from descriptor 3 on.
pub const COUNT: &str = "LISTEN_FDS";

/// Whom they are for.
const PROCESS: &str = "LISTEN_PID";

/// What the manager calls each, with colons between them.
const NAMES: &str = "LISTEN_FDNAMES";

/// The first number.
const FIRST: RawFd = 3;

/// Whether there are any for this process.
pub fn is_used() -> bool {
    let is_ours = env::var(PROCESS).is_ok_and(|pid| pid == std::process::id().to_string());
    is_ours && count() > 0
}

/// The descriptors of this name, or all where it is empty.
pub fn descriptors(name: &str) -> Vec<RawFd> {
    if !is_used() {
        return Vec::new();
    }
    named(count(), &env::var(NAMES).unwrap_or_default(), name)
}

fn count() -> RawFd {
    env::var(COUNT).ok().and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn named(count: RawFd, names: &str, name: &str) -> Vec<RawFd> {
    let names = names.split(':').map(Some).chain(std::iter::repeat(None));
    (FIRST..FIRST.saturating_add(count))
        .zip(names)
        .filter(|(_, other)| name.is_empty() || *other == Some(name))
        .map(|(number, _)| number)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_found_by_their_names() {
        assert_eq!(named(3, "web:admin:web", ""), [3, 4, 5]);
        assert_eq!(named(3, "web:admin:web", "web"), [3, 5]);
        assert_eq!(named(2, "", ""), [3, 4]);
        assert!(named(2, "web", "admin").is_empty());
    }

    #[test]
    fn what_is_for_another_process_is_not_ours() {
        // Nobody starts a test with sockets of its own.
        assert!(!is_used() && descriptors("").is_empty());
    }
}

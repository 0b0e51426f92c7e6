//! The file with the supervisor's process number. Knows nothing of what the process does.

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why there is no such file.
#[derive(Debug)]
pub enum Error {
    /// it names a process that lives
    Taken(PathBuf, i32),
    /// it cannot be written
    System(PathBuf, io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Taken(path, pid) => write!(
                f,
                "the pid file {} names process {pid}, which is running: stop it, or name another file",
                path.display()
            ),
            Error::System(path, error) => {
                write!(f, "cannot write the pid file {}: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for Error {}

/// The process that a pid file names, if it lives.
pub fn read(path: &Path) -> Option<i32> {
    let pid: i32 = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    is_alive(pid).then_some(pid)
}

/// Whether there is such a process. One of another user is there too.
pub fn is_alive(pid: i32) -> bool {
    let Some(pid) = (pid > 0).then(|| Pid::from_raw(pid)).flatten() else { return false };
    matches!(test_kill_process(pid), Ok(()) | Err(Errno::PERM))
}

/// Writes this process's number, all at once. That of another that lives is respected, unless it is the `predecessor`.
pub fn write(path: &Path, predecessor: Option<i32>) -> Result<(), Error> {
    let own = std::process::id();
    if let Some(pid) = read(path)
        && Some(pid) != predecessor
        && u32::try_from(pid) != Ok(own)
    {
        return Err(Error::Taken(path.to_owned(), pid));
    }
    let new = path.with_extension(format!("{own}.new"));
    let written = fs::write(&new, format!("{own}\n")).and_then(|()| fs::rename(&new, path));
    written.map_err(|error| Error::System(path.to_owned(), error))
}

/// Removes the file if it names this process still.
pub fn remove(path: &Path) {
    let own = format!("{}\n", std::process::id());
    if fs::read_to_string(path).is_ok_and(|text| text == own) {
        // Whoever removed it first has done what we wanted.
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("wj-pid-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_file_of_a_process_that_is_gone_is_replaced_and_our_own_removed() {
        let path = path("gone");
        fs::write(&path, "99999999\n").expect("a file");
        write(&path, None).expect("written");
        assert_eq!(read(&path), i32::try_from(std::process::id()).ok());
        remove(&path);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_of_a_process_that_lives_is_respected_unless_it_is_the_predecessor() {
        let path = path("lives");
        fs::write(&path, "1\n").expect("a file");
        assert!(matches!(write(&path, None), Err(Error::Taken(_, 1))));
        remove(&path);
        assert!(path.exists(), "it is not ours");
        write(&path, Some(1)).expect("written");
        remove(&path);
        assert!(!path.exists());
    }
}

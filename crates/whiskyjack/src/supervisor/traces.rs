//! What the supervisor has made in the file system, and removes at its end. Knows neither sockets nor processes.

use super::pidfile;
use crate::sockets::SocketFiles;
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

/// What the supervisor has made in the file system, while it is its to remove: until all serve that is its predecessor's, and from then on
/// its heir's.
#[derive(Clone, Debug, Default)]
pub struct Traces(Rc<RefCell<Made>>);

#[derive(Debug, Default)]
struct Made {
    files: Vec<SocketFiles>,
    pid: Option<PathBuf>,
}

impl Traces {
    /// The files of sockets.
    pub fn add(&self, files: &SocketFiles) {
        self.0.borrow_mut().files.push(files.clone());
    }

    /// The pid file.
    pub fn add_pid(&self, path: PathBuf) {
        self.0.borrow_mut().pid = Some(path);
    }

    /// They are another's.
    pub fn leave(&self) {
        self.0.take();
    }

    /// Removes them.
    pub fn remove(&self) {
        let made = self.0.take();
        for files in made.files {
            files.remove();
        }
        if let Some(path) = made.pid {
            pidfile::remove(&path);
        }
    }
}

//! What Python has imported, and where it would look for more. Knows `sys`, and no watching.

use crate::traceback;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::path::PathBuf;

/// The files of the modules, and the directories of Python's path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// where modules are from, but for the interpreter's own; nobody has looked whether that is a file
    pub files: Vec<PathBuf>,
    /// directories and archives of Python's path, but for those of installed packages
    pub roots: Vec<PathBuf>,
    /// where packages are installed: there only what is imported counts
    pub passed_over: Vec<PathBuf>,
}

impl Imported {
    /// As it is now. `beside` are files that count as well: those of an import that failed.
    pub fn read(py: Python<'_>, beside: &[PathBuf]) -> PyResult<Imported> {
        let sys = py.import("sys")?;
        let prefixes = |names: &[&str]| -> PyResult<Vec<PathBuf>> {
            names.iter().map(|name| sys.getattr(*name)?.extract()).collect()
        };
        // As with Werkzeug: the standard library does not change, but a package that was installed into an environment may.
        let own = prefixes(&["base_prefix", "base_exec_prefix"])?;
        let mut passed_over = prefixes(&["prefix", "exec_prefix"])?;
        passed_over.extend_from_slice(&own);
        let mut files: Vec<PathBuf> = beside.to_vec();
        let modules = sys.getattr("modules")?.cast_into::<PyDict>()?;
        for module in modules.values().iter() {
            // Some modules make attributes up, or raise when they are asked for one.
            let file = module.getattr("__file__").and_then(|file| file.extract::<PathBuf>());
            let Ok(file) = file.and_then(|file| Ok(std::path::absolute(file)?)) else { continue };
            if !own.iter().any(|prefix| file.starts_with(prefix)) {
                files.push(file);
            }
        }
        files.sort();
        files.dedup();
        let here = std::env::current_dir().unwrap_or_default();
        let path = sys.getattr("path")?.cast_into::<PyList>()?;
        let roots = path.iter().filter_map(|entry| entry.extract::<PathBuf>().ok());
        let roots = roots.map(|root| here.join(root));
        let roots = roots.filter(|root| !passed_over.iter().any(|prefix| root.starts_with(prefix)));
        Ok(Imported { files, roots: roots.collect(), passed_over })
    }
}

/// The files that a failed import has to do with: each that stands in its traceback, and the one that breaks the syntax.
pub fn files_of_failure(py: Python<'_>, error: &PyErr) -> Vec<PathBuf> {
    let files = traceback::files(py, error).unwrap_or_default();
    files.into_iter().filter(|path| path.is_file()).collect()
}

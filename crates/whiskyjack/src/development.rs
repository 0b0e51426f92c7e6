//! What `--reload` and `--debug` make of settings and of a worker: watched files, and errors that the developer sees.
//! Knows not how workers are replaced.

use crate::application::{self, Loaded};
use crate::choices::ReloadEngine;
use crate::reloader::imported::{Imported, files_of_failure};
use crate::reloader::patterns::{Excluded, Included};
use crate::reloader::{Plan, Watcher};
use crate::settings::Settings;
use crate::sockets::Bind;
use crate::supervisor::channel::{Report, send};
use crate::values::{Value, Workers, absolute};
use pyo3::prelude::*;
use std::env;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Why there is no such development mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// nobody is there who could replace a worker
    ReloadWithoutWorkers,
    /// what was imported once stays as it was
    ReloadPreloaded,
    /// the debugger keeps what it shows in the process that it happened in
    DebugInWorkers(Workers),
    /// others could reach the debugger
    DebugForOthers(Bind),
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Conflict::ReloadWithoutWorkers => f.write_str(
                "reload needs a supervisor that replaces workers, and workers = 0 has none: say --workers 1",
            ),
            Conflict::ReloadPreloaded => f.write_str(
                "reload has each worker load the changed files, and preload loads them once for all: leave one of them out",
            ),
            Conflict::DebugInWorkers(workers) => write!(
                f,
                "debug works in one process, and workers = {}: say --workers 1",
                workers.show()
            ),
            Conflict::DebugForOthers(bind) => write!(
                f,
                "debug shows sources, and runs code for who has its PIN, and bind = {bind} is not on loopback: \
                 bind 127.0.0.1, or say --debug-unsafe-bind if nobody but you can reach it"
            ),
        }
    }
}

impl std::error::Error for Conflict {}

/// How long requests may take to finish whose worker is to be replaced: the developer is waiting.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at what has been imported; where the system does not tell, at the files too.
const INTERVAL: Duration = Duration::from_secs(1);

/// More changed files than these are not told: one is enough for a reload.
const TOLD: usize = 500;

/// Stack of the thread that watches.
const STACK: usize = 1 << 20;

/// The settings as development mode has them; as they are, where it is off.
pub fn adapt(settings: Settings) -> Result<Settings, Conflict> {
    if settings.reload && settings.workers == Workers::Count(0) {
        return Err(Conflict::ReloadWithoutWorkers);
    }
    if settings.reload && settings.preload {
        return Err(Conflict::ReloadPreloaded);
    }
    if settings.debug {
        if !matches!(settings.workers, Workers::Count(0 | 1)) {
            return Err(Conflict::DebugInWorkers(settings.workers));
        }
        let far = settings.bind.iter().find(|bind| !is_loopback(bind));
        if let (Some(far), false) = (far, settings.debug_unsafe_bind) {
            return Err(Conflict::DebugForOthers(far.clone()));
        }
    }
    if !settings.reload {
        return Ok(settings);
    }
    Ok(Settings {
        graceful_timeout: settings.graceful_timeout.min(PATIENCE),
        // A connection that stays would bring its next request to the code that is out of date.
        keep_alive: Duration::ZERO,
        // A page that shows why the import failed is never ready, and is to be seen.
        ready_path: None,
        ..settings
    })
}

fn is_loopback(bind: &Bind) -> bool {
    match bind {
        Bind::Tcp(host, _) if host == "localhost" => true,
        Bind::Tcp(host, _) => host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
        // Who connects there is mostly a proxy, and may be one for the world.
        Bind::Unix(_) | Bind::Descriptor(_) | Bind::Passed(_) => false,
    }
}

/// Says that this is no way to serve others, if it is not.
pub fn announce(settings: &Settings) {
    let parts = [
        (settings.reload, "changed files reload the application"),
        (settings.debug, "exceptions are shown in the browser"),
    ];
    let parts: Vec<_> = parts.iter().filter(|(is_on, _)| *is_on).map(|(_, what)| *what).collect();
    if !parts.is_empty() {
        log::warn!("development mode, not for production: {}", parts.join(", "));
    }
}

/// What the application finds in its environment.
pub fn prepare(py: Python<'_>, settings: &Settings) -> PyResult<()> {
    if settings.debug {
        // Without it, Flask answers what a view raises itself, and no debugger gets to see it.
        let environ = py.import("os")?.getattr("environ")?;
        environ.call_method1("setdefault", ("FLASK_DEBUG", "1"))?;
    }
    Ok(())
}

/// The application, under a debugger if there is to be one.
pub fn debugged(
    py: Python<'_>,
    settings: &Settings,
    application: Py<PyAny>,
) -> PyResult<Py<PyAny>> {
    if !settings.debug {
        return Ok(application);
    }
    let module = py.import("whiskyjack._development")?;
    let debugged = module.call_method1("debugged", (application, hosts(settings)))?;
    module.call_method1("tell_pin", (&debugged,))?;
    Ok(debugged.unbind())
}

/// The names that the server is asked by, beside those of any machine for itself.
fn hosts(settings: &Settings) -> Vec<String> {
    let hosts = settings.bind.iter().filter_map(|bind| match bind {
        Bind::Tcp(host, _) => match host.parse::<IpAddr>() {
            Ok(address) if address.is_unspecified() => None,
            Ok(IpAddr::V6(address)) => Some(format!("[{address}]")),
            Ok(IpAddr::V4(_)) | Err(_) => Some(host.clone()),
        },
        Bind::Unix(_) | Bind::Descriptor(_) | Bind::Passed(_) => None,
    });
    hosts.collect()
}

/// What is served in the place of an application that could not be imported: the reason. Returns the files that it has to do with, too.
pub fn stand_in(
    py: Python<'_>,
    settings: &Settings,
    error: &application::Error,
) -> PyResult<(Loaded, Vec<PathBuf>)> {
    log::error!("{error}");
    let (doing, exception, files) = match error {
        application::Error::Raised { doing, exception, .. } => {
            let files = files_of_failure(py, exception);
            (format!("{doing} failed"), Some(exception.value(py)), files)
        }
        _ => ("the application cannot be imported".to_owned(), None, Vec::new()),
    };
    let class = py.import("whiskyjack._development")?.getattr("FailedImport")?;
    let application = class.call1((doing, exception, error.to_string(), hosts(settings)))?;
    let name = settings.app.as_ref().map_or_else(|| "no application".to_owned(), Value::show);
    let name = format!("{name} (its import failed)");
    Ok((Loaded { application: application.unbind(), name }, files))
}

/// Watches what a worker serves.
#[derive(Debug)]
pub struct Watch {
    watcher: Watcher,
    /// of an import that failed
    beside: Vec<PathBuf>,
}

impl Watch {
    /// Begins with the files as they are now; `beside` are those of an import that failed.
    pub fn begin(py: Python<'_>, settings: &Settings, beside: Vec<PathBuf>) -> PyResult<Watch> {
        let here = env::current_dir()?;
        let mut included: Vec<_> =
            settings.reload_include.iter().map(|glob| Included::from(glob, &here)).collect();
        included.extend(settings.env_file.iter().map(|file| Included::Path(absolute(file))));
        let plan = Plan {
            // On macOS the system tells no process that was forked, as a worker is, but ends it.
            events: settings.reload_engine == ReloadEngine::Auto && !cfg!(target_os = "macos"),
            included,
            excluded: Excluded::from(&settings.reload_exclude, &here),
        };
        let imported = Imported::read(py, &beside)?;
        let watcher = py.detach(|| Watcher::new(plan, imported));
        Ok(Watch { watcher, beside })
    }

    /// Tells the supervisor of changes, from a thread of its own, for as long as the process lives.
    pub fn start(self, channel: Arc<UnixStream>) -> io::Result<()> {
        let name = "reloader".to_owned();
        let thread = thread::Builder::new().name(name).stack_size(STACK);
        thread.spawn(move || self.run(&channel)).map(drop)
    }

    fn run(mut self, channel: &UnixStream) {
        loop {
            let may_have_changed = self.watcher.wait(INTERVAL);
            // An interpreter that is gone has no files.
            let Some(read) = Python::try_attach(|py| Imported::read(py, &self.beside)) else {
                return;
            };
            let imported = match read {
                Ok(imported) => imported,
                Err(error) => {
                    log::debug!("cannot tell what is imported: {error}");
                    continue;
                }
            };
            let mut changes = self.watcher.look(imported, may_have_changed);
            changes.truncate(TOLD);
            if !changes.is_empty() && send(channel, &Report::Changed { changes }).is_err() {
                // The supervisor is gone, and this process will be.
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapted(values: &[(&str, &str)]) -> Result<Settings, Conflict> {
        let text = |setting: &crate::settings::Setting| {
            let given = values.iter().find(|(name, _)| *name == setting.name);
            given.map_or(setting.default, |(_, value)| value).to_owned()
        };
        adapt(Settings::read(text).expect("right"))
    }

    #[test]
    fn the_debugger_is_for_loopback_only_unless_it_is_forced() {
        for bind in ["127.0.0.1:1", "[::1]:1", "localhost:1", "1"] {
            assert!(adapted(&[("debug", "true"), ("bind", bind)]).is_ok(), "{bind}");
        }
        for bind in
            [":1", "10.0.0.1:1", "127.0.0.1:1,:2", "unix:/x", "fd://3", "systemd", "birds:1"]
        {
            let refused = adapted(&[("debug", "true"), ("bind", bind)]);
            assert!(matches!(refused, Err(Conflict::DebugForOthers(_))), "{bind}");
            let forced = [("debug", "true"), ("bind", bind), ("debug-unsafe-bind", "true")];
            assert!(adapted(&forced).is_ok(), "{bind}");
        }
    }

    #[test]
    fn there_is_one_process_for_the_debugger_and_one_more_for_the_reloader() {
        assert!(adapted(&[("debug", "true"), ("workers", "0")]).is_ok());
        for workers in ["2", "auto"] {
            let refused = adapted(&[("debug", "true"), ("workers", workers)]);
            assert!(matches!(refused, Err(Conflict::DebugInWorkers(_))), "{workers}");
        }
        let refused = adapted(&[("reload", "true"), ("workers", "0")]);
        assert_eq!(refused.expect_err("nobody replaces"), Conflict::ReloadWithoutWorkers);
    }

    #[test]
    fn only_the_reloader_is_impatient() {
        let patience = |values: &[(&str, &str)]| adapted(values).expect("right").graceful_timeout;
        assert_eq!(patience(&[]), Duration::from_secs(30));
        assert_eq!(patience(&[("reload", "true")]), PATIENCE);
        let shorter = [("reload", "true"), ("graceful-timeout", "1s")];
        assert_eq!(patience(&shorter), Duration::from_secs(1));
    }

    #[test]
    fn what_the_server_is_bound_to_is_a_name_to_ask_it_by() {
        let settings = adapted(&[("bind", "127.0.0.1:1,[::1]:2,:3,birds:4,unix:/x")]);
        assert_eq!(hosts(&settings.expect("right")), ["127.0.0.1", "[::1]", "birds"]);
    }
}

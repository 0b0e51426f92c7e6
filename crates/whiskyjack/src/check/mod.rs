//! `whiskyjack check`: puts requests to an application under the validator, and tells which rules it breaks.
//! Knows the order of things: `asks` has the requests, `rehearsal` answers for the server, `report` says what was found.

mod asks;
mod notes;
mod rehearsal;
mod report;

use crate::command::argument;
use crate::settings::{Setting, Settings, TABLE};
use crate::signals;
use crate::worker::{self, Error};
use asks::Ask;
use clap::{Arg, ArgAction, ArgMatches, Command};
use notes::Notes;
use pyo3::prelude::*;
use rehearsal::Rehearsal;
use report::{Outcome, Report};
use std::sync::Arc;
use whiskyjack_server::exchange::Application as _;
use whiskyjack_wsgi::Gateway;
use whiskyjack_wsgiref::validate::{Journal, Validator};

/// What the command is called.
pub const NAME: &str = "check";

/// The settings that mean something without a server.
const SETTINGS: [&str; 4] = ["app", "chdir", "pythonpath", "root-path"];

/// What is asked for beside the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// the paths that are asked for, `/` if none is named
    pub paths: Vec<String>,
    /// for programs, not for people
    pub json: bool,
}

/// Whether the command takes the setting.
pub fn takes(setting: &Setting) -> bool {
    SETTINGS.contains(&setting.name)
}

/// The command as a part of the whole command line. `config` is the argument that names a settings file.
pub fn command(config: Arg) -> Command {
    Command::new(NAME)
        .about("Put requests to an application, and tell which rules of PEP 3333 it breaks.")
        .after_help("Exit codes: 0 it keeps all rules, 1 it breaks some, 2 wrong settings, 3 no application, 130 interrupted.")
        .args(TABLE.iter().filter(|setting| takes(setting)).map(argument))
        .arg(config)
        .arg(
            Arg::new("path")
                .long("path")
                .value_name("PATH")
                .action(ArgAction::Append)
                .help("Ask for this path instead of /; may be given several times."),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print what was found as JSON."),
        )
}

/// What a command line asks for.
pub fn form(matches: &ArgMatches) -> Form {
    let paths = matches.get_many::<String>("path").into_iter().flatten().cloned().collect();
    Form { paths, json: matches.get_flag("json") }
}

/// Keeps for the report what is logged. To be called before anything is.
pub fn listen() {
    Notes::start();
}

/// Loads the application and puts the requests to it: the report to print, and the exit code.
pub fn run(py: Python<'_>, settings: &Settings, form: &Form) -> Result<(String, i32), Error> {
    let paths = match &form.paths[..] {
        [] => vec!["/".to_owned()],
        paths => paths.to_vec(),
    };
    let asks = paths.iter().map(|path| asks::of(path)).collect::<Result<Vec<_>, _>>();
    let asks = asks.map_err(Error::Usage)?.concat();
    signals::interrupt_imports(py).map_err(|error| Error::python(py, &error))?;
    let loaded = worker::load(py, settings)?;
    let journal = Arc::new(Journal::default());
    let application = Validator::thorough(loaded.application, Arc::clone(&journal));
    let gateway = Py::new(py, application).and_then(|application| {
        Gateway::new(py, application.into_any(), worker::gateway_options(settings, false))
    });
    let gateway = gateway.map_err(|error| Error::python(py, &error))?;
    // What importing has logged is no answer to a request.
    Notes::take();
    let mut report = Report::new(loaded.name);
    for ask in &asks {
        let outcome = put(ask, &gateway, &journal);
        // An application that was interrupted has raised, or has swallowed it.
        if outcome.is_interrupted() || py.check_signals().is_err() {
            return Err(Error::Interrupted);
        }
        report.add(outcome);
    }
    let text = if form.json { report.json() } else { report.text() };
    Ok((text, i32::from(report.is_broken())))
}

/// Puts one request to the application, as often as it says.
fn put(ask: &Ask, gateway: &Gateway, journal: &Journal) -> Outcome {
    let mut rehearsal = Rehearsal::of(ask);
    for _ in 1..ask.times {
        // What went wrong is in the journal, or was logged; the response itself is nobody's.
        let _ = gateway.call(&mut rehearsal);
        rehearsal = Rehearsal::of(ask).after(rehearsal);
    }
    let _ = gateway.call(&mut rehearsal);
    Outcome::new(ask, rehearsal.status(), journal.take(), Notes::take())
}

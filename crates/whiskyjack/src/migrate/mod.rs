//! `whiskyjack migrate`: reads settings of other servers, and prints the equivalent and what has none.
//! Each server has a room for what its settings mean; `source` tells them apart, `report` writes down what was found.

mod granian;
mod gunicorn;
mod gunicorn_conf;
mod plan;
mod report;
mod source;
mod texts;
mod uwsgi;
mod uwsgi_file;
mod uwsgi_options;
mod waitress;
mod words;

use crate::settings;
use clap::{Arg, ArgAction, ArgMatches, Command};
use plan::Meaning;
use pyo3::prelude::*;

/// What the command is called.
pub const NAME: &str = "migrate";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    source: String,
    style: Style,
}

/// How the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Toml,
    Command,
    Json,
}

/// The command as a part of the whole command line.
pub fn command() -> Command {
    Command::new(NAME)
        .about("Print the equivalent of another server's settings, and name those that have none.")
        .after_help(
            "Commands of gunicorn (with GUNICORN_CMD_ARGS), granian, waitress-serve and uwsgi are read, and the files that they name. A gunicorn.conf.py is Python, \
             and is run to read it.\n\n\
             Exit codes: 0 everything has an equivalent, 1 something has none, 2 the source cannot be read.",
        )
        .arg(
            Arg::new("source")
                .value_name("FILE|COMMAND")
                .required(true)
                .allow_hyphen_values(true)
                .help("A gunicorn.conf.py, a uwsgi.ini (or .json), or a command line in one pair of quotes."),
        )
        .arg(
            Arg::new("as")
                .long("as")
                .value_name("STYLE")
                .value_parser(["toml", "command"])
                .help("Print a settings file (toml, which it is anyway) or a command line."),
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
    let source = matches.get_one::<String>("source").cloned().unwrap_or_default();
    let style = match matches.get_one::<String>("as").map(String::as_str) {
        _ if matches.get_flag("json") => Style::Json,
        Some("command") => Style::Command,
        _ => Style::Toml,
    };
    Form { source, style }
}

/// What to say of a flag that is none of ours but another server's.
pub fn tip(flag: &str) -> Option<String> {
    let tables = [
        ("gunicorn", gunicorn::ROWS),
        ("Granian", granian::ROWS),
        ("waitress", waitress::ROWS),
        ("uWSGI", uwsgi_options::ROWS),
    ];
    let found = tables.into_iter().find_map(|(server, rows)| {
        let row = rows.iter().find(|row| row.flags.split(' ').any(|other| other == flag))?;
        Some((server, row))
    });
    let (server, row) = found?;
    // a letter alone says little
    let flag = row.flags.split(' ').find(|flag| flag.starts_with("--")).unwrap_or(flag);
    let name = format!("{server}'s {flag}");
    Some(match row.meaning {
        Meaning::Same(ours) | Meaning::As(ours, _) | Meaning::Nearly(ours, _) => {
            match settings::find(ours) {
                Some(setting) => format!("{name} is --{} here", setting.name),
                None => format!("{name} has no equivalent: {}", plan::absent(ours)),
            }
        }
        Meaning::Needless(why) => format!("{name} need not be set: {why}"),
        Meaning::Missing(why) => format!("{name} has no equivalent: {why}"),
        Meaning::Joint => format!(
            "{name} depends on other settings: `whiskyjack migrate '{} ...'` has the equivalent of a whole command",
            server.to_lowercase()
        ),
    })
}

/// Reads the source: what to print, and the exit code. The error says why it cannot be read.
pub fn run(py: Python<'_>, form: &Form) -> Result<(String, i32), String> {
    let source = source::read(py, &form.source)?;
    let text = match form.style {
        Style::Toml => report::toml(&source),
        Style::Command => report::command(&source),
        Style::Json => report::json(&source),
    };
    Ok((text, i32::from(!source.plan.missing.is_empty())))
}

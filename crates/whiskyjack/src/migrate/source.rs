//! What is to be migrated: a file or a command line, and of which server. Knows the servers by name.

use super::plan::{Given, Plan, Takes};
use super::words::{self, Line};
use super::{granian, gunicorn, gunicorn_conf, uwsgi, uwsgi_file, uwsgi_options, waitress};
use crate::values::absolute;
use pyo3::prelude::*;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// A source that was understood.
#[derive(Debug)]
pub struct Source {
    /// the server that it was written for
    pub server: &'static str,
    /// what it comes to
    pub plan: Plan,
}

/// Reads a file, or the words of a command line. The error says what would be right.
pub fn read(py: Python<'_>, text: &str) -> Result<Source, String> {
    let path = Path::new(text.trim());
    if path.is_file() {
        return read_file(py, path);
    }
    let words = shlex::split(text).ok_or("a quotation mark is not closed")?;
    let command = Command::of(&words)?;
    let found = match command {
        Some(command) => command,
        None if words.len() == 1 => return Err(format!("there is no file {}", path.display())),
        None => {
            return Err(
                "this is no command of gunicorn, granian, waitress-serve or uwsgi".to_owned()
            );
        }
    };
    let plan = match found.server {
        Server::Gunicorn => of_gunicorn(py, &found)?,
        Server::Granian => of_granian(&found),
        Server::Waitress => {
            let line = words::read(&found.words, waitress::ROWS, |_| Takes::Value);
            let plan = waitress::plan(&line.given, line.places.first().map(String::as_str));
            with_unknown(plan, &line, "waitress")
        }
        Server::Uwsgi => of_uwsgi(&found)?,
    };
    Ok(Source { server: found.server.name(), plan })
}

fn read_file(py: Python<'_>, path: &Path) -> Result<Source, String> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    match extension {
        "py" => {
            let mut plan = gunicorn::plan(vec![run_conf(py, path)?], None);
            plan.remarks.insert(0, ran(path));
            Ok(Source { server: "gunicorn", plan })
        }
        "ini" | "json" | "js" => {
            let file = read_uwsgi_file(path, "uwsgi")?;
            Ok(Source {
                server: "uWSGI",
                plan: with_missing(uwsgi::plan(&file.given, None), &file),
            })
        }
        _ => Err(format!(
            "{} is neither a gunicorn.conf.py nor a uwsgi.ini (uWSGI's other formats: `uwsgi --show-config` helps to write one as ini)",
            path.display()
        )),
    }
}

fn ran(path: &Path) -> String {
    format!(
        "{} was run to read it, as gunicorn does: values are those that it came to here and now",
        path.display()
    )
}

fn run_conf(py: Python<'_>, path: &Path) -> Result<Vec<Given>, String> {
    let given = gunicorn_conf::read(py, path);
    given.map_err(|traceback| format!("{} cannot be run\n{}", path.display(), traceback.trim_end()))
}

fn read_uwsgi_file(path: &Path, section: &str) -> Result<uwsgi_file::File, String> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json" | "js") => uwsgi_file::read_json(&text, path),
        _ => uwsgi_file::read_ini(&text, path, section),
    }
}

fn with_missing(mut plan: Plan, file: &uwsgi_file::File) -> Plan {
    for (written, why) in &file.missing {
        plan.miss(written, why);
    }
    plan
}

fn with_unknown(mut plan: Plan, line: &Line, server: &str) -> Plan {
    for written in &line.unknown {
        plan.miss(written, &format!("no such setting of {server} is known"));
    }
    plan
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Gunicorn,
    Granian,
    Waitress,
    Uwsgi,
}

impl Server {
    fn name(self) -> &'static str {
        match self {
            Server::Gunicorn => "gunicorn",
            Server::Granian => "Granian",
            Server::Waitress => "waitress",
            Server::Uwsgi => "uWSGI",
        }
    }

    /// By the name of the program, whatever directory it is in, or of the module behind `-m`.
    fn of(word: &str) -> Option<Server> {
        match word.rsplit('/').next().unwrap_or(word) {
            "gunicorn" | "gunicorn.app.wsgiapp" | "gunicorn3" => Some(Server::Gunicorn),
            "granian" => Some(Server::Granian),
            "waitress-serve" | "waitress" | "waitress.runner" => Some(Server::Waitress),
            "uwsgi" | "pyuwsgi" | "uwsgi-core" => Some(Server::Uwsgi),
            _ => None,
        }
    }
}

/// A command line of one of the servers.
#[derive(Debug)]
struct Command {
    server: Server,
    /// variables that were set for it
    variables: BTreeMap<String, String>,
    /// the words behind its name
    words: Vec<String>,
}

impl Command {
    /// What stands before the name (`exec`, `uv run`, `python -m`) does not matter, but for variables.
    fn of(words: &[String]) -> Result<Option<Command>, String> {
        let mut variables = BTreeMap::new();
        for (index, word) in words.iter().enumerate() {
            if let Some((name, value)) = word.split_once('=')
                && !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
            {
                variables.insert(name.to_owned(), value.to_owned());
            } else if let Some(server) = Server::of(word) {
                let words = words[index + 1..].to_vec();
                if let Some(sign) = words.iter().find(|word| {
                    ["|", "||", "&&", ";", "&", ">", ">>", "2>&1"].contains(&word.as_str())
                }) {
                    return Err(format!(
                        "`{sign}` belongs to a shell: give the command of the server alone"
                    ));
                }
                return Ok(Some(Command { server, variables, words }));
            }
        }
        if variables.contains_key(GUNICORN_VARIABLE) {
            let (server, words) = (Server::Gunicorn, Vec::new());
            return Ok(Some(Command { server, variables, words }));
        }
        Ok(None)
    }
}

/// Where gunicorn finds more of its command line.
const GUNICORN_VARIABLE: &str = "GUNICORN_CMD_ARGS";

/// The file that gunicorn reads unasked.
const GUNICORN_FILE: &str = "gunicorn.conf.py";

fn of_gunicorn(py: Python<'_>, command: &Command) -> Result<Plan, String> {
    let variable = command.variables.get(GUNICORN_VARIABLE).cloned();
    let variable = variable.or_else(|| env::var(GUNICORN_VARIABLE).ok()).unwrap_or_default();
    let variable = shlex::split(&variable);
    let variable = variable.ok_or("a quotation mark in GUNICORN_CMD_ARGS is not closed")?;
    let read = |words: &[String]| words::read(words, gunicorn::ROWS, |_| Takes::Nothing);
    let (line, earlier) = (read(&command.words), read(&variable));
    let config = [&line, &earlier].into_iter().find_map(|line| {
        line.given.iter().rev().find(|given| given.row.key == "config").map(Given::text)
    });
    let mut remarks = Vec::new();
    let file = match config {
        Some(module) if module.starts_with("python:") => {
            return Err(format!(
                "settings in the module `{}` are not read; give its file",
                &module[7..]
            ));
        }
        Some(path) => Some(PathBuf::from(path.strip_prefix("file:").unwrap_or(path))),
        None => Some(PathBuf::from(GUNICORN_FILE)).filter(|path| path.is_file()),
    };
    let mut sources = Vec::new();
    if let Some(file) = file {
        if !file.is_file() {
            return Err(format!(
                "there is no file {}, which the command names",
                absolute(&file).display()
            ));
        }
        sources.push(run_conf(py, &file)?);
        remarks.push(ran(&file));
    }
    let app = line.places.first().or(earlier.places.first()).cloned();
    let unknown = [earlier.unknown, line.unknown].concat();
    sources.extend([earlier.given, line.given]);
    let mut plan = gunicorn::plan(sources, app.as_deref());
    plan.remarks.splice(0..0, remarks);
    Ok(with_unknown(plan, &Line { unknown, ..Line::default() }, "gunicorn"))
}

fn of_granian(command: &Command) -> Plan {
    let mut given: Vec<Given> = Vec::new();
    for row in granian::ROWS {
        let variable = granian::variable(row);
        if let Some(text) = command.variables.get(&variable) {
            let written = format!("{variable}={text}");
            let text = match row.takes {
                Takes::Nothing => super::texts::is_true(text).to_string(),
                _ => text.clone(),
            };
            given.push(Given { row, written, texts: vec![text] });
        }
    }
    let line = words::read(&command.words, granian::ROWS, |_| Takes::Nothing);
    // click takes the flag and forgets the variable
    given.retain(|old| line.given.iter().all(|new| new.row.key != old.row.key));
    given.extend(line.given.iter().cloned());
    let plan = granian::plan(&given, line.places.first().map(String::as_str));
    with_unknown(plan, &line, "Granian")
}

fn of_uwsgi(command: &Command) -> Result<Plan, String> {
    let line = words::read(&command.words, uwsgi_options::ROWS, uwsgi_options::unlisted);
    let mut files = uwsgi_file::File::default();
    let mut place = None;
    let (mut unknown, mut paths) = (Vec::new(), Vec::new());
    for written in line.unknown {
        let named = ["--ini ", "--ini=", "--json ", "--json=", "-j "];
        match named.iter().find_map(|flag| written.strip_prefix(flag)) {
            Some(path) => paths.push(path.to_owned()),
            None => unknown.push(written),
        }
    }
    for word in line.places {
        let name = word.split(':').next().unwrap_or(&word);
        match name.rsplit('.').next() {
            Some("ini" | "json" | "js") => paths.push(word),
            Some("py" | "wsgi") => place = Some(word),
            _ => unknown.push(word),
        }
    }
    for path in paths {
        let (path, section) = path.split_once(':').unwrap_or((&path, "uwsgi"));
        let file = read_uwsgi_file(Path::new(path), section)?;
        files.given.extend(file.given);
        files.missing.extend(file.missing);
    }
    files.given.extend(line.given);
    let plan = with_missing(uwsgi::plan(&files.given, place.as_deref()), &files);
    Ok(with_unknown(plan, &Line { unknown, ..Line::default() }, "uWSGI"))
}

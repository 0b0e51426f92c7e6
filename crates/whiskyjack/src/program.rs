//! The `whiskyjack` command: reads what it is asked for and does it. Each answer is an exit code.

use crate::activation;
use crate::check;
use crate::command::{self, Action};
use crate::development;
use crate::logs;
use crate::migrate;
use crate::reference;
use crate::remote;
use crate::settings::{Setting, TABLE};
use crate::sockets::Bind;
use crate::sources::{self, Resolved, Sources};
use crate::supervisor::{self, Outcome, Plan, loader, upgrade};
use crate::values::{Shape, Workers};
use crate::worker;
use pyo3::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt::{Display, Write as _};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The settings cannot be used.
const WRONG_SETTINGS: i32 = 2;

/// Does what the command line (its first word being the program) asks for.
pub fn main(py: Python<'_>, mut words: Vec<OsString>) -> i32 {
    // `python -m whiskyjack` gives a path to a module; messages should name the command
    if let Some(name) = words.first_mut() {
        *name = "whiskyjack".into();
    }
    let request = match command::parse(words) {
        Ok(request) => request,
        Err(answer) => {
            // Nobody is left to be told that the stream is gone.
            let _ = answer.print();
            return answer.exit_code();
        }
    };
    match request.action {
        Action::Completions(shell) => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut command::command(), "whiskyjack", &mut text);
            return say(&text);
        }
        Action::PrintReference => return say(reference::page().as_bytes()),
        Action::Migrate(form) => {
            return match migrate::run(py, &form) {
                Ok((text, code)) => say(text.as_bytes()).max(code),
                Err(error) => fail(&error, WRONG_SETTINGS),
            };
        }
        _ => {}
    }
    let file = request.file.or_else(|| env::var_os("WHISKYJACK_CONFIG").map(PathBuf::from));
    // A reload looks for the file where it was found, wherever the process has gone since.
    let directory = start_directory();
    let resolved = environment().and_then(|environment| {
        let file = file.map(|file| directory.join(file));
        let sources = Sources { flags: request.flags, environment, file, directory };
        Ok((sources.resolve()?, sources))
    });
    let (resolved, sources) = match resolved {
        Ok(resolved) => resolved,
        Err(error) => return fail(&error, WRONG_SETTINGS),
    };
    match request.action {
        Action::PrintConfig => return say(table(&resolved).as_bytes()),
        Action::PrintConfigJson => return say(format!("{:#}\n", as_json(&resolved)).as_bytes()),
        _ => {}
    }
    match request.action {
        Action::Check(_) => check::listen(),
        _ => logs::start(resolved.settings.log_level),
    }
    let is_passed = |bind: &Bind| matches!(bind, Bind::Passed(_) | Bind::Descriptor(_));
    if activation::is_used() && !resolved.settings.bind.iter().any(is_passed) {
        log::warn!(
            "the service manager has passed sockets that bind does not name: add `systemd` to it"
        );
    }
    for (written, meant) in &resolved.doubtful {
        log::warn!("the variable {written} is no setting; {meant} is");
    }
    if let Some(directory) = &resolved.settings.chdir
        && let Err(error) = env::set_current_dir(directory)
    {
        let message = format!("cannot change to the directory {}: {error}", directory.display());
        return fail(&message, WRONG_SETTINGS);
    }
    match request.action {
        Action::CheckConfig => match worker::rehearse(py, &resolved.settings) {
            Ok(loaded) => {
                say(format!("settings are right, application is {}\n", loaded.name).as_bytes())
            }
            Err(error) => fail(&error, error.code()),
        },
        Action::Remote(form) => match remote::ask(&resolved.settings, form) {
            Ok(text) => say(text.as_bytes()),
            Err((why, code)) => fail(&why, code),
        },
        Action::Check(form) => match check::run(py, &resolved.settings, &form) {
            Ok((report, code)) => say(report.as_bytes()).max(code),
            Err(error) => fail(&error, error.code()),
        },
        _ => serve(py, Plan { settings: resolved.settings, sources }),
    }
}

/// Where the program was started, as the shell calls it: behind a link may be another release when it is looked for again.
fn start_directory() -> PathBuf {
    let found = env::current_dir().unwrap_or_default();
    let same = |one: &Path, other: &Path| {
        let (one, other) = (fs::metadata(one).ok()?, fs::metadata(other).ok()?);
        Some((one.dev(), one.ino()) == (other.dev(), other.ino()))
    };
    match env::var_os("PWD").map(PathBuf::from) {
        Some(called) if called.is_absolute() && same(&called, &found) == Some(true) => called,
        _ => found,
    }
}

fn serve(py: Python<'_>, plan: Plan) -> i32 {
    let plan = match development::adapt(plan.settings) {
        Ok(settings) => Plan { settings, ..plan },
        Err(conflict) => return fail(&conflict, WRONG_SETTINGS),
    };
    development::announce(&plan.settings);
    let served = match plan.settings.workers {
        Workers::Count(0) => worker::serve(py, &plan.settings).map(|()| Outcome::Ended(0)),
        Workers::Auto | Workers::Count(_) => supervisor::serve(py, plan),
    };
    match served {
        Ok(Outcome::Ended(code)) => code,
        Ok(Outcome::Worker(birth)) => worker::live(py, *birth),
        Ok(Outcome::Loader(start)) => match loader::live(py, *start) {
            loader::Outcome::Ended(code) => code,
            loader::Outcome::Worker(birth) => worker::live(py, *birth),
        },
        Err(error) => fail(&error, error.code()),
    }
}

fn say(text: &[u8]) -> i32 {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Ok(()) => 0,
        // a reader that has seen enough (`| head`) is no failure
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(_) => 1,
    }
}

fn fail(error: &impl Display, code: i32) -> i32 {
    // Nobody is left to be told that the stream is gone.
    let _ = io::stderr().lock().write_all(format!("whiskyjack: {error}\n").as_bytes());
    code
}

/// Of the environment, what can be a setting. A value that is no text is refused, not guessed at.
fn environment() -> Result<BTreeMap<String, String>, sources::Error> {
    let mut found = BTreeMap::new();
    for (name, value) in env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        if name.starts_with("WHISKYJACK_") && name != "WHISKYJACK_CONFIG"
            || ["PORT", "WEB_CONCURRENCY"].contains(&name.as_str())
            || name == activation::COUNT && (activation::is_used() || upgrade::is_expected())
        {
            let value = value.into_string().map_err(|_| sources::Error::NotText(name.clone()))?;
            found.insert(name, value);
        }
    }
    Ok(found)
}

/// `threads = 8  # default`: a settings file that says the same.
fn table(resolved: &Resolved) -> String {
    let shown = resolved.settings.show();
    let lines = TABLE
        .iter()
        .zip(&shown)
        .map(|(setting, value)| format!("{} = {}", setting.name, in_file(setting, value)));
    let lines: Vec<String> = lines.collect();
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0).min(50);
    let mut text = String::new();
    for (line, origin) in lines.iter().zip(&resolved.origins) {
        writeln!(text, "{line:width$}  # {origin}").expect("writing to a String cannot fail");
    }
    text
}

fn as_json(resolved: &Resolved) -> Value {
    let shown = resolved.settings.show();
    let rows = TABLE.iter().zip(&shown).zip(&resolved.origins);
    let rows = rows.map(|((setting, value), origin)| {
        (
            setting.name.to_owned(),
            json!({ "value": typed(setting, value), "from": origin.to_string() }),
        )
    });
    Value::Object(rows.collect::<Map<_, _>>())
}

/// The value as a settings file in TOML would have it. An empty text is what turns a setting off.
pub(crate) fn in_file(setting: &Setting, value: &str) -> Value {
    match typed(setting, value) {
        Value::Null => json!(""),
        value => value,
    }
}

/// The value as a settings file in JSON would have it.
pub(crate) fn typed(setting: &Setting, value: &str) -> Value {
    match (setting.shape, value) {
        (Shape::List, "") => json!([]),
        (Shape::List, value) => value.split(',').collect(),
        (_, "") => Value::Null,
        (Shape::Switch, value) => json!(value == "true"),
        (Shape::Number, value) => value.parse::<u64>().map_or_else(|_| json!(value), |n| json!(n)),
        (Shape::One, value) => json!(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved() -> Resolved {
        let flags = BTreeMap::from([("threads", "3".to_owned()), ("bind", ":1,:2".to_owned())]);
        let directory = PathBuf::from("/nowhere");
        Sources { flags, directory, ..Sources::default() }.resolve().expect("right")
    }

    #[test]
    fn the_table_says_each_value_and_where_it_came_from() {
        let table = table(&resolved());
        let words = |name: &str| {
            let line = table.lines().find(|line| line.starts_with(name)).expect("a line");
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(words("threads "), "threads = 3 # --threads");
        assert_eq!(words("keep-alive "), "keep-alive = \"65s\" # default");
        assert_eq!(words("bind "), "bind = [\"0.0.0.0:1\",\"0.0.0.0:2\"] # --bind");
        assert_eq!(table.lines().count(), TABLE.len());
    }

    #[test]
    fn the_table_is_a_settings_file() {
        let path = env::temp_dir().join(format!("wj-printed-{}.toml", std::process::id()));
        let before = resolved();
        std::fs::write(&path, table(&before)).expect("written");
        let after = Sources { file: Some(path.clone()), ..Sources::default() }.resolve();
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(after.expect("right").settings.show(), before.settings.show());
    }

    #[test]
    fn the_same_as_json_has_types() {
        let json = as_json(&resolved());
        assert_eq!(json["threads"], json!({ "value": 3, "from": "--threads" }));
        assert_eq!(json["bind"]["value"], json!(["0.0.0.0:1", "0.0.0.0:2"]));
        assert_eq!(json["streaming-uploads"]["value"], json!(false));
        assert_eq!(json["chdir"]["value"], Value::Null);
        assert_eq!(json["keep-alive"]["value"], json!("65s"));
    }
}

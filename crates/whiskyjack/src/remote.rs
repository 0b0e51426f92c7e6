//! `whiskyjack reload`, `stop` and `status`: asks a running server, by its control socket or its pid file. Knows the questions and how to
//! show the answers.

use crate::command::argument;
use crate::settings::{Setting, Settings, TABLE};
use crate::supervisor::channel::{receive, send};
use crate::supervisor::control::{Answer, Wish};
use crate::supervisor::pidfile;
use clap::{Arg, ArgAction, ArgMatches, Command};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fmt::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    wish: Wish,
    wait: bool,
    json: bool,
}

/// The settings by which a running server is found.
const SETTINGS: [&str; 3] = ["control", "pid", "chdir"];

/// Whether the commands take the setting.
pub fn takes(setting: &Setting) -> bool {
    SETTINGS.contains(&setting.name)
}

/// The commands as parts of the whole command line. `config` is the argument that names a settings file.
pub fn commands(config: &Arg) -> [Command; 3] {
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    let command = |name: &'static str, about: &'static str| {
        Command::new(name)
            .about(about)
            .after_help(
                "Exit codes: 0 done, 1 not done, 2 wrong settings, 3 no running server was found.",
            )
            .args(TABLE.iter().filter(|setting| takes(setting)).map(argument))
            .arg(config.clone())
    };
    [
        command("reload", "Have a running server load its application anew.").arg(switch(
            "wait",
            "Wait until all workers serve the new code; fail if they do not. Needs --control.",
        )),
        command("stop", "End a running server once what is under way is done.")
            .arg(switch("wait", "Wait until it has ended.")),
        command("status", "Show what a running server is doing.")
            .arg(switch("json", "Show it for programs.")),
    ]
}

/// What a command line asks for, where it is one of ours.
pub fn form(name: &str, matches: &ArgMatches) -> Option<Form> {
    let flag = |name| matches.try_get_one::<bool>(name).ok().flatten().copied().unwrap_or(false);
    let wish = match name {
        "reload" => Wish::Reload,
        "stop" => Wish::Stop,
        "status" => Wish::Status,
        _ => return None,
    };
    Some(Form { wish, wait: flag("wait"), json: flag("json") })
}

/// Between two looks at whether a process is there still.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Asks. Returns what to print, or why it was not done and the exit code of that.
pub fn ask(settings: &Settings, form: Form) -> Result<String, (String, i32)> {
    match (&settings.control, &settings.pid) {
        (Some(path), _) => over_socket(path, form),
        (None, Some(path)) => by_signal(path, form),
        (None, None) => {
            Err(("say which server: name its --control socket or its --pid file".to_owned(), 2))
        }
    }
}

fn over_socket(path: &Path, form: Form) -> Result<String, (String, i32)> {
    let nobody = |error| (format!("no server listens at {}: {error}", path.display()), 3);
    let stream = UnixStream::connect(path).map_err(nobody)?;
    send(&stream, &form.wish).map_err(nobody)?;
    if form.wish == Wish::Reload && !form.wait {
        return Ok(String::new());
    }
    let mut answers = receive::<Answer>(&stream);
    match answers.next() {
        Some(Answer::Status(status)) if form.json => Ok(format!("{status:#}\n")),
        Some(Answer::Status(status)) => Ok(table(&status)),
        Some(Answer::Done) => {
            if form.wait && form.wish == Wish::Stop {
                // The connection ends with the server.
                answers.for_each(drop);
            }
            Ok(String::new())
        }
        Some(Answer::Failed(why)) => Err((why, 1)),
        None => Err(("the server has ended without an answer".to_owned(), 1)),
    }
}

fn by_signal(path: &Path, form: Form) -> Result<String, (String, i32)> {
    let nobody = || (format!("{} names no running process", path.display()), 3);
    let number = pidfile::read(path).ok_or_else(nobody)?;
    let pid = Pid::from_raw(number).ok_or_else(nobody)?;
    let tell = |signal| {
        kill_process(pid, signal).map_err(|error| (format!("cannot signal {number}: {error}"), 1))
    };
    match form.wish {
        Wish::Reload if form.wait => {
            Err(("to wait for a reload, name the server's --control socket".to_owned(), 2))
        }
        Wish::Reload => tell(Signal::HUP).map(|()| String::new()),
        Wish::Stop => {
            tell(Signal::TERM)?;
            while form.wait && pidfile::is_alive(number) {
                std::thread::park_timeout(LOOK_AGAIN);
            }
            Ok(String::new())
        }
        Wish::Status if form.json => Ok(format!("{:#}\n", serde_json::json!({ "pid": number }))),
        Wish::Status => {
            Ok(format!("pid {number} is running; its --control socket would tell more\n"))
        }
    }
}

/// The status for people.
fn table(status: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut table = format!(
        "whiskyjack {} (pid {}), {} at {}, for {}\n",
        text(&status["version"]),
        status["pid"],
        text(&status["application"]),
        status["addresses"]
            .as_array()
            .into_iter()
            .flatten()
            .map(text)
            .collect::<Vec<_>>()
            .join(", "),
        age(&status["age"]),
    );
    for (word, is_so) in [("reloading", &status["reloading"]), ("ending", &status["ending"])] {
        if is_so.as_bool() == Some(true) {
            // Writing to a String cannot fail.
            let _ = writeln!(table, "{word}");
        }
    }
    let _ = writeln!(
        table,
        "{:>6} {:>8} {:<9} {:>8} {:>10} {:>11} {:>8}  in the application",
        "worker", "pid", "standing", "age", "requests", "connections", "memory"
    );
    for worker in status["workers"].as_array().into_iter().flatten() {
        let memory =
            worker["rss"].as_u64().map_or("?".to_owned(), |rss| format!("{} MiB", rss >> 20));
        let flights = worker["in-flight"].as_array().into_iter().flatten();
        let flights: Vec<String> = flights
            .map(|flight| {
                let request = text(&flight["request"]);
                format!("{} ({})", request.escape_debug(), age(&flight["age"]))
            })
            .collect();
        let _ = writeln!(
            table,
            "{:>6} {:>8} {:<9} {:>8} {:>10} {:>11} {memory:>8}  {}",
            count(&worker["worker"]),
            count(&worker["pid"]),
            text(&worker["standing"]),
            age(&worker["age"]),
            count(&worker["requests"]),
            count(&worker["connections"]),
            flights.join(", ")
        );
    }
    table
}

/// A number as text: a JSON value itself knows nothing of the width of its column.
fn count(number: &Value) -> String {
    number.to_string()
}

fn age(seconds: &Value) -> String {
    let seconds = seconds.as_f64().unwrap_or(0.0);
    match seconds {
        3600.0.. => format!("{:.1} h", seconds / 3600.0),
        60.0.. => format!("{:.1} min", seconds / 60.0),
        _ => format!("{seconds:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_has_a_line_for_each_worker() {
        let status = json!({
            "version": "1", "pid": 7, "application": "shop:app", "addresses": ["http://x:1"],
            "age": 90.0, "reloading": true, "ending": false,
            "workers": [{
                "worker": 0, "pid": 8, "standing": "serving", "age": 7200.0, "requests": 12,
                "connections": 3, "rss": 64 << 20,
                "in-flight": [{ "request": "GET /a\u{1b}", "age": 0.5 }],
            }],
        });
        let table = table(&status);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "whiskyjack 1 (pid 7), shop:app at http://x:1, for 1.5 min");
        assert_eq!(lines[1], "reloading");
        assert_eq!(
            lines[3],
            "     0        8 serving      2.0 h         12           3   64 MiB  GET /a\\u{1b} (0.5 s)"
        );
    }
}

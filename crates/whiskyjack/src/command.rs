//! The command line, made from the table of settings. Knows what is asked for, not what it does.

use crate::check;
use crate::migrate;
use crate::remote;
use crate::settings::{Group, Setting, TABLE};
use crate::values::Shape;
use clap::builder::PossibleValuesParser;
use clap::builder::styling::{AnsiColor, Styles};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::Shell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// What the command line asks for.
#[derive(Debug)]
pub struct Request {
    /// what to do
    pub action: Action,
    /// the settings that were given, by name
    pub flags: BTreeMap<&'static str, String>,
    /// the settings file that was named
    pub file: Option<PathBuf>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// serve
    Serve,
    /// show the settings for people
    PrintConfig,
    /// show the settings for programs
    PrintConfigJson,
    /// check the settings and import the application
    CheckConfig,
    /// print what a shell needs to complete our flags
    Completions(Shell),
    /// print the page that describes every setting
    PrintReference,
    /// put requests to the application and tell which rules it breaks
    Check(check::Form),
    /// print the equivalent of another server's settings
    Migrate(migrate::Form),
    /// ask a running server
    Remote(remote::Form),
}

const AFTER_HELP: &str = "\
Each option is also an environment variable (--keep-alive is WHISKYJACK_KEEP_ALIVE) and a key of a TOML file (keep-alive): \
whiskyjack.toml, or the table [tool.whiskyjack] of pyproject.toml. A flag wins over the environment, and that over the file.

DURATION: 30, 1.5, 500ms or 1h30m. SIZE: 8190, 64k, 10M or 1GiB.

Exit codes: 0 stopped as asked, 1 failed, 2 wrong settings, 3 cannot start (address or application), 130 interrupted.";

/// The whole command line.
pub fn command() -> Command {
    let mut command = Command::new("whiskyjack")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Serves a Python web application (WSGI) over HTTP.")
        .after_help(AFTER_HELP)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .max_term_width(120)
        .styles(
            Styles::styled()
                .header(AnsiColor::Green.on_default().bold())
                .usage(AnsiColor::Green.on_default().bold())
                .literal(AnsiColor::Cyan.on_default())
                .placeholder(AnsiColor::Cyan.on_default()),
        );
    for group in Group::ALL {
        for setting in TABLE.iter().filter(|setting| setting.group == group) {
            command = command.arg(argument(setting));
        }
    }
    command
        .args(actions())
        .subcommand(check::command(config()))
        .subcommand(migrate::command())
        .subcommands(remote::commands(&config()))
        .disable_help_subcommand(true)
        .args_conflicts_with_subcommands(true)
}

/// The flag, or the positional argument, of a setting.
pub(crate) fn argument(setting: &'static Setting) -> Arg {
    let mut help = setting.help().to_owned();
    if !setting.default.is_empty() {
        help += &format!(" [default: {}]", setting.default);
    }
    let argument = Arg::new(setting.name).help(help).value_name(setting.placeholder);
    if setting.is_positional() {
        return argument;
    }
    let mut argument = argument
        .long(setting.name)
        .aliases(setting.aliases)
        .help_heading(setting.group.title())
        .allow_hyphen_values(setting.placeholder == "FILE");
    if let Some(short) = setting.short {
        argument = argument.short(short);
    }
    if !setting.choices.is_empty() {
        argument = argument.value_parser(PossibleValuesParser::new(setting.choices));
    }
    match setting.shape {
        Shape::List => argument.action(ArgAction::Append),
        Shape::Switch => {
            argument.num_args(0..=1).require_equals(true).default_missing_value("true")
        }
        Shape::One | Shape::Number => argument,
    }
}

/// The flag that names a settings file.
fn config() -> Arg {
    Arg::new("config")
        .long("config")
        .help_heading("Configuration")
        .short('c')
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("Read settings from this TOML file, and from no other.")
}

/// The flags that are no settings.
fn actions() -> [Arg; 7] {
    let action = |name| Arg::new(name).long(name).help_heading("Configuration");
    [
        config(),
        action("print-config")
            .value_name("FORMAT")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("table")
            .value_parser(["table", "json"])
            .help("Show each setting and where it came from, and exit."),
        action("check-config")
            .action(ArgAction::SetTrue)
            .help("Check the settings, import the application, and exit."),
        action("completions")
            .value_name("SHELL")
            .value_parser(value_parser!(Shell))
            .help("Print completions for this shell, and exit."),
        action("print-reference").action(ArgAction::SetTrue).hide(true),
        action("help").short('h').action(ArgAction::Help).help("Show this help, and exit."),
        action("version").short('V').action(ArgAction::Version).help("Show the version, and exit."),
    ]
}

/// Reads the command line, its first word being the program's name. The error is clap's: it may be the help that was asked for.
pub fn parse(words: Vec<OsString>) -> Result<Request, clap::Error> {
    let matches = command().try_get_matches_from(words).map_err(|mut error| {
        let tip = unknown_flag(&error).and_then(|flag| migrate::tip(&flag));
        if let Some(tip) = tip {
            // the nearest of our names is a guess, and this is none
            error.remove(ContextKind::SuggestedArg);
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
        }
        error
    })?;
    if let Some((check::NAME, matches)) = matches.subcommand() {
        return Ok(request(matches, Action::Check(check::form(matches)), check::takes));
    }
    if let Some((migrate::NAME, matches)) = matches.subcommand() {
        let action = Action::Migrate(migrate::form(matches));
        return Ok(Request { action, flags: BTreeMap::new(), file: None });
    }
    if let Some((name, matches)) = matches.subcommand()
        && let Some(form) = remote::form(name, matches)
    {
        return Ok(request(matches, Action::Remote(form), remote::takes));
    }
    let action = action(&matches);
    Ok(request(&matches, action, |_| true))
}

/// The flag that there is none of.
fn unknown_flag(error: &clap::Error) -> Option<String> {
    match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(flag))) => Some(flag.clone()),
        _ => None,
    }
}

/// What is asked for, with the settings that may be given.
fn request(matches: &ArgMatches, action: Action, takes: fn(&Setting) -> bool) -> Request {
    let flags = TABLE
        .iter()
        .filter(|setting| takes(setting))
        .filter_map(|setting| Some((setting.name, given(matches, setting)?)))
        .collect();
    let file = matches.get_one::<PathBuf>("config").cloned();
    Request { action, flags, file }
}

fn given(matches: &ArgMatches, setting: &Setting) -> Option<String> {
    let values: Vec<&str> = matches.get_many::<String>(setting.name)?.map(String::as_str).collect();
    Some(values.join(","))
}

fn action(matches: &ArgMatches) -> Action {
    if let Some(shell) = matches.get_one::<Shell>("completions") {
        return Action::Completions(*shell);
    }
    if matches.get_flag("print-reference") {
        return Action::PrintReference;
    }
    match matches.get_one::<String>("print-config").map(String::as_str) {
        Some("json") => Action::PrintConfigJson,
        Some(_) => Action::PrintConfig,
        None if matches.get_flag("check-config") => Action::CheckConfig,
        None => Action::Serve,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Request, clap::Error> {
        parse(
            std::iter::once("whiskyjack")
                .chain(words.iter().copied())
                .map(OsString::from)
                .collect(),
        )
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn flags_and_the_application_are_taken() {
        let request = parsed(&[
            "-b",
            ":1",
            "shop:app",
            "--bind",
            "unix:/x",
            "--streaming-uploads",
            "--threads=3",
        ]);
        let request = request.expect("right");
        assert_eq!(request.flags["bind"], ":1,unix:/x");
        assert_eq!(request.flags["app"], "shop:app");
        assert_eq!(request.flags["streaming-uploads"], "true");
        assert_eq!(request.flags["threads"], "3");
        assert_eq!(request.action, Action::Serve);
        assert!(!request.flags.contains_key("keep-alive"));
    }

    #[test]
    fn a_switch_can_be_turned_off_and_a_repeated_flag_wins() {
        let request = parsed(&["--streaming-uploads=false", "--threads", "1", "--threads", "2"]);
        let request = request.expect("right");
        assert_eq!(request.flags["streaming-uploads"], "false");
        assert_eq!(request.flags["threads"], "2");
    }

    #[test]
    fn a_hyphen_is_standard_output() {
        assert_eq!(parsed(&["--access-log", "-", "shop"]).expect("right").flags["access-log"], "-");
    }

    #[test]
    fn a_wrong_flag_names_the_nearest() {
        let error = parsed(&["--thread", "3"]).expect_err("wrong");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--threads"), "{error}");
    }

    #[test]
    fn gunicorns_spelling_of_a_flag_is_taken() {
        let flags = |words: &[&str]| parsed(words).expect("right").flags;
        assert_eq!(flags(&["--access-logfile", "-"])["access-log"], "-");
        assert_eq!(flags(&["--limit-request-field_size=9"])["limit-request-field-size"], "9");
    }

    #[test]
    fn a_flag_of_another_server_names_ours_or_says_why_there_is_none() {
        let error = |words: &[&str]| parsed(words).expect_err("wrong").to_string();
        assert!(
            error(&["--blocking-threads", "3"])
                .contains("Granian's --blocking-threads is --threads here")
        );
        let told = error(&["-k", "gthread", "shop:app"]);
        assert!(
            told.contains("gunicorn's --worker-class") && told.contains("whiskyjack migrate"),
            "{told}"
        );
        let told = error(&["--worker-tmp-dir", "/dev/shm"]);
        assert!(told.contains("workers write no files"), "{told}");
    }

    #[test]
    fn actions_are_told_apart() {
        let action = |words: &[&str]| parsed(words).expect("right").action;
        assert_eq!(action(&["--print-config"]), Action::PrintConfig);
        assert_eq!(action(&["--print-config=json", "shop"]), Action::PrintConfigJson);
        assert_eq!(action(&["--check-config", "shop"]), Action::CheckConfig);
        assert_eq!(action(&["--completions", "zsh"]), Action::Completions(Shell::Zsh));
    }

    #[test]
    fn the_help_has_every_heading_once() {
        let help = command().render_help().to_string();
        for group in Group::ALL.into_iter().skip(1) {
            assert_eq!(help.matches(&format!("\n{}:\n", group.title())).count(), 1, "{help}");
        }
    }
}

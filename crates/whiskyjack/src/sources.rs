//! Where the value of a setting comes from: flag over environment over file over default.
//! Knows no setting by name but `bind` and `workers`, whose defaults the variables LISTEN_FDS, PORT and WEB_CONCURRENCY move.

use crate::activation;
use crate::settings::{Setting, Settings, TABLE};
use crate::values::{Shape, nearest};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Who said what a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// nobody
    Default,
    /// a settings file, in this line
    File(PathBuf, usize),
    /// this environment variable
    Environment(String),
    /// the command line
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => f.write_str(name),
            Origin::Flag("app") => f.write_str("command line"),
            Origin::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// The variable by which many hosting services say where to listen.
const PORT: &str = "PORT";

/// What hosting platforms call the number of worker processes.
const WEB_CONCURRENCY: &str = "WEB_CONCURRENCY";

/// The settings, and for each, in the order of the table, where it came from.
#[derive(Debug)]
pub struct Resolved {
    /// the values
    pub settings: Settings,
    /// the origins, one a row of the table
    pub origins: Vec<Origin>,
    /// variables that look like a setting with a slip in it: each with the name that was meant
    pub doubtful: Vec<(String, String)>,
}

/// Why the settings cannot be used.
#[derive(Debug)]
pub enum Error {
    /// a settings file cannot be read
    Unreadable(PathBuf, io::Error),
    /// a settings file is not TOML
    Syntax(PathBuf, String),
    /// a settings file has a key that is no setting
    UnknownKey {
        /// the file
        file: PathBuf,
        /// where in it
        line: usize,
        /// what stands there
        key: String,
    },
    /// this environment variable holds bytes that are no text
    NotText(String),
    /// a value is not one
    BadValue {
        /// who said it
        origin: Origin,
        /// for which setting
        name: &'static str,
        /// what was said
        value: String,
        /// what would be right
        remedy: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unreadable(path, error) => {
                write!(f, "cannot read the settings file {}: {error}", path.display())
            }
            Error::Syntax(path, error) => write!(f, "{}: {error}", path.display()),
            Error::UnknownKey { file, line, key } => {
                write!(f, "{}:{line}: `{key}` is no setting", file.display())?;
                match nearest(key, TABLE.iter().map(|setting| setting.name)) {
                    Some(name) => write!(f, "; the nearest is `{name}`"),
                    None => f.write_str("; `whiskyjack --print-config` shows all there are"),
                }
            }
            Error::NotText(name) => write!(f, "the variable {name} is not UTF-8 text"),
            Error::BadValue { origin, name, value, remedy } => {
                let value = value.escape_debug();
                match origin {
                    Origin::Default => write!(f, "{name} = \"{value}\": {remedy}"),
                    Origin::File(..) => write!(f, "{origin}: {name} = \"{value}\": {remedy}"),
                    Origin::Environment(_) => write!(f, "{origin}=\"{value}\": {remedy}"),
                    Origin::Flag("app") => write!(f, "APP \"{value}\": {remedy}"),
                    Origin::Flag(_) => write!(f, "{origin} \"{value}\": {remedy}"),
                }
            }
        }
    }
}

impl std::error::Error for Error {}

/// What may say something: the flags by name, the environment, and the directory and name of the settings file.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// what the command line said, by the name of the setting
    pub flags: BTreeMap<&'static str, String>,
    /// the process's environment
    pub environment: BTreeMap<String, String>,
    /// the settings file that was asked for
    pub file: Option<PathBuf>,
    /// where to look for one that was not
    pub directory: PathBuf,
}

impl Sources {
    /// Decides every setting.
    pub fn resolve(&self) -> Result<Resolved, Error> {
        let file = self.read_file()?;
        let mut origins = Vec::with_capacity(TABLE.len());
        let mut texts = Vec::with_capacity(TABLE.len());
        for setting in TABLE {
            let (text, origin) = self.find(setting, &file);
            texts.push(text);
            origins.push(origin);
        }
        let mut next = texts.iter();
        let settings = Settings::read(|_| next.next().cloned().unwrap_or_default());
        let settings = settings.map_err(|(setting, remedy)| {
            let row = TABLE.iter().position(|other| other.name == setting.name).unwrap_or(0);
            let (mut value, mut remedy) = (texts[row].clone(), remedy);
            let origin = origins[row].clone();
            if let (Origin::Environment(name), Some(port)) = (&origin, self.environment.get(PORT))
                && name == PORT
            {
                value.clone_from(port);
                "write a port from 0 to 65535".clone_into(&mut remedy);
            }
            Error::BadValue { origin, name: setting.name, value, remedy }
        })?;
        Ok(Resolved { settings, origins, doubtful: self.doubtful() })
    }

    fn find(&self, setting: &'static Setting, file: &File) -> (String, Origin) {
        if let Some(text) = self.flags.get(setting.name) {
            return (text.clone(), Origin::Flag(setting.name));
        }
        let variable = setting.variable();
        if let Some(text) = self.environment.get(&variable) {
            return (text.clone(), Origin::Environment(variable));
        }
        if let Some((text, line)) = file.values.get(setting.name) {
            return (text.clone(), Origin::File(file.path.clone(), *line));
        }
        if setting.name == "bind" && self.environment.contains_key(activation::COUNT) {
            return ("systemd".to_owned(), Origin::Environment(activation::COUNT.to_owned()));
        }
        match self.environment.get(PORT) {
            Some(port) if setting.name == "bind" => {
                (format!("0.0.0.0:{port}"), Origin::Environment(PORT.to_owned()))
            }
            _ => match self.environment.get(WEB_CONCURRENCY) {
                Some(workers) if setting.name == "workers" && !workers.is_empty() => {
                    (workers.clone(), Origin::Environment(WEB_CONCURRENCY.to_owned()))
                }
                _ => (setting.default.to_owned(), Origin::Default),
            },
        }
    }

    /// The file that was asked for, or `whiskyjack.toml`, or the table `[tool.whiskyjack]` of `pyproject.toml`.
    fn read_file(&self) -> Result<File, Error> {
        if let Some(path) = &self.file {
            return File::read(path, is_pyproject(path));
        }
        for (name, nested) in [("whiskyjack.toml", false), ("pyproject.toml", true)] {
            let path = self.directory.join(name);
            if path.is_file() {
                let file = File::read(&path, nested)?;
                if !nested || !file.values.is_empty() {
                    return Ok(file);
                }
            }
        }
        Ok(File::default())
    }

    /// Kubernetes sets WHISKYJACK_PORT and its like for a service of that name, so a variable that is no setting is no
    /// error; one that nearly is a setting deserves a word.
    fn doubtful(&self) -> Vec<(String, String)> {
        let known: Vec<String> = TABLE.iter().map(Setting::variable).collect();
        let names = self.environment.keys();
        names
            .filter(|name| name.starts_with("WHISKYJACK_") && !known.contains(name))
            .filter_map(|name| {
                let name_only = name.trim_start_matches("WHISKYJACK_");
                let near = known.iter().map(|known| known.trim_start_matches("WHISKYJACK_"));
                Some((name.clone(), format!("WHISKYJACK_{}", nearest(name_only, near)?)))
            })
            .collect()
    }
}

fn is_pyproject(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "pyproject.toml")
}

/// A settings file: each key's text and line.
#[derive(Debug, Default)]
struct File {
    path: PathBuf,
    values: BTreeMap<&'static str, (String, usize)>,
}

type Keys = BTreeMap<Spanned<String>, toml::Value>;

#[derive(Default, Deserialize)]
struct Pyproject {
    #[serde(default)]
    tool: Tool,
}

#[derive(Default, Deserialize)]
struct Tool {
    #[serde(default)]
    whiskyjack: Keys,
}

impl File {
    fn read(path: &Path, nested: bool) -> Result<File, Error> {
        let unreadable = |error| Error::Unreadable(path.to_owned(), error);
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let keys = if nested {
            toml::from_str::<Pyproject>(&text).map(|project| project.tool.whiskyjack)
        } else {
            toml::from_str::<Keys>(&text)
        };
        let syntax = |error: toml::de::Error| Error::Syntax(path.to_owned(), error.to_string());
        let mut values = BTreeMap::new();
        for (key, value) in keys.map_err(syntax)? {
            let line = 1 + text[..key.span().start].matches('\n').count();
            let key = key.into_inner();
            let Some(setting) = TABLE.iter().find(|setting| setting.name == key) else {
                return Err(Error::UnknownKey { file: path.to_owned(), line, key });
            };
            let text = as_text(setting, &value).ok_or_else(|| Error::BadValue {
                origin: Origin::File(path.to_owned(), line),
                name: setting.name,
                value: value.to_string(),
                remedy: match setting.shape {
                    Shape::List => "write a text or an array of texts".to_owned(),
                    Shape::Switch => "write true or false".to_owned(),
                    Shape::Number => {
                        "write a number, or a text such as \"30s\" or \"64k\"".to_owned()
                    }
                    Shape::One => "write a text in quotes".to_owned(),
                },
            })?;
            values.insert(setting.name, (text, line));
        }
        Ok(File { path: path.to_owned(), values })
    }
}

/// The text that a flag would have given.
fn as_text(setting: &Setting, value: &toml::Value) -> Option<String> {
    match (setting.shape, value) {
        (_, toml::Value::String(text)) => Some(text.clone()),
        (Shape::Number, toml::Value::Integer(number)) => Some(number.to_string()),
        (Shape::Number, toml::Value::Float(number)) => Some(number.to_string()),
        (Shape::Switch, toml::Value::Boolean(switch)) => Some(switch.to_string()),
        (Shape::List, toml::Value::Integer(number)) => Some(number.to_string()),
        (Shape::List, toml::Value::Array(items)) => {
            let texts: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
            texts.map(|texts| texts.join(","))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Value;
    use std::fs;

    /// A directory that goes away with the test.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Directory {
            let path =
                std::env::temp_dir().join(format!("whiskyjack-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("a directory");
            Directory(path)
        }

        fn sources(&self, files: &[(&str, &str)]) -> Sources {
            for (name, text) in files {
                fs::write(self.0.join(name), text).expect("a file");
            }
            Sources { directory: self.0.clone(), ..Sources::default() }
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn origin(resolved: &Resolved, name: &str) -> Origin {
        let row = TABLE.iter().position(|setting| setting.name == name).expect("a setting");
        resolved.origins[row].clone()
    }

    #[test]
    fn a_flag_beats_the_environment_which_beats_the_file() {
        let directory = Directory::new("order");
        let mut sources = directory
            .sources(&[("whiskyjack.toml", "threads = 2\nbacklog = 3\nkeep-alive = \"4s\"\n")]);
        sources.environment.insert("WHISKYJACK_THREADS".into(), "5".into());
        sources.environment.insert("WHISKYJACK_BACKLOG".into(), "6".into());
        sources.flags.insert("threads", "7".into());
        let resolved = sources.resolve().expect("right");
        assert_eq!(resolved.settings.threads.number(), 7);
        assert_eq!(resolved.settings.backlog.number(), 6);
        assert_eq!(resolved.settings.keep_alive.as_secs(), 4);
        assert_eq!(origin(&resolved, "threads"), Origin::Flag("threads"));
        assert_eq!(origin(&resolved, "backlog"), Origin::Environment("WHISKYJACK_BACKLOG".into()));
        assert_eq!(
            origin(&resolved, "keep-alive"),
            Origin::File(directory.0.join("whiskyjack.toml"), 3)
        );
        assert_eq!(origin(&resolved, "drain"), Origin::Default);
    }

    #[test]
    fn a_table_of_pyproject_serves_where_there_is_no_whiskyjack_toml() {
        let directory = Directory::new("pyproject");
        let text = "[project]\nname = \"x\"\n\n[tool.whiskyjack]\nbind = [\":1\", \"unix:/s\"]\nstreaming-uploads = true\n";
        let resolved = directory.sources(&[("pyproject.toml", text)]).resolve().expect("right");
        assert_eq!(resolved.settings.bind.show(), "0.0.0.0:1,unix:/s");
        assert!(resolved.settings.streaming_uploads);
        assert_eq!(origin(&resolved, "bind"), Origin::File(directory.0.join("pyproject.toml"), 5));
    }

    #[test]
    fn a_pyproject_without_our_table_is_left_alone() {
        let directory = Directory::new("foreign");
        let text = "[project]\nname = \"x\"\n[tool.ruff]\nthreads = 1\n";
        let resolved = directory.sources(&[("pyproject.toml", text)]).resolve().expect("right");
        assert_eq!(resolved.settings.threads.number(), 8);
    }

    #[test]
    fn an_unknown_key_names_its_line_and_the_nearest_setting() {
        let directory = Directory::new("unknown");
        let sources = directory.sources(&[("whiskyjack.toml", "threads = 2\nkeep_alive = 3\n")]);
        let message = sources.resolve().expect_err("unknown").to_string();
        assert!(
            message.ends_with(
                "whiskyjack.toml:2: `keep_alive` is no setting; the nearest is `keep-alive`"
            ),
            "{message}"
        );
    }

    #[test]
    fn a_bad_value_names_file_key_value_and_remedy() {
        let directory = Directory::new("bad");
        let sources = directory.sources(&[("whiskyjack.toml", "threads = \"many\"\n")]);
        let message = sources.resolve().expect_err("bad").to_string();
        assert!(
            message.ends_with(
                "whiskyjack.toml:1: threads = \"many\": write a whole number from 1 to 65535"
            ),
            "{message}"
        );
        let sources = directory.sources(&[("whiskyjack.toml", "app = 3\n")]);
        assert!(sources.resolve().expect_err("bad").to_string().contains("in quotes"));
    }

    #[test]
    fn port_moves_the_default_and_nothing_else() {
        let directory = Directory::new("port");
        let mut sources = directory.sources(&[]);
        sources.environment.insert("PORT".into(), "5000".into());
        let resolved = sources.resolve().expect("right");
        assert_eq!(resolved.settings.bind.show(), "0.0.0.0:5000");
        assert_eq!(origin(&resolved, "bind"), Origin::Environment("PORT".into()));
        sources.flags.insert("bind", "9000".into());
        assert_eq!(sources.resolve().expect("right").settings.bind.show(), "127.0.0.1:9000");
    }

    #[test]
    fn a_port_that_is_none_is_told_as_it_was_written() {
        let directory = Directory::new("no-port");
        let mut sources = directory.sources(&[]);
        sources.environment.insert("PORT".into(), "tcp://x".into());
        let message = sources.resolve().expect_err("no port").to_string();
        assert_eq!(message, "PORT=\"tcp://x\": write a port from 0 to 65535");
    }

    #[test]
    fn a_variable_with_a_slip_is_told() {
        let directory = Directory::new("slip");
        let mut sources = directory.sources(&[]);
        sources.environment.insert("WHISKYJACK_THREAD".into(), "5".into());
        sources.environment.insert("WHISKYJACK_SERVICE_HOST".into(), "10.0.0.1".into());
        let doubtful = sources.resolve().expect("right").doubtful;
        assert_eq!(doubtful, [("WHISKYJACK_THREAD".to_owned(), "WHISKYJACK_THREADS".to_owned())]);
    }

    #[test]
    fn a_settings_file_that_was_asked_for_must_be_there() {
        let sources = Sources { file: Some("/nowhere/x.toml".into()), ..Sources::default() };
        assert!(matches!(sources.resolve(), Err(Error::Unreadable(..))));
    }
}

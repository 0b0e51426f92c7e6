//! Variables that the application finds in its environment: from files, and as they were given. Knows no setting of ours.

use crate::values::{Shape, Value};
use pyo3::prelude::*;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Variables, as `NAME=value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignments(pub Vec<(String, String)>);

impl Value for Assignments {
    const SHAPE: Shape = Shape::List;

    /// A comma separates two only where a name and an equals sign follow: values may have commas.
    fn parse(text: &str) -> Result<Self, String> {
        let mut found: Vec<(String, String)> = Vec::new();
        if text.is_empty() {
            return Ok(Assignments(found));
        }
        for part in text.split(',') {
            match (part.split_once('='), found.last_mut()) {
                (Some((name, value)), _) if is_name(name.trim()) => {
                    found.push((name.trim().to_owned(), value.to_owned()));
                }
                (_, Some((_, value))) => {
                    value.push(',');
                    value.push_str(part);
                }
                (_, None) => return Err("write NAME=value".to_owned()),
            }
        }
        match text.contains('\0') {
            true => Err("write NAME=value, without a NUL byte".to_owned()),
            false => Ok(Assignments(found)),
        }
    }

    fn show(&self) -> String {
        let parts: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        parts.join(",")
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Why a file of variables cannot be used.
#[derive(Debug)]
pub enum Error {
    /// it cannot be read
    Unreadable(PathBuf, io::Error),
    /// a line of it is no assignment
    Line {
        /// the file
        file: PathBuf,
        /// where in it
        line: usize,
        /// what is wrong
        problem: &'static str,
    },
    /// Python refuses them
    Python(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unreadable(path, error) => {
                write!(f, "cannot read the variables in {}: {error}", path.display())
            }
            // not the line itself: such files hold secrets
            Error::Line { file, line, problem } => {
                write!(f, "{}:{line}: {problem}", file.display())
            }
            Error::Python(traceback) => f.write_str(traceback),
        }
    }
}

impl std::error::Error for Error {}

/// Puts the variables of the files, and then the others, into the environment of this process.
pub fn apply(py: Python<'_>, files: &[PathBuf], others: &Assignments) -> Result<(), Error> {
    let mut variables = Vec::new();
    for file in files {
        variables.extend(read(file)?);
    }
    variables.extend(others.0.iter().cloned());
    let put = || -> PyResult<()> {
        // By way of Python, whose copy of the environment the application sees.
        let environ = py.import("os")?.getattr("environ")?;
        for (name, value) in variables {
            environ.set_item(name, value)?;
        }
        Ok(())
    };
    put().map_err(|error| Error::Python(error.to_string()))
}

fn read(path: &Path) -> Result<Vec<(String, String)>, Error> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| Error::Unreadable(path.to_owned(), error))?;
    let mut variables = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let parsed = parse_line(line);
        let parsed = parsed.map_err(|problem| Error::Line {
            file: path.to_owned(),
            line: index + 1,
            problem,
        })?;
        variables.extend(parsed);
    }
    Ok(variables)
}

/// `NAME=value`, with or without `export` in front and quotation marks around the value. Nothing is expanded: a value is what
/// stands there.
fn parse_line(line: &str) -> Result<Option<(String, String)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=').ok_or("write NAME=value")?;
    let (name, value) = (name.trim(), value.trim());
    if !is_name(name) {
        return Err("a name has letters, digits and underscores, and begins with no digit");
    }
    if value.contains('\0') {
        return Err("a value has no NUL byte");
    }
    let value = match value.chars().next() {
        Some(mark @ ('"' | '\'')) => {
            let inside = value[1..].strip_suffix(mark).ok_or("a quotation mark is not closed")?;
            match mark {
                '"' => unescaped(inside),
                _ => inside.to_owned(),
            }
        }
        _ => match value.find(" #") {
            Some(end) => value[..end].trim_end().to_owned(),
            None => value.to_owned(),
        },
    };
    Ok(Some((name.to_owned(), value)))
}

/// Between double quotation marks: `\n` is a line end, and a backslash takes the meaning from what follows.
fn unescaped(text: &str) -> String {
    let mut characters = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => plain.push('\n'),
                Some(other) => plain.push(other),
                None => plain.push('\\'),
            },
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_value_may_have_commas_and_equals_signs() {
        let parsed = Assignments::parse("A=1,2,B=x=y,C=").expect("right");
        assert_eq!(parsed.0, [pair("A", "1,2"), pair("B", "x=y"), pair("C", "")]);
        assert_eq!(Assignments::parse(&parsed.show()), Ok(parsed));
        assert!(Assignments::parse("A").is_err() && Assignments::parse("1A=2").is_err());
    }

    #[test]
    fn lines_of_a_file_are_read_as_they_stand() {
        for (line, expected) in [
            ("A=1", pair("A", "1")),
            ("export A = pa$$word ", pair("A", "pa$$word")),
            ("A=one two # said", pair("A", "one two")),
            ("A=\"one # \\\"two\\\"\\n\"", pair("A", "one # \"two\"\n")),
            ("A='one\\n'", pair("A", "one\\n")),
            ("A=", pair("A", "")),
        ] {
            assert_eq!(parse_line(line), Ok(Some(expected)), "{line}");
        }
        assert_eq!(parse_line("# A=1"), Ok(None));
        for line in ["A", "=1", "A-B=1", "A=\"1", "1A=1"] {
            assert!(parse_line(line).is_err(), "{line}");
        }
    }
}

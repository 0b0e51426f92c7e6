//! A uWSGI settings file, as ini or JSON: its options in order, with what they refer to put in. Knows the format, not what
//! options mean.

use super::plan::Given;
use super::texts;
use super::uwsgi_options;
use std::collections::BTreeMap;
use std::env;
use std::path::Path;

/// A file that was read.
#[derive(Debug, Default)]
pub struct File {
    /// options that are known
    pub given: Vec<Given>,
    /// what could not be understood, and why
    pub missing: Vec<(String, String)>,
}

/// Begins of options whose lines up to the matching end are done only sometimes, or several times.
const BLOCKS: [&str; 2] = ["if-", "for"];

/// Reads the section `uwsgi` or the one that is named.
pub fn read_ini(text: &str, path: &Path, section: &str) -> Result<File, String> {
    let mut pairs = Vec::new();
    let (mut is_inside, mut is_found) = (false, false);
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_inside = name == section;
            is_found |= is_inside;
        } else if is_inside {
            let (key, value) = match line.split_once('=') {
                Some((key, value)) => (key.trim(), Some(value.trim().to_owned())),
                None => (line, None),
            };
            pairs.push((key.to_owned(), value));
        }
    }
    if !is_found {
        return Err(format!("{} has no section [{section}]", path.display()));
    }
    Ok(understand(&pairs, path))
}

/// Reads the object `uwsgi`.
pub fn read_json(text: &str, path: &Path) -> Result<File, String> {
    let found: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("{}: {error}", path.display()))?;
    let found = found.get("uwsgi").and_then(serde_json::Value::as_object);
    let found = found.ok_or_else(|| format!("{} has no object \"uwsgi\"", path.display()))?;
    let mut pairs = Vec::new();
    for (key, value) in found {
        let values = match value {
            serde_json::Value::Array(values) => values.iter().collect(),
            value => vec![value],
        };
        for value in values {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            pairs.push((key.clone(), Some(text)));
        }
    }
    Ok(understand(&pairs, path))
}

fn understand(pairs: &[(String, Option<String>)], path: &Path) -> File {
    let mut file = File::default();
    let mut seen = Words::new(path);
    let mut blocks: Vec<String> = Vec::new();
    for (key, value) in pairs {
        let written = match value {
            Some(value) => format!("{key} = {value}"),
            None => key.clone(),
        };
        if ["end-for", "end-if", "endfor", "endif"].contains(&key.as_str()) {
            blocks.pop();
            continue;
        }
        if BLOCKS.iter().any(|block| key.starts_with(block)) {
            let why =
                "conditions and loops are not followed; what stands inside is for you to decide";
            file.missing.push((written.clone(), why.to_owned()));
            blocks.push(written);
            continue;
        }
        if let Some(block) = blocks.last() {
            file.missing.push((written, format!("it stands inside `{block}`")));
            continue;
        }
        let text = match value.as_deref().map(|value| seen.put_in(value)) {
            Some(Ok(text)) => text,
            Some(Err(why)) => {
                file.missing.push((written, why));
                continue;
            }
            None => "true".to_owned(),
        };
        match (key.as_str(), uwsgi_options::find(key)) {
            ("ini" | "include" | "inherit" | "json" | "yaml" | "xml", _) => {
                file.missing.push((
                    written,
                    "other files are not followed; migrate each by itself".to_owned(),
                ));
            }
            ("set" | "set-ph" | "set-placeholder", _) => {
                if let Some((name, text)) = text.split_once('=') {
                    seen.keep(name.trim(), text.trim());
                }
            }
            (_, Some(row)) => {
                let text = match row.takes {
                    super::plan::Takes::Nothing => texts::is_true(&text).to_string(),
                    _ => text.clone(),
                };
                file.given.push(Given { row, written, texts: vec![text] });
            }
            // a name of one's own is a word for use further down
            (_, None) if is_used(key, pairs) => {}
            (_, None) => {
                file.missing.push((written, "no equivalent of this option is known".to_owned()));
            }
        }
        seen.keep(key, &text);
    }
    file
}

fn is_used(key: &str, pairs: &[(String, Option<String>)]) -> bool {
    let reference = format!("%({key})");
    pairs.iter().any(|(_, value)| value.as_ref().is_some_and(|value| value.contains(&reference)))
}

/// What a value can refer to.
struct Words {
    /// `%d` and its like
    letters: BTreeMap<char, String>,
    /// `%(name)`
    names: BTreeMap<String, String>,
}

impl Words {
    fn new(path: &Path) -> Words {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let part = |part: Option<&std::ffi::OsStr>| {
            part.map_or_else(String::new, |part| part.to_string_lossy().into_owned())
        };
        let directory = path.parent().unwrap_or(Path::new("/"));
        let here =
            env::current_dir().map_or_else(|_| String::new(), |here| here.display().to_string());
        let slashed = format!("{}/", directory.display().to_string().trim_end_matches('/'));
        let letters = [
            ('p', path.display().to_string()),
            ('s', part(path.file_name())),
            ('n', part(path.file_stem())),
            ('e', part(path.extension())),
            ('d', slashed),
            ('c', part(directory.file_name())),
            ('v', here),
            ('%', "%".to_owned()),
        ];
        Words { letters: letters.into(), names: BTreeMap::new() }
    }

    fn keep(&mut self, name: &str, text: &str) {
        self.names.insert(name.to_owned(), text.to_owned());
    }

    /// The value with what it refers to; the error is what could not be found.
    fn put_in(&self, value: &str) -> Result<String, String> {
        let mut text = String::new();
        let mut rest = value;
        while let Some(at) = rest.find(['%', '$', '@']) {
            text += &rest[..at];
            let sign = rest[at..].chars().next().unwrap_or('%');
            let behind = &rest[at + 1..];
            let name = behind.strip_prefix('(').and_then(|name| name.split_once(')'));
            rest = match (sign, name, behind.chars().next()) {
                ('%', Some((name, after)), _) => {
                    let found = self.names.get(name.trim());
                    text += found.ok_or_else(|| format!("`%({name})` is nowhere above"))?;
                    after
                }
                ('$', Some((name, after)), _) => {
                    text += &env::var(name).map_err(|_| {
                        format!("the variable {name} is not set here; whiskyjack does not read variables inside values")
                    })?;
                    after
                }
                ('@', Some((name, _)), _) => {
                    return Err(format!("`@({name})` is not read"));
                }
                ('%', None, Some(letter)) if self.letters.contains_key(&letter) => {
                    text += &self.letters[&letter];
                    &behind[letter.len_utf8()..]
                }
                ('%', None, Some(letter)) if letter.is_ascii_alphanumeric() => {
                    return Err(format!("`%{letter}` is known only where the server runs"));
                }
                _ => {
                    text.push(sign);
                    behind
                }
            };
        }
        Ok(text + rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        read_ini(text, Path::new("/srv/shop/shop.ini"), "uwsgi").expect("a section")
    }

    fn given(text: &str) -> Vec<(&'static str, String)> {
        file(text).given.iter().map(|given| (given.row.key, given.text().to_owned())).collect()
    }

    #[test]
    fn values_refer_to_what_stands_above_to_the_file_and_to_the_environment() {
        let text = "[uwsgi]\nname = shop\nchdir = %d%(name)\nsocket = /run/%n.sock\npythonpath = $(PATH)\n";
        let path = env::var("PATH").expect("a path");
        let expected = [
            ("chdir", "/srv/shop/shop".to_owned()),
            ("socket", "/run/shop.sock".to_owned()),
            ("pythonpath", path),
        ];
        assert_eq!(given(text), expected);
        assert!(file(text).missing.is_empty());
    }

    #[test]
    fn what_cannot_be_put_in_is_named() {
        let text = "[uwsgi]\nchdir = $(WJ_NO_SUCH)\nmodule = %(nowhere)\nprocesses = %k\n";
        let missing: Vec<_> = file(text).missing.into_iter().map(|(_, why)| why).collect();
        assert!(missing[0].contains("WJ_NO_SUCH") && missing[1].contains("%(nowhere)"));
        assert!(missing[2].contains("`%k`"), "{missing:?}");
    }

    #[test]
    fn conditions_and_loops_are_named_with_what_they_hold() {
        let text = "[uwsgi]\nif-env = A\nprocesses = 2\nendif =\nfor = 1 2\nsocket = /x%(_)\nendfor =\nthreads = 3\n";
        assert_eq!(given(text), [("threads", "3".to_owned())]);
        assert_eq!(file(text).missing.len(), 4);
    }

    #[test]
    fn only_the_section_counts_and_switches_have_many_words() {
        let text =
            "[other]\nthreads = 9\n[uwsgi]\n; a comment\nmaster\nvacuum = no\nneed-app = 1\n";
        let words = given(text);
        let expected = [("master", "true"), ("vacuum", "false"), ("need-app", "true")];
        assert_eq!(words, expected.map(|(key, text)| (key, text.to_owned())));
        assert!(read_ini("[x]\n", Path::new("x.ini"), "uwsgi").is_err());
    }

    #[test]
    fn json_is_read_as_well() {
        let text = r#"{"uwsgi": {"processes": 2, "socket": ["/a", "/b"], "master": true}}"#;
        let file = read_json(text, Path::new("x.json")).expect("an object");
        assert_eq!(file.given.len(), 4);
    }
}

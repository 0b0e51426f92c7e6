//! A command line of another server, by the table of its flags. Knows no server.

use super::plan::{Given, Row, Takes};
use std::collections::VecDeque;

/// A command line that was read.
#[derive(Debug, Default)]
pub struct Line {
    /// settings, in order
    pub given: Vec<Given>,
    /// words that belong to no flag
    pub places: Vec<String>,
    /// flags that are in no table, with what seems to be their value
    pub unknown: Vec<String>,
}

/// Reads the words behind the name of the program. `unlisted` says how a flag takes its value that no row has.
pub fn read(words: &[String], rows: &'static [Row], unlisted: fn(&str) -> Takes) -> Line {
    let mut line = Line::default();
    let mut rest: VecDeque<String> = words.iter().cloned().collect();
    let mut only_places = false;
    while let Some(word) = rest.pop_front() {
        if only_places || !word.starts_with('-') || word == "-" {
            line.places.push(word);
            continue;
        }
        if word == "--" {
            only_places = true;
            continue;
        }
        let (flag, attached) = match word.strip_prefix("--") {
            Some(_) => word
                .split_once('=')
                .map_or((word.as_str(), None), |(flag, text)| (flag, Some(text))),
            None => {
                let end = word.char_indices().nth(2).map_or(word.len(), |(end, _)| end);
                let (flag, attached) = word.split_at(end);
                (flag, (!attached.is_empty()).then_some(attached))
            }
        };
        let row = find(rows, flag);
        let takes = row.map_or_else(|| unlisted(flag.trim_start_matches('-')), |row| row.takes);
        let attached = match attached {
            // several letters behind one hyphen
            Some(letters) if takes == Takes::Nothing && !flag.starts_with("--") => {
                rest.push_front(format!("-{letters}"));
                None
            }
            attached => attached.map(str::to_owned),
        };
        let is_taken = |next: &String| match takes {
            // a flag that must have a value takes whatever follows; a guess does not
            Takes::Value => row.is_some() || !next.starts_with('-'),
            Takes::OneOf(words) => words.contains(&next.as_str()),
            Takes::Perhaps | Takes::Nothing => false,
        };
        let (written, value) = match attached {
            Some(value) => (word.clone(), Some(value)),
            None if rest.front().is_some_and(is_taken) => {
                let value = rest.pop_front().unwrap_or_default();
                (format!("{flag} {value}"), Some(value))
            }
            None => (flag.to_owned(), None),
        };
        match row {
            Some(row) => {
                let text = match (value, is_negation(row, flag)) {
                    (_, true) => "false".to_owned(),
                    (Some(value), false) => value,
                    (None, false) => "true".to_owned(),
                };
                line.given.push(Given { row, written, texts: vec![text] });
            }
            None => line.unknown.push(written),
        }
    }
    line
}

/// The row that has this flag, or the only one that has a longer one: parsers let long flags be cut.
fn find(rows: &'static [Row], flag: &str) -> Option<&'static Row> {
    let has = |row: &&Row| row.flags.split(' ').any(|other| other == flag);
    if let Some(row) = rows.iter().find(has) {
        return Some(row);
    }
    if flag.len() < 4 || !flag.starts_with("--") {
        return None;
    }
    let mut longer =
        rows.iter().filter(|row| row.flags.split(' ').any(|other| other.starts_with(flag)));
    let row = longer.next()?;
    longer.next().is_none().then_some(row)
}

/// Whether the flag turns off what another flag of the row turns on: `--no-x` beside `--x`.
fn is_negation(row: &Row, flag: &str) -> bool {
    let turned = flag.strip_prefix("--no-");
    turned
        .is_some_and(|name| row.flags.split(' ').any(|flag| flag.strip_prefix("--") == Some(name)))
}

#[cfg(test)]
mod tests {
    use super::super::plan::Meaning;
    use super::*;

    static ROWS: &[Row] = &[
        Row::value("bind", "-b --bind", Meaning::Joint),
        Row::switch("daemon", "-D --daemon", Meaning::Joint),
        Row::switch("sendfile", "--sendfile --no-sendfile", Meaning::Joint),
        Row {
            key: "proxy",
            flags: "--proxy",
            takes: Takes::OneOf(&["v1", "v2"]),
            meaning: Meaning::Joint,
        },
    ];

    fn line(words: &[&str]) -> Line {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        read(&words, ROWS, |_| Takes::Value)
    }

    fn given(words: &[&str]) -> Vec<(&'static str, String)> {
        line(words).given.iter().map(|given| (given.row.key, given.text().to_owned())).collect()
    }

    #[test]
    fn a_value_stands_in_the_same_word_or_the_next() {
        for words in
            [&["-b:1"][..], &["-b", ":1"], &["--bind", ":1"], &["--bind=:1"], &["--bin=:1"]]
        {
            assert_eq!(given(words), [("bind", ":1".to_owned())], "{words:?}");
        }
        assert_eq!(given(&["--bind", "-"]), [("bind", "-".to_owned())]);
    }

    #[test]
    fn a_switch_takes_no_value_and_can_be_negated() {
        let line = line(&["-D", "app:app", "--no-sendfile"]);
        assert_eq!(line.places, ["app:app"]);
        assert_eq!((line.given[0].text(), line.given[1].text()), ("true", "false"));
        let both = [("daemon", "true".to_owned()), ("bind", ":1".to_owned())];
        assert_eq!(given(&["-Db", ":1"]), both);
    }

    #[test]
    fn a_value_that_may_be_left_out_is_taken_only_where_it_can_be_one() {
        assert_eq!(given(&["--proxy", "v1", "app"]), [("proxy", "v1".to_owned())]);
        assert_eq!(line(&["--proxy", "app"]).places, ["app"]);
    }

    #[test]
    fn an_unknown_flag_is_kept_with_what_follows() {
        let line = line(&["--odd", "3", "--odder", "--bind", ":1"]);
        assert_eq!(line.unknown, ["--odd 3", "--odder"]);
        assert_eq!(line.given.len(), 1);
    }
}

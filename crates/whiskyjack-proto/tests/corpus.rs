//! Every case of the corpus, whole, byte by byte and cut at random.
//!
//! A case is a file in `requests/accepted` or `requests/refused` that holds the bytes of one connection, and a line in
//! `requests/rules.tsv`: its name, the status that answers it (or `ok`), the rule, what is understood of it, and why.

mod driver;

use driver::{End, Verdict, feed};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

struct Case {
    name: String,
    expected: String,
    outcome: String,
    bytes: Vec<u8>,
}

fn requests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requests")
}

fn cases() -> Vec<Case> {
    let rules = fs::read_to_string(requests().join("rules.tsv")).expect("the table of cases");
    let mut lines = rules.lines();
    assert_eq!(lines.next(), Some("name\texpected\trule\toutcome\tnote"));
    lines
        .map(|line| {
            let columns: Vec<_> = line.split('\t').collect();
            let [name, expected, rule, outcome, note] = columns[..] else {
                panic!("not five columns: {line}");
            };
            assert!(rule.starts_with("RFC ") && !note.is_empty(), "a case names its rule: {line}");
            let folder = if expected == "ok" { "accepted" } else { "refused" };
            let bytes = fs::read(requests().join(folder).join(format!("{name}.http")))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let (name, expected, outcome) =
                (name.to_owned(), expected.to_owned(), outcome.to_owned());
            Case { name, expected, outcome, bytes }
        })
        .collect()
}

/// The requests as `METHOD target length`, then the fault, if there is one.
fn outcome(verdict: &Verdict) -> String {
    let mut parts: Vec<_> = verdict
        .requests
        .iter()
        .map(|request| {
            let method = String::from_utf8_lossy(&request.method);
            let mut target = String::from_utf8_lossy(&request.target).into_owned();
            if target.len() > 80 {
                target.truncate(16);
                target.push_str("...");
            }
            format!("{method} {target} {}", request.body.len())
        })
        .collect();
    match verdict.end {
        End::Refused(error) => parts.push(format!("{error:?}")),
        End::Incomplete => parts.push("incomplete".to_owned()),
        End::Between | End::Closed => {}
    }
    parts.join(", ")
}

#[test]
fn every_case_gets_the_verdict_that_its_rule_calls_for() {
    let mut failures = Vec::new();
    for case in cases() {
        let verdict = feed([&case.bytes[..]]);
        let status = match verdict.end {
            End::Refused(error) => error.status().to_string(),
            End::Between | End::Closed => "ok".to_owned(),
            End::Incomplete => "incomplete".to_owned(),
        };
        let understood = outcome(&verdict);
        if (&status, &understood) != (&case.expected, &case.outcome) {
            failures.push(format!(
                "{}: expected {} ({}), got {status} ({understood})",
                case.name, case.expected, case.outcome
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_case_gets_the_same_verdict_byte_by_byte() {
    for case in cases() {
        assert_eq!(feed(case.bytes.chunks(1)), feed([&case.bytes[..]]), "{}", case.name);
    }
}

#[test]
fn every_case_gets_the_same_verdict_at_random_splits() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for case in cases() {
        let whole = feed([&case.bytes[..]]);
        for _ in 0..16 {
            let start = seed;
            assert_eq!(feed(split(&case.bytes, &mut seed)), whole, "{} from {start:#x}", case.name);
        }
    }
}

/// Cuts the bytes into pieces of random lengths, short ones more often.
fn split<'a>(bytes: &'a [u8], seed: &mut u64) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        let most = 1 << (*seed >> 32 & 0x7);
        let length = (1 + (*seed as usize & 0xffff) % most).min(rest.len());
        let (piece, after) = rest.split_at(length);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

#[test]
fn the_table_and_the_files_name_the_same_cases() {
    let mut listed = BTreeSet::new();
    for case in cases() {
        assert!(listed.insert(case.name.clone()), "listed twice: {}", case.name);
    }
    let mut found = BTreeSet::new();
    for folder in ["accepted", "refused"] {
        for entry in fs::read_dir(requests().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(path.extension().and_then(|end| end.to_str()), Some("http"), "{path:?}");
            found.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    assert_eq!(listed, found);
}

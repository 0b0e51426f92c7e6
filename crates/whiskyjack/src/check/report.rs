//! What a check has found, for people and for programs.

use super::asks::Ask;
use super::notes::Note;
use serde_json::{Value, json};
use std::fmt::Write as _;
use whiskyjack_wsgiref::validate::{Finding, Party};

/// Everything that was found.
pub(super) struct Report {
    application: String,
    outcomes: Vec<Outcome>,
}

/// What came of one request.
pub(super) struct Outcome {
    request: String,
    status: Option<u16>,
    faults: Vec<Fault>,
}

/// One thing that is wrong with an application.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    /// it breaks a rule
    Rule(Finding),
    /// an exception came out of it, or the gateway could make nothing of it
    Failed(String),
}

impl Fault {
    fn is_warning(&self) -> bool {
        matches!(self, Fault::Rule(finding) if finding.is_warning)
    }
}

impl Outcome {
    pub(super) fn new(
        ask: &Ask,
        status: Option<u16>,
        findings: Vec<Finding>,
        notes: Vec<Note>,
    ) -> Outcome {
        // Warnings of the server's part would be of requests that we have made up.
        let is_meant =
            |finding: &Finding| !(finding.is_warning && finding.rule.party() == Party::Server);
        let mut faults: Vec<Fault> = Vec::new();
        for fault in findings.into_iter().filter(is_meant).map(Fault::Rule) {
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
        // A broken rule raises; what is logged then is the same thing once more, or a consequence.
        if faults.iter().all(Fault::is_warning) {
            let failures = notes.into_iter().filter(|note| note.is_error);
            faults.extend(failures.map(|note| Fault::Failed(note.text)));
        }
        Outcome { request: ask.name.clone(), status, faults }
    }

    /// Whether Ctrl-C ended the call.
    pub(super) fn is_interrupted(&self) -> bool {
        self.faults.iter().any(
            |fault| matches!(fault, Fault::Failed(text) if text.ends_with("\nKeyboardInterrupt")),
        )
    }
}

impl Report {
    pub(super) fn new(application: String) -> Report {
        Report { application, outcomes: Vec::new() }
    }

    pub(super) fn add(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.count(|fault| !fault.is_warning()) > 0
    }

    /// Each fault once, with the requests that show it, in the order in which they were found.
    fn distinct(&self) -> Vec<(&Fault, Vec<&str>)> {
        let mut distinct: Vec<(&Fault, Vec<&str>)> = Vec::new();
        for outcome in &self.outcomes {
            for fault in &outcome.faults {
                match distinct.iter_mut().find(|(known, _)| same(known, fault)) {
                    Some((_, requests)) => requests.push(&outcome.request),
                    None => distinct.push((fault, vec![&outcome.request])),
                }
            }
        }
        distinct
    }

    fn count(&self, is_meant: impl Fn(&Fault) -> bool) -> usize {
        self.distinct().iter().filter(|(fault, _)| is_meant(fault)).count()
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("writing to a String cannot fail");
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        for outcome in &self.outcomes {
            let status = outcome.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
            let mark = match &outcome.faults[..] {
                [] => "    ",
                faults if faults.iter().all(Fault::is_warning) => "warn",
                _ => "FAIL",
            };
            writeln!(text, "{mark}  {status:>3}  {}", outcome.request)?;
        }
        for (fault, requests) in self.distinct() {
            let mark = if fault.is_warning() { "warning" } else { "broken" };
            match fault {
                Fault::Rule(finding) => {
                    let place = finding.place.as_deref().unwrap_or("the application");
                    writeln!(text, "\n{mark}: {place}: {}", finding.found)?;
                    let rule = finding.rule;
                    writeln!(text, "    {}: {}", rule.section(), rule.text())?;
                    if rule.party() == Party::Server {
                        writeln!(text, "    This rule is the server's, or that of middleware.")?;
                    }
                }
                Fault::Failed(what) => {
                    writeln!(text, "\n{mark}: {}", what.replace('\n', "\n    "))?
                }
            }
            write!(text, "    in: {}", requests[0])?;
            if requests.len() > 1 {
                write!(text, ", and {} more", requests.len() - 1)?;
            }
            text.push('\n');
        }
        let (broken, warnings) =
            (self.count(|fault| !fault.is_warning()), self.count(Fault::is_warning));
        let requests = self.outcomes.len();
        let things = match (broken, warnings) {
            (0, 0) => "nothing is wrong".to_owned(),
            (broken, 0) => format!("{broken} broken"),
            (broken, warnings) => format!("{broken} broken, {warnings} to think about"),
        };
        writeln!(text, "\n{}: {things} in {requests} requests", self.application)
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        let requests = self.outcomes.iter().map(|outcome| {
            json!({
                "request": outcome.request,
                "status": outcome.status,
                "findings": outcome.faults.iter().map(as_json).collect::<Vec<_>>(),
            })
        });
        let report = json!({
            "application": self.application,
            "broken": self.count(|fault| !fault.is_warning()),
            "warnings": self.count(Fault::is_warning),
            "requests": requests.collect::<Vec<_>>(),
        });
        format!("{report:#}\n")
    }
}

/// Whether it is the same fault although numbers or values differ: the same rule at the same place, or the same exception.
fn same(one: &Fault, other: &Fault) -> bool {
    match (one, other) {
        (Fault::Rule(one), Fault::Rule(other)) => {
            (one.rule, &one.place, one.is_warning) == (other.rule, &other.place, other.is_warning)
        }
        // The first line names the request, and the rest is the traceback.
        (Fault::Failed(one), Fault::Failed(other)) => {
            let traceback = |text: &str| text.split_once('\n').map(|(_, rest)| rest.to_owned());
            match (traceback(one), traceback(other)) {
                (Some(one), Some(other)) => one == other,
                _ => one == other,
            }
        }
        _ => false,
    }
}

fn as_json(fault: &Fault) -> Value {
    match fault {
        Fault::Rule(finding) => json!({
            "kind": if finding.is_warning { "warning" } else { "broken" },
            "section": finding.rule.section(),
            "rule": finding.rule.text(),
            "party": finding.rule.party().name(),
            "found": finding.found,
            "where": finding.place,
        }),
        Fault::Failed(text) => json!({ "kind": "failed", "found": text }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use whiskyjack_wsgiref::validate::Rule;

    fn finding(rule: Rule, is_warning: bool) -> Finding {
        let place = Some("shop.py:2 in app".to_owned());
        Finding { rule, found: "a thing was done".to_owned(), place, is_warning }
    }

    fn reported(findings: Vec<Finding>, notes: &[&str]) -> Report {
        let ask = &super::super::asks::of("/").expect("a path")[0];
        let note = |text: &&str| Note { is_error: true, text: (*text).to_owned() };
        let notes = notes.iter().map(note).collect();
        let mut report = Report::new("shop:app".to_owned());
        report.add(Outcome::new(ask, Some(200), findings, notes));
        report
    }

    #[test]
    fn a_warning_is_told_and_breaks_nothing() {
        let report = reported(vec![finding(Rule::ExcInfo, true)], &[]);
        assert!(!report.is_broken());
        let text = report.text();
        assert!(text.starts_with("warn  200  GET /\n"), "{text}");
        assert!(text.contains("\nwarning: shop.py:2 in app: a thing was done\n"), "{text}");
        assert!(text.ends_with("0 broken, 1 to think about in 1 requests\n"), "{text}");
        assert!(report.json().contains("\"kind\": \"warning\""));
    }

    #[test]
    fn a_warning_of_the_servers_part_is_not_told() {
        let report = reported(vec![finding(Rule::EnvironValue, true)], &[]);
        assert!(report.text().ends_with("nothing is wrong in 1 requests\n"));
    }

    #[test]
    fn what_is_logged_of_a_broken_rule_is_not_told_again() {
        let log = ["GET /: the application raised\nAssertionError"];
        let report = reported(vec![finding(Rule::Status, false)], &log);
        assert_eq!(report.distinct().len(), 1);
        assert_eq!(reported(Vec::new(), &log).distinct().len(), 1);
    }
}

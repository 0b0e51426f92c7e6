//! Writes down what a migration has found: as a settings file, as a command, as JSON. Knows no other server.

use super::plan::{Taken, Told};
use super::source::Source;
use crate::program::{in_file, typed};
use crate::settings::TABLE;
use crate::values::Shape;
use serde_json::{Value, json};
use std::fmt::Write;

/// What is set, in the order of our table.
fn taken(source: &Source) -> impl Iterator<Item = &Taken> {
    let rows = TABLE.iter();
    rows.filter_map(|row| source.plan.taken.iter().find(|taken| taken.setting.name == row.name))
}

/// A settings file; what has no equivalent stands in its comments.
pub fn toml(source: &Source) -> String {
    let mut text = heading(source);
    let mut lines = Vec::new();
    for taken in taken(source) {
        let line = format!("{} = {}", taken.setting.name, in_file(taken.setting, &taken.text));
        lines.push((line, comment(taken)));
    }
    let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0).min(40);
    for (line, comment) in lines {
        writeln!(text, "{line:width$}  # {comment}").expect("writing to a String cannot fail");
    }
    text + &ending(source)
}

/// A command line, with the same comments.
pub fn command(source: &Source) -> String {
    let mut words = vec!["whiskyjack".to_owned()];
    let mut app = None;
    let mut remarks = Vec::new();
    for taken in taken(source) {
        let name = taken.setting.name;
        if let Some(remark) = &taken.remark {
            remarks.push(format!("{name}: {remark}"));
        }
        match taken.setting.shape {
            _ if taken.setting.is_positional() => app = Some(quoted(&taken.text)),
            Shape::Switch if taken.text == "true" => words.push(format!("--{name}")),
            Shape::Switch => words.push(format!("--{name}={}", taken.text)),
            _ => words.push(format!("--{name} {}", quoted(&taken.text))),
        }
    }
    words.extend(app);
    let mut text = heading(source);
    for remark in remarks {
        text += &format!("# {}\n", single(&remark));
    }
    text += &words.join(" \\\n  ");
    text + "\n" + &ending(source)
}

/// For programs.
pub fn json(source: &Source) -> String {
    let told = |told: &[Told]| -> Value {
        told.iter().map(|told| json!({ "written": told.written, "why": told.why })).collect()
    };
    let settings: Vec<Value> = taken(source)
        .map(|taken| {
            json!({
                "name": taken.setting.name,
                "value": typed(taken.setting, &taken.text),
                "from": taken.from,
                "remark": taken.remark,
            })
        })
        .collect();
    let all = json!({
        "server": source.server,
        "settings": settings,
        "needless": told(&source.plan.needless),
        "missing": told(&source.plan.missing),
        "remarks": source.plan.remarks,
    });
    format!("{all:#}\n")
}

fn heading(source: &Source) -> String {
    let mut text =
        format!("# Made from the settings of {} by `whiskyjack migrate`.\n", source.server);
    for remark in &source.plan.remarks {
        text += &format!("# {}\n", single(remark));
    }
    text + "\n"
}

fn ending(source: &Source) -> String {
    let mut text = String::new();
    let parts = [
        ("Without an equivalent:", &source.plan.missing),
        ("Nothing to set:", &source.plan.needless),
    ];
    for (title, told) in parts {
        if !told.is_empty() {
            text += &format!("\n# {title}\n");
        }
        for told in told {
            text += &format!("#   {}: {}\n", single(&told.written), single(&told.why));
        }
    }
    text
}

fn comment(taken: &Taken) -> String {
    match &taken.remark {
        Some(remark) => format!("{}; {}", single(&taken.from), single(remark)),
        None => single(&taken.from),
    }
}

/// In one line, whatever the text holds: a comment must not end early.
fn single(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn quoted(text: &str) -> String {
    // no text of a setting holds a NUL byte, which alone cannot be quoted
    shlex::try_quote(text).map_or_else(|_| text.replace('\0', ""), std::borrow::Cow::into_owned)
}

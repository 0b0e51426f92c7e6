//! The reference page of the settings, made from their table. Knows Markdown.

use crate::settings::{Group, Setting, TABLE};
use crate::values::Shape;
use std::fmt::Write;

const INTRODUCTION: &str = "\
<!-- Made by `whiskyjack --print-reference > docs/reference.md`; a test holds it to the settings. -->

# Settings

A setting can be given in three places, of which the first that has it wins:

1. as a flag: `whiskyjack --keep-alive 30s`
2. as an environment variable: `WHISKYJACK_KEEP_ALIVE=30s`
3. in a TOML file: the one named by `-c/--config` (or `WHISKYJACK_CONFIG`), else `whiskyjack.toml` in the directory where
   whiskyjack was started, else the table `[tool.whiskyjack]` of `pyproject.toml` there

`whiskyjack --print-config` shows every value and where it came from, `--print-config=json` the same for programs, and
`--check-config` checks them all and imports the application. A key that is no setting and a value that cannot be are errors.

Durations are seconds (`30`, `1.5`) or carry units (`500ms`, `1h30m`). Sizes are bytes (`8190`) or carry units, which are powers
of 1024 (`64k`, `10M`, `1GiB`). Lists are flags that may be repeated, texts joined by commas in a variable, and arrays in a file.
";

/// The whole page.
pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for group in Group::ALL {
        page += &format!("\n## {}\n", group.title());
        for setting in TABLE.iter().filter(|setting| setting.group == group) {
            describe(setting, &mut page).expect("writing to a String cannot fail");
        }
    }
    page
}

fn describe(setting: &Setting, page: &mut String) -> std::fmt::Result {
    let short = setting.short.map_or_else(String::new, |short| format!("-{short}, "));
    let value = match setting.choices.is_empty() {
        true => setting.placeholder.to_owned(),
        false => setting.choices.join("|"),
    };
    let flag = match setting.shape {
        _ if setting.is_positional() => setting.placeholder.to_owned(),
        Shape::Switch => format!("--{}[={value}]", setting.name),
        _ => format!("{short}--{} {value}", setting.name),
    };
    let default = match setting.default {
        "" => "none".to_owned(),
        default => format!("`{default}`"),
    };
    writeln!(page, "\n### `{flag}`\n\n{}\n", setting.help())?;
    write!(page, "Variable `{}`, key `{}`, default {default}", setting.variable(), setting.name)?;
    page.push_str(if setting.shape == Shape::List { "; a list.\n" } else { ".\n" });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_setting() {
        let page = page();
        for setting in TABLE {
            assert!(page.contains(&format!("key `{}`", setting.name)), "{}", setting.name);
        }
        assert!(page.contains("### `-b, --bind ADDRESS`"), "{page}");
        assert!(page.contains("### `--header-map drop|refuse|allow`"), "{page}");
    }
}

//! What a migration has found: settings, what needs none, and what has none. Knows no other server.

use crate::settings::{self, Setting};
use crate::values::Shape;

/// What a setting of another server means here.
#[derive(Clone, Copy, Debug)]
pub enum Meaning {
    /// our setting of this name, with the same text
    Same(&'static str),
    /// our setting of this name, with a text made from the other; the error is why there is none
    As(&'static str, fn(&str) -> Result<String, String>),
    /// our setting of this name, and what is different about it
    Nearly(&'static str, &'static str),
    /// nothing has to be set, for this reason
    Needless(&'static str),
    /// nothing here does that, for this reason
    Missing(&'static str),
    /// it means something together with others
    Joint,
}

/// How a flag takes its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// in the same word or the next one
    Value,
    /// in the same word or not at all
    Perhaps,
    /// in the same word, or in the next one if it is one of these
    OneOf(&'static [&'static str]),
    /// none: it is there or not
    Nothing,
}

/// One setting of another server.
#[derive(Debug)]
pub struct Row {
    /// its name, as in a settings file
    pub key: &'static str,
    /// its flags, with a blank between two
    pub flags: &'static str,
    /// how they take a value
    pub takes: Takes,
    /// what it means
    pub meaning: Meaning,
}

impl Row {
    /// A setting that has a value.
    pub const fn value(key: &'static str, flags: &'static str, meaning: Meaning) -> Row {
        Row { key, flags, takes: Takes::Value, meaning }
    }

    /// A setting that is on or off.
    pub const fn switch(key: &'static str, flags: &'static str, meaning: Meaning) -> Row {
        Row { key, flags, takes: Takes::Nothing, meaning }
    }
}

/// A setting of another server that somebody has given.
#[derive(Clone, Debug)]
pub struct Given {
    /// which
    pub row: &'static Row,
    /// as it was written
    pub written: String,
    /// its value, or its values; `true` or `false` for what is on or off
    pub texts: Vec<String>,
}

impl Given {
    /// The last value.
    pub fn text(&self) -> &str {
        self.texts.last().map_or("", String::as_str)
    }

    /// Whether it was given in order to have it off, as it is anyway where nothing here does it.
    fn is_off(&self) -> bool {
        let is_switch = self.row.takes == Takes::Nothing && self.text() == "false";
        is_switch && !matches!(self.row.meaning, Meaning::Needless(_))
    }
}

/// A setting of ours, with its value.
#[derive(Debug)]
pub struct Taken {
    /// which
    pub setting: &'static Setting,
    /// its value
    pub text: String,
    /// what it stands for
    pub from: String,
    /// what is different about it
    pub remark: Option<String>,
}

/// Something that was written for another server, and what to say of it.
#[derive(Debug)]
pub struct Told {
    /// as it was written
    pub written: String,
    /// what to say
    pub why: String,
}

/// Everything found, in the order in which it was written.
#[derive(Debug, Default)]
pub struct Plan {
    /// settings of ours
    pub taken: Vec<Taken>,
    /// what needs no setting
    pub needless: Vec<Told>,
    /// what has no equivalent
    pub missing: Vec<Told>,
    /// what to know of the whole
    pub remarks: Vec<String>,
}

impl Plan {
    /// Takes over what was given, where its meaning does not depend on other settings.
    pub fn take(&mut self, given: &Given) {
        if given.is_off() {
            return;
        }
        match given.row.meaning {
            Meaning::Same(name) => self.set_all(name, given),
            Meaning::Nearly(name, remark) => {
                self.set_all(name, given);
                self.remark(name, remark);
            }
            Meaning::As(name, convert) => {
                for text in &given.texts {
                    match convert(text) {
                        Ok(text) => self.set(name, &text, &given.written),
                        Err(why) => self.miss(&given.written, &why),
                    }
                }
            }
            Meaning::Needless(why) => self.need_not(&given.written, why),
            Meaning::Missing(why) => self.miss(&given.written, why),
            Meaning::Joint => {}
        }
    }

    fn set_all(&mut self, name: &'static str, given: &Given) {
        for text in &given.texts {
            self.set(name, text, &given.written);
        }
    }

    /// Sets our setting of this name, or adds to it where it is a list. One that is not there, or does not take the
    /// value, is missing.
    pub fn set(&mut self, name: &'static str, text: &str, from: &str) {
        let Some(setting) = settings::find(name) else {
            return self.miss(from, &absent(name));
        };
        let text = match setting.check(text) {
            Ok(text) => text,
            Err(remedy) => {
                let why = format!("{name} does not take `{}`: {remedy}", text.escape_debug());
                return self.miss(from, &why);
            }
        };
        let from = from.to_owned();
        match self.taken.iter_mut().find(|taken| taken.setting.name == name) {
            Some(taken) if setting.shape == Shape::List => {
                taken.text = [&taken.text, ",", &text].concat();
                if taken.from != from {
                    taken.from = format!("{}, {from}", taken.from);
                }
            }
            Some(taken) => *taken = Taken { setting, text, from, remark: None },
            None => self.taken.push(Taken { setting, text, from, remark: None }),
        }
    }

    /// Says what is different about a setting that was set.
    pub fn remark(&mut self, name: &str, remark: &str) {
        if let Some(taken) = self.taken.iter_mut().find(|taken| taken.setting.name == name) {
            taken.remark = Some(remark.to_owned());
        }
    }

    /// Names what has no equivalent.
    pub fn miss(&mut self, written: &str, why: &str) {
        self.missing.push(Told { written: written.to_owned(), why: why.to_owned() });
    }

    /// Names what needs no setting.
    pub fn need_not(&mut self, written: &str, why: &str) {
        self.needless.push(Told { written: written.to_owned(), why: why.to_owned() });
    }
}

/// Why a setting that a table names is not there: the tables know more than this version has.
pub fn absent(name: &str) -> String {
    let instead = match name {
        "ciphers" => "; there is nothing to choose, rustls has no weak ones",
        "static" => "; let the application or a proxy in front serve files",
        "statsd-host" | "statsd-prefix" | "statsd-tags" | "metrics" => {
            "; the access log has what can be counted"
        }
        "access-log-format" => "; the access log is in the common log format",
        _ => "",
    };
    format!("this version of whiskyjack has no setting {name}{instead}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_grows_and_all_else_is_replaced() {
        let mut plan = Plan::default();
        for (name, text) in [("bind", ":1"), ("threads", "2"), ("bind", ":3"), ("threads", "4")] {
            plan.set(name, text, "somewhere");
        }
        let taken: Vec<_> =
            plan.taken.iter().map(|taken| (taken.setting.name, taken.text.as_str())).collect();
        assert_eq!(taken, [("bind", "0.0.0.0:1,0.0.0.0:3"), ("threads", "4")]);
    }

    #[test]
    fn what_is_no_setting_or_no_value_is_missing_with_the_reason() {
        let mut plan = Plan::default();
        plan.set("no-such-setting", "1", "--odd 1");
        plan.set("threads", "many", "--threads many");
        assert!(plan.taken.is_empty());
        assert!(plan.missing[0].why.contains("has no setting no-such-setting"));
        assert!(plan.missing[1].why.contains("write a whole number"), "{:?}", plan.missing);
    }
}

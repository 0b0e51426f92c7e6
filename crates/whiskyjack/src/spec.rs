//! What names an application: `module:attribute` and its like. Knows nothing of importing one.

use crate::values::Value;
use std::fmt;
use std::path::PathBuf;

/// Which application, as the operator wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// where it is defined
    pub source: Source,
    /// a name, a dotted name, or a call of one with literal arguments
    pub attribute: Option<String>,
}

/// Where an application is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// a module by its dotted name
    Module(String),
    /// a file by its path
    File(PathBuf),
}

impl Value for Spec {
    fn parse(text: &str) -> Result<Self, String> {
        parse(text).ok_or_else(|| {
            "write module, module:attribute, module:factory() or path/to/file.py[:attribute]"
                .to_owned()
        })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

fn parse(text: &str) -> Option<Spec> {
    let (source, attribute) = match text.rfind(".py:") {
        Some(end) if !text[..end].contains(['(', '"', '\'']) => {
            (&text[..end + 3], Some(&text[end + 4..]))
        }
        _ if text.ends_with(".py") => (text, None),
        _ => text.split_once(':').map_or((text, None), |(module, name)| (module, Some(name))),
    };
    if attribute.is_some_and(|name| name.trim().is_empty()) || source.contains('\0') {
        return None;
    }
    let source = if source.ends_with(".py") {
        Source::File(source.into())
    } else if source.split('.').all(is_identifier) {
        Source::Module(source.to_owned())
    } else {
        return None;
    };
    Some(Spec { source, attribute: attribute.map(|name| name.trim().to_owned()) })
}

/// Whether this can be a name. Python has the last word: this only tells names from paths and slips of the pen.
pub fn is_identifier(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)?;
        self.attribute.as_ref().map_or(Ok(()), |attribute| write!(f, ":{attribute}"))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Module(name) => f.write_str(name),
            Source::File(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str, attribute: Option<&str>) -> Option<Spec> {
        let source = Source::Module(name.to_owned());
        Some(Spec { source, attribute: attribute.map(str::to_owned) })
    }

    fn file(path: &str, attribute: Option<&str>) -> Option<Spec> {
        let source = Source::File(path.into());
        Some(Spec { source, attribute: attribute.map(str::to_owned) })
    }

    #[test]
    fn every_form_of_application_is_read() {
        assert_eq!(parse("shop"), module("shop", None));
        assert_eq!(parse("shop.web:site.app"), module("shop.web", Some("site.app")));
        assert_eq!(parse("shop:make(\"a:b\")"), module("shop", Some("make(\"a:b\")")));
        assert_eq!(parse("shop:make(\"x.py:y\")"), module("shop", Some("make(\"x.py:y\")")));
        assert_eq!(parse("web/shop.py"), file("web/shop.py", None));
        assert_eq!(parse("web/my-shop.py:app"), file("web/my-shop.py", Some("app")));
    }

    #[test]
    fn what_is_no_application_is_refused() {
        for text in ["", ":app", "shop:", "my-shop", "web/shop", "shop..web", "2shop"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

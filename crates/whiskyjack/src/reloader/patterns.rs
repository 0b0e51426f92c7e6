//! Which files are watched beside what is imported, and which are not. Knows no file system but for the shape of paths.

use crate::values::Value;
use glob::{MatchOptions, Pattern};
use std::path::{Component, Path, PathBuf};

/// A pattern for files, as one writes it: `*.html`, `templates/**/*.html`, `settings.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Value for Glob {
    fn parse(text: &str) -> Result<Self, String> {
        match Pattern::new(text) {
            Ok(_) if !text.is_empty() => Ok(Glob(text.to_owned())),
            Ok(_) => Err("write a file, a directory or a pattern such as *.html".to_owned()),
            Err(error) => {
                Err(format!("write a pattern such as *.html or templates/**/*.html ({error})"))
            }
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// Files that are watched though nobody imports them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Included {
    /// a file, or what is below a directory
    Path(PathBuf),
    /// those whose names match
    Names(Names),
}

/// What matches below a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// where to look
    pub root: PathBuf,
    pattern: Pattern,
    /// whether it is the last word of the path that has to match
    is_last_word: bool,
}

impl Included {
    /// What the pattern means in this directory. A name alone is looked for in all directories below.
    pub fn from(glob: &Glob, directory: &Path) -> Included {
        let Glob(text) = glob;
        if !has_wildcard(text) {
            return Included::Path(plain(&directory.join(text)));
        }
        let pattern = |text: &str| Pattern::new(text).expect("it was tried when it was read");
        if !text.contains('/') {
            let (root, is_last_word) = (directory.to_owned(), true);
            return Included::Names(Names { root, pattern: pattern(text), is_last_word });
        }
        let mut root = directory.to_owned();
        let mut rest = Vec::new();
        for component in Path::new(text).components() {
            let word = component.as_os_str().to_string_lossy();
            match rest.is_empty() && !has_wildcard(&word) {
                true => root.push(component),
                false => rest.push(word.into_owned()),
            }
        }
        let root = plain(&root);
        let whole = format!("{}/{}", Pattern::escape(&root.to_string_lossy()), rest.join("/"));
        Included::Names(Names { root, pattern: pattern(&whole), is_last_word: false })
    }

    /// Whether a file is one of them.
    pub fn matches(&self, path: &Path) -> bool {
        match self {
            Included::Path(named) => path.starts_with(named),
            Included::Names(Names { pattern, is_last_word: true, .. }) => {
                path.file_name().is_some_and(|name| pattern.matches_path(Path::new(name)))
            }
            Included::Names(Names { pattern, .. }) => pattern.matches_path_with(path, BY_WORDS),
        }
    }
}

/// `*` stops at a slash.
const BY_WORDS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// Files that are not watched.
#[derive(Clone, Debug, Default)]
pub struct Excluded(Vec<Pattern>);

impl Excluded {
    /// As Python's `fnmatch` takes them: against the whole path, and `*` is any text at all.
    pub fn whole_paths(patterns: &[String]) -> Excluded {
        let compiled = patterns.iter().map(|text| {
            let mut text = text.clone();
            while text.contains("**") {
                text = text.replace("**", "*");
            }
            // What is no pattern is a text, as there.
            Pattern::new(&text).or_else(|_| Pattern::new(&Pattern::escape(&text)))
        });
        Excluded(compiled.filter_map(Result::ok).collect())
    }

    /// As the command takes them: a name alone is that of a file or directory anywhere, a path is seen from this directory; what is below
    /// a directory is excluded with it.
    pub fn from(globs: &[Glob], directory: &Path) -> Excluded {
        let texts = globs.iter().flat_map(|Glob(text)| {
            let text = text.trim_end_matches('/');
            let start = match text.contains('/') {
                true if text.starts_with('/') => text.to_owned(),
                true => format!("{}/{text}", Pattern::escape(&directory.to_string_lossy())),
                false => format!("*/{text}"),
            };
            [format!("{start}/*"), start]
        });
        Excluded::whole_paths(&texts.collect::<Vec<_>>())
    }

    /// Whether a file or directory is one of them.
    pub fn has(&self, path: &Path) -> bool {
        self.0.iter().any(|pattern| pattern.matches_path(path))
    }
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Without `.` and `..`, which no path has that the system tells.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            component => plain.push(component),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(text: &str) -> Glob {
        Glob::parse(text).expect("right")
    }

    fn includes(pattern: &str, path: &str) -> bool {
        Included::from(&glob(pattern), Path::new("/shop")).matches(Path::new(path))
    }

    #[test]
    fn a_name_alone_matches_in_every_directory() {
        assert!(includes("*.html", "/shop/index.html"));
        assert!(includes("*.html", "/shop/templates/mail/new.html"));
        assert!(!includes("*.html", "/shop/index.htm"));
    }

    #[test]
    fn a_path_matches_word_by_word() {
        assert!(includes("templates/*.html", "/shop/templates/a.html"));
        assert!(!includes("templates/*.html", "/shop/templates/mail/a.html"));
        assert!(includes("templates/**/*.html", "/shop/templates/mail/a.html"));
        assert!(includes("../texts/[ab].md", "/texts/a.md"));
        assert!(!includes("templates/*.html", "/other/templates/a.html"));
    }

    #[test]
    fn a_path_without_wildcards_is_a_file_or_all_below_a_directory() {
        assert!(includes("./settings.toml", "/shop/settings.toml"));
        assert!(includes("/etc/shop", "/etc/shop/mail.toml"));
        assert!(!includes("settings", "/shop/settings.toml"));
    }

    #[test]
    fn an_excluded_name_takes_what_is_below_it_along() {
        let excluded =
            Excluded::from(&[glob("migrations"), glob("build/*.py")], Path::new("/shop"));
        for path in ["/shop/cats/migrations", "/shop/cats/migrations/1.py", "/shop/build/x.py"] {
            assert!(excluded.has(Path::new(path)), "{path}");
        }
        for path in ["/shop/migrations_of_birds.py", "/elsewhere/build/x.py", "/shop/app.py"] {
            assert!(!excluded.has(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn a_pattern_of_fnmatch_matches_the_whole_path() {
        let patterns = ["**/tests/*".to_owned(), "*[".to_owned()];
        let excluded = Excluded::whole_paths(&patterns);
        assert!(excluded.has(Path::new("/shop/tests/test_a/deep.py")));
        assert!(!excluded.has(Path::new("/shop/test.py")));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert!(
            Glob::parse("a[").is_err() && Glob::parse("a**b").is_err() && Glob::parse("").is_err()
        );
    }
}

//! From `module:attribute` to a callable. Knows the import system, nothing of what will call the application.

use crate::spec::{Source, Spec, is_identifier};
use crate::traceback;
use crate::values::nearest;
use pyo3::exceptions::{PyKeyboardInterrupt, PyModuleNotFoundError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyModule, PyTuple};
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// An application, and what to call it in messages.
#[derive(Debug)]
pub struct Loaded {
    /// the callable
    pub application: Py<PyAny>,
    /// `module:attribute`
    pub name: String,
}

/// Why there is no application.
#[derive(Debug)]
pub enum Error {
    /// none was named, and the directory has none of the usual files
    NoneNamed(PathBuf),
    /// the file is not there
    NoFile(PathBuf),
    /// no module of that name was found
    NoModule {
        /// the one that was looked for
        module: String,
        /// the one that is missing: it, or a package around it
        missing: String,
        /// where was looked first
        directory: PathBuf,
        /// what may have been meant
        hint: Option<String>,
    },
    /// the module has no such name
    NoAttribute {
        /// where was looked
        owner: String,
        /// for what
        name: String,
        /// what may have been meant
        hint: Option<String>,
    },
    /// the module has none of the names that are looked for
    NoDefault(String),
    /// what follows the colon is no name and no call
    BadAttribute {
        /// what stands there
        text: String,
        /// what is wrong with it
        problem: String,
    },
    /// it is not an application
    NotCallable {
        /// `module:attribute`
        name: String,
        /// its type
        kind: String,
    },
    /// it is an application of another kind
    Asgi(String),
    /// the user's code raised
    Raised {
        /// what was being done
        doing: String,
        /// as Python prints it, without our frames
        traceback: String,
        /// what it raised
        exception: PyErr,
    },
    /// Ctrl-C or SIGTERM
    Interrupted,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoneNamed(directory) => write!(
                f,
                "no application was named, and {} has no wsgi.py, app.py or manage.py of a Django project\n\
                 name one: whiskyjack module:attribute",
                directory.display()
            ),
            Error::NoFile(path) => write!(f, "there is no file {}", path.display()),
            Error::NoModule { module, missing, directory, hint } => {
                write!(f, "there is no module `{missing}`")?;
                if missing != module {
                    write!(f, " (looking for `{module}`)")?;
                }
                write!(f, " in {} or elsewhere on Python's path", directory.display())?;
                write_hint(f, hint.as_deref())
            }
            Error::NoAttribute { owner, name, hint } => {
                write!(f, "`{owner}` has no attribute `{name}`")?;
                write_hint(f, hint.as_deref())
            }
            Error::NoDefault(module) => write!(
                f,
                "`{module}` has neither `application` nor `app`, `create_app` nor `make_app`\n\
                 name the attribute: whiskyjack {module}:attribute"
            ),
            Error::BadAttribute { text, problem } => write!(f, "`{text}`: {problem}"),
            Error::NotCallable { name, kind } => {
                write!(f, "`{name}` is no application: it is of type {kind} and cannot be called")
            }
            Error::Asgi(name) => write!(
                f,
                "`{name}` is an ASGI application (a coroutine function); whiskyjack serves WSGI ones"
            ),
            Error::Raised { doing, traceback, .. } => {
                write!(f, "{doing} failed\n{}", traceback.trim_end())
            }
            Error::Interrupted => f.write_str("interrupted"),
        }
    }
}

fn write_hint(f: &mut fmt::Formatter<'_>, hint: Option<&str>) -> fmt::Result {
    hint.map_or(Ok(()), |hint| write!(f, "\ndid you mean `{hint}`?"))
}

impl std::error::Error for Error {}

/// Imports the application. `directory` is the current one; it and `pythonpath` become importable first.
pub fn load(
    py: Python<'_>,
    spec: Option<&Spec>,
    directory: &Path,
    pythonpath: &[PathBuf],
) -> Result<Loaded, Error> {
    let loader = Loader { py, directory };
    for path in pythonpath.iter().rev() {
        loader.make_importable(path)?;
    }
    loader.make_importable(directory)?;
    match spec {
        Some(spec) => loader.load(spec),
        None => loader.load_usual(),
    }
}

struct Loader<'py, 'a> {
    py: Python<'py>,
    directory: &'a Path,
}

/// The names that an application goes by.
const APPLICATIONS: [&str; 2] = ["application", "app"];
/// The names that a function goes by that returns one.
const FACTORIES: [&str; 2] = ["create_app", "make_app"];

impl<'py> Loader<'py, '_> {
    fn make_importable(&self, directory: &Path) -> Result<(), Error> {
        let doing = || format!("putting {} on Python's path", directory.display());
        let put = || {
            let path = self.py.import("sys")?.getattr("path")?.cast_into::<PyList>()?;
            let first = path.get_item(0).ok();
            if !first.is_some_and(|first| first.eq(directory.as_os_str()).unwrap_or(false)) {
                path.insert(0, directory.as_os_str())?;
            }
            Ok(())
        };
        put().map_err(|error| self.raised(doing(), &error))
    }

    fn load(&self, spec: &Spec) -> Result<Loaded, Error> {
        let (module, name) = self.import(&spec.source)?;
        let (found, name) = match &spec.attribute {
            Some(attribute) => {
                (self.evaluate(&module, &name, attribute)?, format!("{name}:{attribute}"))
            }
            None => self.find_usual(&module, &name)?,
        };
        self.check(found, name)
    }

    /// Without a name: `wsgi.py`, `app.py`, or a Django project.
    fn load_usual(&self) -> Result<Loaded, Error> {
        for name in ["wsgi.py", "app.py"] {
            let path = self.directory.join(name);
            if path.is_file() {
                return self.load(&Spec { source: Source::File(path), attribute: None });
            }
        }
        let settings = fs::read_to_string(self.directory.join("manage.py")).ok();
        match settings.as_deref().and_then(django_settings) {
            Some(settings) => self.load_django(settings),
            None => Err(Error::NoneNamed(self.directory.to_owned())),
        }
    }

    /// What the project's settings name as WSGI_APPLICATION; Django's own where they name none.
    fn load_django(&self, settings: &str) -> Result<Loaded, Error> {
        let doing = || format!("reading WSGI_APPLICATION from the Django settings `{settings}`");
        let read = || {
            let environ = self.py.import("os")?.getattr("environ")?;
            environ.call_method1("setdefault", ("DJANGO_SETTINGS_MODULE", settings))?;
            let settings = self.py.import("django.conf")?.getattr("settings")?;
            settings.getattr("WSGI_APPLICATION")?.extract::<Option<String>>()
        };
        match read().map_err(|error| self.raised(doing(), &error))? {
            Some(path) => {
                let (module, attribute) = path.rsplit_once('.').unwrap_or((&path, "application"));
                let source = Source::Module(module.to_owned());
                self.load(&Spec { source, attribute: Some(attribute.to_owned()) })
            }
            None => self.load(&Spec {
                source: Source::Module("django.core.wsgi".to_owned()),
                attribute: Some("get_wsgi_application()".to_owned()),
            }),
        }
    }

    fn import(&self, source: &Source) -> Result<(Bound<'py, PyModule>, String), Error> {
        match source {
            Source::Module(name) => Ok((self.import_module(name)?, name.clone())),
            Source::File(path) => self.import_file(path),
        }
    }

    fn import_module(&self, name: &str) -> Result<Bound<'py, PyModule>, Error> {
        self.py.import(name).map_err(|error| match self.missing_module(name, &error) {
            Some(missing) => Error::NoModule {
                module: name.to_owned(),
                hint: self.module_hint(name, &missing),
                missing,
                directory: self.directory.to_owned(),
            },
            None => self.raised(format!("importing `{name}`"), &error),
        })
    }

    /// The module that is missing, if it is the one asked for or a package around it, and not one that it imports.
    fn missing_module(&self, name: &str, error: &PyErr) -> Option<String> {
        if !error.is_instance_of::<PyModuleNotFoundError>(self.py) {
            return None;
        }
        let value = error.value(self.py).getattr("name").ok()?;
        let missing: String = value.extract().ok()?;
        let asked = name == missing || name.starts_with(&format!("{missing}."));
        // an `import name` inside the user's own code has frames to show
        (asked && !traceback::has_frames(self.py, error)).then_some(missing)
    }

    fn module_hint(&self, name: &str, missing: &str) -> Option<String> {
        if let Some((module, attribute)) = name.rsplit_once('.')
            && missing == name
            && self.py.import(module).is_ok_and(|module| module.hasattr(attribute).unwrap_or(false))
        {
            return Some(format!("{module}:{attribute}"));
        }
        let entries = fs::read_dir(self.directory).ok()?;
        let modules: Vec<String> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension() == Some(OsStr::new("py")) || path.is_dir())
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect();
        nearest(missing, modules.iter().map(String::as_str)).map(str::to_owned)
    }

    /// A file inside a package is imported as the package's module, any other as a module of its own.
    fn import_file(&self, path: &Path) -> Result<(Bound<'py, PyModule>, String), Error> {
        let path = self.directory.join(path);
        if !path.is_file() {
            return Err(Error::NoFile(path));
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut root = path.parent().unwrap_or(self.directory);
        let mut names = if stem == "__init__" { Vec::new() } else { vec![stem.clone()] };
        while root.join("__init__.py").is_file()
            && let (Some(parent), Some(package)) = (root.parent(), root.file_name())
        {
            names.insert(0, package.to_string_lossy().into_owned());
            root = parent;
        }
        let name = if names.is_empty() { stem } else { names.join(".") };
        self.make_importable(root)?;
        if names.len() > 1 {
            return Ok((self.import_module(&name)?, name));
        }
        let module = self.execute_file(&path, &name);
        Ok((
            module.map_err(|error| self.raised(format!("running {}", path.display()), &error))?,
            name,
        ))
    }

    /// Loads by path rather than by name: `json.py` must not turn out to be the standard library's.
    fn execute_file(&self, path: &Path, name: &str) -> PyResult<Bound<'py, PyModule>> {
        let tools = self.py.import("importlib.util")?;
        let spec = tools.call_method1("spec_from_file_location", (name, path.as_os_str()))?;
        let module = tools.call_method1("module_from_spec", (&spec,))?.cast_into::<PyModule>()?;
        let modules = self.py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?;
        let is_free = !modules.contains(name)?;
        if is_free {
            modules.set_item(name, &module)?;
        }
        let run = spec.getattr("loader")?.call_method1("exec_module", (&module,));
        if let (Err(error), true) = (&run, is_free) {
            // as the import system does: a module that failed is not there
            let _ = modules.del_item(name);
            return Err(error.clone_ref(self.py));
        }
        run.map(|_| module)
    }

    fn find_usual(
        &self,
        module: &Bound<'py, PyModule>,
        name: &str,
    ) -> Result<(Bound<'py, PyAny>, String), Error> {
        for attribute in APPLICATIONS {
            if let Ok(found) = module.getattr(attribute) {
                return Ok((found, format!("{name}:{attribute}")));
            }
        }
        for attribute in FACTORIES {
            if let Ok(factory) = module.getattr(attribute) {
                let name = format!("{name}:{attribute}()");
                let made = factory.call0();
                return match made {
                    Ok(made) => Ok((made, name)),
                    Err(error) => Err(self.raised(format!("calling `{name}`"), &error)),
                };
            }
        }
        Err(Error::NoDefault(name.to_owned()))
    }

    /// A dotted name, or a call of one whose arguments are literals.
    fn evaluate(
        &self,
        module: &Bound<'py, PyModule>,
        name: &str,
        text: &str,
    ) -> Result<Bound<'py, PyAny>, Error> {
        let bad = |problem: &str| Error::BadAttribute {
            text: text.to_owned(),
            problem: problem.to_owned(),
        };
        let not_a_name =
            "after the colon stands a name, a dotted name, or a call with literal arguments";
        let trees =
            self.py.import("ast").map_err(|error| self.raised("importing `ast`".into(), &error))?;
        let tree = trees.call_method1("parse", (text, "<application>", "eval"));
        let body = tree.and_then(|tree| tree.getattr("body")).map_err(|_| bad(not_a_name))?;
        if kind(&body) != "Call" {
            let path = dotted(&body).ok_or_else(|| bad(not_a_name))?;
            return self.walk(module, name, &path);
        }
        let function = body.getattr("func").ok();
        let path = function.as_ref().and_then(dotted).ok_or_else(|| bad(not_a_name))?;
        let arguments = literal_arguments(&trees, &body).map_err(|_| {
            bad("the arguments of a factory must be literals, such as 1, \"text\" or debug=True")
        })?;
        let factory = self.walk(module, name, &path)?;
        let made = factory.call(arguments.0, Some(&arguments.1));
        made.map_err(|error| self.raised(format!("calling `{name}:{text}`"), &error))
    }

    fn walk(
        &self,
        module: &Bound<'py, PyModule>,
        name: &str,
        path: &[String],
    ) -> Result<Bound<'py, PyAny>, Error> {
        let mut found = module.clone().into_any();
        for (index, attribute) in path.iter().enumerate() {
            found = found.getattr(attribute.as_str()).map_err(|_| Error::NoAttribute {
                owner: match index {
                    0 => name.to_owned(),
                    _ => format!("{name}:{}", path[..index].join(".")),
                },
                name: attribute.clone(),
                hint: attribute_hint(&found, attribute),
            })?;
        }
        Ok(found)
    }

    fn check(&self, found: Bound<'py, PyAny>, name: String) -> Result<Loaded, Error> {
        if !found.is_callable() {
            return Err(Error::NotCallable { name, kind: kind(&found) });
        }
        if self.is_coroutine_function(&found).unwrap_or(false) {
            return Err(Error::Asgi(name));
        }
        Ok(Loaded { application: found.unbind(), name })
    }

    fn is_coroutine_function(&self, found: &Bound<'py, PyAny>) -> PyResult<bool> {
        let asks = self.py.import("inspect")?.getattr("iscoroutinefunction")?;
        let call = found.get_type().getattr("__call__")?;
        Ok(asks.call1((found,))?.is_truthy()? || asks.call1((call,))?.is_truthy()?)
    }

    fn raised(&self, doing: String, error: &PyErr) -> Error {
        if error.is_instance_of::<PyKeyboardInterrupt>(self.py) {
            return Error::Interrupted;
        }
        let traceback = traceback::format(self.py, error);
        Error::Raised { doing, traceback, exception: error.clone_ref(self.py) }
    }
}

/// The name of an object's type.
fn kind(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "an unknown type".to_owned(), |name| name.to_string())
}

/// The names in `a.b.c`, where the tree is nothing else.
fn dotted(tree: &Bound<'_, PyAny>) -> Option<Vec<String>> {
    match kind(tree).as_str() {
        "Name" => Some(vec![tree.getattr("id").ok()?.extract().ok()?]),
        "Attribute" => {
            let mut path = dotted(&tree.getattr("value").ok()?)?;
            path.push(tree.getattr("attr").ok()?.extract().ok()?);
            Some(path)
        }
        _ => None,
    }
}

fn literal_arguments<'py>(
    trees: &Bound<'py, PyModule>,
    call: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
    let literal = |tree: Bound<'py, PyAny>| trees.call_method1("literal_eval", (tree,));
    let positional: Vec<_> =
        call.getattr("args")?.try_iter()?.map(|tree| literal(tree?)).collect::<PyResult<_>>()?;
    let named = PyDict::new(call.py());
    for keyword in call.getattr("keywords")?.try_iter()? {
        let keyword = keyword?;
        // the name of `**arguments` is None, which is no str
        let name: String = keyword.getattr("arg")?.extract()?;
        named.set_item(name, literal(keyword.getattr("value")?)?)?;
    }
    Ok((PyTuple::new(call.py(), positional)?, named))
}

fn attribute_hint(owner: &Bound<'_, PyAny>, attribute: &str) -> Option<String> {
    let names: Vec<String> = owner.dir().ok()?.extract().ok()?;
    let public = names.iter().map(String::as_str).filter(|name| !name.starts_with('_'));
    nearest(attribute, public).map(str::to_owned)
}

/// The module that a `manage.py` gives to DJANGO_SETTINGS_MODULE: the first text in quotes after that name.
fn django_settings(manage: &str) -> Option<&str> {
    const NAME: &str = "DJANGO_SETTINGS_MODULE";
    let lines = manage.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut lines = lines.skip_while(|line| !line.contains(NAME));
    let first = lines.next()?;
    let after = first[first.find(NAME)? + NAME.len()..].trim_start_matches(['"', '\'']);
    // formatters put the value on a line of its own
    std::iter::once(after).chain(lines.take(2)).find_map(|line| {
        let start = line.find(['"', '\''])?;
        let quote = line[start..].chars().next()?;
        let value = line[start + 1..].split(quote).next()?;
        value.split('.').all(is_identifier).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Value;

    #[test]
    fn the_settings_module_is_found_in_a_manage_py() {
        let usual = "    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n";
        assert_eq!(django_settings(usual), Some("shop.settings"));
        let formatted =
            "os.environ.setdefault(\n    \"DJANGO_SETTINGS_MODULE\",\n    \"shop.conf\",\n)";
        assert_eq!(django_settings(formatted), Some("shop.conf"));
        let assigned = "os.environ[\"DJANGO_SETTINGS_MODULE\"] = \"shop\"";
        assert_eq!(django_settings(assigned), Some("shop"));
        assert_eq!(django_settings("# DJANGO_SETTINGS_MODULE = 'x'\nprint('hello')\n"), None);
    }

    /// Loads from a directory with these files, and says what it was called, or the message.
    fn loaded(name: &str, files: &[(&str, &str)], spec: Option<&str>) -> Result<String, String> {
        let temporary = std::env::temp_dir();
        let directory = temporary.join(format!("wj-application-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = directory.join(path);
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            fs::write(path, text).expect("written");
        }
        let spec = spec.map(|text| Spec::parse(text).expect("a specification"));
        let loaded = Python::attach(|py| {
            py.import("importlib")?.call_method0("invalidate_caches")?;
            Ok::<_, PyErr>(load(py, spec.as_ref(), &directory, &[]))
        });
        let shown = loaded.expect("importlib is there");
        fs::remove_dir_all(&directory).expect("removed");
        let place = directory.display().to_string();
        shown.map(|loaded| loaded.name).map_err(|error| error.to_string().replace(&place, "HERE"))
    }

    #[test]
    fn a_module_goes_by_application_before_app_before_a_factory() {
        let app = "def app(environ, start_response): return []\n";
        let files = [("wja.py", format!("{app}application = app\n"))];
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        assert_eq!(loaded("a", &files, Some("wja")), Ok("wja:application".into()));
        assert_eq!(loaded("b", &[("wjb.py", app)], Some("wjb")), Ok("wjb:app".into()));
        let factory = "def make_app():\n    return lambda environ, start_response: []\n";
        assert_eq!(loaded("c", &[("wjc.py", factory)], Some("wjc")), Ok("wjc:make_app()".into()));
    }

    #[test]
    fn a_factory_takes_literal_arguments_only() {
        let text =
            "def make(name, *, deep):\n    assert (name, deep) == ('x', [1])\n    return print\n";
        let files = [("wjd.py", text)];
        let spec = "wjd:make('x', deep=[1])";
        assert_eq!(loaded("d", &files, Some(spec)), Ok(spec.into()));
        let message = loaded("d", &files, Some("wjd:make(open('x'))")).expect_err("no literal");
        assert!(message.contains("must be literals"), "{message}");
        let message = loaded("d", &files, Some("wjd:make + 1")).expect_err("no name");
        assert!(message.contains("after the colon"), "{message}");
    }

    #[test]
    fn a_file_is_loaded_by_its_path_whatever_it_is_called() {
        let app = "app = print\n";
        assert_eq!(loaded("e", &[("in/my-e.py", app)], Some("in/my-e.py")), Ok("my-e:app".into()));
        assert_eq!(loaded("f", &[("json.py", app)], Some("json.py:app")), Ok("json:app".into()));
        let files =
            [("wjpack/__init__.py", ""), ("wjpack/web.py", "from . import web\napp = print\n")];
        assert_eq!(loaded("g", &files, Some("wjpack/web.py")), Ok("wjpack.web:app".into()));
    }

    #[test]
    fn without_a_name_the_usual_files_are_tried() {
        let files = [("wsgi.py", "application = print\n"), ("app.py", "raise RuntimeError\n")];
        assert_eq!(loaded("h", &files, None), Ok("wsgi:application".into()));
        let message = loaded("i", &[("readme", "")], None).expect_err("nothing there");
        assert!(message.contains("HERE has no wsgi.py"), "{message}");
    }

    #[test]
    fn a_missing_module_names_what_was_looked_for_and_where() {
        let files = [("wjshop.py", "app = print\n")];
        assert_eq!(
            loaded("j", &files, Some("nothing_like_it")).expect_err("missing"),
            "there is no module `nothing_like_it` in HERE or elsewhere on Python's path"
        );
        let message = loaded("k", &[("wjstore.py", "app = print\n")], Some("wjstor"));
        assert!(message.expect_err("missing").ends_with("did you mean `wjstore`?"));
        let message = loaded("l", &[("wjmarket.py", "app = print\n")], Some("wjmarket.app"));
        assert!(message.expect_err("missing").ends_with("did you mean `wjmarket:app`?"));
    }

    #[test]
    fn a_missing_import_inside_the_module_shows_the_users_traceback_alone() {
        let message =
            loaded("m", &[("wjm.py", "\nimport wjnowhere\n")], Some("wjm")).expect_err("raises");
        assert!(message.starts_with("importing `wjm` failed\nTraceback"), "{message}");
        assert!(message.contains("wjm.py\", line 2"), "{message}");
        assert!(!message.contains("importlib"), "{message}");
        let message = loaded("n", &[("wjn.py", "1 / 0\n")], Some("wjn.py")).expect_err("raises");
        assert!(
            message.contains("ZeroDivisionError") && !message.contains("importlib"),
            "{message}"
        );
    }

    #[test]
    fn what_cannot_be_called_is_no_application() {
        let files = [("wjo.py", "app = 3\nasync def served(scope, receive, send): pass\n")];
        let message = loaded("o", &files, Some("wjo:app")).expect_err("a number");
        assert!(message.contains("of type int"), "{message}");
        let message = loaded("o", &files, Some("wjo:served")).expect_err("a coroutine function");
        assert!(message.contains("ASGI"), "{message}");
        let message = loaded("o", &files, Some("wjo:servd")).expect_err("a slip");
        assert!(
            message.ends_with("`wjo` has no attribute `servd`\ndid you mean `served`?"),
            "{message}"
        );
    }
}

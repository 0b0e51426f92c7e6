//! The watcher over a directory of its own: what is told, and what is not.

use super::*;
use crate::values::Value;
use std::fs;
use std::process;

/// A directory that goes with the test.
struct Project(PathBuf);

impl Project {
    fn new(name: &str) -> Project {
        let path = std::env::temp_dir().join(format!("wj-reloader-{name}-{}", process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("made");
        Project(path.canonicalize().expect("there"))
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("one")).expect("made");
        fs::write(&path, text).expect("written");
        path
    }

    fn imported(&self) -> Imported {
        Imported { roots: vec![self.0.clone()], ..Imported::default() }
    }

    fn plan(&self, events: bool, include: &[&str], exclude: &[&str]) -> Plan {
        let globs = |texts: &[&str]| -> Vec<patterns::Glob> {
            texts.iter().map(|text| patterns::Glob::parse(text).expect("right")).collect()
        };
        Plan {
            events,
            included: globs(include).iter().map(|glob| Included::from(glob, &self.0)).collect(),
            excluded: Excluded::from(&globs(exclude), &self.0),
        }
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn paths(changes: &[Change]) -> Vec<PathBuf> {
    changes.iter().map(|change| change.path.clone()).collect()
}

#[test]
fn a_saved_file_is_told_once() {
    let project = Project::new("saved");
    let app = project.write("app.py", "one");
    project.write("notes.txt", "one");
    let mut watcher = Watcher::new(project.plan(false, &[], &[]), project.imported());
    assert_eq!(watcher.look(project.imported(), true), []);
    project.write("app.py", "two!");
    project.write("notes.txt", "two!");
    assert_eq!(paths(&watcher.look(project.imported(), true)), [app]);
    assert_eq!(watcher.look(project.imported(), true), []);
}

#[test]
fn a_file_that_comes_to_be_is_told() {
    let project = Project::new("comes");
    project.write("app.py", "import late");
    let mut watcher = Watcher::new(project.plan(false, &[], &[]), project.imported());
    let late = project.write("late.py", "");
    assert_eq!(paths(&watcher.look(project.imported(), true)), [late]);
}

#[test]
fn a_module_that_is_imported_late_is_no_change() {
    let (project, installed) = (Project::new("project"), Project::new("installed"));
    let module = installed.write("library.py", "old");
    let old = fs::File::options().append(true).open(&module).expect("there");
    old.set_modified(SystemTime::UNIX_EPOCH).expect("set");
    let mut watcher = Watcher::new(project.plan(false, &[], &[]), project.imported());
    watcher.looked = SystemTime::now() + STEP;
    let imported = Imported { files: vec![module.clone()], ..project.imported() };
    assert_eq!(watcher.look(imported.clone(), false), []);
    installed.write("library.py", "new!");
    assert_eq!(watcher.look(imported.clone(), false), []);
    assert_eq!(paths(&watcher.look(imported, true)), [module]);
}

#[test]
fn a_file_that_is_put_in_the_place_of_another_is_a_change() {
    let project = Project::new("replaced");
    let app = project.write("app.py", "one");
    let mut watcher = Watcher::new(project.plan(false, &[], &[]), project.imported());
    fs::remove_file(&app).expect("removed");
    assert_eq!(watcher.look(project.imported(), true), []);
    let next = project.write("app.py~", "one");
    fs::rename(next, &app).expect("moved");
    assert_eq!(paths(&watcher.look(project.imported(), true)), [app]);
}

#[test]
fn named_files_are_watched_and_excluded_ones_are_not() {
    let project = Project::new("named");
    let page = project.write("pages/mail/a.html", "one");
    project.write("app.py", "one");
    project.write("made/b.py", "one");
    project.write(".hidden/c.html", "one");
    let plan = project.plan(false, &["*.html"], &["made"]);
    let mut watcher = Watcher::new(plan, project.imported());
    for name in ["pages/mail/a.html", "made/b.py", ".hidden/c.html"] {
        project.write(name, "two!");
    }
    assert_eq!(paths(&watcher.look(project.imported(), true)), [page]);
}

#[test]
fn the_system_tells_of_changes_in_directories_that_came_later_too() {
    let project = Project::new("events");
    let app = project.write("app.py", "one");
    let mut watcher = Watcher::new(project.plan(true, &[], &[]), project.imported());
    let long = Duration::from_secs(60);
    project.write("app.py", "two!");
    assert!(watcher.wait(long));
    assert_eq!(paths(&watcher.look(project.imported(), true)), [app]);
    let module = project.write("birds/jay.py", "one");
    let mut told = Vec::new();
    while told.is_empty() {
        assert!(watcher.wait(long));
        told = paths(&watcher.look(project.imported(), true));
    }
    assert_eq!(told, std::slice::from_ref(&module));
    project.write("birds/jay.py", "two!");
    assert!(watcher.wait(long));
    assert_eq!(paths(&watcher.look(project.imported(), true)), [module]);
}

#[test]
fn what_does_not_matter_ends_no_wait() {
    let project = Project::new("matters");
    project.write("app.py", "one");
    let mut watcher = Watcher::new(project.plan(true, &[], &[]), project.imported());
    project.write("data.sqlite", "");
    fs::read(project.0.join("app.py")).expect("read");
    assert!(!watcher.wait(Duration::from_millis(20)));
}

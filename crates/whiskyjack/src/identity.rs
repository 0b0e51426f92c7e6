//! As whom the server runs: user, groups and file mode mask. Knows not when that is taken on.

use crate::settings::Settings;
use crate::sys;
use crate::values::Value;
use rustix::fs::Mode;
use rustix::process::{getegid, geteuid, umask};
use std::fmt;
use std::io;

/// A user or a group, by its name or its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account(String);

impl Value for Account {
    fn parse(text: &str) -> Result<Self, String> {
        match text.is_empty() || text.contains([':', '\0', ' ']) {
            true => Err("write a name or a number".to_owned()),
            false => Ok(Account(text.to_owned())),
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// Why the server cannot be whom it is asked to be.
#[derive(Debug)]
pub enum Error {
    /// there is no such user
    NoUser(String),
    /// there is no such group
    NoGroup(String),
    /// the user has a number alone, and no group of its own
    GroupWanted(String),
    /// only root can become another
    NotRoot {
        /// which setting asks for it
        setting: &'static str,
        /// for whom
        name: String,
        /// as whom it runs
        current: u32,
    },
    /// the system refuses
    System(String, io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoUser(name) => write!(f, "--user {name}: there is no such user"),
            Error::NoGroup(name) => write!(f, "--group {name}: there is no such group"),
            Error::GroupWanted(name) => {
                write!(f, "--user {name}: no user has this number, so name a --group as well")
            }
            Error::NotRoot { setting, name, current } => write!(
                f,
                "--{setting} {name}: only root can become another, and this runs as user {current}; leave it out, or start as root"
            ),
            Error::System(doing, error) => write!(f, "{doing}: {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// Becomes whom the settings name, for good: with the user's other groups, and without a way back.
pub fn take_on(settings: &Settings) -> Result<(), Error> {
    if let Some(mask) = settings.umask {
        umask(Mode::from_raw_mode(mask.0 as rustix::fs::RawMode));
    }
    let Some(Wanted { user, group }) = wanted(settings)? else { return Ok(()) };
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    if user.as_ref().is_none_or(|user| user.id == uid) && group.is_none_or(|group| group == gid) {
        // As systemd has already seen to it, or the supervisor before this one.
        return Ok(());
    }
    if uid != 0 {
        let (setting, name) = match (&settings.user, &settings.group) {
            (Some(Account(name)), _) => ("user", name),
            (None, Some(Account(name))) => ("group", name),
            (None, None) => return Ok(()),
        };
        return Err(Error::NotRoot { setting, name: name.clone(), current: uid });
    }
    let group = group.unwrap_or(gid);
    let name = user.as_ref().and_then(|user| user.name.as_deref());
    sys::set_groups(name, group)
        .map_err(|error| Error::System(format!("cannot take on group {group}"), error))?;
    if let Some(user) = user {
        sys::set_user(user.id)
            .map_err(|error| Error::System(format!("cannot become user {}", user.id), error))?;
    }
    Ok(())
}

/// Whom the settings name.
struct Wanted {
    user: Option<User>,
    group: Option<u32>,
}

struct User {
    id: u32,
    /// where it has one
    name: Option<String>,
}

/// The user and the group that are asked for; where only a user is, the group is that user's.
fn wanted(settings: &Settings) -> Result<Option<Wanted>, Error> {
    if settings.user.is_none() && settings.group.is_none() {
        return Ok(None);
    }
    let system = |error| Error::System("cannot look up users and groups".to_owned(), error);
    let group = match &settings.group {
        None => None,
        Some(Account(name)) => match sys::group_id(name).map_err(system)? {
            Some(id) => Some(id),
            None => Some(name.parse().map_err(|_| Error::NoGroup(name.clone()))?),
        },
    };
    let Some(Account(name)) = &settings.user else { return Ok(Some(Wanted { user: None, group })) };
    let found = match (sys::user(name).map_err(system)?, name.parse()) {
        (Some(found), _) => Some(found),
        (None, Ok(id)) => match sys::user_by_id(id).map_err(system)? {
            Some(found) => Some(found),
            None => {
                let group = group.ok_or_else(|| Error::GroupWanted(name.clone()))?;
                let user = Some(User { id, name: None });
                return Ok(Some(Wanted { user, group: Some(group) }));
            }
        },
        (None, Err(_)) => None,
    };
    let found = found.ok_or_else(|| Error::NoUser(name.clone()))?;
    let user = User { id: found.id, name: Some(found.name) };
    Ok(Some(Wanted { user: Some(user), group: group.or(Some(found.group)) }))
}

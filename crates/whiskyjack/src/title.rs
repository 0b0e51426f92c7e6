//! What `ps` and `top` call a process. Knows not what it does.

use crate::settings::Settings;
use crate::sys;
use crate::values::Value;
use std::ffi::CString;

/// Calls this process so. Where the system has no way to, it keeps its name.
pub fn show(title: &str) {
    let title: String = title.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    #[cfg(target_os = "linux")]
    if let Ok(short) = CString::new("whiskyjack") {
        // The name of the main thread, which is what `top` and `pgrep` know a process by.
        let _ = rustix::thread::set_name(&short);
    }
    sys::overwrite_arguments(title.as_bytes());
}

/// What stands in brackets: the name that was given, or the application.
pub fn name(settings: &Settings) -> String {
    match (&settings.name, &settings.app) {
        (Some(name), _) => name.show(),
        (None, Some(app)) => app.to_string(),
        (None, None) => String::new(),
    }
}

/// `whiskyjack: worker 1 [shop]`.
pub fn of(part: &str, name: &str) -> String {
    match name {
        "" => format!("whiskyjack: {part}"),
        name => format!("whiskyjack: {part} [{name}]"),
    }
}

//! What the daemon is called.

use std::{env, path::Path};

use prefork_core::one_line;

use super::Faults;

/// Returns the name given, or that of the program.
pub(super) fn check(given: Option<&str>, faults: &mut Faults) -> String {
    let name = name_of(given);
    if !is_visible(&name) {
        faults.add("name", "must be a visible text on one line");
    }
    name
}

/// Returns what the daemon is called that was given this name, or none.
pub(crate) fn name_of(given: Option<&str>) -> String {
    given.map(str::to_owned).unwrap_or_else(|| {
        let program = env::args_os().next().unwrap_or_default();
        let file = Path::new(&program).file_name().unwrap_or_default();
        match file.to_string_lossy() {
            file if file.is_empty() => "prefork".to_owned(),
            file => one_line(&*file).to_string(),
        }
    })
}

/// Returns the version of the program.
pub(super) fn check_version(given: Option<String>, faults: &mut Faults) -> Option<String> {
    if given.as_deref().is_some_and(|version| !is_visible(version)) {
        faults.add("version", "must be a visible text on one line");
    }
    given
}

pub(super) fn is_visible(text: &str) -> bool {
    !text.is_empty() && one_line(text).to_string() == text
}

//! Code of other languages and of others' libraries in children: what the pages about that say.
//!
//! The programs are none of the workspace, as they need a C compiler and Python. `.ci/check-languages` builds them, and
//! runs these tests with `PREFORK_LANGUAGES`, the directory where they are.

mod c_library;
mod libraries;
mod python;

use std::{env, path::PathBuf};

use prefork_tests::{Lack, PATIENCE, Scene, skip, wait_until};

/// Returns where a program is; prints that the test is skipped if it is not there.
#[track_caller]
fn require(program: &str) -> Option<String> {
    let Some(folder) = env::var_os("PREFORK_LANGUAGES") else {
        // A platform: where nothing may be skipped, .ci/check-languages runs them.
        skip(Lack::Platform("PREFORK_LANGUAGES is not set, as .ci/check-languages does"));
        return None;
    };
    let path = PathBuf::from(folder).join(program);
    if !path.exists() {
        skip(Lack::Missing(&format!("{} was not built", path.display())));
        return None;
    }
    Some(path.into_os_string().into_string().expect("it is of this repository"))
}

/// Waits until a daemon in the foreground serves.
#[track_caller]
fn wait_for_ready(scene: &Scene) {
    wait_until(PATIENCE, "it is ready", || !said(scene, " parent info: ready, with ").is_empty());
}

/// Returns the lines of the daemon's standard error that contain `text`.
fn said(scene: &Scene, text: &str) -> Vec<String> {
    scene.lines_with("1.stderr", text)
}

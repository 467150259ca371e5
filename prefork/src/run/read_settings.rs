//! Reading settings, and reporting to a daemon why they cannot be read.

use std::{fmt::Display, path::Path};

use crate::{SettingsError, args::settings, upgrade::inherited};

/// Reads a file of settings, the library's ([`Settings`](crate::Settings)) and the program's own, and has `parse` make
/// something of the text.
///
/// For root the file, its directory and all above must be root's alone, as it decides what root does.
///
/// A daemon of a program that has read its settings so reads them again at each reload: see
/// [operating](crate::docs::operating#settings).
///
/// # Errors
///
/// [`SettingsError`] names the file and what is wrong, if it cannot be read, or `parse` fails. What is wrong with keys of
/// [`Settings`](crate::Settings) alone is no reason to fail here: it is reported by [`Prefork::new`](crate::Prefork::new),
/// with its place and with all that is wrong elsewhere. [`exit_code`](crate::exit_code) makes 78 of both.
///
/// # Examples
///
/// ```no_run
/// # #[cfg(feature = "serde")] {
/// use prefork::{Settings, read_settings};
///
/// let settings: Settings = read_settings("/etc/hello.toml", |text| toml::from_str(text))?;
/// # }
/// # Ok::<(), prefork::SettingsError>(())
/// ```
pub fn read_settings<T, E: Display>(
    path: impl AsRef<Path>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, SettingsError> {
    let read = settings::read(path.as_ref(), parse);
    if let (Err(error), Some(inherited)) = (&read, &*inherited()) {
        // What the program makes of it is not known; if it goes on without, that is what counts.
        inherited.explain(error);
    }
    read
}

//! Amounts that flags have, read as all settings have them.

use prefork::Settings;

/// Reads an amount of memory, in bytes.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let read = Settings::from_flags([("max_memory", text)]).max_memory;
    read.ok_or_else(|| "must be an amount of memory, such as 40M or 1.5G".to_owned())
}

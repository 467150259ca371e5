//! Amounts of memory as people write them: in units of powers of 1024.

/// The units by their letters, the largest first, with the power of two of each.
const UNITS: [(&str, u32); 4] = [("T", 40), ("G", 30), ("M", 20), ("K", 10)];

/// Returns the power of two for which a unit stands: `K` or `KiB` to `T` or `TiB`, with spaces before it, and 0 for `B` or nothing.
/// Those of powers of 1000 (`MB`) are none, as most who write them mean the others.
///
/// # Examples
///
/// ```
/// use prefork_core::memory_unit;
///
/// assert_eq!(["", " KiB", "G", "MB"].map(memory_unit), [Some(0), Some(10), Some(30), None]);
/// ```
#[must_use]
pub fn memory_unit(unit: &str) -> Option<u32> {
    let unit = unit.trim_start();
    if matches!(unit, "" | "B") {
        return Some(0);
    }
    let letter = unit.strip_suffix("iB").unwrap_or(unit);
    UNITS.into_iter().find(|(known, _)| *known == letter).map(|(_, power)| power)
}

/// Returns what is wrong with a limit of so many bytes for processes, if it is less than any process takes: then a unit was
/// probably left out. 0 is not looked at.
///
/// # Examples
///
/// ```
/// use prefork_core::too_little_memory;
///
/// let problem = too_little_memory(512).expect("no process has so little");
/// assert_eq!(problem, "512 bytes are less than any process takes; write 512M for MiB");
/// assert_eq!([0, 1 << 20].map(too_little_memory), [None, None]);
/// ```
#[must_use]
pub fn too_little_memory(bytes: u64) -> Option<String> {
    const LEAST: u64 = 1 << 20;
    (1..LEAST).contains(&bytes).then(|| {
        let is_in_mib = bytes < 1 << 16;
        let advice =
            if is_in_mib { format!("write {bytes}M for MiB") } else { "1M is the least".into() };
        format!("{bytes} bytes are less than any process takes; {advice}")
    })
}

/// Returns a number of bytes in the largest unit of which it is a whole number.
///
/// # Examples
///
/// ```
/// use prefork_core::in_memory_units;
///
/// assert_eq!([0, 1000, 3 << 20, 1 << 40].map(in_memory_units), ["0", "1000", "3M", "1T"]);
/// ```
#[must_use]
pub fn in_memory_units(bytes: u64) -> String {
    let unit = UNITS.into_iter().find(|(_, power)| bytes > 0 && bytes.is_multiple_of(1 << power));
    unit.map_or(bytes.to_string(), |(unit, power)| format!("{}{unit}", bytes >> power))
}

//! Times and amounts of memory as people write them, the same in files, flags and variables.

use std::time::Duration;

use prefork_core::memory_unit;

/// Reads a time: a number of seconds (`30`, `0.5`), or numbers with units from `ns` to `y` (`5s`, `5 min`, `1.5h`,
/// `1h 30m`, `1d`).
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    humantime::parse_duration(text).ok()
}

/// Reads an amount of memory in bytes: a whole number, or a number with a unit of powers of 1024, as `200M`, `200MiB`,
/// `1.5G`, `64 KiB`. Units of powers of 1000 (`MB`) are refused, as most who write them mean the others.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let power = memory_unit(unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // Of a byte there is no part; 12 digits are enough for any number of them.
    if fraction.len() > 12 || (power == 0 && number.contains('.')) {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    u64::try_from(digits.checked_mul(1 << power)? / scale).ok()
}

#[cfg(test)]
mod tests {
    use prefork_core::in_memory_units;

    use super::*;

    #[test]
    fn times_have_any_unit() {
        let table = [
            ("30", 30_000),
            ("0.5", 500),
            ("5s", 5000),
            ("5 s", 5000),
            ("500ms", 500),
            ("5 min", 300_000),
            ("5m", 300_000),
            ("1.5h", 5_400_000),
            ("1m 30s", 90_000),
            ("1d", 86_400_000),
            (" 5s ", 5000),
        ];
        for (text, ms) in table {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "soon", "-1", "5x", "1e300", "inf", "5 5", "s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn amounts_have_units_of_1024() {
        let mib = 1 << 20;
        let table = [
            ("0", 0),
            ("1000", 1000),
            ("5 B", 5),
            ("200M", 200 * mib),
            ("200MiB", 200 * mib),
            ("200 MiB", 200 * mib),
            ("1.5G", 1536 * mib),
            ("64K", 64 << 10),
            ("2T", 2 << 40),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, expected) in table {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "M",
            "200MB",
            "200m",
            "-1",
            "1.5",
            "1..5K",
            ".",
            "18446744073709551616",
            "20000000T",
        ] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn amounts_are_shown_as_they_are_read() {
        for (shown, amount) in
            [("200M", 200 << 20), ("1536M", 3 << 29), ("1000", 1000), ("0", 0), ("1T", 1 << 40)]
        {
            assert_eq!(in_memory_units(amount), shown);
            assert_eq!(bytes(shown), Some(amount));
        }
    }
}

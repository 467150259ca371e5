//! Figures as people read them, in six characters at most.

use std::time::Duration;

/// `3.2s`, `45s`, `12m05s`, `3h20m`, `5d04h`, `400d`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..10 => format!("{seconds}.{}s", time.subsec_millis() / 100),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        86_400..8_640_000 => format!("{days}d{:02}h", hours % 24),
        _ => format!("{days}d"),
    }
}

/// `7ms`, `999ms`, and from a second on as [`duration`]: for times that are short where all is well.
#[must_use]
pub fn fine_duration(time: Duration) -> String {
    if time < Duration::from_secs(1) { format!("{}ms", time.as_millis()) } else { duration(time) }
}

/// `512B`, `3.4K`, `812K`, `1.2G`: powers of 1024.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    let (mut whole, mut tenths, mut unit) = (bytes, 0, 'B');
    for next in ['K', 'M', 'G', 'T', 'P', 'E'] {
        if whole < 1024 {
            break;
        }
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit = next;
    }
    if whole < 10 && unit != 'B' {
        format!("{whole}.{tenths}{unit}")
    } else {
        format!("{whole}{unit}")
    }
}

/// `1 child`, `2 children`.
#[must_use]
pub fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let table = [
            (0, "0.0s"),
            (3_290, "3.2s"),
            (9_999, "9.9s"),
            (59_999, "59s"),
            (60_000, "1m00s"),
            (725_000, "12m05s"),
            (3_600_000, "1h00m"),
            (12_000_000, "3h20m"),
            (86_400_000, "1d00h"),
            (446_400_000, "5d04h"),
            (34_560_000_000, "400d"),
        ];
        for (milliseconds, expected) in table {
            assert_eq!(duration(Duration::from_millis(milliseconds)), expected);
        }
        assert!(duration(Duration::MAX).ends_with('d'));
    }

    #[test]
    fn short_durations_are_in_milliseconds() {
        for (milliseconds, expected) in
            [(0, "0ms"), (7, "7ms"), (999, "999ms"), (1000, "1.0s"), (60_000, "1m00s")]
        {
            assert_eq!(fine_duration(Duration::from_millis(milliseconds)), expected);
        }
    }

    #[test]
    fn sizes_are_short() {
        let table = [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.0K"),
            (3_565_158, "3.3M"),
            (10 << 20, "10M"),
            (1023 << 20, "1023M"),
            (u64::MAX, "15E"),
        ];
        for (size, expected) in table {
            assert_eq!(bytes(size), expected);
        }
    }
}

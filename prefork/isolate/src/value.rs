//! What is behind the name of a layer: read, and shown.

use std::{collections::BTreeSet, fmt};

use prefork_core::{in_memory_units, memory_unit};

use crate::{call::Call, layer::Kind};

/// The value of a layer, of the kind that the layer has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    Nothing,
    Size(u64),
    Count(u64),
    Ports(BTreeSet<u16>),
    Calls(BTreeSet<Call>),
    Nice(i32),
    IoPriority(IoPriority),
    Cpus(BTreeSet<u16>),
}

/// In which order the disk serves a process, where its scheduler takes that into account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IoPriority {
    /// Among the others: 0 is served first, 7 last; usual is 4.
    BestEffort(u8),
    /// When nobody else asks.
    Idle,
}

/// The highest number of a processor, as the C library knows them.
const LAST_CPU: u16 = 1023;

impl Value {
    /// Reads what stands behind the name of a layer.
    ///
    /// # Errors
    ///
    /// Fails with what it should be.
    pub(crate) fn parse(kind: Kind, text: Option<&str>) -> Result<Self, &'static str> {
        let text = text.map(str::trim);
        match (kind, text) {
            (Kind::Nothing, None) => Ok(Self::Nothing),
            (Kind::Nothing, Some(_)) => Err("no value"),
            (Kind::Size, text) => text.and_then(size).map(Self::Size).ok_or("a size such as 64M"),
            (Kind::Count, text) => {
                text.and_then(|text| text.parse().ok()).map(Self::Count).ok_or("a whole number")
            }
            (Kind::Ports, text) => {
                let port = text.and_then(|text| text.parse().ok());
                port.map(|port| Self::Ports([port].into())).ok_or("one port, 0 to 65535")
            }
            (Kind::Calls, text) => text
                .and_then(Call::by_name)
                .map(|call| Self::Calls([call].into()))
                .ok_or("one of the system calls that are listed in the guide to isolation"),
            (Kind::Nice, text) => text
                .and_then(|text| text.parse().ok())
                .filter(|nice| (-20..=19).contains(nice))
                .map(Self::Nice)
                .ok_or("a number from -20 to 19"),
            (Kind::IoPriority, text) => {
                text.and_then(io_priority).map(Self::IoPriority).ok_or("0 to 7, or idle")
            }
            (Kind::Cpus, text) => {
                text.and_then(cpus).map(Self::Cpus).ok_or("a processor, or a range such as 0-3")
            }
        }
    }

    /// Shows it as texts, one for each time that the layer is named.
    pub(crate) fn texts(&self) -> Vec<Option<String>> {
        let some = |text: String| vec![Some(text)];
        match self {
            Self::Nothing => vec![None],
            Self::Size(bytes) => some(in_memory_units(*bytes)),
            Self::Count(count) => some(count.to_string()),
            Self::Ports(ports) => ports.iter().map(|port| Some(port.to_string())).collect(),
            Self::Calls(calls) => calls.iter().map(|call| Some(call.name().to_owned())).collect(),
            Self::Nice(nice) => some(nice.to_string()),
            Self::IoPriority(IoPriority::Idle) => some("idle".to_owned()),
            Self::IoPriority(IoPriority::BestEffort(level)) => some(level.to_string()),
            Self::Cpus(cpus) => ranges(cpus).into_iter().map(Some).collect(),
        }
    }

    /// Takes what was said later about the same layer: lists grow, other values are replaced.
    pub(crate) fn merge(&mut self, later: Self) {
        match (self, later) {
            (Self::Ports(all), Self::Ports(more)) | (Self::Cpus(all), Self::Cpus(more)) => {
                all.extend(more);
            }
            (Self::Calls(all), Self::Calls(more)) => all.extend(more),
            (value, later) => *value = later,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.texts().into_iter().flatten().collect();
        f.write_str(&texts.join(","))
    }
}

/// A number of bytes, or of units of powers of 1024.
fn size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    number.parse::<u64>().ok()?.checked_mul(1 << memory_unit(unit)?)
}

fn io_priority(text: &str) -> Option<IoPriority> {
    if text == "idle" {
        return Some(IoPriority::Idle);
    }
    text.parse().ok().filter(|level| *level <= 7).map(IoPriority::BestEffort)
}

fn cpus(text: &str) -> Option<BTreeSet<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
    (first <= last && last <= LAST_CPU).then(|| (first..=last).collect())
}

/// Shows numbers as ranges: `0-3`, `8`.
fn ranges(numbers: &BTreeSet<u16>) -> Vec<String> {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*number) => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let show = |(first, last)| {
        if first == last { format!("{first}") } else { format!("{first}-{last}") }
    };
    ranges.into_iter().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1000", Some(1000)),
            ("5 B", Some(5)),
            ("64M", Some(64 << 20)),
            ("64 MiB", Some(64 << 20)),
            ("2T", Some(2 << 40)),
            ("", None),
            ("M", None),
            ("64MB", None),
            ("-1", None),
            ("1.5G", None),
            ("20000000T", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }

    #[test]
    fn processors_are_shown_as_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8].into()), ["0-2", "5", "7-8"]);
        assert_eq!(cpus("0-2"), Some([0, 1, 2].into()));
        for wrong in ["", "-", "3-1", "0-", "-1", "1024", "0-1024", "a"] {
            assert_eq!(cpus(wrong), None, "{wrong}");
        }
    }
}

//! What each kind of setting makes of what it is given, and how it is shown.

use std::{path::PathBuf, time::Duration};

use prefork_core::in_memory_units;

use super::{units, value::Value};
use crate::{Isolation, LogLevel, OnChange, OnDisconnect, StatusAddress};

/// What a setting can be made of.
pub(crate) trait Field: Sized {
    /// What it should be, in words.
    const WANTED: &str;

    /// Makes it of what a file says.
    fn read(value: &Value) -> Option<Self>;

    /// Makes it of the text of a flag or a variable.
    fn parse(text: &str) -> Option<Self> {
        Self::read(&Value::Text(text.to_owned()))
    }

    /// Shows it as a file would have it.
    fn shown(&self) -> String;

    fn from_value(value: &Value) -> Result<Self, String> {
        Self::read(value).ok_or_else(|| format!("must be {}, not {value}", Self::WANTED))
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| format!("must be {}, not {text:?}", Self::WANTED))
    }
}

/// What a setting is given.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Given<'a> {
    /// By a file.
    Value(&'a Value),
    /// By a flag or a variable.
    Text(&'a str),
}

impl Given<'_> {
    /// Makes a setting of it.
    pub(crate) fn make<T: Field>(self) -> Result<T, String> {
        match self {
            Self::Value(value) => T::from_value(value),
            Self::Text(text) => T::from_text(text),
        }
    }
}

/// A text in quotes, as TOML has it.
fn quoted(text: &str) -> String {
    format!("{text:?}")
}

impl Field for bool {
    const WANTED: &str = "true or false";

    fn read(value: &Value) -> Option<Self> {
        if let Value::Truth(value) = value { Some(*value) } else { None }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Field for String {
    const WANTED: &str = "a text";

    fn read(value: &Value) -> Option<Self> {
        if let Value::Text(value) = value { Some(value.clone()) } else { None }
    }

    fn shown(&self) -> String {
        quoted(self)
    }
}

impl Field for PathBuf {
    const WANTED: &str = "a path";

    fn read(value: &Value) -> Option<Self> {
        String::read(value).map(Into::into)
    }

    fn shown(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

macro_rules! whole_numbers {
    ($($type:ty: $wanted:literal;)*) => {$(
        impl Field for $type {
            const WANTED: &str = $wanted;

            fn read(value: &Value) -> Option<Self> {
                if let Value::Whole(value) = value { (*value).try_into().ok() } else { None }
            }

            fn parse(text: &str) -> Option<Self> {
                text.trim().parse().ok()
            }

            fn shown(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

whole_numbers! {
    u32: "a whole number from 0 to 4294967295";
    u64: "a whole number from 0 to 18446744073709551615";
}

impl Field for Duration {
    const WANTED: &str = "a number of seconds or a time such as \"30s\", \"5 min\" or \"1d\"";

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Whole(seconds) => Some(Self::from_secs((*seconds).try_into().ok()?)),
            Value::Real(seconds) => Self::try_from_secs_f64(*seconds).ok(),
            Value::Text(text) => units::duration(text),
            Value::Nothing | Value::Truth(_) | Value::List(_) | Value::Table => None,
        }
    }

    fn shown(&self) -> String {
        quoted(&humantime::format_duration(*self).to_string())
    }
}

impl Field for Vec<String> {
    const WANTED: &str = "a list of texts";

    fn parse(text: &str) -> Option<Self> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        Some(names.map(str::to_owned).collect())
    }

    fn shown(&self) -> String {
        let names: Vec<_> = self.iter().map(|name| quoted(name)).collect();
        format!("[{}]", names.join(", "))
    }

    fn read(value: &Value) -> Option<Self> {
        let Value::List(values) = value else { return None };
        values.iter().map(String::read).collect()
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        Self::read(value).ok_or_else(|| {
            let wrong = match value {
                Value::List(values) => values.iter().find(|value| String::read(value).is_none()),
                Value::Nothing
                | Value::Truth(_)
                | Value::Whole(_)
                | Value::Real(_)
                | Value::Text(_)
                | Value::Table => None,
            };
            let with = wrong.map(|wrong| format!(" with {wrong} in it")).unwrap_or_default();
            format!("must be {}, not {value}{with}", Self::WANTED)
        })
    }
}

impl Field for Isolation {
    const WANTED: &str = "a list of layers such as [\"siblings\", \"open-files=256\"]";

    fn read(value: &Value) -> Option<Self> {
        Self::parse(Vec::<String>::read(value)?).ok()
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        let Some(texts) = Vec::<String>::read(value) else {
            return Err(format!("must be {}, not {value}", Self::WANTED));
        };
        Self::parse(texts).map_err(|fault| fault.to_string())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let texts = <Vec<String> as Field>::parse(text).unwrap_or_default();
        Self::parse(texts).map_err(|fault| fault.to_string())
    }

    fn shown(&self) -> String {
        self.texts().shown()
    }
}

impl Field for OnChange {
    const WANTED: &str = "\"upgrade\", \"reload\" or \"nothing\"";

    fn read(value: &Value) -> Option<Self> {
        match String::read(value)?.as_str() {
            "upgrade" => Some(Self::Upgrade),
            "reload" => Some(Self::Reload),
            "nothing" => Some(Self::Nothing),
            _ => None,
        }
    }

    fn shown(&self) -> String {
        quoted(match self {
            Self::Upgrade => "upgrade",
            Self::Reload => "reload",
            Self::Nothing => "nothing",
        })
    }
}

impl Field for OnDisconnect {
    const WANTED: &str = "\"cancel\" or \"nothing\"";

    fn read(value: &Value) -> Option<Self> {
        match String::read(value)?.as_str() {
            "cancel" => Some(Self::Cancel),
            "nothing" => Some(Self::Nothing),
            _ => None,
        }
    }

    fn shown(&self) -> String {
        quoted(match self {
            Self::Cancel => "cancel",
            Self::Nothing => "nothing",
        })
    }
}

impl Field for LogLevel {
    const WANTED: &str = Self::NAMES;

    fn read(value: &Value) -> Option<Self> {
        String::read(value)?.parse().ok()
    }

    fn shown(&self) -> String {
        quoted(self.name())
    }
}

impl Field for StatusAddress {
    const WANTED: &str = "an address such as \"127.0.0.1:9000\" or the path of a socket";

    fn read(value: &Value) -> Option<Self> {
        String::read(value).map(Into::into)
    }

    fn shown(&self) -> String {
        quoted(&self.to_string())
    }
}

/// An amount of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory(pub(crate) u64);

impl Field for Memory {
    const WANTED: &str = "a number of bytes, or an amount such as \"200M\" or \"1.5GiB\"";

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Whole(bytes) => (*bytes).try_into().ok().map(Self),
            Value::Text(text) => units::bytes(text).map(Self),
            Value::Nothing | Value::Truth(_) | Value::Real(_) | Value::List(_) | Value::Table => {
                None
            }
        }
    }

    fn shown(&self) -> String {
        let shown = in_memory_units(self.0);
        if shown.ends_with(|last: char| last.is_ascii_digit()) { shown } else { quoted(&shown) }
    }
}

/// A file mode creation mask, in octal as people write it.
///
/// A number is refused: it was meant to be octal as well, and `22` would be read as `0o26`. 0 is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mask(pub(crate) u32);

impl Field for Mask {
    const WANTED: &str = "a text of octal digits such as \"022\" (a number would be decimal)";

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => {
                let digits = text.strip_prefix("0o").unwrap_or(text);
                let is_octal = digits.bytes().all(|digit| digit.is_ascii_digit());
                let mask = u32::from_str_radix(digits, 8).ok().filter(|_| is_octal);
                mask.map(Self)
            }
            Value::Whole(0) => Some(Self(0)),
            Value::Nothing
            | Value::Truth(_)
            | Value::Whole(_)
            | Value::Real(_)
            | Value::List(_)
            | Value::Table => None,
        }
    }

    fn shown(&self) -> String {
        quoted(&format!("{:03o}", self.0))
    }
}

//! Settings of the program's own, which children are handed as texts.

use serde::{Deserialize, Serialize};

/// A setting of the program's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnSetting {
    pub(crate) name: String,
    pub(crate) value: OwnValue,
}

/// What is known of its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OwnValue {
    /// The text that children are handed.
    Handed(String),
    /// What stands for one that takes an upgrade.
    Fixed(u64),
}

/// Returns the text that children are handed under this name.
pub(crate) fn handed<'a>(settings: &'a [OwnSetting], name: &str) -> Option<&'a str> {
    let setting = settings.iter().rev().find(|setting| setting.name == name)?;
    match &setting.value {
        OwnValue::Handed(text) => Some(text),
        OwnValue::Fixed(_) => None,
    }
}

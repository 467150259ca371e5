//! Which layers are on, and which are not possible here.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use crate::Layer;

/// What has become of each layer that was asked for.
///
/// Shown in one line: `no-new-privileges, signals, open-files 256; not possible here: private-tmp (needs root)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    on: Vec<String>,
    missing: Vec<Missing>,
}

/// A layer that is not possible here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Missing {
    /// Its name.
    pub layer: String,
    /// Why, and what it would take.
    pub why: String,
    /// Whether it must be possible.
    pub is_required: bool,
}

impl Report {
    /// Returns whether nothing was asked for.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.on.is_empty() && self.missing.is_empty()
    }

    /// Returns the layers that are on, each with its value.
    #[must_use]
    pub fn on(&self) -> &[String] {
        &self.on
    }

    /// Returns the layers that are not possible here.
    #[must_use]
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    pub(crate) fn add_on(&mut self, layer: Layer, value: &impl Display) {
        self.on.push(format!("{layer} {value}").trim_end().to_owned());
    }

    pub(crate) fn add_missing(&mut self, layer: Layer, why: String, is_required: bool) {
        self.missing.push(Missing { layer: layer.name().to_owned(), why, is_required });
    }
}

impl Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.layer, self.why)
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = if self.on.is_empty() { "nothing".to_owned() } else { self.on.join(", ") };
        f.write_str(&on)?;
        let missing: Vec<_> = self.missing.iter().map(Missing::to_string).collect();
        if missing.is_empty() {
            return Ok(());
        }
        write!(f, "; not possible here: {}", missing.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_line_with_the_reason_of_what_is_missing() {
        let mut report = Report::default();
        assert_eq!(report.to_string(), "nothing");
        report.add_on(Layer::Signals, &"");
        report.add_on(Layer::OpenFiles, &256);
        assert_eq!(report.to_string(), "signals, open-files 256");
        report.add_missing(Layer::PrivateTmp, "needs root".to_owned(), true);
        let shown = "signals, open-files 256; not possible here: private-tmp (needs root)";
        assert_eq!(report.to_string(), shown);
    }
}

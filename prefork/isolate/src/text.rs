//! Isolation as people write it: a list of texts.

use std::fmt::{self, Display};

use prefork_core::one_line;

use crate::{Isolation, Layer, value::Value};

/// Stands for all of [`Layer::SIBLINGS`].
const SIBLINGS: &str = "siblings";

/// Stands before what must be possible.
const REQUIRE: &str = "require ";

/// What is wrong with a text that is to say what is isolated.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IsolationFault {
    /// There is no such layer.
    #[error("no layer is called {:?}; there are siblings, {}", one_line(name).to_string(), names())]
    #[non_exhaustive]
    Unknown {
        /// What it was called.
        name: String,
    },
    /// A layer was given a value that is none.
    #[error("{layer} takes {wanted}, not {:?}", one_line(given).to_string())]
    #[non_exhaustive]
    Value {
        /// The layer.
        layer: Layer,
        /// What it takes.
        wanted: &'static str,
        /// What it was given.
        given: String,
    },
}

prefork_core::debug_as_chain!(IsolationFault);

impl IsolationFault {
    pub(crate) fn call(name: &str) -> Self {
        let layer = Layer::Deny;
        let wanted = Value::parse(layer.kind(), None).err().unwrap_or_default();
        Self::Value { layer, wanted, given: name.to_owned() }
    }
}

fn names() -> String {
    // Not as an array: for one of so many constants LLVM takes minutes to work out the joined text.
    Layer::ALL.iter().map(|layer| layer.name()).collect::<Vec<_>>().join(", ")
}

impl Isolation {
    /// Reads it from texts, each a layer's name, with `require ` before it where the layer must be possible, and `=` and
    /// its value behind it where it takes one. Layers that are lists are named once for each value.
    ///
    /// # Errors
    ///
    /// Fails with the first text that says nothing.
    pub fn parse<T: AsRef<str>>(
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Self, IsolationFault> {
        texts.into_iter().try_fold(Self::new(), |this, text| this.with(text.as_ref()))
    }

    fn with(self, text: &str) -> Result<Self, IsolationFault> {
        let text = text.trim();
        let (item, is_required) = match text.strip_prefix(REQUIRE) {
            Some(item) => (item, true),
            None => (text, false),
        };
        let (name, value) = match item.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value)),
            None => (item.trim(), None),
        };
        let require = |this: Self, layer| if is_required { this.require(layer) } else { this };
        if (name, value) == (SIBLINGS, None) {
            return Ok(Layer::SIBLINGS.into_iter().fold(self.siblings_apart(), require));
        }
        let layer = Layer::ALL.into_iter().find(|layer| layer.name() == name);
        let layer = layer.ok_or_else(|| IsolationFault::Unknown { name: name.to_owned() })?;
        let value = Value::parse(layer.kind(), value).map_err(|wanted| IsolationFault::Value {
            layer,
            wanted,
            given: value.unwrap_or_default().to_owned(),
        })?;
        Ok(require(self.want(layer, value), layer))
    }

    /// Returns the texts from which [`parse`](Self::parse) makes the same.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for (layer, wanted) in &self.wanted {
            let require = if wanted.is_required { REQUIRE } else { "" };
            texts.extend(wanted.value.texts().into_iter().map(|value| match value {
                Some(value) => format!("{require}{layer}={value}"),
                None => format!("{require}{layer}"),
            }));
        }
        texts
    }
}

impl Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts().join(", "))
    }
}

impl TryFrom<Vec<String>> for Isolation {
    type Error = IsolationFault;

    fn try_from(texts: Vec<String>) -> Result<Self, IsolationFault> {
        Self::parse(texts)
    }
}

impl From<Isolation> for Vec<String> {
    fn from(isolation: Isolation) -> Self {
        isolation.texts()
    }
}

#[cfg(test)]
mod tests;

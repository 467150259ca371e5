//! An error on one line, as it stands in a log.

use std::{
    error::Error as StdError,
    fmt::{self, Display},
};

use crate::one_line;

/// Shows an error with everything that caused it, on one line: `a: b: c`. What would move a terminal or begin
/// another line is escaped.
///
/// # Examples
///
/// ```
/// use prefork_core::ErrorChain;
///
/// let error = "7x".parse::<u16>().expect_err("no number");
/// assert_eq!(ErrorChain(&error).to_string(), "invalid digit found in string");
/// ```
#[derive(Debug)]
pub struct ErrorChain<'a>(pub &'a (dyn StdError + 'static));

impl Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", one_line(&self.0.to_string()))?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {}", one_line(&error.to_string()))?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Implements `Debug` for errors by their [`ErrorChain`](crate::ErrorChain).
///
/// Deliberate: a `main` that returns a `Result` prints its error by `Debug`, as `unwrap` and `expect` do. There a person is
/// to read what went wrong and why, and not the names of fields and variants.
///
/// # Examples
///
/// ```
/// #[derive(thiserror::Error)]
/// #[error("cannot open the door")]
/// struct Locked {
///     source: std::io::Error,
/// }
/// prefork_core::debug_as_chain!(Locked);
///
/// let error = Locked { source: std::io::Error::other("it is locked") };
/// assert_eq!(format!("Error: {error:?}"), "Error: cannot open the door: it is locked");
/// ```
#[macro_export]
macro_rules! debug_as_chain {
    ($($error:ty),+ $(,)?) => {
        $(impl ::std::fmt::Debug for $error {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&$crate::ErrorChain(self), f)
            }
        })+
    };
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn causes_follow_and_stay_on_the_line() {
        #[derive(Debug)]
        struct Outer(io::Error);
        impl Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("outer\n")
            }
        }
        impl StdError for Outer {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(&self.0)
            }
        }
        let error = Outer(io::Error::other("inner\u{1b}[2J"));
        assert_eq!(ErrorChain(&error).to_string(), "outer\\n: inner\\u{1b}[2J");
    }
}

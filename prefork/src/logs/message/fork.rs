//! Messages about what children share from the moment of the fork.

use std::fmt::Display;

use super::messages;

messages! {
    /// About what children share from the moment of the fork.
    ForkMessage<'a>

    Warn Shared { descriptors: &'a dyn Display, what: &'a dyn Display, consequence: &'a str } =>
        "{descriptors} ({what}), opened before the fork: {consequence}; to be opened in main_loop instead (docs/fork_safety.md)";
    Warn MoreShared { more: usize } =>
        "{more} more connections, databases and others that were opened before the fork are not named (docs/fork_safety.md)";
    Warn CannotLook { error: &'a dyn Display } =>
        "what was opened before the fork cannot be looked at: {error}; no warning of what children should not share";
}

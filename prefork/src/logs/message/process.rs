//! Messages about what the parent needs of its system and its service manager.

use std::fmt::Display;

use super::messages;

messages! {
    /// About what the parent needs of its system and its service manager.
    ProcessMessage<'a>

    Info CannotSeal =>
        "mseal(2) is not available, as before Linux 6.10 or where a sandbox forbids it: a child under somebody else's \
         control can write to what other children report (docs/security.md)";
    Error FewDescriptors { shortage: &'a dyn Display } =>
        "fewer descriptors are allowed than are waited for{shortage}; looking 50 times a second until that is raised";
    Info EnoughDescriptors => "there are descriptors enough again";
    Error CannotWait { error: &'a dyn Display } => "cannot wait for signals: {error}; no signal is answered any more";
    Warn ManagerNotNotified { error: &'a dyn Display, yet: &'a str } =>
        "cannot notify the service manager{yet}: {error}";
}

//! The signals that a test sends.

pub use prefork_daemonize::Signal;
use rustix::process::Signal as Kernel;

pub(crate) fn for_kernel(signal: Signal) -> Kernel {
    Kernel::from_named_raw(signal.number()).expect("each has a name")
}

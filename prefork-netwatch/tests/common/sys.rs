//! Forking, for tests of processes that hold connections.
#![expect(unsafe_code, reason = "fork cannot be had otherwise")]

use nix::unistd::{ForkResult, Pid};

/// Forks; the child runs `body` and exits with the code it returns.
pub fn fork(body: impl FnOnce() -> u8) -> Pid {
    // SAFETY: the processes that fork run one test alone, and no other thread of them holds a lock:
    // the harness waits for that test.
    match unsafe { nix::unistd::fork() }.expect("fork") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let run = std::panic::AssertUnwindSafe(body);
            let code = std::panic::catch_unwind(run).unwrap_or(101);
            exit(code)
        }
    }
}

fn exit(code: u8) -> ! {
    // SAFETY: it is sound at any time. Buffers and exit handlers are the parent's business.
    unsafe { nix::libc::_exit(i32::from(code)) }
}

//! Every `unsafe` of this crate: system calls that no other crate has.

#![expect(unsafe_code, reason = "system calls that no other crate has")]

use std::io;

use nix::libc;

use crate::IoPriority;

/// Returns the version of Landlock's interface that the kernel has.
///
/// # Errors
///
/// Fails with `ENOSYS` where the kernel was built without it, and with `EOPNOTSUPP` where it was not turned on at boot (see
/// `landlock(7)`).
pub(crate) fn landlock_abi() -> io::Result<u32> {
    const VERSION: libc::c_ulong = 1;
    // SAFETY: with this flag the call takes no attributes, and makes nothing (see `landlock_create_ruleset(2)`).
    let abi = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, VERSION)
    };
    if abi < 0 { Err(io::Error::last_os_error()) } else { Ok(abi.try_into().unwrap_or(u32::MAX)) }
}

/// Sets in which order the disk serves this thread.
pub(crate) fn set_io_priority(priority: IoPriority) -> io::Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    const CLASS_SHIFT: u32 = 13;
    let priority: libc::c_int = match priority {
        IoPriority::BestEffort(level) => (2 << CLASS_SHIFT) | libc::c_int::from(level),
        IoPriority::Idle => 3 << CLASS_SHIFT,
    };
    // SAFETY: the call takes three numbers (see `ioprio_set(2)`), of which 0 is this thread.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, priority) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has the kernel ask this program about each call of this thread, and of what it starts, for good.
///
/// # Errors
///
/// Fails with `EACCES` in a thread that may gain rights by executing files, and has none (see `seccomp(2)`).
pub(crate) fn filter_calls(program: &[libc::sock_filter]) -> io::Result<()> {
    let len = program.len().try_into().map_err(|_long| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    const NO_FLAGS: libc::c_ulong = 0;
    // SAFETY: the kernel reads as many instructions as there are, copies them, and checks what they do.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            NO_FLAGS,
            &raw const program,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Returns whether the kernel has the x32 interface, which few are built with.
pub(crate) fn has_x32() -> bool {
    /// What the numbers of its calls have besides.
    const X32: libc::c_long = 0x4000_0000;
    static HAS_X32: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *HAS_X32.get_or_init(|| {
        // SAFETY: a call without arguments that changes nothing, or none at all.
        cfg!(target_arch = "x86_64") && unsafe { libc::syscall(libc::SYS_getpid | X32) } > 0
    })
}

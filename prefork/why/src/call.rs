//! The system call of a thread, by name, and where its arguments name what it waits for.

use syscalls::Sysno;

/// A system call that a thread is in: see `proc_pid_syscall(5)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) arguments: [u64; 6],
}

/// In which arguments a call names what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The first one is a descriptor.
    Descriptor,
    /// This one is the address of a path.
    Path(usize),
    Connect,
    Poll,
    Select,
    Epoll,
    Futex,
    Flock,
    Fcntl,
    /// `wait4`, by pid, and `waitid`, by kind and pid.
    Wait4,
    WaitId,
    Sleep,
    Signal,
    /// What it waits for is not in its arguments.
    Other,
}

/// Parses `/proc/PID/task/TID/syscall`; `None` if the thread is in no call: it runs, or was stopped outside of all.
pub(crate) fn parse(text: &[u8]) -> Option<Call> {
    let mut words = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    // `running`, or -1 where it is stopped outside of all calls.
    let number: usize = words.next()?.parse().ok()?;
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    }
    let name = Sysno::new(number).map_or("a system call without a name", |call| call.name());
    Some(Call { name, arguments })
}

impl Call {
    pub(crate) fn shape(&self) -> Shape {
        match self.name {
            "read" | "readv" | "pread64" | "preadv" | "preadv2" | "recvfrom" | "recvmsg"
            | "recvmmsg" | "accept" | "accept4" | "getdents" | "getdents64" | "splice" | "tee"
            | "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2" | "sendto" | "sendmsg"
            | "sendmmsg" | "sendfile" | "vmsplice" | "fsync" | "fdatasync" | "syncfs"
            | "sync_file_range" | "ftruncate" | "fallocate" | "fstat" | "fstatfs" | "fchmod"
            | "fchown" | "ioctl" | "close" | "shutdown" | "lseek" | "io_uring_enter"
            | "copy_file_range" => Shape::Descriptor,
            "open" | "creat" | "stat" | "lstat" | "access" | "readlink" | "unlink" | "mkdir"
            | "rmdir" | "rename" | "chdir" | "execve" | "truncate" | "statfs" | "chmod"
            | "chown" | "link" | "symlink" | "umount2" => Shape::Path(0),
            "openat" | "openat2" | "newfstatat" | "fstatat64" | "statx" | "faccessat"
            | "faccessat2" | "readlinkat" | "unlinkat" | "mkdirat" | "renameat" | "renameat2"
            | "execveat" | "fchmodat" | "fchownat" | "linkat" | "utimensat" | "mount" => {
                Shape::Path(1)
            }
            "connect" => Shape::Connect,
            "poll" | "ppoll" => Shape::Poll,
            "select" | "pselect6" | "_newselect" => Shape::Select,
            "epoll_wait" | "epoll_pwait" | "epoll_pwait2" => Shape::Epoll,
            "futex" | "futex_time64" => Shape::Futex,
            "flock" => Shape::Flock,
            "fcntl" | "fcntl64" => Shape::Fcntl,
            "wait4" | "waitpid" => Shape::Wait4,
            "waitid" => Shape::WaitId,
            "nanosleep" | "clock_nanosleep" => Shape::Sleep,
            "pause" | "rt_sigsuspend" | "rt_sigtimedwait" | "sigsuspend" => Shape::Signal,
            _ => Shape::Other,
        }
    }

    /// An argument that is an `int`, whose upper half may hold anything.
    pub(crate) fn int(&self, index: usize) -> i32 {
        let [a, b, c, d, ..] = self.arguments[index].to_le_bytes();
        i32::from_le_bytes([a, b, c, d])
    }

    /// An argument that is a length, up to `most`.
    pub(crate) fn length(&self, index: usize, most: usize) -> usize {
        usize::try_from(self.arguments[index]).unwrap_or(most).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(text: &str) -> Call {
        parse(text.as_bytes()).unwrap_or_else(|| panic!("{text} is no call"))
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn what_the_kernel_writes_is_read() {
        let accept = call("288 0x3 0x7ffd 0x7ffe 0x80000 0x0 0x0 0x7ffd2 0x7f81\n");
        assert_eq!((accept.name, accept.shape(), accept.int(0)), ("accept4", Shape::Descriptor, 3));
        let unknown = call("99999 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n");
        assert_eq!((unknown.name, unknown.shape()), ("a system call without a name", Shape::Other));
    }

    #[test]
    fn what_is_no_call_is_none() {
        for none in
            [&b"running\n"[..], b"-1 0x7ffd 0x7f81\n", b"", b"7 0x1\n", b"\xff", b"7 1 2 3 4 5 6"]
        {
            assert_eq!(parse(none), None, "{none:?}");
        }
    }

    #[test]
    fn an_int_is_the_lower_half_of_a_register() {
        let call = call("0 0xffffffff00000007 0xffffffff 0x5000 0x0 0x0 0x0 0x0 0x0");
        assert_eq!((call.int(0), call.int(1), call.length(2, 64)), (7, -1, 64));
    }

    /// A name that the table of the crate does not have would never be matched.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn names_are_those_of_the_table() {
        let table: Vec<_> = (0..500).filter_map(Sysno::new).map(|call| call.name()).collect();
        for (name, shape) in [
            ("recvfrom", Shape::Descriptor),
            ("futex", Shape::Futex),
            ("newfstatat", Shape::Path(1)),
            ("pselect6", Shape::Select),
            ("getpid", Shape::Other),
        ] {
            assert!(table.contains(&name), "{name}");
            assert_eq!(Call { name, arguments: [0; 6] }.shape(), shape, "{name}");
        }
    }
}

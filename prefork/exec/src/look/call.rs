//! In which system call a thread is, see `proc_pid_syscall(5)`.

use std::{io, os::fd::AsFd};

use nix::libc;
use rustix::{fs::OFlags, io::pread, process::Pid};

use super::Process;

/// The system call in which a thread waits, or at which it was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// It accepts from this descriptor.
    Accept(i32),
    /// It waits until one of these can be read.
    Poll(Vec<i32>),
    /// It waits at this descriptor, of epoll or io_uring.
    Epoll(i32),
    /// It reads from this descriptor.
    Read(i32),
    /// It goes on with one that was interrupted.
    Restarted,
    /// Another one.
    Other,
    /// None: it runs, or has ended.
    None,
}

/// Descriptors beyond so many of a `poll(2)` are not looked at.
const MOST: usize = 4096;

impl Process {
    /// Returns in which system call one of its threads is.
    ///
    /// # Errors
    ///
    /// If that is forbidden: see `PTRACE_MODE_ATTACH_REALCREDS` in `ptrace(2)`.
    pub(crate) fn call(&self, thread: Pid) -> io::Result<Call> {
        let mut buffer = [0; 256];
        let name = format!("task/{}/syscall", thread.as_raw_nonzero());
        let text = match self.read(&name, &mut buffer) {
            // One that ends belongs to nobody any more.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !self.ends(thread) => {
                return Err(error);
            }
            Err(_) => return Ok(Call::None),
            Ok(text) => text,
        };
        let Some((number, arguments)) = parse(text) else { return Ok(Call::None) };
        Ok(match kind(number) {
            Kind::Accept => Call::Accept(descriptor(arguments[0])),
            Kind::Epoll => Call::Epoll(descriptor(arguments[0])),
            Kind::Read => Call::Read(descriptor(arguments[0])),
            Kind::Poll => Call::Poll(self.polled(arguments)?),
            Kind::Select => Call::Poll(self.selected(arguments)?),
            Kind::Restarted => Call::Restarted,
            Kind::Other => Call::Other,
        })
    }

    /// Reads the array of `poll(2)`.
    fn polled(&self, [at, count, ..]: [u64; 6]) -> io::Result<Vec<i32>> {
        let count = usize::try_from(count).unwrap_or(MOST).min(MOST);
        let bytes = self.memory_at(at, count * 8)?;
        let (all, _) = bytes.as_chunks::<8>();
        Ok(all.iter().filter_map(readable).collect())
    }

    /// Reads the set of descriptors to be read of `select(2)`.
    fn selected(&self, [count, at, ..]: [u64; 6]) -> io::Result<Vec<i32>> {
        if at == 0 {
            return Ok(Vec::new());
        }
        let count = usize::try_from(count).unwrap_or(MOST).min(MOST);
        // In words of the machine, which are as many bits, the lowest first.
        let words = self.memory_at(at, count.div_ceil(64) * 8)?;
        let (words, _) = words.as_chunks::<8>();
        let bit = |fd: &usize| u64::from_ne_bytes(words[fd / 64]) >> (fd % 64) & 1 == 1;
        Ok((0..count).filter(bit).filter_map(|fd| i32::try_from(fd).ok()).collect())
    }

    /// Reads its memory.
    fn memory_at(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = self.open_at("mem", OFlags::RDONLY)?;
        let mut bytes = vec![0; length];
        let count = pread(file.as_fd(), &mut bytes[..], at)?;
        if count == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// Returns the descriptor of a `struct pollfd`, if it is to be read.
fn readable(bytes: &[u8; 8]) -> Option<i32> {
    let [a, b, c, d, e, f, ..] = *bytes;
    let (fd, events) = (i32::from_ne_bytes([a, b, c, d]), i16::from_ne_bytes([e, f]));
    (fd >= 0 && events & libc::POLLIN != 0).then_some(fd)
}

/// The descriptor in a register, whose upper half may hold anything.
fn descriptor(register: u64) -> i32 {
    let [a, b, c, d, ..] = register.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

/// Reads the number of the call, and its arguments.
fn parse(text: &[u8]) -> Option<(i64, [u64; 6])> {
    let mut words = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    // `running`, or -1 where it is stopped outside all calls, without arguments.
    let number = words.next()?.parse().ok().filter(|&number: &i64| number >= 0)?;
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    }
    Some((number, arguments))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Accept,
    Poll,
    Select,
    Epoll,
    Read,
    Restarted,
    Other,
}

fn kind(number: i64) -> Kind {
    #[cfg(target_arch = "x86_64")]
    match number {
        libc::SYS_poll => return Kind::Poll,
        libc::SYS_select => return Kind::Select,
        libc::SYS_epoll_wait => return Kind::Epoll,
        _ => {}
    }
    match number {
        libc::SYS_accept | libc::SYS_accept4 => Kind::Accept,
        libc::SYS_ppoll => Kind::Poll,
        libc::SYS_pselect6 => Kind::Select,
        libc::SYS_read | libc::SYS_readv | libc::SYS_recvfrom | libc::SYS_recvmsg => Kind::Read,
        libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 | libc::SYS_io_uring_enter => Kind::Epoll,
        libc::SYS_restart_syscall => Kind::Restarted,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_read() {
        let accept = b"288 0x3 0x7ffd 0x7ffe 0x80000 0x0 0x0 0x7ffd2 0x7f81\n";
        assert_eq!(parse(accept), Some((288, [3, 0x7ffd, 0x7ffe, 0x80000, 0, 0])));
        for none in [&b"running\n"[..], b"-1 0x7ffd 0x7f81\n", b"", b"7 0x1\n", b"\xff"] {
            assert_eq!(parse(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_descriptor_is_the_lower_half_of_a_register() {
        assert_eq!(descriptor(0xffff_ffff_0000_0007), 7);
        assert_eq!(descriptor(0xffff_ffff), -1);
    }

    #[test]
    fn only_what_is_to_be_read_is_polled() {
        let entry = |fd: i32, events: i16| {
            let mut bytes = [0; 8];
            bytes[..4].copy_from_slice(&fd.to_ne_bytes());
            bytes[4..6].copy_from_slice(&events.to_ne_bytes());
            bytes
        };
        assert_eq!(readable(&entry(3, libc::POLLIN)), Some(3));
        assert_eq!(readable(&entry(3, libc::POLLOUT)), None);
        assert_eq!(readable(&entry(-1, libc::POLLIN)), None);
    }
}

//! Descriptors that are waited for once (`IOCB_CMD_POLL` in `io_submit(2)`, since Linux 4.18).
//!
//! What `poll(2)` and epoll report is looked at again before it is: of a connection that somebody else has accepted meanwhile they
//! tell nobody, wait on, and are woken by the next one. Here the first event counts, whatever has become of it, and ends
//! the wait, so that no other follows.

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    ptr,
};

use nix::libc::{self, c_long, c_ulong};
use rustix::{
    event::{EventfdFlags, eventfd},
    io::{Errno, retry_on_intr},
};

/// Waits for descriptors to become readable, once each time that is asked for.
#[derive(Debug)]
pub(crate) struct PollOnce {
    context: Context,
    /// Becomes readable when one of them does.
    signal: OwnedFd,
    /// Which of them are not waited for.
    idle: Vec<usize>,
}

/// What the kernel keeps for a process: ends with it, or before.
#[derive(Debug)]
struct Context(c_ulong);

/// `struct iocb` in `linux/aio_abi.h`, of which one half of `key` and `rw_flags` comes first, by the order of bytes; both are 0.
#[repr(C)]
#[derive(Debug, Default)]
struct Request {
    data: u64,
    key_and_rw_flags: [u32; 2],
    opcode: u16,
    priority: i16,
    fd: u32,
    buffer: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    signal_fd: u32,
}

/// `struct io_event` there.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Completion {
    data: u64,
    request: u64,
    result: i64,
    second_result: i64,
}

const POLL: u16 = 5;
const SIGNALS: u32 = 1;

impl PollOnce {
    /// Waits for none yet, of so many.
    ///
    /// # Errors
    ///
    /// Where the kernel cannot, or may not: it was built without, forbids it, or has no more of it (`fs.aio-max-nr` in
    /// `proc(5)`).
    pub(crate) fn new(count: usize) -> io::Result<Self> {
        let most = c_long::try_from(count).map_err(io::Error::other)?;
        let mut context: c_ulong = 0;
        // SAFETY: the kernel writes one number to where one is, which has to be 0 before.
        check(unsafe { libc::syscall(libc::SYS_io_setup, most, &raw mut context) })?;
        let context = Context(context);
        let signal = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { context, signal, idle: (0..count).collect() })
    }

    /// What becomes readable with the first of them since the last [`wait`](Self::wait).
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.signal.as_fd()
    }

    /// Waits, from now on, for all of them that are not waited for any more.
    ///
    /// The kernel holds each open until it has become readable.
    pub(crate) fn wait(&mut self, descriptors: &[OwnedFd]) -> io::Result<()> {
        let mut number = [0; 8];
        match retry_on_intr(|| rustix::io::read(&self.signal, &mut number)) {
            Ok(_) => loop {
                let (done, is_all) = self.completed()?;
                self.idle.extend(done);
                if is_all {
                    break;
                }
            },
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(&at) = self.idle.last() {
            self.submit(at, descriptors[at].as_fd())?;
            self.idle.pop();
        }
        Ok(())
    }

    fn submit(&self, at: usize, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let of = |fd: BorrowedFd<'_>| u32::try_from(fd.as_raw_fd()).map_err(io::Error::other);
        let mut request = Request {
            data: at as u64,
            opcode: POLL,
            fd: of(descriptor)?,
            buffer: u64::from(libc::POLLIN.unsigned_abs()),
            flags: SIGNALS,
            signal_fd: of(self.signal.as_fd())?,
            ..Request::default()
        };
        let mut requests = [&raw mut request];
        let one: c_long = 1;
        // SAFETY: the kernel reads one request by the only element of `requests`, both of which outlive the call, writes its
        // `key`, and keeps neither; a wait for a descriptor reads and writes no other memory of this process but the
        // ring of the context, which the kernel has mapped for itself.
        let submitted = check(unsafe {
            libc::syscall(libc::SYS_io_submit, self.context.0, one, requests.as_mut_ptr())
        })?;
        if submitted == 1 { Ok(()) } else { Err(Errno::AGAIN.into()) }
    }

    /// Takes some that were waited for and are not any more; returns whether they are all.
    fn completed(&self) -> io::Result<(Vec<usize>, bool)> {
        let mut completions = [Completion::default(); 16];
        let most = c_long::try_from(completions.len()).map_err(io::Error::other)?;
        let fewest: c_long = 0;
        let no_time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the kernel writes at most `most` completions, and as many are there; it reads the time, which outlives the call.
        let count = check(unsafe {
            libc::syscall(
                libc::SYS_io_getevents,
                self.context.0,
                fewest,
                most,
                completions.as_mut_ptr(),
                &raw const no_time,
                ptr::null::<libc::c_void>(),
            )
        })?;
        let of = |it: &Completion| usize::try_from(it.data).ok();
        let count = usize::try_from(count).unwrap_or(0);
        let done = completions.iter().take(count).filter_map(of).collect();
        Ok((done, count < completions.len()))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: it destroys what `io_setup` has made, which nothing uses any more. In another process than that which made it
        // there is none by this number, which the kernel notices.
        let _ = check(unsafe { libc::syscall(libc::SYS_io_destroy, self.0) });
    }
}

fn check(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

const _: () = assert!(mem::size_of::<Request>() == 64 && mem::size_of::<Completion>() == 32);

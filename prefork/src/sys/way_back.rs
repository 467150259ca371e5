//! The way back to the old program, for a new one that ends before it has taken over.
//!
//! Until then, code of the new program runs in the daemon's own process: before it calls the library, and in
//! `after_init`. It may exit, abort, crash or hang there, which nothing that unwinds can catch, and the process
//! would be gone with its children. So a function that runs before `main` sets up an exit handler and signal
//! handlers, which execute the old program with all that it has left. What they need is prepared by then: they
//! allocate nothing, lock nothing, and call what is async-signal-safe (`signal-safety(7)`).

use std::{
    ffi::{CString, c_char, c_int},
    os::fd::RawFd,
    process,
    ptr::null_mut,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicPtr, AtomicU8, Ordering},
    },
    time::Duration,
};

use nix::{
    libc,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
};

/// What ends a program by its own doing or by that of its clock, from before `main` on.
const ENDS: [Signal; 6] = [
    Signal::SIGABRT,
    Signal::SIGALRM,
    Signal::SIGILL,
    Signal::SIGFPE,
    Signal::SIGTRAP,
    Signal::SIGSYS,
];

/// What else does, once it has reached the library. Before that they are Rust's own, which notices by them that a stack
/// has overflowed, and only before `main` sees to it that it can.
const CRASHES: [Signal; 2] = [Signal::SIGSEGV, Signal::SIGBUS];

/// The longest pause between two attempts, in seconds.
const LONGEST_PAUSE: u8 = 60;

/// How long children that were asked to leave are waited for, in seconds, as nothing else can be done for them.
const PATIENCE: u8 = 30;

/// Why a program has not taken over, as a number of two digits that the next one is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cause(u8);

impl Cause {
    /// It has found out by itself, and logged why.
    pub(crate) const REFUSED: Self = Self(0);
    /// It has exited.
    pub(crate) const EXITED: Self = Self(99);

    /// Reads what [`Route::variable`] ends with.
    pub(crate) fn of_number(number: i32) -> Self {
        match u8::try_from(number) {
            Ok(signal @ 1..=64) => Self(signal),
            Ok(99) => Self::EXITED,
            Ok(_) | Err(_) => Self::REFUSED,
        }
    }

    /// The signal by which it has ended.
    pub(crate) fn signal(self) -> Option<Signal> {
        Signal::try_from(i32::from(self.0)).ok()
    }
}

/// Where to go, and with what.
#[derive(Debug)]
pub(crate) struct Route {
    /// The file of the program.
    pub(crate) program: RawFd,
    /// Its working directory; none to stay where one is.
    pub(crate) directory: Option<RawFd>,
    pub(crate) arguments: Vec<CString>,
    pub(crate) environment: Vec<CString>,
    /// The variable that says where the handover is, up to the number of the cause.
    pub(crate) variable: String,
    /// The descriptors that it is left.
    pub(crate) left: Vec<RawFd>,
    /// The children, to be asked to leave if the daemon is to stop before any program goes on.
    pub(crate) children: Vec<i32>,
    /// Seconds to wait before the first attempt, doubled each time.
    pub(crate) pause: u8,
    /// How long the program may take.
    pub(crate) limit: Duration,
}

/// A route in the form that the kernel takes.
struct Prepared {
    owner: u32,
    program: RawFd,
    directory: RawFd,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    /// The variable, whose last two digits are the cause.
    variable: &'static [AtomicU8],
    left: Vec<RawFd>,
    children: Vec<i32>,
    pause: u8,
    mask: SigSet,
}

/// The way, as long as it is open. What it points to is never freed.
static WAY: AtomicPtr<Prepared> = AtomicPtr::new(null_mut());

/// What the guarded signals did before.
static BEFORE: Mutex<Vec<(Signal, SigAction)>> = Mutex::new(Vec::new());

/// Runs before `main` (see `.init_array` in the System V ABI).
#[used]
// SAFETY: what stands in this section is called once, before `main`, with arguments that a function in C may ignore.
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

extern "C" fn begin() {
    if let Some(route) = crate::upgrade::way_back() {
        open(route);
    }
}

/// Opens the way: from now on, whatever ends this process executes the old program.
fn open(route: Route) {
    let Route { program, directory, left, children, pause, limit, .. } = route;
    let mut arguments = leak(route.arguments);
    arguments.push(std::ptr::null());
    let variable: Vec<AtomicU8> =
        route.variable.into_bytes().into_iter().chain(*b"00\0").map(AtomicU8::new).collect();
    let variable: &'static [AtomicU8] = Vec::leak(variable);
    let mut environment = leak(route.environment);
    environment.push(variable.as_ptr().cast());
    environment.push(std::ptr::null());
    let Ok(mask) = SigSet::thread_get_mask() else { return };
    let prepared = Prepared {
        owner: process::id(),
        program,
        directory: directory.unwrap_or(-1),
        arguments,
        environment,
        variable,
        left,
        children,
        pause,
        mask,
    };
    WAY.store(Box::into_raw(Box::new(prepared)), Ordering::Release);
    // SAFETY: atexit takes a function that stays, and calls it with no argument at an exit (see `atexit(3)`).
    unsafe { libc::atexit(on_exit) };
    ENDS.into_iter().for_each(guard);
    set_timer(limit);
}

/// Has crashes take the way too, now that the program has come as far as the library.
pub(crate) fn guard_crashes() {
    if !WAY.load(Ordering::Acquire).is_null() {
        CRASHES.into_iter().for_each(guard);
    }
}

/// Closes the way: this program has taken over, and signals do what they did before.
pub(crate) fn close() {
    if WAY.swap(null_mut(), Ordering::AcqRel).is_null() {
        return;
    }
    set_timer(Duration::ZERO);
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    for (signal, action) in before.drain(..) {
        let Ok(now) = super::set_disposition(signal, &action) else { continue };
        let is_ours = match now.handler() {
            SigHandler::Handler(handler) => {
                std::ptr::fn_addr_eq(handler, on_signal as extern "C" fn(c_int))
            }
            SigHandler::SigDfl | SigHandler::SigIgn | SigHandler::SigAction(_) => false,
        };
        // What the program has set meanwhile stays.
        if !is_ours {
            let _ = super::set_disposition(signal, &now);
        }
    }
}

/// Takes the way, if it is open; then this does not return.
pub(crate) fn take() {
    go(Cause::REFUSED);
}

fn leak(texts: Vec<CString>) -> Vec<*const c_char> {
    texts.into_iter().map(|text| text.into_raw().cast_const()).collect()
}

fn guard(signal: Signal) {
    // On the stack that Rust has for the case that the other one has overflowed, if there is one.
    let action =
        SigAction::new(SigHandler::Handler(on_signal), SaFlags::SA_ONSTACK, SigSet::empty());
    // SAFETY: the handler calls only what is async-signal-safe.
    if let Ok(before) = unsafe { sigaction(signal, &action) } {
        BEFORE.lock().unwrap_or_else(PoisonError::into_inner).push((signal, before));
    }
}

fn set_timer(limit: Duration) {
    let seconds = libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX);
    // Less than a million.
    let microseconds = libc::suseconds_t::from(limit.subsec_micros() as i32);
    let value = libc::timeval { tv_sec: seconds, tv_usec: microseconds };
    let timer =
        libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: value };
    // SAFETY: the kernel reads the value, which lives, and writes nothing.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, null_mut()) };
}

extern "C" fn on_exit() {
    go(Cause::EXITED);
}

extern "C" fn on_signal(number: c_int) {
    go(Cause::of_number(number));
    // There is no way back any more, or this is a process that was forked from the daemon's.
    // SAFETY: both can be called in a handler, and take numbers.
    unsafe { libc::signal(number, libc::SIG_DFL) };
    // SAFETY: as above.
    unsafe { libc::raise(number) };
}

/// Executes the old program, however long it takes until the kernel can. Returns if the way is not open, or in
/// another process than the one that has opened it.
fn go(cause: Cause) {
    let way = WAY.load(Ordering::Acquire);
    // SAFETY: it is null, or what was leaked for good when it was stored.
    let Some(way) = (unsafe { way.as_ref() }) else { return };
    if process::id() != way.owner {
        return;
    }
    set_timer(Duration::ZERO);
    let digits = &way.variable[way.variable.len() - 3..];
    digits[0].store(b'0' + cause.0 / 10, Ordering::Relaxed);
    digits[1].store(b'0' + cause.0 % 10, Ordering::Relaxed);
    let mut pause = way.pause;
    loop {
        if pause > 0 && is_to_stop(pause) {
            stop(way);
        }
        execute(way);
        pause = pause.saturating_mul(2).clamp(1, LONGEST_PAUSE);
    }
}

fn execute(way: &Prepared) {
    for fd in &way.left {
        // SAFETY: it takes numbers; one that is not open is no more than an error.
        unsafe { libc::fcntl(*fd, libc::F_SETFD, 0) };
    }
    if way.directory >= 0 {
        // SAFETY: as above.
        unsafe { libc::fchdir(way.directory) };
    }
    // The handler's own signal is blocked meanwhile, and would stay so.
    // SAFETY: the kernel reads a mask that lives for good, and writes nothing.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, way.mask.as_ref(), null_mut()) };
    let (arguments, environment) = (way.arguments.as_ptr(), way.environment.as_ptr());
    // SAFETY: both arrays end with a null pointer, their texts with a NUL, and they live for good.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            way.program,
            c"".as_ptr(),
            arguments,
            environment,
            libc::AT_EMPTY_PATH,
        )
    };
}

/// Waits for so many seconds; returns whether the daemon was asked to stop meanwhile.
fn is_to_stop(seconds: u8) -> bool {
    let stops: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT].into_iter().collect();
    let limit = libc::timespec { tv_sec: seconds.into(), tv_nsec: 0 };
    // SAFETY: the kernel reads what lives, and a null pointer says that no details are wanted.
    unsafe { libc::sigtimedwait(stops.as_ref(), null_mut(), &limit) > 0 }
}

/// Ends the daemon where no program of it runs: the children are asked to leave, and waited for.
fn stop(way: &Prepared) -> ! {
    let ask = |pid: i32| {
        // SAFETY: all of its fields are numbers, for which zero is a value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let (process, options) =
            (pid.unsigned_abs(), libc::WEXITED | libc::WNOHANG | libc::WNOWAIT);
        // SAFETY: the kernel writes to `info`, which lives, and to nothing else.
        let is_ours = unsafe { libc::waitid(libc::P_PID, process, &mut info, options) } == 0;
        // A child of this process that was not reaped: its pid is nobody else's.
        if is_ours {
            // SAFETY: it takes numbers.
            unsafe { libc::kill(pid, libc::SIGTERM) };
        }
    };
    way.children.iter().copied().for_each(ask);
    for _ in 0..PATIENCE {
        // SAFETY: a null pointer says that nobody wants the status.
        while unsafe { libc::waitpid(-1, null_mut(), libc::WNOHANG) } > 0 {}
        // SAFETY: as above.
        let none_is_left = unsafe { libc::waitpid(-1, null_mut(), libc::WNOHANG) } < 0;
        if none_is_left || is_to_stop(1) {
            break;
        }
    }
    super::exit_now(1)
}

//! Messages about the children: how they come and go, and how many there are.

use std::fmt::{self, Display};

use prefork_core::{Generation, SlotId};
use rustix::process::Pid;

use super::messages;
use crate::logs::describe::{Bytes, Children, Span};

messages! {
    /// About the children.
    PoolMessage<'a>

    Info Ready { children: Children } => "ready, with {children}";
    Debug ChildStarted { child_pid: u32, slot: SlotId, generation: Generation, children: Children } =>
        "child {child_pid} (slot {slot}) started, of generation {generation}; now {children}";
    Debug ChildRetiring { child_pid: Pid, slot: SlotId } => "child {child_pid} (slot {slot}) asked to leave";
    Error ChildDied {
        child_pid: u32,
        slot: SlotId,
        status: Option<i32>,
        signal: Option<&'a str>,
        how: &'a dyn Display,
        duration: Span,
        requests: Answered,
        label: Option<&'a str>,
        client: Option<&'a str>,
        busy: Option<Span>,
        in_hand: &'a dyn Display,
        reason: &'a dyn Display,
    } => "child {child_pid} (slot {slot}) {how} after {duration}{requests}{in_hand}{reason}";
    Warn LeftRequest {
        child_pid: u32,
        slot: SlotId,
        duration: Span,
        requests: Answered,
        label: Option<&'a str>,
        client: Option<&'a str>,
        busy: Option<Span>,
        in_hand: &'a dyn Display,
    } => "child {child_pid} (slot {slot}) exited with status 0 in the middle of a request, after \
          {duration}{requests}{in_hand}";
    Debug ChildLeft {
        child_pid: u32,
        slot: SlotId,
        how: &'a dyn Display,
        duration: Span,
        requests: Answered,
        children: Children,
    } => "child {child_pid} (slot {slot}) {how} after {duration}{requests}; now {children}";
    Error MoreDied {
        deaths: u32,
        status: Option<i32>,
        signal: Option<&'a str>,
        how: &'a dyn Display,
        duration: Span,
        reason: &'a dyn Display,
    } => "{deaths} more children ended abnormally in {duration}; the last one {how}{reason}";
    Warn Throttled { event: &'a str, duration: Span } =>
        "children {event} before they have worked; the next one starts in {duration}";
    Info ThrottleLifted => "children work again; the next ones start without delay";
    Error CannotFork { error: &'a dyn Display, shortage: &'a dyn Display, failures: u32, duration: Span } =>
        "cannot fork a child: {error}{shortage}; failed {failures} times in a row, next attempt in {duration}";
    Error SpawnDelayed { failures: u32, duration: Span } =>
        "cannot start a child; failed {failures} times in a row, next attempt in {duration}";
    Info SpawnRecovered { failures: u32 } => "children can be started again, after {failures} failures";
    Warn Crowded { children: Children } =>
        "no further process can be started beside {children}: an old child leaves before a new one is started";
    Warn AtMaximum { max_children: u32, busy: u32, waiting: Waiting, jobs: WaitingJobs } =>
        "max_children ({max_children}) reached: {busy} busy{waiting}{jobs}; raise it if this lasts";
    Warn ClientsRefused { refused: u64, queue_limit: Span } =>
        "more clients come than can be served: {refused} were refused that had waited longer than {queue_limit} (queue_limit)";
    Warn AtCeiling { ceiling: u32, busy: u32, waiting: Waiting, jobs: WaitingJobs } =>
        "the ceiling leaves this pool {ceiling} children: {busy} busy{waiting}{jobs}; raise it, or the weight of this pool, if \
         this lasts";
    Warn JobsUnserved { idle: u32, jobs: u32 } =>
        "{jobs} jobs wait, and {idle} children that count as idle have taken none for 10 s, as those that are stopped or hang: \
         they count as busy";
    Warn Unserved { idle: u32, waiting: u32 } =>
        "{waiting} connections wait, and {idle} children that count as idle have taken none for a second, as those that are \
         stopped or hang: they count as busy";
    Warn Overlooked { idle: u32 } =>
        "{idle} children that count as idle have taken nothing for a second in which all others went from one piece of work to \
         the next: they count as busy; look for a Child::idle that is called too early";
    Warn Silent =>
        "work waits while every child counts as idle, as none has ever said that it is at work: the pool grows for it, \
         and will not shrink; accept by Child::accept, or call Child::busy and Child::idle";
    Info BelowMaximum { duration: Span } => "no longer full: max_children is enough again, after {duration}";
    Info BelowCeiling { duration: Span } =>
        "no longer full: the ceiling leaves this pool enough children again, after {duration}";
    Info Resized { prefork: u32, max_children: u32 } => "prefork is now {prefork}, of at most {max_children}";
    Warn WithoutEffect { arguments: &'a str } => "prefork is 0, so there are no children: {arguments} have no effect";
    Warn StaysSmall =>
        "the pool stays at prefork children: to grow to max_children, set scoreboard_path or scoreboard_in_memory";
    Error Hung {
        child_pid: u32,
        slot: SlotId,
        duration: Span,
        request_timeout: Span,
        label: Option<&'a str>,
        client: Option<&'a str>,
        what: &'a dyn Display,
        measure: &'a str,
    } => "child {child_pid} (slot {slot}) has been at one request for {duration}, with a request_timeout of \
          {request_timeout}{what}; {measure}";
    Error WaitsFor { child_pid: u32, slot: u32, doing: &'a str } => "child {child_pid} (slot {slot}): {doing}";
    Warn NotLookedInto { child_pid: u32, slot: u32, why: &'a dyn Display } =>
        "child {child_pid} (slot {slot}) was not looked into: {why}";
    Debug TooOld { child_pid: u32, slot: SlotId, age: Span, max_lifetime: Span } =>
        "child {child_pid} (slot {slot}) is {age} old, and max_lifetime is about {max_lifetime}; it is to be replaced";
    Debug RequestsUsedUp { requests: u64, max_requests: u64 } =>
        "{requests} requests served, and the limit is about {max_requests}; this child is to be replaced";
    Info MemoryUsedUp { memory: Bytes, max_memory: Bytes } =>
        "{memory} of memory in use, more than max_memory ({max_memory}); this child is to be replaced";
    Warn LargeFromStart { memory: Bytes, max_memory: Bytes, most: Bytes } =>
        "{memory} of memory in use after the first request, more than max_memory ({max_memory}), as any child would have: \
         this one is replaced when it has more than {most}; set max_memory above {memory}";
    Info MemoryLimit { limit: Bytes, place: &'a str } => "the pool is kept below {limit} of memory ({place})";
    Info NoMemoryAlarm { error: &'a dyn Display } =>
        "no alarm when memory runs short: {error}; it is looked at while children are at work";
    Warn MemoryUnguarded { limit: Bytes, place: &'a str, error: &'a dyn Display } =>
        "the pool is not kept below {limit} of memory ({place}): there is no alarm when it runs short: {error}; with a \
         scoreboard it is looked at while children are at work";
    Info ChildMemoryLimit { limit: Bytes, place: &'a str } => "each child is kept below {limit} of memory ({place})";
    Info ChildProcessLimit { limit: u64, place: &'a str } =>
        "each child may have {limit} processes and threads with all that it starts ({place})";
    Warn NoChildProcessLimit { limit: u64, why: &'a str } =>
        "child_process_limit is not possible here: {why}; a child may have more than {limit} processes and threads";
    Warn NoGroupForChild { slot: SlotId, error: &'a dyn Display, instead: &'a str } =>
        "no control group for a child in slot {slot}: {error}; it has {instead}, and so will others where none can be made";
    Warn MemoryShort { used: Bytes, limit: Bytes } =>
        "memory is short, with {used} of {limit} in use: no more children are started for the load, and large idle ones are \
         replaced";
    Info MemoryEased { used: Bytes, limit: Bytes, duration: Span } =>
        "memory is no longer short, with {used} of {limit} in use, after {duration}";
    Info RetiredForMemory { child_pid: u32, slot: SlotId, memory: Bytes, used: Bytes, limit: Bytes } =>
        "child {child_pid} (slot {slot}) is the largest idle one, with {memory} of memory, and is replaced: {used} of {limit} in \
         use";
    Error EndedForMemory {
        child_pid: u32,
        slot: SlotId,
        memory: Bytes,
        growth: &'a dyn Display,
        used: Bytes,
        limit: Bytes,
        label: Option<&'a str>,
        client: Option<&'a str>,
        busy: Option<Span>,
        in_hand: &'a dyn Display,
    } => "child {child_pid} (slot {slot}) {growth} and has {memory} of memory; killed, before {used} in use become {limit} and \
          the kernel ends more than one{in_hand}";
    Error StuckStarting { child_pid: u32, slot: SlotId, duration: Span } =>
        "child {child_pid} (slot {slot}) has not come up in {duration} (start_timeout); killed";
    Error CannotBeKilled { child_pid: u32, slot: SlotId } =>
        "child {child_pid} (slot {slot}) was killed and has not gone, as one that waits for a disk; not waiting for it";
    Info DumpsCore { child_pid: u32, slot: SlotId, limit: Span } =>
        "child {child_pid} (slot {slot}) writes a core dump; not killed while it does, for {limit} at most";
    Error Flooding { child_pid: u32, slot: SlotId } =>
        "child {child_pid} (slot {slot}) does little but wake the parent; killed";
    Error Implausible { child_pid: u32, slot: SlotId, claim: &'a dyn Display } =>
        "child {child_pid} (slot {slot}) {claim}; not believed, and retired";
    Warn CutShort {
        child_pid: u32,
        slot: SlotId,
        duration: Span,
        limit: &'a dyn Display,
        label: Option<&'a str>,
        client: Option<&'a str>,
        busy: Option<Span>,
        in_hand: &'a dyn Display,
    } => "child {child_pid} (slot {slot}) was asked to leave {duration} ago ({limit}), and is interrupted{in_hand}";
    Warn CutOff {
        child_pid: u32,
        slot: SlotId,
        label: Option<&'a str>,
        client: Option<&'a str>,
        busy: Option<Span>,
        in_hand: &'a dyn Display,
    } => "a request is cut off by the stop: child {child_pid} (slot {slot}){in_hand}";
    Warn MoreCutOff { named: u32 } => "more requests than these {named} are cut off by the stop";
    Error CannotSignal { child_pid: Pid, slot: SlotId, signal: &'a dyn Display, error: &'a dyn Display } =>
        "cannot send {signal} to child {child_pid} (slot {slot}): {error}";
    Warn RoleTaken { path: &'a dyn Display } =>
        "another process has this role, by the lock of {path}: waiting until it has ended";
    Error CannotStart { error: &'a dyn Display } => "cannot start: {error}; this process ends, and is replaced";
    Error Copied { error: &'a dyn Display } => "{error}";
    Error CannotTag { error: &'a dyn Display } => "what this child starts will not be ended with it: {error}";
    Warn SeriesRefused { error: &'a dyn Display } => "{error}; what would be counted there is dropped";
    Warn KeepsDescendants { error: &'a dyn Display } => "what children start is not ended with them: {error}";
    Error CannotEndDescendants { error: &'a dyn Display } =>
        "processes that ended children had started are still there: {error}";
    Error DescendantsLeft { left: usize } =>
        "processes that children had started could not be ended ({left}); the daemon ends without them";
    Warn Unreaped { child_pid: Pid } =>
        "process {child_pid} of the daemon was killed and cannot be reaped, as one that is traced; not waiting for it";
}

/// `, 5 connections waiting`, if that is known.
pub(crate) struct Waiting(pub(crate) Option<u32>);

#[cfg(feature = "tracing")]
impl super::Field for Waiting {
    fn value(&self) -> impl tracing::Value + '_ {
        self.0
    }
}

impl Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(1) => f.write_str(", 1 connection waiting"),
            Some(waiting) => write!(f, ", {waiting} connections waiting"),
            None => Ok(()),
        }
    }
}

/// `, 5 jobs waiting`, if that is known.
pub(crate) struct WaitingJobs(pub(crate) Option<u32>);

#[cfg(feature = "tracing")]
impl super::Field for WaitingJobs {
    fn value(&self) -> impl tracing::Value + '_ {
        self.0
    }
}

impl Display for WaitingJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(1) => f.write_str(", 1 job waiting"),
            Some(jobs) => write!(f, ", {jobs} jobs waiting"),
            None => Ok(()),
        }
    }
}

/// ` and 5 requests`, if that is known.
pub(crate) struct Answered(pub(crate) Option<u64>);

#[cfg(feature = "tracing")]
impl super::Field for Answered {
    fn value(&self) -> impl tracing::Value + '_ {
        self.0
    }
}

impl Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(1) => f.write_str(" and 1 request"),
            Some(requests) => write!(f, " and {requests} requests"),
            None => Ok(()),
        }
    }
}

//! Messages about listening sockets, and the clients who connect to them.

use std::fmt::Display;

use prefork_core::SlotId;

use super::messages;
use crate::logs::describe::Span;

messages! {
    /// About listening sockets and clients.
    ClientMessage<'a>

    Error CannotAccept { error: &'a dyn Display, shortage: &'a dyn Display } =>
        "cannot accept a connection: {error}{shortage}; tried again";
    Warn BadListenFds { value: &'a dyn Display } =>
        "LISTEN_FDS is no number of descriptors: {value}; no socket of the service manager is used";
    Warn SocketUnused { socket: &'a dyn Display, asked: &'a dyn Display } =>
        "socket {socket} of the service manager is not used, and its clients get no answer: the program has asked for \
         {asked}";
    Warn KeptUseless { name: &'a str, why: &'a str } =>
        "listening socket {name}, kept by the service manager, cannot be listened at again: {why}; its address is bound \
         again";
    Warn BadHandOver { error: &'a dyn Display } =>
        "what was handed over is no connection, and was dropped: {error}; a child of another pool may be taken over";
    Error HandOversEnded { error: &'a dyn Display } => "{error}";
    Error ListenerMended { socket: &'a dyn Display, damage: &'a str } =>
        "listening socket {socket} {damage}, by another process; it is as before again";
    // As many programs do with a socket that they find: they call listen(2) again.
    Info ListenerLengthened { socket: &'a dyn Display, damage: &'a str } =>
        "listening socket {socket} {damage}; it is as before again";
    Error ListenerDamaged { socket: &'a dyn Display, error: &'a dyn Display } =>
        "listening socket {socket}: {error}; another process has changed it, restart the daemon";
    Warn ListenerNotClosed { socket: &'a dyn Display, error: &'a dyn Display } =>
        "listening socket {socket} cannot be closed to newcomers: {error}; those who come until no child is left may \
         get no answer";

    Info ClientGone {
        child_pid: u32,
        slot: SlotId,
        label: &'a str,
        client: &'a str,
        duration: Span,
        gone: &'a dyn Display,
    } =>
        "client {gone}";
    Info Cancelling {
        child_pid: u32,
        slot: SlotId,
        label: &'a str,
        client: &'a str,
        duration: Span,
        gone: &'a dyn Display,
    } =>
        "client {gone}: cancelling its request";
    Warn NoneWatched => "no clients are watched: on_client_disconnect is about sockets of init.listen";
    Error CannotWatch { error: &'a dyn Display } => "clients cannot be watched: {error}";
    Error CannotWatchChild { child_pid: u32, error: &'a dyn Display } =>
        "clients of child {child_pid} cannot be watched: {error}; the parent needs CAP_SYS_PTRACE";
    Warn SlowerSource { error: &'a dyn Display } => "clients are watched by slower means: {error}";
    Warn NoticedLate { interval: Span, duration: Span, within: Span } =>
        "clients that have gone are noticed within {within}, later than netwatch_interval ({interval}) asks for: one \
         look takes {duration}";
}

//! The variables by which a program finds what it is handed.

use std::ffi::OsString;

use crate::{
    sockets::{FIRST, Sockets},
    spawn::Handed,
};

/// What others have set for the daemon itself, and would mislead a program.
pub(crate) const REMOVED: [&str; 10] = [
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "MAINPID",
    "REMOTE_ADDR",
    "REMOTE_PORT",
];

/// Returns the variables of each way in which programs are handed sockets: systemd's, that of `Server::Starter` and that of
/// einhorn; with how the program reports, which child it is of, and whose connection it has, as services of systemd with
/// `Accept=yes` are told.
pub(crate) fn variables(
    sockets: &Sockets,
    pid: u32,
    handed: &Handed<'_>,
) -> Vec<(String, OsString)> {
    let mut variables = Vec::new();
    let mut set = |name: &str, value: String| variables.push((name.to_owned(), value.into()));
    set("PREFORK_SLOT", handed.slot.to_string());
    set("PREFORK_GENERATION", handed.generation.to_string());
    if let Some(notify_socket) = handed.notify_socket {
        set("NOTIFY_SOCKET", notify_socket.to_owned());
    }
    if let Some(client) = handed.client {
        set("REMOTE_ADDR", client.ip().to_canonical().to_string());
        set("REMOTE_PORT", client.port().to_string());
    }
    let count = sockets.0.len();
    if count == 0 {
        return variables;
    }
    let names: Vec<&str> = sockets.0.iter().map(|socket| &*socket.name).collect();
    set("LISTEN_FDS", count.to_string());
    set("LISTEN_PID", pid.to_string());
    set("LISTEN_FDNAMES", names.join(":"));
    let ports: Vec<String> =
        sockets.numbered().map(|(fd, socket)| format!("{}={fd}", socket.place())).collect();
    set("SERVER_STARTER_PORT", ports.join(";"));
    set("EINHORN_FD_COUNT", count.to_string());
    for (index, fd) in (FIRST..FIRST + count).enumerate() {
        set(&format!("EINHORN_FD_{index}"), fd.to_string());
    }
    variables
}

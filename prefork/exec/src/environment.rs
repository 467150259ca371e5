//! The variables by which a program finds what it is handed.

use std::ffi::OsString;

use crate::sockets::{FIRST, Sockets};

/// What others have set for the daemon itself, and would mislead a program.
pub(crate) const REMOVED: [&str; 8] = [
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "MAINPID",
];

/// Returns the variables of each way in which programs are handed sockets: systemd's, that of `Server::Starter` and that of
/// einhorn; with how the program reports, and which child it is of.
pub(crate) fn variables(
    sockets: &Sockets,
    pid: u32,
    notify_socket: &str,
    slot: u32,
    generation: u32,
) -> Vec<(String, OsString)> {
    let mut variables = vec![
        ("NOTIFY_SOCKET".to_owned(), notify_socket.into()),
        ("PREFORK_SLOT".to_owned(), slot.to_string().into()),
        ("PREFORK_GENERATION".to_owned(), generation.to_string().into()),
    ];
    let count = sockets.0.len();
    if count == 0 {
        return variables;
    }
    let mut set = |name: &str, value: String| variables.push((name.to_owned(), value.into()));
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

//! `prefork run`: its flags, its file, its variables, and what it says of wrong ones.

mod check;
mod directory;
mod init;
mod page;
mod pools;
mod serving;
mod wrong;

use std::{fs, os::unix::fs::PermissionsExt};

use prefork_tests::{Launch, Scene};

/// A program that answers one request after the other at the socket that it inherits, with a variable.
const APP: &str = r#"import os, socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
while True:
    connection, _ = listener.accept()
    connection.recv(4096)
    body = os.environ.get("GREETING", "").encode()
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))
    connection.close()
"#;

/// Prepares `prefork run`, with its files in the directory of the scene.
fn prefork<'a>(scene: &'a Scene) -> Launch<'a> {
    fs::write(scene.path("app.py"), APP).expect("written");
    let command = scene.tool(env!("CARGO_BIN_EXE_prefork-command"));
    command.args(["run"]).variable("RUNTIME_DIRECTORY", scene.path("run")).variable("NO_COLOR", "")
}

/// Writes a program of the scene.
fn script(scene: &Scene, name: &str, text: &str, mode: u32) {
    fs::write(scene.path(name), text).expect("written");
    fs::set_permissions(scene.path(name), fs::Permissions::from_mode(mode)).expect("it is ours");
}

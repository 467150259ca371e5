//! php-fpm with pools that are started on demand.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The server, of whatever version; `None` if it is not installed.
pub(crate) fn program() -> Option<PathBuf> {
    let entries = fs::read_dir("/usr/sbin").ok()?.flatten().map(|entry| entry.path());
    entries.into_iter().find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("php-fpm"))
    })
}

/// The command that starts it with so many pools, each at a socket in this folder.
pub(crate) fn command(program: &Path, pools: usize, folder: &Path) -> Command {
    let shown = folder.display();
    let mut conf = format!("[global]\nerror_log={shown}/error\npid={shown}/pid\ndaemonize=no\n");
    for pool in 0..pools {
        conf += &format!(
            "[p{pool}]\nuser=nobody\ngroup=nogroup\nlisten={shown}/{pool}.socket\npm=ondemand\n\
             pm.max_children=4\npm.process_idle_timeout=10s\n"
        );
    }
    fs::write(folder.join("conf"), conf).expect("written");
    fs::write(folder.join("hello.php"), "hello\n").expect("written");
    let mut command = Command::new(program);
    command.arg("-n").arg("-y").arg(folder.join("conf"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Asks a pool for its page, as a web server does (FastCGI), and waits for the answer.
pub(crate) fn ask(folder: &Path, pool: usize) -> io::Result<Vec<u8>> {
    const BEGIN: u8 = 1;
    const PARAMS: u8 = 4;
    const STDIN: u8 = 5;
    let record = |kind: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).expect("short").to_be_bytes();
        let mut record = vec![1, kind, 0, 1, length[0], length[1], 0, 0];
        record.extend(content);
        record
    };
    let script = folder.join("hello.php").display().to_string();
    let mut params = Vec::new();
    for (name, value) in [("SCRIPT_FILENAME", &*script), ("REQUEST_METHOD", "GET")] {
        params.push(u8::try_from(name.len()).expect("short"));
        params.push(u8::try_from(value.len()).expect("short"));
        params.extend(name.as_bytes());
        params.extend(value.as_bytes());
    }
    let mut request = record(BEGIN, &[0, 1, 0, 0, 0, 0, 0, 0]);
    request.extend(record(PARAMS, &params));
    request.extend(record(PARAMS, &[]));
    request.extend(record(STDIN, &[]));
    let mut connection = UnixStream::connect(folder.join(format!("{pool}.socket")))?;
    connection.write_all(&request)?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    Ok(answer)
}

//! Programs that are started for a client, whose connection they have as standard input and output, as `inetd(8)` starts them.

use std::os::fd::AsFd;

use prefork::{AnyAddr, AnyListener, AnyStream, Child, Exit, LogLevel, Result};

use crate::{
    Program, Sockets, lifeline::Lifeline, output::Relay, spawn::Handed, started::Started,
    written::Written,
};

/// Starts the program for one client after the other, until the child is asked to leave.
pub(crate) fn serve(program: &Program, child: &mut Child, sockets: &Sockets) -> Result {
    let lifeline = Lifeline::tie()?;
    let listeners: Vec<&AnyListener> = sockets.0.iter().map(|socket| &socket.listener).collect();
    while let Some((connection, client)) = child.accept(&listeners[..])? {
        let mut started = start(program, child, &connection, &client)?;
        // It is the program's alone, and ends with that; unless somebody has to count.
        let mut written = program.max_output.map(|most| Written::new(connection, most));
        let mut is_too_much = false;
        // A stop does not disturb it.
        let exit = loop {
            let due = written.as_ref().map(Written::due);
            let came = started.wait(&lifeline, due, &[])?;
            let exit = started.take_in(child, &lifeline, &came)?;
            if let Some(counted) = &mut written
                && counted.is_too_much(exit.is_some())?
            {
                counted.cut()?;
                (written, is_too_much) = (None, true);
                // Its number is nobody's once it was waited for.
                if exit.is_none() {
                    started.kill_all()?;
                }
            }
            if let Some(exit) = exit {
                break exit;
            }
        };
        drop(written);
        let when = match client.as_tcp() {
            Some(client) => format!(", serving {client}"),
            None => ", serving a client of a UNIX socket".to_owned(),
        };
        if let Some(most) = program.max_output.filter(|_| is_too_much) {
            let text = format!(
                "{started} was ended: it has written more than max_output, {most} bytes{when}"
            );
            child.log(LogLevel::Warn, text);
            continue;
        }
        let level = match exit {
            Exit::Code(0) => continue,
            Exit::Code(_) => LogLevel::Info,
            Exit::Signal { .. } => LogLevel::Error,
        };
        child.log(level, started.ended(exit).when(when));
    }
    Ok(())
}

fn start(
    program: &Program,
    child: &mut Child,
    connection: &AnyStream,
    client: &AnyAddr,
) -> Result<Started> {
    let (relay, stderr) = Relay::open_stderr(&program.output)?;
    let handed = Handed {
        stdin: Some(connection.as_fd()),
        stdout: connection.as_fd(),
        stderr: stderr.as_fd(),
        notify_socket: None,
        slot: child.slot(),
        generation: child.generation(),
        client: client.as_tcp(),
    };
    let started = Started::start(program, &Sockets(Vec::new()), &handed, relay)?;
    child.busy(&format!("{}[{}]", started.name, started.pid));
    Ok(started)
}

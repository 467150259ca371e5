//! Writing logs.

use std::{fs, process, thread, time::Duration};

use prefork::Result;
use tracing_appender::{non_blocking, rolling};

use crate::{Place, nothing};

/// How many lines each child writes, and how long they are.
const LINES: u32 = 100;
const LENGTH: usize = 900;

pub(crate) fn tracing_appender(place: Place) -> Result {
    let before = |place: &Place| {
        let (_writer, guard) = non_blocking(rolling::never(&place.folder, "lines"));
        // It gives itself its name when it begins.
        while !has_thread_of_its_own_name()? {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(guard)
    };
    place.serve(before, nothing, |_, _| Ok(String::new()))
}

fn has_thread_of_its_own_name() -> Result<bool> {
    let own = fs::read_to_string("/proc/self/comm")?;
    for task in fs::read_dir("/proc/self/task")? {
        if fs::read_to_string(task?.path().join("comm"))? != own {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The thread that writes is the child's own.
pub(crate) fn tracing_appender_remedy(place: Place) -> Result {
    place.serve(
        |_| Ok(()),
        nothing,
        |(), place| {
            let (writer, guard) = non_blocking(rolling::never(&place.folder, "lines"));
            let subscriber =
                tracing_subscriber::fmt().with_writer(writer).with_ansi(false).finish();
            tracing::subscriber::with_default(subscriber, write);
            // Writes what is left.
            drop(guard);
            Ok("written".to_owned())
        },
    )
}

/// Without a thread, the file can be opened once: it is for appending.
pub(crate) fn tracing_appender_blocking(place: Place) -> Result {
    let before = |place: &Place| {
        let file = rolling::never(&place.folder, "lines");
        let subscriber = tracing_subscriber::fmt().with_writer(file).with_ansi(false).finish();
        Ok(tracing::Dispatch::new(subscriber))
    };
    place.serve(before, nothing, |subscriber, _| {
        tracing::dispatcher::with_default(subscriber, write);
        Ok("written".to_owned())
    })
}

fn write() {
    let text = "x".repeat(LENGTH);
    for _ in 0..LINES {
        tracing::info!("{} {text}.", process::id());
    }
}

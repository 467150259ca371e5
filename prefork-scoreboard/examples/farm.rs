//! A supervisor that executes programs, each of which has a slot with columns: `farm PATH WORKERS`.
//!
//! The workers make thumbnails of pictures that nobody has taken. One that ends, or is killed, is started again. Look on
//! with `prefork top PATH`, `scoreboard.py PATH`, or `page.py PATH 8000` and a browser.
//!
//! Ctrl-C ends all of them and leaves the board behind, as nothing is dropped then: who reads it sees that its owner has
//! gone, and the next farm there replaces it. Workers whose supervisor was killed see that they have another parent, and
//! leave: else they would go on beside those of the next one, and report to a board that nobody reads.

use prefork_scoreboard::{BoardOptions, Column, OwnedBoard, Slot};
use std::env::{args_os, current_exe, var};
use std::error::Error;
use std::os::unix::process::parent_id;
use std::process::{Child, Command, id};
use std::thread::sleep;
use std::time::Duration;

/// The variable that tells a worker whose it is.
const SUPERVISOR: &str = "FARM_SUPERVISOR";

fn main() -> Result<(), Box<dyn Error>> {
    // A worker is this program once more.
    match Slot::from_environment()? {
        Some(slot) => work(slot),
        None => supervise(),
    }
}

fn supervise() -> Result<(), Box<dyn Error>> {
    let mut arguments = args_os().skip(1);
    let (Some(path), Some(workers)) = (arguments.next(), arguments.next()) else {
        return Err("usage: farm PATH WORKERS".into());
    };
    let workers: usize = workers.to_string_lossy().parse()?;
    let board = BoardOptions::new()
        .title("thumbnails")
        .column(Column::counter("written").unit("bytes"))
        .column(Column::counter("errors"))
        .column(Column::gauge("queue"))
        .column(Column::text("volume"))
        .create(path, workers)?;
    let start = |slot| start(&board, slot);
    let mut running: Vec<Child> = (0..workers).map(start).collect::<Result<_, _>>()?;
    loop {
        for (slot, worker) in running.iter_mut().enumerate() {
            // The slot is free once the process was reaped.
            if worker.try_wait()?.is_some() {
                *worker = start(slot)?;
            }
        }
        sleep(Duration::from_millis(200));
    }
}

fn start(board: &OwnedBoard, slot: usize) -> Result<Child, Box<dyn Error>> {
    board.assign(slot, 1)?;
    let mut command = Command::new(current_exe()?);
    let started = command.envs(board.variables(slot)?).env(SUPERVISOR, id().to_string()).spawn();
    if started.is_err() {
        // Else it would show somebody who starts.
        board.clear(slot)?;
    }
    Ok(started?)
}

fn work(mut slot: Slot) -> Result<(), Box<dyn Error>> {
    let (written, errors) = (slot.number("written")?, slot.number("errors")?);
    let (queue, volume) = (slot.number("queue")?, slot.text("volume")?);
    let supervisor: u32 = var(SUPERVISOR)?.parse()?;
    let pictures = 200;
    slot.set_text(volume, &format!("photos-{}", slot.index()));
    for picture in 0..pictures {
        if parent_id() != supervisor {
            return Err("the supervisor has gone".into());
        }
        slot.busy(&format!("cat-{picture}.png"));
        sleep(Duration::from_millis(100 + 10 * slot.index() as u64));
        slot.update(|report| {
            report.count_requests(1).add(written, 4000 + 97 * picture);
            report.add(errors, u64::from(picture % 17 == 0)).set(queue, pictures - picture - 1);
        });
    }
    Ok(())
}

//! Unrelated processes share a board: run `shared PATH WHAT` a few times in several terminals, and
//! `dump PATH` in another.
//!
//! Each claims a slot, does its work, shows it, and leaves when its input ends. One that is killed
//! leaves a slot that the next one takes.

use prefork_scoreboard::Board;
use std::error::Error;
use std::io::{BufRead, stdin};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let path = arguments.next().map(PathBuf::from).ok_or("usage: shared PATH WHAT")?;
    let what = arguments.next().unwrap_or_else(|| "work".into());

    let board = Board::open_or_create(&path, 16)?;
    let mut slot = board.claim()?;
    println!("slot {} of {} is mine; a line of input is a request", slot.index(), board.slots());
    slot.client(what.display());
    slot.idle();
    for line in stdin().lock().lines() {
        slot.busy(&line?);
        println!("{}", board.snapshot()?);
        slot.finished();
    }
    Ok(())
}

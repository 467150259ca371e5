//! Connections to databases.

use std::{cell::RefCell, process, time::Duration};

use prefork::{BoxError, Result};
use rusqlite::Connection;

use crate::{Place, nothing};

/// How much each child does.
const ROUNDS: u32 = 200;

pub(crate) fn rusqlite(place: Place) -> Result {
    let before = |place: &Place| {
        let database = open(place)?;
        create(&database)?;
        Ok(database)
    };
    place.serve(before, nothing, |database, _| Ok(insert(database)))
}

/// The parent has a lock, which each child takes for its own.
pub(crate) fn rusqlite_locked(place: Place) -> Result {
    let before = |place: &Place| {
        let database = Connection::open(place.folder.join("app.db"))?;
        database.pragma_update(None, "locking_mode", "exclusive")?;
        create(&database)?;
        Ok(database)
    };
    place.serve(before, nothing, |database, _| Ok(insert(database)))
}

pub(crate) fn rusqlite_remedy(place: Place) -> Result {
    // Closed again before the fork.
    place.serve(|place| create(&open(place)?), nothing, |(), place| Ok(insert(&open(place)?)))
}

/// Prints how many rows there are, and whether SQLite finds the file in order.
pub(crate) fn rusqlite_check(place: &Place) -> Result {
    let database = open(place)?;
    let rows: u32 = database.query_one("SELECT count(*) FROM seen", [], |row| row.get(0))?;
    let verdict: String = database.query_one("PRAGMA integrity_check", [], |row| row.get(0))?;
    println!("{rows} {verdict}");
    Ok(())
}

fn open(place: &Place) -> std::result::Result<Connection, BoxError> {
    let database = Connection::open(place.folder.join("app.db"))?;
    database.busy_timeout(Duration::from_secs(30))?;
    database.pragma_update(None, "journal_mode", "wal")?;
    Ok(database)
}

fn create(database: &Connection) -> Result {
    Ok(database.execute_batch("CREATE TABLE seen (pid INTEGER, round INTEGER, text TEXT)")?)
}

/// Returns how many rows were written, and the first error.
fn insert(database: &Connection) -> String {
    let text = "x".repeat(500);
    let row = |round| {
        let row = (process::id(), round, &text);
        database.execute("INSERT INTO seen VALUES (?1, ?2, ?3)", row)
    };
    let results: Vec<_> = (0..ROUNDS).map(row).collect();
    let written = results.iter().filter(|result| result.is_ok()).count();
    let error = results.into_iter().find_map(std::result::Result::err);
    format!("{written} {}", error.map(|error| error.to_string()).unwrap_or_default())
}

pub(crate) fn redis(place: Place) -> Result {
    // Of those that a sibling has taken the answers come never.
    let before = |place: &Place| connect(place, Duration::from_millis(20)).map(RefCell::new);
    place.serve(before, nothing, |connection, place| {
        place.wait_for_all()?;
        Ok(ask(&mut connection.borrow_mut()))
    })
}

pub(crate) fn redis_remedy(place: Place) -> Result {
    let sees = |(): &(), place: &Place| Ok(ask(&mut connect(place, Duration::from_secs(30))?));
    place.serve(|_| Ok(()), nothing, sees)
}

fn connect(place: &Place, patience: Duration) -> std::result::Result<redis::Connection, BoxError> {
    let connection =
        redis::Client::open(format!("redis://{}/", place.address))?.get_connection()?;
    connection.set_read_timeout(Some(patience))?;
    Ok(connection)
}

/// Returns how many answers were those to the own questions.
fn ask(connection: &mut redis::Connection) -> String {
    let mine = process::id().to_string();
    let is_mine = |_: &u32| {
        let answer: redis::RedisResult<String> = redis::cmd("ECHO").arg(&mine).query(connection);
        answer.is_ok_and(|answer| answer == mine)
    };
    (0..ROUNDS).filter(is_mine).count().to_string()
}

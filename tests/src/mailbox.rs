//! A service manager, as far as a daemon talks to it.

use std::{
    env, fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::PATIENCE;

/// The sign of life, which comes at any time.
const BEAT: &str = "WATCHDOG=1";

/// A socket for `NOTIFY_SOCKET`, and what has arrived there.
#[derive(Debug)]
pub struct Mailbox {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Mailbox {
    /// Opens one, at a path that is short enough for a socket.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it opens something")]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("prefork-{}-{number}.notify", process::id()));
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).expect("a socket can be bound");
        socket.set_read_timeout(Some(PATIENCE)).expect("the time can be set");
        Self { socket, path }
    }

    /// Returns where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the next message but for signs of life, its parts joined by spaces.
    ///
    /// # Panics
    ///
    /// Panics if none comes in time.
    #[must_use]
    #[track_caller]
    pub fn next(&self) -> String {
        loop {
            let message = self.any().expect("a message comes");
            if message != BEAT {
                return message;
            }
        }
    }

    /// Waits for a sign of life, passing over nothing else.
    ///
    /// # Panics
    ///
    /// Panics if none comes in time, or another message does.
    #[track_caller]
    pub fn expect_beat(&self) {
        assert_eq!(self.any().as_deref(), Some(BEAT));
    }

    /// Asserts that the next messages begin with these texts, in order.
    ///
    /// # Panics
    ///
    /// Panics if they do not.
    #[track_caller]
    pub fn expect(&self, beginnings: &[&str]) {
        for beginning in beginnings {
            let message = self.next();
            assert!(message.starts_with(beginning), "{message:?} should begin with {beginning:?}");
        }
    }

    /// Returns how many messages wait, signs of life among them, and takes them out.
    ///
    /// # Panics
    ///
    /// Panics if the socket fails.
    #[must_use]
    pub fn drain(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).expect("it can be set");
        let waiting = std::iter::from_fn(|| self.any()).collect();
        self.socket.set_nonblocking(false).expect("it can be set");
        waiting
    }

    fn any(&self) -> Option<String> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).ok()?;
        let text = String::from_utf8_lossy(&buffer[..length]);
        Some(text.trim_end().replace('\n', " "))
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

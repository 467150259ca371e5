//! The messages between launcher, watcher and daemon, as bytes.
//!
//! One tag byte, then a fixed number of 32-bit little-endian fields, then for a failure its
//! text. Both ends are the same program image, so there is no version.

use crate::pid::Pid;

/// No message is longer; a longer failure text is cut.
pub(crate) const MAX_LEN: usize = 16 * 1024;

/// Replaces the rest of a text that was cut.
const CUT: &str = " [...]";

/// Names the step that a process could not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Session,
    Fork,
    Watch,
    Directory,
    Stdio,
    Descriptors,
    Signals,
}

impl Step {
    const ALL: [Self; 7] = [
        Self::Session,
        Self::Fork,
        Self::Watch,
        Self::Directory,
        Self::Stdio,
        Self::Descriptors,
        Self::Signals,
    ];
}

/// Everything that is ever said over a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// Watcher: the daemon exists.
    Forked(Pid),
    /// Watcher: the daemon has exited with this status.
    Exited(i32),
    /// Watcher: the daemon was killed by this signal.
    Killed(i32),
    /// Watcher or daemon: this step failed with this error number.
    Failed(Step, i32),
    /// Daemon: it serves.
    Ready(Pid),
    /// Daemon: it will not serve, and why.
    Refused(String),
    /// Daemon: it has dropped its readiness without a word.
    Dropped,
    /// Launcher to daemon: ready was noted; to watcher: the daemon may live, leave.
    Noted,
    /// Launcher to watcher: the launch has failed, stop the daemon.
    Stop,
}

impl Message {
    /// Writes the message in at most `limit` bytes, by cutting a text if need be.
    pub(crate) fn encode(&self, limit: usize) -> Vec<u8> {
        match self {
            Self::Forked(pid) => fixed(b'F', &[pid.as_raw()]),
            Self::Exited(status) => fixed(b'X', &[*status]),
            Self::Killed(signal) => fixed(b'K', &[*signal]),
            Self::Failed(step, errno) => fixed(b'E', &[*step as i32, *errno]),
            Self::Ready(pid) => fixed(b'R', &[pid.as_raw()]),
            Self::Refused(text) => {
                let mut frame = vec![b'T'];
                frame.extend_from_slice(cut(text, limit.saturating_sub(1)).as_bytes());
                frame
            }
            Self::Dropped => fixed(b'D', &[]),
            Self::Noted => fixed(b'N', &[]),
            Self::Stop => fixed(b'S', &[]),
        }
    }

    /// Reads a message back; `None` for anything that [`encode`](Self::encode) never writes.
    pub(crate) fn decode(frame: &[u8]) -> Option<Self> {
        let (tag, body) = frame.split_first()?;
        match (tag, body.len()) {
            (b'F', 4) => Pid::from_raw(field(body, 0)?).map(Self::Forked),
            (b'X', 4) => Some(Self::Exited(field(body, 0)?)),
            (b'K', 4) => Some(Self::Killed(field(body, 0)?)),
            (b'E', 8) => {
                let step = usize::try_from(field(body, 0)?).ok()?;
                Some(Self::Failed(*Step::ALL.get(step)?, field(body, 1)?))
            }
            (b'R', 4) => Pid::from_raw(field(body, 0)?).map(Self::Ready),
            (b'T', _) => Some(Self::Refused(String::from_utf8_lossy(body).into_owned())),
            (b'D', 0) => Some(Self::Dropped),
            (b'N', 0) => Some(Self::Noted),
            (b'S', 0) => Some(Self::Stop),
            _ => None,
        }
    }
}

fn fixed(tag: u8, fields: &[i32]) -> Vec<u8> {
    let mut frame = vec![tag];
    for field in fields {
        frame.extend_from_slice(&field.to_le_bytes());
    }
    frame
}

fn field(body: &[u8], index: usize) -> Option<i32> {
    let bytes = body.get(index * 4..index * 4 + 4)?;
    bytes.try_into().ok().map(i32::from_le_bytes)
}

/// Cuts a text to at most `limit` bytes, between two characters, and says so.
fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit.saturating_sub(CUT.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{CUT}", &text[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arb_pid() -> impl Strategy<Value = Pid> {
        (1..i32::MAX).prop_filter_map("positive", Pid::from_raw)
    }

    fn arb_message() -> impl Strategy<Value = Message> {
        prop_oneof![
            arb_pid().prop_map(Message::Forked),
            any::<i32>().prop_map(Message::Exited),
            any::<i32>().prop_map(Message::Killed),
            (0..Step::ALL.len(), any::<i32>())
                .prop_map(|(step, errno)| Message::Failed(Step::ALL[step], errno)),
            arb_pid().prop_map(Message::Ready),
            ".{0,200}".prop_map(Message::Refused),
            Just(Message::Dropped),
            Just(Message::Noted),
            Just(Message::Stop),
        ]
    }

    #[test]
    fn every_step_stands_at_its_own_number() {
        for (index, step) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, index);
        }
    }

    proptest! {
        #[test]
        fn a_message_survives_the_journey(message in arb_message()) {
            prop_assert_eq!(Message::decode(&message.encode(MAX_LEN)), Some(message));
        }

        #[test]
        fn no_bytes_upset_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(message) = Message::decode(&bytes) {
                prop_assert!(message.encode(MAX_LEN).len() <= MAX_LEN);
            }
        }

        #[test]
        fn a_long_text_is_cut_between_characters(text in "[aäß漢]{0,400}", limit in 16_usize..300) {
            let frame = Message::Refused(text.clone()).encode(limit);
            prop_assert!(frame.len() <= limit);
            let kept = std::str::from_utf8(&frame[1..]).expect("cut inside a character");
            prop_assert!(kept == text || kept.strip_suffix(CUT).is_some_and(|k| text.starts_with(k)));
        }
    }
}

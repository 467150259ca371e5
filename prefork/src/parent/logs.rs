//! Opening the logs again, and seeing to it that everybody writes to the new files.

use std::time::Duration;

use prefork_core::{Event, SlotId, Time};

use super::Parent;
use crate::{
    board::Outcome,
    logs::FileMessage,
    logs::describe::Span,
    start::logs::{Reopened, reopen},
    status::counters::Counter,
    system::clock,
};

/// A line is written within microseconds, so this is mostly looked at once. It may take longer where the disk is slow,
/// or where a child has to be replaced.
const SOON: Duration = Duration::from_millis(1);
const SLOWEST: Duration = Duration::from_secs(1);

/// How far children have gone over to logs that were opened again.
#[derive(Debug, Default)]
pub(super) struct HandoverOfLogs {
    going: Option<Going>,
}

#[derive(Clone, Copy, Debug)]
struct Going {
    began: Time,
    pause: Duration,
    due: Time,
}

impl HandoverOfLogs {
    fn begin(&mut self, now: Time) {
        self.going = Some(Going { began: now, pause: SOON, due: now });
    }

    /// When it is to be looked at again.
    pub(super) fn due(&self) -> Option<Time> {
        self.going.map(|going| going.due)
    }
}

impl Parent<'_> {
    /// Opens the logs again, and hands them to all who write to them.
    pub(super) fn reopen_logs(&mut self) {
        let (reason, now) = (std::mem::take(&mut self.reopen_reason), clock::now());
        let reopened = reopen(&self.settings, &mut self.access_log, &reason, &self.log);
        let Reopened { logs, mut failure } = reopened;
        let is_open = !logs.is_empty();
        if is_open && let Err(error) = self.channels.hand_out(&logs, self.supervisor.slots()) {
            self.log.write(&FileMessage::LogsNotHandedOut { error: &error });
            failure.get_or_insert(format!("they cannot be handed to the children: {error}"));
        }
        if let Some(board) = &mut self.runtime_files.board {
            board.about.reopening(now);
            match failure {
                Some(failure) => board.about.reopening_ended(now, Outcome::Failed(failure)),
                None if !is_open => board.about.reopening_ended(now, Outcome::Done),
                None => {}
            }
        }
        if !is_open {
            return;
        }
        self.handover_of_logs.begin(now);
        self.renew_demand();
        // What these print themselves goes to the error log, and they may never look.
        let unseeing = self.supervisor.slots().filter(|slot| self.table.never_looks(*slot));
        let unseeing: Vec<SlotId> =
            unseeing.filter(|_| self.settings.error_log_path.is_some()).collect();
        for slot in unseeing {
            self.supervisor.handle(now, Event::Recycle { slot });
        }
    }

    /// Looks whether nobody writes to old logs any more, if that is due.
    pub(super) fn check_logs(&mut self, now: Time) {
        let Some(going) = &mut self.handover_of_logs.going else { return };
        if now < going.due {
            return;
        }
        let (pages, edition) = (&self.channels.pages, self.channels.handout.edition());
        let mut slots = self.supervisor.slots();
        if let Some(late) = slots.find(|slot| pages.writes_to_older_logs(*slot, edition)) {
            let pause = (going.pause * 2).min(SLOWEST);
            let is_slow = std::mem::replace(&mut going.pause, pause) < SLOWEST && pause == SLOWEST;
            going.due = now + pause;
            if is_slow && let Some(child_pid) = self.table.pid(late) {
                self.log.write(&FileMessage::OldLogInUse { child_pid });
            }
            return;
        }
        let duration = Span(now.since(going.began));
        self.log.write(&FileMessage::LogsReopened { duration });
        self.handover_of_logs.going = None;
        if let Some(board) = &mut self.runtime_files.board {
            board.show_logs(edition, &self.channels.pages, &self.log);
            board.about.reopening_ended(now, Outcome::Done);
        }
    }

    /// Counts the lines that a child could not write, as far as that is plausible.
    pub(super) fn count_lost_lines(&mut self, now: Time, slot: SlotId) {
        let claimed = self.channels.pages.lost_lines(slot);
        self.counters.add(Counter::ChildLogLinesLost, self.table.count_lost(slot, now, claimed));
    }
}

//! Keeping the service manager informed, as systemd wants it (see `sd_notify(3)`).
//!
//! - `messages.rs`: what is sent when, decided from what the supervisor reports and does.
//! - `notify_socket.rs`: the way to the manager, found in the environment.
//! - `outbox.rs`: what waits for a manager that is behind.
//! - `store.rs`: the listening sockets that it keeps for the next start.
//!
//! The variables that lead to the manager are taken out of the environment, so that no program started by
//! the daemon speaks in its name. The next program in this process has them again, as it is started with
//! the environment that the daemon was started with.

mod messages;
mod notify_socket;
mod outbox;
mod store;

use std::{io, time::Duration};

use prefork_core::{Config, Hook, Progress, Time};

use crate::{
    logs::log::Log,
    logs::{ClientMessage, ProcessMessage},
    sockets::{activation::Activated, kept, listeners::Listeners},
    sys,
    system::clock,
};

use messages::{Conversation, Size};
pub(crate) use messages::{MainPid, Occasion};
use notify_socket::NotifySocket;
use outbox::{ALIVE, Message, Outbox};
use store::Store;

/// What the environment says about the service manager.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manager {
    line: Option<NotifySocket>,
    /// How often a sign of life is due.
    interval: Option<Duration>,
    main_pid: MainPid,
    /// How many descriptors it keeps for the next start.
    room: usize,
}

impl Manager {
    /// Reads the variables and takes them out of the environment.
    ///
    /// `in_place` is for a program that goes on with a daemon in the background: the pid for which the
    /// manager has started the watchdog was that of the launcher.
    pub(crate) fn from_environment(in_place: bool, main_pid: MainPid) -> Self {
        let line = std::env::var_os("NOTIFY_SOCKET").and_then(|address| NotifySocket::to(&address));
        let read = |name| std::env::var(name).ok();
        let pid = read("WATCHDOG_PID").filter(|_| !in_place);
        let is_ours = pid.is_none_or(|pid| pid == std::process::id().to_string());
        let limit = read("WATCHDOG_USEC").filter(|_| is_ours).and_then(|limit| limit.parse().ok());
        let room = read("FDSTORE").filter(|_| line.is_some()).and_then(|room| room.parse().ok());
        for name in ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "FDSTORE"] {
            if std::env::var_os(name).is_some() {
                sys::forget_variable(name);
            }
        }
        let interval = line.as_ref().and(limit).and_then(beat);
        Self { interval, line, main_pid, room: room.unwrap_or(0) }
    }

    /// Takes out of what the manager has passed those listening sockets that it has kept of an earlier daemon and that are of
    /// no use, and has it close them: their addresses are to be bound again.
    pub(crate) fn sort_kept(&self, passed: Vec<Activated>, log: &Log) -> Vec<Activated> {
        let (good, useless) = kept::sort(passed);
        for kept::Useless { name, why } in &useless {
            log.write(&ClientMessage::KeptUseless { name, why });
        }
        if let (Some(line), false) = (&self.line, useless.is_empty()) {
            let removed = useless.iter().map(|useless| line.deliver(&store::remove(&useless.name)));
            if let Err(error) = removed.collect::<io::Result<()>>().and_then(|()| line.wait()) {
                log.write(&ProcessMessage::ManagerNotNotified { error: &error, yet: "" });
            }
        }
        good
    }

    /// Begins to report on a pool.
    pub(crate) fn report(&self, config: &Config, begun: Begun, log: &Log) -> Reporting {
        let conversation = match begun {
            Begun::Fresh => Conversation::new(Size::of(config)),
            Begun::InPlace => Conversation::in_place(Size::of(config)),
            Begun::Alone => Conversation::new(Size::Fixed { prefork: 0 }),
        };
        self.say(conversation, longest_stop(config), log)
    }

    /// Begins to report on several pools, which take so long to stop at most.
    pub(crate) fn report_pools(
        &self,
        pools: usize,
        stop: Duration,
        begun: Begun,
        log: &Log,
    ) -> Reporting {
        let size = Size::Pools { pools };
        let conversation = match begun {
            Begun::Fresh | Begun::Alone => Conversation::new(size),
            Begun::InPlace => Conversation::in_place(size),
        };
        self.say(conversation, stop, log)
    }

    fn say(&self, conversation: Conversation, stop: Duration, log: &Log) -> Reporting {
        Reporting {
            line: self.line.clone(),
            conversation: conversation.with_main_pid(self.main_pid).with_stop(stop),
            interval: self.interval,
            store: Store::new(self.room),
            next_beat: clock::now(),
            outbox: Outbox::default(),
            was_deaf: false,
            log: log.clone(),
        }
    }
}

/// Returns how long a stop may take at most.
pub(crate) fn longest_stop(config: &Config) -> Duration {
    // Each of them is waited for once.
    let hooks = config.hooks.iter().filter(|hook| match hook {
        Hook::BeforeShutdown | Hook::OnChildExit => true,
        Hook::Ready
        | Hook::OnTimeout
        | Hook::AutoReloadHandler
        | Hook::OnClientDisconnect
        | Hook::Demand => false,
    });
    let measures = [config.graceful_timeout, config.interrupt_timeout, config.kill_timeout];
    let parts = measures.into_iter().chain(hooks.map(|_| config.hook_timeout));
    parts.fold(MARGIN, Duration::saturating_add)
}

/// How a daemon has come to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// By a start.
    Fresh,
    /// By an upgrade, or by the return from one.
    InPlace,
    /// Without children.
    Alone,
}

/// How much longer than hooks, and the measures that make children leave, a stop may take, for files.
const MARGIN: Duration = Duration::from_secs(5);

/// Half of the limit, as `sd_watchdog_enabled(3)` recommends; none is no watchdog.
fn beat(limit_in_microseconds: u64) -> Option<Duration> {
    let half = limit_in_microseconds / 2;
    (half > 0).then(|| Duration::from_micros(half))
}

/// The reports on one pool.
#[derive(Debug)]
pub(crate) struct Reporting {
    line: Option<NotifySocket>,
    conversation: Conversation,
    interval: Option<Duration>,
    store: Store,
    next_beat: Time,
    /// What the manager had no room for yet.
    outbox: Outbox,
    /// Whether the last message did not get through, so that it is logged once.
    was_deaf: bool,
    log: Log,
}

impl Reporting {
    /// Goes on with other time limits for a stop.
    pub(crate) fn reconfigure(&mut self, config: &Config) {
        self.conversation.stop_takes(longest_stop(config));
    }

    /// Sends the message that follows from an occasion, if any.
    pub(crate) fn on(&mut self, occasion: Occasion) {
        if occasion == Occasion::Progress(Progress::Upgrading) {
            // The next program has its own initialization to do before it gives a sign.
            self.next_beat = Time::ZERO;
            self.advance(clock::now());
        }
        if self.line.is_some()
            && let Some(message) =
                self.conversation.answer(occasion, clock::now(), std::process::id())
        {
            self.say(message.into());
        }
        if occasion == Occasion::Progress(Progress::Stopping) {
            for message in self.store.empty() {
                self.say(message);
            }
        }
    }

    /// Has the manager keep the listening sockets for the next start, should this process be killed, and others no more.
    pub(crate) fn keep(&mut self, listeners: &Listeners) {
        if self.line.is_some() {
            for message in self.store.keep(listeners) {
                self.say(message);
            }
        }
    }

    /// Shows from now on that something is wrong, or that nothing is.
    pub(crate) fn trouble(&mut self, text: Option<String>) {
        if let Some(message) = self.conversation.trouble(text)
            && self.line.is_some()
        {
            self.say(message.into());
        }
    }

    /// When the next sign of life is due, or the next attempt to send what waits.
    pub(crate) fn due(&self) -> Option<Time> {
        self.interval.map(|_| self.next_beat).into_iter().chain(self.outbox.due()).min()
    }

    /// Gives a sign of life, if it is time to, and sends what waits.
    pub(crate) fn advance(&mut self, now: Time) {
        if let Some(interval) = self.interval
            && now >= self.next_beat
        {
            self.next_beat = now + interval;
            self.say(ALIVE.to_owned().into());
        } else if self.outbox.due().is_some_and(|due| now >= due) {
            self.send(now);
        }
    }

    fn say(&mut self, message: Message) {
        self.outbox.push(message);
        self.send(clock::now());
    }

    fn send(&mut self, now: Time) {
        let Some(line) = &self.line else { return };
        match self.outbox.send(now, |message| line.deliver(message)) {
            Ok(()) => self.was_deaf = false,
            Err(error) => {
                if !std::mem::replace(&mut self.was_deaf, true) {
                    let yet = if error.kind() == io::ErrorKind::WouldBlock { " yet" } else { "" };
                    self.log.write(&ProcessMessage::ManagerNotNotified { error: &error, yet });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_of_life_comes_twice_in_the_limit() {
        assert_eq!(beat(30_000_000), Some(Duration::from_secs(15)));
        assert_eq!([beat(0), beat(1)], [None, None]);
    }
}

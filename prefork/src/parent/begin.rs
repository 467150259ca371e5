//! Making the parent, of a new pool or of one that an old program has had in this process.

use std::io;

use prefork_core::{AdoptedAs, Config, Hangups, Pressure, Supervisor};
use prefork_daemonize::Readiness;

use super::{
    Parent,
    about::Reported,
    bare::Bare,
    bells,
    deaths::Deaths,
    descendants::Descendants,
    helpers::Helpers,
    logs::HandoverOfLogs,
    memory::Memory,
    table::{Table, number},
    take_in,
};
use crate::{
    AccessLog, RunError,
    args::check::{Settings, Users},
    channels::{Channels, Pages},
    disconnect::ClientWatch,
    hooks::ParentHooks,
    logs::ChangeMessage,
    logs::describe::Children,
    logs::log::{Log, Role},
    manager::{Begun, Occasion},
    program::{AutoReload, Invocation},
    seat::Seat,
    sockets::listeners::Listeners,
    start::{Introduction, RuntimeFiles},
    status::Service,
    status::counters::{Counter, Counters},
    system::clock,
    system::os::{LeftOpen, Signals, Title, know_processor},
    upgrade::Adopted,
};

/// What a parent has of the arguments, whether it is a new one or takes over.
pub(crate) struct Basis {
    pub(crate) settings: Settings,
    pub(crate) users: Users,
    pub(crate) access_log: AccessLog,
    /// How this program was started, or why that is not known.
    pub(crate) invocation: io::Result<Invocation>,
    pub(crate) hooks: ParentHooks,
    pub(crate) auto_reload: Option<AutoReload>,
    /// The pool's place under an arbiter, if there is one.
    pub(crate) seat: Option<Seat>,
}

/// A pool that is to be supervised.
pub(crate) struct Pool {
    pub(crate) config: Config,
    pub(crate) signals: Signals,
    pub(crate) hangups: Hangups,
    pub(crate) channels: Channels,
    /// What another program has left in this process, if one has.
    pub(crate) adopted: Option<Adopted>,
}

/// What a parent is made of.
pub(crate) struct Parts<'a> {
    pub(crate) basis: Basis,
    pub(crate) pool: Pool,
    pub(crate) title: Title,
    pub(crate) listeners: Listeners,
    pub(crate) left_open: LeftOpen,
    pub(crate) status: Option<Service>,
    /// Whether there is nothing that children could begin with.
    pub(crate) is_bare: bool,
    pub(crate) readiness: &'a mut Option<Readiness>,
    pub(crate) runtime_files: RuntimeFiles,
}

impl<'a> Parent<'a> {
    /// Makes the parent of a new pool, or of one that the old program has had in this process.
    ///
    /// It is not on the stack, nor is anything left there of the making: a loop with small frames writes to few
    /// pages between two forks, and those are what each fork has copied.
    #[inline(never)]
    pub(crate) fn new(parts: Parts<'a>) -> Result<Box<Self>, RunError> {
        let Parts { basis, pool, title, listeners, readiness, .. } = parts;
        let Basis { settings, users, access_log, invocation, hooks, auto_reload, seat } = basis;
        let Pool { mut config, signals, hangups, channels, adopted } = pool;
        let memory = Memory::begin(&mut config, &settings, readiness.as_ref());
        let mut counters = Counters::new(clock::now(), config.prefork(), config.max_children());
        let log = Log::new(&settings.name, Role::Parent);
        let mut table = Table::new().map_err(RunError::system("keep a descriptor in reserve"))?;
        let handed = adopted.as_ref().map(|adopted| &adopted.tags);
        let descendants = Descendants::begin(config.descendants, handed, &log);
        let origin = adopted.as_ref().map_or(Origin::Start, Origin::of);
        let reporting = settings.manager.report(&config, origin.begun(), &log);
        let supervisor = begin(adopted, config, &mut table, &mut counters);
        let parent = Box::new(Self {
            client_watch: client_watch(&hooks, &listeners, &log),
            settings,
            privileges: users.children.clone(),
            layers: users.layers.clone(),
            supervisor,
            table,
            signals,
            channels,
            wakes: bells::ALLOWANCE,
            orphan_wakes: take_in::ORPHANS,
            title,
            access_log,
            listeners,
            left_open: parts.left_open,
            hooks,
            readiness,
            invocation,
            hangups,
            auto_reload,
            file_watch: None,
            helpers: Helpers::new(parts.status),
            descendants,
            counters,
            has_returned: origin.adopted_as() == Some(AdoptedAs::SameProgram),
            bare: parts.is_bare.then(Bare::new),
            // Children may have ended before the signal was blocked, or while a program took over from another.
            must_reap: true,
            have_ended: false,
            fork_error: None,
            cannot_fork: None,
            cut_off: 0,
            cut_short: Default::default(),
            deaths: Deaths::new(),
            memory,
            watches_queue: false,
            too_many: None,
            reporting,
            reopen_reason: String::new(),
            handover_of_logs: HandoverOfLogs::default(),
            log,
            reported: Reported::default(),
            link: seat.as_ref().and_then(Seat::link),
            runtime_files: parts.runtime_files,
        });
        Ok(parent.settled(&users, origin))
    }

    /// Takes everything for granted that it has begun with, and announces it.
    fn settled(mut self: Box<Self>, users: &Users, origin: Origin) -> Box<Self> {
        know_processor();
        instruct(&mut self.channels.pages, self.client_watch.is_some(), &self.supervisor);
        // What the program has set up is how it is to stay.
        self.listeners.settle_terms();
        self.announce(users, origin);
        self.adopt_gossip();
        self
    }

    /// Logs whose daemon begins or goes on, reports it to the service manager, and shows it on the scoreboard.
    fn announce(&mut self, users: &Users, origin: Origin) {
        let daemon = &Introduction {
            settings: &self.settings,
            users,
            invocation: self.invocation.as_ref().ok(),
            listeners: &self.listeners,
        };
        match origin {
            Origin::Start => {
                self.log.write(&ChangeMessage::Starting { daemon });
                self.reporting.on(Occasion::Starting);
            }
            Origin::Takeover { adopted_as, children } => {
                let children = Children(children);
                self.log.write(&ChangeMessage::TookOver { children, daemon });
                self.report_takeover(adopted_as);
                self.take_memory_shared(clock::now());
                match adopted_as {
                    AdoptedAs::SameProgram => self.reporting.on(Occasion::Back),
                    AdoptedAs::NewProgram => {}
                }
            }
        }
        self.reporting.keep(&self.listeners);
        self.log_memory_limit();
        self.log_child_limits();
        self.introduce(origin.adopted_as());
    }
}

/// How a parent comes to be.
#[derive(Clone, Copy)]
enum Origin {
    Start,
    Takeover { adopted_as: AdoptedAs, children: usize },
}

impl Origin {
    fn of(adopted: &Adopted) -> Self {
        Self::Takeover { adopted_as: adopted.adopted_as, children: adopted.children.len() }
    }

    /// What that is for the service manager.
    const fn begun(self) -> Begun {
        match self {
            Self::Start => Begun::Fresh,
            Self::Takeover { .. } => Begun::InPlace,
        }
    }

    const fn adopted_as(self) -> Option<AdoptedAs> {
        match self {
            Self::Start => None,
            Self::Takeover { adopted_as, .. } => Some(adopted_as),
        }
    }
}

/// Makes the supervisor, of a pool without children or of one that the old program has had.
fn begin(
    adopted: Option<Adopted>,
    config: Config,
    table: &mut Table,
    counters: &mut Counters,
) -> Supervisor {
    match adopted {
        None => Supervisor::new(config),
        Some(adopted) => adopt(adopted, config, table, counters),
    }
}

/// Takes over the children that the old program has had, and what it had counted and decided.
fn adopt(
    adopted: Adopted,
    config: Config,
    table: &mut Table,
    counters: &mut Counters,
) -> Supervisor {
    table.adopt(&adopted);
    counters.adopt(&adopted.counters);
    let Adopted { adopted_as, mut supervisor, .. } = adopted;
    for child in &mut supervisor.children {
        child.pid = table.pid(child.slot).map_or(0, number);
    }
    counters.count(match adopted_as {
        AdoptedAs::NewProgram => Counter::Upgrades,
        AdoptedAs::SameProgram => Counter::UpgradesRefused,
    });
    Supervisor::adopt(config, clock::now(), &supervisor, adopted_as)
}

/// Watches the clients, if somebody wants to know of those that hang up.
fn client_watch(hooks: &ParentHooks, listeners: &Listeners, log: &Log) -> Option<ClientWatch> {
    hooks.on_client_disconnect.as_ref().map(|_handler| ClientWatch::new(listeners, log))
}

/// Lets children know what the parent looks at, those that are there and those to come.
fn instruct(pages: &mut Pages, watches: bool, supervisor: &Supervisor) {
    let config = supervisor.config();
    pages.watch_clients(config.netwatch_interval.filter(|_| watches), supervisor.slots());
    pages.limit_requests(config.request_timeout, supervisor.slots());
    // Those that another program has left may have been told otherwise.
    pages.press(Pressure::Normal, supervisor.slots());
}

#[cfg(test)]
mod tests {
    use prefork_core::{Action, Event};

    use super::*;
    use crate::channels::both_sides;

    /// Nobody would tell them: to this program the pool keeps up from the beginning.
    #[test]
    fn what_another_program_has_told_its_children_of_pressure_does_not_last() {
        let (mut pages, slot, own, _reporter) = both_sides();
        pages.press(Pressure::Overloaded, [slot].into_iter());
        let mut supervisor = Supervisor::new(Config::new(2, 2).expect("valid"));
        supervisor.handle(clock::now(), Event::Start);
        while let Some(action) = supervisor.next_action() {
            if let Action::Spawn { slot, .. } = action {
                supervisor.handle(clock::now(), Event::Spawned { slot, pid: 1 });
            }
        }
        assert!(own.is_pressed() && supervisor.slots().any(|it| it == slot));
        instruct(&mut pages, false, &supervisor);
        assert!(!own.is_pressed());
    }
}

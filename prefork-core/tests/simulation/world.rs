//! A world of simulated children around one supervisor.
//!
//! It keeps its own account of who lives, and after every event it checks what must never be
//! broken: no child above the maximum, none in a slot that is taken, none forgotten, nothing done
//! to a slot without a child, nothing after the exit, no deadline in the past.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    time::Duration,
};

use prefork_core::{
    Action, Activity, AdoptedAs, Config, Descendants, Event, Exit, Hook, Measured, Measuring,
    Notice, Observation, Pool, Pressure, Progress, Request, Share, SlotId, Stats, Supervisor, Time,
    Verdict,
};

use crate::{
    count,
    life::{Child, Life, Milestone, Program, Settings},
    orphans::Orphans,
};

/// Something that is done to the world.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Children spawned from now on live so, in turn.
    Lives(Vec<Life>),
    /// The next so many forks fail.
    FailForks(u32),
    /// So many children are killed from outside, lowest slots first.
    Kill(usize),
    /// So many of the youngest children are killed from outside.
    KillYoungest(usize),
    /// So many children that have nothing to do take a request each, lowest slots first, and take so long.
    Occupy(usize, Duration),
    /// No more processes than that can be had.
    Processes(usize),
    /// The pool may have so many processes.
    Ceiling(u32),
    /// Time passes.
    Run(Duration),
    /// The parent is stopped while time passes, and then learns everything at once.
    Sleep(Duration),
    /// Something about slots that need not have a child is claimed.
    Gossip(u32),
    /// An operator asks for something.
    Request(Request),
    /// So many children would like to be replaced, lowest slots first.
    Tire(usize),
    /// Hooks take so long from now on, or for ever.
    Hooks(Option<Duration>),
    /// The file of settings is from now on such a one.
    Settings(Settings),
    /// The program file is from now on such a one.
    Program(Program),
    /// Nothing ends one of the processes that children have started.
    Stick,
}

/// What becomes of notices.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Log {
    Kept,
    Dropped,
}

pub(crate) struct World {
    config: Config,
    supervisor: Supervisor,
    now: Time,
    children: BTreeMap<SlotId, Child>,
    orphans: Orphans,
    agenda: BinaryHeap<Reverse<(Time, u64, SlotId, Milestone)>>,
    lives: Vec<Life>,
    serial: u64,
    failing_forks: u32,
    processes: usize,
    /// How many processes there may be.
    ceiling: usize,
    /// How many requests were in hand of children that were ended.
    cut: usize,
    /// Whether so many forks in a row have failed that no more processes can be had.
    crowded: bool,
    refused_forks: u32,
    /// Whether the next child that begins or finishes work is to nudge.
    armed: bool,
    forks: usize,
    events: u64,
    /// Where notices go.
    log: Log,
    notices: Vec<Notice>,
    /// All that was decided otherwise, and when, where somebody wants to know.
    decided: Option<Vec<(Time, Action)>>,
    /// How far the daemon has come, as it was shown.
    shown: Vec<Progress>,
    checked_files: usize,
    pressure: Pressure,
    announced: bool,
    /// How long each call of a hook takes, if it ends at all.
    hook_takes: Option<Duration>,
    /// The calls of hooks that are being run, and when each ends.
    calls: Vec<(Hook, Option<Time>)>,
    /// The slots of the children whose ends the hook has not taken in yet.
    untold: Vec<SlotId>,
    hooks: usize,
    reopened: usize,
    resized: bool,
    program: Program,
    /// Whether a probe is at work, and when it will say what.
    probe: Option<(Option<Time>, Event)>,
    probes: usize,
    settings: Settings,
    /// Whether settings are being read, and when that ends, if ever.
    reading: Option<Option<Time>>,
    upgrades: usize,
    verdict: Option<Verdict>,
}

impl World {
    pub(crate) fn new(mut config: Config) -> Self {
        config.descendants = Descendants::End;
        Self {
            supervisor: Supervisor::new(config.clone()),
            config,
            now: Time::after_origin(Duration::from_secs(1_000_000)),
            children: BTreeMap::new(),
            orphans: Orphans::default(),
            agenda: BinaryHeap::new(),
            lives: vec![Life::healthy()],
            serial: 0,
            failing_forks: 0,
            processes: usize::MAX,
            ceiling: usize::MAX,
            cut: 0,
            crowded: false,
            refused_forks: 0,
            armed: false,
            pressure: Pressure::Normal,
            forks: 0,
            events: 0,
            log: Log::Kept,
            notices: Vec::new(),
            decided: None,
            shown: Vec::new(),
            checked_files: 0,
            announced: false,
            hook_takes: Some(Duration::ZERO),
            calls: Vec::new(),
            untold: Vec::new(),
            hooks: 0,
            reopened: 0,
            resized: false,
            program: Program::Good,
            probe: None,
            probes: 0,
            settings: Settings::Good,
            reading: None,
            upgrades: 0,
            verdict: None,
        }
    }

    pub(crate) const fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// A pool that has been ready, to which all this has been done, and where all is well from now on.
    pub(crate) fn healed_after(config: Config, steps: Vec<Step>) -> Self {
        let mut world = Self::new(config);
        world.run_until_ready();
        for step in steps {
            world.step(step);
        }
        world.step(Step::Lives(vec![Life::healthy()]));
        world.heal();
        world
    }

    pub(crate) fn start(&mut self) {
        self.handle(Event::Start);
    }

    pub(crate) fn run_until_ready(&mut self) {
        self.start();
        self.run(Duration::from_millis(200), false);
        assert!(self.announced, "healthy children were not announced");
        self.run(self.config.early, false);
    }

    pub(crate) fn step(&mut self, step: Step) {
        match step {
            Step::Lives(lives) => self.lives = lives,
            Step::FailForks(count) => self.failing_forks = count,
            Step::Kill(count) => {
                for slot in self.children.keys().copied().take(count).collect::<Vec<_>>() {
                    self.bury(slot, Exit::Signal { number: 9, core_dumped: false });
                }
            }
            Step::KillYoungest(count) => {
                let mut slots: Vec<_> = self
                    .children
                    .iter()
                    .map(|(slot, child)| (Reverse(child.serial), *slot))
                    .collect();
                slots.sort_unstable();
                for (_, slot) in slots.into_iter().take(count) {
                    self.bury(slot, Exit::Signal { number: 9, core_dumped: false });
                }
            }
            Step::Occupy(count, time) => self.occupy(count, time),
            Step::Processes(most) => self.processes = most,
            Step::Ceiling(children) => {
                self.resized = true;
                self.ceiling = children.max(1) as usize;
                self.handle(Event::Ceiling { children });
            }
            Step::Run(time) => self.run(time, false),
            Step::Sleep(time) => self.run(time, true),
            Step::Gossip(word) => self.gossip(word),
            Step::Request(request) => {
                self.resized |= matches!(request, Request::More | Request::Fewer);
                self.handle(Event::Requested(request));
            }
            Step::Tire(count) => {
                for slot in self.children.keys().copied().take(count).collect::<Vec<_>>() {
                    self.handle(Event::Recycle { slot });
                }
            }
            Step::Hooks(takes) => self.hook_takes = takes,
            Step::Settings(settings) => self.settings = settings,
            Step::Program(program) => self.program = program,
            Step::Stick => self.orphans.make_one_stubborn(),
        }
    }

    /// Replaces children that would misbehave later on, and lets forks and upgrades succeed.
    pub(crate) fn heal(&mut self) {
        self.failing_forks = 0;
        self.processes = usize::MAX;
        self.step(Step::Ceiling(u32::MAX));
        self.program = Program::Good;
        self.settings = Settings::Good;
        // A file that had no end has one now.
        self.reading = self.reading.map(|ends| ends.or(Some(self.now)));
        self.orphans.heal();
        self.hook_takes = Some(Duration::ZERO);
        self.step(Step::Kill(usize::MAX));
    }

    /// Has children take a request each.
    fn occupy(&mut self, count: usize, time: Duration) {
        let now = self.now;
        let is_one_shot = self.is_one_shot();
        let idle = |child: &Child| {
            let is_spent = is_one_shot && child.has_worked;
            child.serves && !child.retired && child.busy.is_none() && !is_spent
        };
        let chosen = self.children.iter_mut().filter(|(_, child)| idle(child)).take(count);
        let mut taken = Vec::new();
        for (slot, child) in chosen {
            (child.busy, child.has_worked) = (Some(now), true);
            self.agenda.push(Reverse((now + time, child.serial, *slot, Milestone::Finishes)));
            taken.push(*slot);
        }
        // Each of the others has reported that once, when it was young.
        if self.is_one_shot() {
            taken.into_iter().for_each(|slot| self.handle(Event::Worked { slot }));
        }
        self.nudge();
    }

    /// Whether each child serves one client, and ends.
    const fn is_one_shot(&self) -> bool {
        matches!(self.config.pool, Pool::OneShot(_))
    }

    fn nudge(&mut self) {
        if std::mem::take(&mut self.armed) {
            self.handle(Event::Nudged);
        }
    }

    /// How many requests are in hand.
    pub(crate) fn in_hand(&self) -> usize {
        self.children.values().filter(|child| child.busy.is_some()).count()
    }

    /// How many requests were lost as their child was ended.
    pub(crate) const fn cut(&self) -> usize {
        self.cut
    }

    /// The generations of the children that have no request in hand and were not asked to leave.
    pub(crate) fn idle_generations(&self) -> Vec<u32> {
        let idle = self.children.values().filter(|child| child.busy.is_none() && !child.retired);
        idle.map(|child| child.generation).collect()
    }

    pub(crate) fn make_one_immortal(&mut self) {
        if let Some(child) = self.children.values_mut().next() {
            child.immortal = true;
            child.life.dies_after = None;
            let serial = child.serial;
            self.agenda
                .retain(|Reverse((_, of, _, what))| *of != serial || *what != Milestone::Dies);
        }
    }

    pub(crate) fn immortals(&self) -> usize {
        self.children.values().filter(|child| child.immortal).count()
    }

    pub(crate) fn forget_counts(&mut self) {
        self.forks = 0;
        self.notices.clear();
        self.shown.clear();
    }

    pub(crate) fn alive(&self) -> usize {
        self.children.len()
    }

    /// How many processes are there that children have started who live no more.
    pub(crate) fn left_behind(&self) -> usize {
        self.orphans.left_behind(&self.living())
    }

    /// How many processes are there that living children have started.
    pub(crate) fn kept(&self) -> usize {
        self.orphans.count() - self.left_behind()
    }

    pub(crate) fn stubborn(&self) -> usize {
        self.orphans.stubborn()
    }

    fn living(&self) -> BTreeSet<u64> {
        self.children.values().map(|child| child.serial).collect()
    }

    /// The generations of the living children.
    pub(crate) fn generations(&self) -> Vec<u32> {
        self.children.values().map(|child| child.generation).collect()
    }

    /// The slots in which children are.
    pub(crate) fn slots(&self) -> Vec<u32> {
        self.children.keys().map(|slot| slot.0).collect()
    }

    pub(crate) fn serving(&self) -> usize {
        self.children.values().filter(|child| child.serves).count()
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.supervisor.deadline()
    }

    pub(crate) const fn probes(&self) -> usize {
        self.probes
    }

    pub(crate) const fn is_probing(&self) -> bool {
        self.probe.is_some()
    }

    pub(crate) const fn upgrades(&self) -> usize {
        self.upgrades
    }

    pub(crate) const fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    pub(crate) const fn shutdown_hooks(&self) -> usize {
        self.hooks
    }

    pub(crate) const fn forks(&self) -> usize {
        self.forks
    }

    pub(crate) const fn log_lines(&self) -> usize {
        self.notices.len()
    }

    pub(crate) fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Does this with notices, and records everything else.
    pub(crate) fn record(&mut self, log: Log) {
        (self.log, self.decided) = (log, Some(Vec::new()));
    }

    /// All that was decided but what to log, and when, since it is recorded.
    pub(crate) fn decided(&self) -> Option<&[(Time, Action)]> {
        self.decided.as_deref()
    }

    pub(crate) fn shown(&self) -> &[Progress] {
        &self.shown
    }

    /// How often the files were checked by which others find the daemon.
    pub(crate) const fn checked_files(&self) -> usize {
        self.checked_files
    }

    /// What was counted of this program's life.
    pub(crate) const fn stats(&self) -> Stats {
        self.supervisor.stats()
    }

    pub(crate) const fn announced(&self) -> bool {
        self.announced
    }

    pub(crate) const fn events(&self) -> u64 {
        self.events
    }

    fn run(&mut self, time: Duration, parent_sleeps: bool) {
        let end = self.now + time;
        if parent_sleeps {
            self.now = end;
        }
        loop {
            let happens = self.agenda.peek().map(|Reverse((at, ..))| *at);
            let probed = self.probe.and_then(|(at, _)| at);
            let read = self.reading.flatten();
            let returns = self.calls.iter().filter_map(|(_, ends)| *ends).min();
            let (orphan, deadline) = (self.orphans.due(), self.supervisor.deadline());
            let next =
                [happens, probed, read, returns, orphan, deadline].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if orphan.is_some_and(|at| at <= next) {
                self.orphans.happen();
                self.handle(Event::OrphanEnded);
            } else if probed.is_some_and(|at| at <= next) {
                self.answer_probe();
            } else if read.is_some_and(|at| at <= next) {
                self.answer_reading();
            } else if returns.is_some_and(|at| at <= next) {
                self.return_from_hook(next);
            } else if happens.is_some_and(|at| at <= next) {
                self.happen();
            } else {
                self.supervisor.advance(self.now);
                self.obey();
            }
        }
        self.now = end;
    }

    /// Lets the next item of the agenda come true.
    fn happen(&mut self) {
        let Some(Reverse((_, serial, slot, what))) = self.agenda.pop() else { return };
        let is_one_shot = self.is_one_shot();
        let Some(child) = self.children.get_mut(&slot).filter(|child| child.serial == serial)
        else {
            return;
        };
        match what {
            // It works when a client comes.
            Milestone::Works if is_one_shot => {}
            Milestone::Enters => self.handle(Event::Entered { slot }),
            Milestone::Ready => {
                child.serves = true;
                self.handle(Event::Ready { slot });
            }
            Milestone::Works => {
                child.serves = true;
                self.handle(Event::Worked { slot });
            }
            Milestone::Finishes => {
                child.busy = None;
                if is_one_shot || child.retired && child.life.heeds_ask {
                    self.leave(slot);
                }
                self.nudge();
            }
            Milestone::Dies => self.bury(slot, Exit::Code(1)),
        }
    }

    /// Has a child end in a moment.
    fn leave(&mut self, slot: SlotId) {
        let serial = self.children[&slot].serial;
        let leaves = self.now + Duration::from_millis(1);
        self.agenda.push(Reverse((leaves, serial, slot, Milestone::Dies)));
    }

    /// Shows the supervisor what the children are doing.
    fn look(&mut self) {
        let activity = |child: &Child| match (child.busy, child.life.at_once) {
            (Some(since), 1) => Activity::Busy { since: Some(since) },
            (None, 1) => Activity::Idle { since: Time::ZERO },
            (since, of) => Activity::Many {
                share: Share::claim(u32::from(since.is_some()), of),
                changed: since.unwrap_or(Time::ZERO),
                since,
                grace: Duration::ZERO,
            },
        };
        let activities: Vec<_> =
            self.children.iter().map(|(slot, child)| (*slot, activity(child))).collect();
        self.supervisor.observe(self.now, &Observation { activities: &activities, waiting: None });
    }

    /// Each child has another size.
    fn weigh(&mut self, children: bool) {
        assert!(self.config.measuring >= Measuring::Children, "nobody measures");
        let sizes: Vec<_> =
            self.children.iter().map(|(slot, child)| (*slot, child.serial * 7919 % 100)).collect();
        let children = children.then_some(sizes.as_slice());
        self.supervisor.measured(self.now, &Measured { children, ..Measured::default() });
    }

    fn answer_probe(&mut self) {
        let Some((_, event)) = self.probe else { return };
        // One that works stays until it is not needed any more.
        self.probe = (event == Event::ProbeReady).then_some((None, event));
        self.handle(event);
    }

    fn answer_reading(&mut self) {
        self.reading = None;
        match self.settings {
            Settings::Good => {
                let config = self.supervisor.config().clone();
                self.supervisor.reconfigure(self.now, config);
                self.obey();
            }
            Settings::Wrong | Settings::Endless => self.handle(Event::SettingsRefused),
            Settings::Unreadable => self.handle(Event::SettingsUnread),
        }
    }

    /// Begins a call of a hook of which none is being run.
    fn call(&mut self, hook: Hook) {
        assert!(!self.is_calling(hook), "{hook:?} is called twice at a time");
        self.calls.push((hook, self.hook_takes.map(|takes| self.now + takes)));
    }

    pub(crate) fn is_calling(&self, hook: Hook) -> bool {
        self.calls.iter().any(|(other, _)| *other == hook)
    }

    /// Ends a call that takes no longer.
    fn return_from_hook(&mut self, now: Time) {
        let is_over = |call: &(Hook, Option<Time>)| call.1.is_some_and(|ends| ends <= now);
        if let Some(which) = self.calls.iter().position(is_over) {
            let (hook, _) = self.calls.swap_remove(which);
            self.handle(Event::HookEnded(hook));
            self.note_taken_in(hook);
            self.obey();
        }
    }

    /// The program has taken in all ends so far, if this hook is for that.
    fn note_taken_in(&mut self, hook: Hook) {
        if hook == Hook::OnChildExit {
            for slot in std::mem::take(&mut self.untold) {
                self.supervisor.handle(self.now, Event::ExitHandled { slot });
            }
        }
    }

    /// Has the hook about ends called, unless it is at work: one call is about all that have ended by its end.
    fn call_on_exit(&mut self, slot: SlotId) {
        let hook = Hook::OnChildExit;
        if self.config.hooks.contains(&hook) {
            self.untold.push(slot);
        }
        if self.config.hooks.contains(&hook) && !self.is_calling(hook) {
            self.call(hook);
            self.handle(Event::HookBegun(hook));
        }
    }

    /// Becomes another program, with settings of its own.
    fn upgrade(&mut self) {
        assert_eq!(self.probe, Some((None, Event::ProbeReady)), "a program was not tried");
        assert!(!self.supervisor.is_stopping(), "a stop goes first");
        self.probe = None;
        // Their reading ends with the program that has asked.
        self.reading = None;
        if self.program == Program::Unlucky {
            self.supervisor.handle(self.now, Event::UpgradeFailed);
            return;
        }
        self.upgrades += 1;
        let handover = self.supervisor.hand_over();
        let there: Vec<_> = self.children.keys().copied().collect();
        let mut known: Vec<_> = handover.children.iter().map(|child| child.slot).collect();
        known.sort_unstable();
        assert_eq!(known, there, "the children are handed over");
        let (config, adopted_as) = (self.config.clone(), AdoptedAs::NewProgram);
        self.supervisor = Supervisor::adopt(config, self.now, &handover, adopted_as);
        self.pressure = Pressure::Normal;
    }

    fn bury(&mut self, slot: SlotId, exit: Exit) {
        if self.children.get(&slot).is_some_and(|child| !child.immortal) {
            self.call_on_exit(slot);
            self.children.remove(&slot);
            self.handle(Event::Exited { slot, exit });
        }
    }

    fn gossip(&mut self, word: u32) {
        let slot = SlotId(self.config.slots() + word % 7);
        for event in [
            Event::Worked { slot },
            Event::Ready { slot },
            Event::Entered { slot },
            Event::Spawned { slot, pid: word },
            Event::SpawnFailed { slot },
            Event::Recycle { slot },
            Event::Extended { slot, by: Duration::from_secs(u64::from(word)) },
            Event::Exited { slot, exit: Exit::Code(0) },
            Event::Exited { slot: SlotId(u32::MAX), exit: Exit::Code(0) },
        ] {
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        self.events += 1;
        self.supervisor.handle(self.now, event);
        self.obey();
    }

    fn obey(&mut self) {
        while let Some(action) = self.supervisor.next_action() {
            assert_eq!(self.verdict, None, "{action:?} came after the exit");
            self.carry_out(action);
        }
        self.check();
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Log(_) => {}
            _ => self.decided.iter_mut().for_each(|decided| decided.push((self.now, action))),
        }
        match action {
            Action::Spawn { slot, generation } => self.fork(slot, generation.0),
            Action::Retire { slot } => {
                self.check_replaced(slot);
                assert!(
                    !self.is_calling(Hook::BeforeShutdown),
                    "the hook comes before the children"
                );
                self.ask(slot);
            }
            Action::Interrupt { slot } => self.end(slot, |life| life.heeds_interrupt),
            Action::Abort { slot } | Action::Kill { slot } => self.end(slot, |_| true),
            Action::LookForCoreDump { slot } => {
                self.supervisor.handle(self.now, Event::NoCoreDump { slot });
            }
            Action::AnnounceReady => {
                assert!(!self.announced, "ready was announced twice");
                assert!(
                    !self.is_calling(Hook::Ready),
                    "ready was announced before its hook had ended"
                );
                // Where each serves one client, some may have gone already.
                if !self.config.hooks.contains(&Hook::Ready) && !self.is_one_shot() && !self.resized
                {
                    assert_eq!(self.alive(), self.config.prefork() as usize);
                }
                self.announced = true;
            }
            Action::EndDescendants => {
                let left = self.orphans.end(self.now, &self.living());
                let took = Duration::from_millis(1);
                self.supervisor.handle(self.now, Event::DescendantsEnded { left, took });
            }
            Action::Drain => {
                assert!(self.supervisor.is_stopping());
                assert!(!self.is_calling(Hook::BeforeShutdown), "the hook comes first");
            }
            Action::ReopenLogs => self.reopened += 1,
            Action::ArmNudge => self.armed = true,
            Action::Observe => self.look(),
            Action::Measure { children } => self.weigh(children),
            Action::Press(pressure) => {
                assert_ne!(pressure, self.pressure, "it is so already");
                self.pressure = pressure;
            }
            Action::CheckConnections => panic!("nobody watches clients"),
            Action::LookAtWork => panic!("nobody heeds processors"),
            Action::ReadSettings => {
                assert_eq!(self.reading, None, "settings are read once at a time");
                let soon = self.now + Duration::from_millis(10);
                self.reading = Some((self.settings != Settings::Endless).then_some(soon));
            }
            Action::EndReading => {
                assert!(self.reading.take().is_some(), "nobody reads settings");
            }
            Action::Probe => {
                assert_eq!(self.probe, None, "one program is tried at a time");
                self.probes += 1;
                let in_ms = |ms| Some(self.now + Duration::from_millis(ms));
                self.probe = match self.program {
                    Program::Good | Program::Unlucky => Some((in_ms(300), Event::ProbeReady)),
                    Program::Bad => Some((in_ms(100), Event::ProbeFailed)),
                    Program::Hangs => Some((None, Event::ProbeFailed)),
                    Program::Busy => Some((in_ms(1), Event::ProgramBusy)),
                };
            }
            Action::EndProbe => {
                assert!(self.probe.take().is_some(), "there is no probe to end");
            }
            Action::Upgrade => self.upgrade(),
            Action::RunHook(hook) => {
                assert!(self.config.hooks.contains(&hook), "there is no {hook:?}");
                self.hooks += usize::from(hook == Hook::BeforeShutdown);
                self.call(hook);
            }
            Action::AskDemand { .. } => self.call(Hook::Demand),
            Action::EndHook(hook) => {
                assert!(self.is_calling(hook), "{hook:?} is not being called");
                self.calls.retain(|(other, _)| *other != hook);
                self.note_taken_in(hook);
            }
            Action::Examine { .. } => panic!("nobody knows who is at work"),
            Action::CheckRuntimeFiles => self.checked_files += 1,
            Action::Show(progress) => self.shown.push(progress),
            Action::Log(notice) => match self.log {
                Log::Kept => self.notices.push(notice),
                Log::Dropped => {}
            },
            Action::Exit(verdict) => self.verdict = Some(verdict),
        }
    }

    fn fork(&mut self, slot: SlotId, generation: u32) {
        self.forks += 1;
        assert!(!self.children.contains_key(&slot), "{slot} is taken");
        let (there, ceiling) = (self.children.len(), self.ceiling);
        assert!(!self.config.exclusive || there == 0, "two at once");
        assert!(there < ceiling, "one more beside {there}, of {ceiling} that there may be");
        if self.failing_forks > 0 || self.children.len() >= self.processes {
            self.failing_forks = self.failing_forks.saturating_sub(1);
            self.refused_forks += 1;
            // From then on the supervisor makes room before it starts others.
            self.crowded |= self.refused_forks == 8;
            self.supervisor.handle(self.now, Event::SpawnFailed { slot });
            return;
        }
        self.serial += 1;
        let turn = usize::try_from(self.serial).expect("fits") % self.lives.len();
        let life = self.lives[turn].clone();
        if life.descendants > 0 {
            self.orphans.appear(self.serial, life.descendants - 1);
        }
        for (after, what) in [
            (life.enters_after, Milestone::Enters),
            (life.enters_after.and(life.ready_after), Milestone::Ready),
            (life.enters_after.and(life.works_after), Milestone::Works),
            (life.dies_after, Milestone::Dies),
        ] {
            if let Some(after) = after {
                self.agenda.push(Reverse((self.now + after, self.serial, slot, what)));
            }
        }
        let child = Child {
            serial: self.serial,
            life,
            serves: false,
            retired: false,
            immortal: false,
            busy: None,
            has_worked: false,
            generation,
        };
        self.children.insert(slot, child);
        self.refused_forks = 0;
        let pid = u32::try_from(self.serial).expect("fits");
        self.supervisor.handle(self.now, Event::Spawned { slot, pid });
    }

    fn ask(&mut self, slot: SlotId) {
        let child = self.children.get_mut(&slot).unwrap_or_else(|| panic!("no child in {slot}"));
        child.retired = true;
        if child.life.heeds_ask && child.busy.is_none() {
            self.leave(slot);
        }
    }

    fn end(&mut self, slot: SlotId, heeds: impl Fn(&Life) -> bool) {
        let child = self.children.get_mut(&slot).unwrap_or_else(|| panic!("no child in {slot}"));
        child.retired = true;
        if heeds(&child.life) {
            self.cut += usize::from(child.busy.is_some());
            self.leave(slot);
        }
    }

    /// A child that serves is asked to leave only when others are enough without it, or where there is no room for
    /// others.
    fn check_replaced(&self, slot: SlotId) {
        let serves = self.children.get(&slot).is_some_and(|child| child.serves);
        if self.supervisor.is_stopping() || self.resized || !serves {
            return;
        }
        // One that has its client is of no use to others.
        if self.is_one_shot() && self.children.get(&slot).is_some_and(|child| child.has_worked) {
            return;
        }
        let others = self
            .children
            .iter()
            .filter(|(other, child)| **other != slot && child.serves_visibly() && !child.retired);
        let (others, wanted) = (others.count(), self.config.prefork() as usize);
        let is_full = self.config.exclusive
            || self.crowded
            || self.children.len() >= self.config.slots() as usize;
        if is_full {
            return;
        }
        assert!(others >= wanted, "{slot} was asked to leave with {others} others, not {wanted}");
    }

    fn check(&self) {
        let most = self.config.slots() as usize;
        assert!(self.children.len() <= most, "too many children");
        assert_eq!(self.children.len(), self.supervisor.alive(), "a child was forgotten");
        if let Some(deadline) = self.supervisor.deadline() {
            assert!(deadline > self.now, "the deadline {deadline:?} is not after {:?}", self.now);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        count::add(self.events);
    }
}

//! Settings that are read again before children are replaced.

use std::time::Duration;

use prefork_core::{
    Action, Activity, ChangeNotice, Config, Event, Exit, Notice, Observation, Pool, PoolNotice,
    Request, Reread, SlotId, Supervisor, Time,
};

const NOW: Time = Time::after_origin(Duration::from_secs(100));

fn config(prefork: u32, max_children: u32) -> Config {
    let mut config = Config::new(prefork, max_children).expect("valid");
    config.reread = Reread::AtReload;
    config
}

/// A pool of healthy children, and what it has wanted.
struct World {
    supervisor: Supervisor,
    now: Time,
    /// What came out, but for what healthy children make of it at once.
    wanted: Vec<Action>,
}

impl World {
    fn serving(config: Config) -> Self {
        let mut world = Self { supervisor: Supervisor::new(config), now: NOW, wanted: Vec::new() };
        world.handle(Event::Start);
        assert!(world.wanted.contains(&Action::AnnounceReady));
        world.wanted.clear();
        world
    }

    fn handle(&mut self, event: Event) {
        self.supervisor.handle(self.now, event);
        self.obey();
    }

    fn reload(&mut self) {
        self.handle(Event::Requested(Request::Reload));
    }

    fn reconfigure(&mut self, config: Config) {
        self.supervisor.reconfigure(self.now, config);
        self.obey();
    }

    fn obey(&mut self) {
        while let Some(action) = self.supervisor.next_action() {
            match action {
                Action::Spawn { slot, .. } => {
                    self.supervisor.handle(self.now, Event::Spawned { slot, pid: 100 + slot.0 });
                    self.supervisor.handle(self.now, Event::Ready { slot });
                }
                Action::Retire { slot } => {
                    self.supervisor.handle(self.now, Event::Exited { slot, exit: Exit::Code(0) });
                }
                Action::Observe => {
                    let idle = Activity::Idle { since: self.now };
                    let slots: Vec<_> = self.supervisor.slots().map(|slot| (slot, idle)).collect();
                    let observation = Observation { activities: &slots, waiting: Some(0) };
                    self.supervisor.observe(self.now, &observation);
                }
                action => self.wanted.push(action),
            }
        }
    }

    /// Lets time pass until then.
    fn run(&mut self, until: Duration) {
        let until = NOW + until;
        let mut turns = 0;
        while let Some(due) = self.supervisor.deadline().filter(|due| *due <= until) {
            turns += 1;
            assert!(turns < 100_000, "it never comes to rest");
            self.now = self.now.max(due);
            self.supervisor.advance(self.now);
            self.obey();
        }
        self.now = until;
    }

    fn has(&self, action: Action) -> usize {
        self.wanted.iter().filter(|wanted| **wanted == action).count()
    }

    fn generation(&self) -> u32 {
        self.supervisor.hand_over().children[0].generation.0
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_reload_replaces_nobody_before_the_settings_are_read() {
    let mut world = World::serving(config(3, 5));
    world.reload();
    world.run(seconds(50));
    assert_eq!(world.has(Action::ReadSettings), 1);
    assert_eq!(world.generation(), 1);
    world.reconfigure(config(3, 5));
    world.run(seconds(55));
    assert_eq!(world.generation(), 2);
}

#[test]
fn where_there_is_nothing_to_read_a_reload_begins_at_once() {
    let mut world = World::serving(Config::new(3, 5).expect("valid"));
    world.reload();
    world.run(seconds(1));
    assert_eq!((world.has(Action::ReadSettings), world.generation()), (0, 2));
}

#[test]
fn wrong_settings_leave_the_old_ones_and_the_children() {
    let mut world = World::serving(config(3, 5));
    world.reload();
    world.handle(Event::SettingsRefused);
    world.run(seconds(300));
    assert_eq!(world.generation(), 1);
    assert_eq!(world.supervisor.config(), &config(3, 5));
    // The next reload reads them again.
    world.reload();
    world.reconfigure(config(3, 5));
    world.run(seconds(301));
    assert_eq!((world.has(Action::ReadSettings), world.generation()), (2, 2));
}

#[test]
fn children_are_replaced_where_nobody_could_read_the_settings() {
    let mut world = World::serving(config(3, 5));
    world.reload();
    world.handle(Event::SettingsUnread);
    world.run(seconds(1));
    assert_eq!(world.generation(), 2);
}

#[test]
fn reading_that_takes_too_long_is_given_up() {
    let mut world = World::serving(config(3, 5));
    world.reload();
    world.run(seconds(59));
    assert_eq!(world.has(Action::EndReading), 0);
    world.run(seconds(61));
    assert_eq!(world.has(Action::EndReading), 1);
    assert_eq!(
        world.has(Action::Log(Notice::Change(ChangeNotice::SettingsTimedOut {
            limit: seconds(60)
        }))),
        1
    );
    // An answer that comes after that is nobody's.
    world.reconfigure(config(1, 1));
    assert_eq!(world.supervisor.config(), &config(3, 5));
    world.run(seconds(200));
    assert_eq!((world.generation(), world.supervisor.deadline()), (1, None));
}

#[test]
fn a_reload_that_comes_while_settings_are_read_has_them_read_once_more() {
    let mut world = World::serving(config(3, 5));
    for _ in 0..5 {
        world.reload();
    }
    assert_eq!(world.has(Action::ReadSettings), 1);
    world.reconfigure(config(3, 5));
    assert_eq!(world.has(Action::ReadSettings), 2);
    world.reconfigure(config(4, 5));
    world.run(seconds(5));
    assert_eq!(world.has(Action::ReadSettings), 2);
    assert_eq!((world.generation(), world.supervisor.alive()), (3, 4));
}

#[test]
fn a_reload_is_over_when_nothing_more_of_it_is_wanted() {
    let mut world = World::serving(config(2, 4));
    assert!(!world.supervisor.reloads().goes_on);
    world.reload();
    assert!(world.supervisor.reloads().goes_on, "settings are read");
    world.reload();
    world.handle(Event::SettingsRefused);
    assert!(world.supervisor.reloads().goes_on, "once more");
    world.reconfigure(config(2, 4));
    assert!(!world.supervisor.reloads().goes_on, "all children are new");
}

#[test]
fn a_stop_ends_the_reading() {
    let mut world = World::serving(config(3, 5));
    world.reload();
    world.handle(Event::Requested(Request::StopGracefully));
    world.reconfigure(config(4, 5));
    world.run(seconds(5));
    assert_eq!(world.has(Action::EndReading), 1);
    assert_eq!(world.supervisor.alive(), 0);
}

#[test]
fn the_pool_takes_its_new_size_up_and_down() {
    for pool in [Pool::Fixed, Pool::BY_LOAD] {
        let sized = |prefork, max_children| {
            let mut config = config(prefork, max_children);
            config.pool = pool;
            config
        };
        let mut world = World::serving(sized(3, 5));
        let mut passed = 0;
        for (prefork, max_children) in [(40, 60), (2, 3), (20, 20), (1, 1), (3, 5)] {
            world.reload();
            world.reconfigure(sized(prefork, max_children));
            let size = Action::Log(Notice::Pool(PoolNotice::Resized { prefork, max_children }));
            assert_eq!(world.has(size), 1, "{:?}", world.wanted);
            passed += 60;
            world.run(seconds(passed));
            assert_eq!(world.supervisor.alive(), prefork as usize, "{pool:?}");
            world.wanted.clear();
        }
    }
}

/// A limit that is taken away leaves nothing behind that would be due for ever.
#[test]
fn a_time_limit_for_requests_comes_and_goes() {
    let limited = |limit: Option<Duration>| {
        let mut config = config(1, 1);
        config.pool = Pool::BY_LOAD;
        config.request_timeout = limit;
        config
    };
    let mut world = World::serving(limited(Some(seconds(10))));
    let busy = [(SlotId(0), Activity::Busy { since: Some(NOW) })];
    let observation = Observation { activities: &busy, waiting: Some(0) };
    world.handle(Event::Worked { slot: SlotId(0) });
    world.supervisor.observe(world.now, &observation);
    assert_eq!(world.supervisor.deadline(), Some(NOW + seconds(10)));
    world.reload();
    world.reconfigure(limited(None));
    let aborted = |world: &World| {
        world.wanted.iter().filter(|action| matches!(action, Action::Abort { .. })).count()
    };
    world.run(seconds(20));
    assert_eq!((aborted(&world), world.supervisor.deadline()), (0, None));
    // And one that is shorter holds for what is in hand already.
    world.reload();
    world.reconfigure(limited(Some(seconds(5))));
    let slot = world.supervisor.slots().next().expect("there is one");
    let busy = [(slot, Activity::Busy { since: Some(NOW) })];
    world.supervisor.observe(world.now, &Observation { activities: &busy, waiting: Some(0) });
    world.obey();
    assert_eq!(aborted(&world), 1, "{:?}", world.wanted);
}

#[test]
fn a_size_that_makes_no_sense_changes_nothing() {
    let mut config = config(3, 5);
    for (prefork, max_children) in [(0, 5), (6, 5), (1, 65_537)] {
        assert!(config.resize(prefork, max_children).is_err());
        assert_eq!((config.prefork(), config.max_children()), (3, 5));
    }
}

/// An upgrade ends the reading of settings; if this program goes on after all, they are read once more.
#[test]
fn settings_are_read_once_more_after_an_upgrade_that_was_refused() {
    let mut world = World::serving(config(3, 5));
    world.reload();
    world.handle(Event::Requested(Request::Upgrade));
    world.handle(Event::ProbeReady);
    assert_eq!((world.has(Action::Upgrade), world.has(Action::ReadSettings)), (1, 1));
    world.handle(Event::UpgradeFailed);
    assert_eq!(world.has(Action::ReadSettings), 2);
    world.reconfigure(config(3, 5));
    world.run(seconds(1));
    assert_eq!(world.generation(), 2);
}

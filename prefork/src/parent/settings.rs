//! Reading settings again, and going on with them.

use std::{io, rc::Rc};

use prefork_core::{Config, Event, Measuring, Pool, Time, Tuning, one_line};
use prefork_daemonize::WantedPrivileges;

use super::Parent;
use crate::{
    ErrorChain,
    args::settings::{Held, InForce, Live, Mask},
    disconnect,
    logs::{self, ChangeMessage},
    program,
    system::clock,
    system::os::{Shortage, processors},
    upgrade::{Read, Reading},
};

impl Parent<'_> {
    /// Begins to read the settings again, in a process of its own.
    pub(super) fn read_settings(&mut self) {
        let reading = match &self.invocation {
            Ok(invocation) => self.handing_over().read_settings(invocation, self.signals.before()),
            Err(error) => Err(io::Error::other(error.to_string())),
        };
        match reading {
            Ok(reading) => self.helpers.reading = Some(reading),
            Err(error) => self.go_on_unread(clock::now(), &error),
        }
    }

    /// Goes on with settings that were read, or without.
    pub(super) fn read_reading(&mut self, now: Time) {
        if let Some(read) = self.helpers.reading.as_mut().and_then(Reading::read) {
            self.helpers.end_reading();
            self.take_settings(now, read);
        }
    }

    pub(super) fn take_settings(&mut self, now: Time, read: Read) {
        match read {
            Read::Settings(read) => self.change_settings(now, *read),
            Read::Refused(why) => self.refuse_settings(now, &why),
            Read::NotRun(error) => self.go_on_unread(now, &error),
        }
    }

    /// Replaces the children with the settings in force, as there is nobody to read others.
    fn go_on_unread(&mut self, now: Time, error: &io::Error) {
        let (shortage, error) = (Shortage::behind(error), ErrorChain(error));
        self.log.write(&ChangeMessage::SettingsUnread { error: &error, shortage: &shortage });
        self.supervisor.handle(now, Event::SettingsUnread);
    }

    fn refuse_settings(&mut self, now: Time, why: &str) {
        self.log.write(&ChangeMessage::ReloadRefused { reason: &why });
        why.clone_into(&mut self.reported.settings);
        self.supervisor.handle(now, Event::SettingsRefused);
    }

    /// Goes on with other settings, as far as that is possible without another program.
    fn change_settings(&mut self, now: Time, read: InForce) {
        if read.live.prefork == 0 {
            let why = "prefork is 0, which leaves nobody to replace; restart the daemon for that";
            return self.refuse_settings(now, why);
        }
        let mut in_force = self.settings.in_force.clone();
        let held = in_force.change(read);
        let config = match self.make_room(&in_force.live) {
            Ok(config) => config,
            Err(error) => {
                let why = format!("there is no room for so many children: {}", ErrorChain(&error));
                return self.refuse_settings(now, &why);
            }
        };
        self.hand_out_settings(&in_force.live);
        let (before, after) = (self.settings.in_force.live.log_level, in_force.live.log_level);
        self.settings.in_force = in_force;
        self.show_identity();
        // What has changed is logged, if it is wanted by one of both.
        logs::set_level(before.max(after));
        self.report_settings(&held);
        logs::set_level(after);
        self.reporting.reconfigure(&config);
        self.renew_demand();
        self.supervisor.reconfigure(now, config);
    }

    /// Returns what the supervisor is to decide by, and has slots for as many children as there may be then.
    fn make_room(&mut self, live: &Live) -> io::Result<Config> {
        let config = configured(self.supervisor.config(), &self.settings.in_force.live, live)?;
        self.channels.grow(config.slots())?;
        if let Some(board) = &mut self.runtime_files.board {
            board.grow(config.slots());
        }
        Ok(config)
    }

    /// Applies them to what is forked and called from now on.
    fn hand_out_settings(&mut self, live: &Live) {
        let settings = &mut self.settings;
        settings.limits.max_requests = live.max_requests;
        settings.limits.max_memory = live.max_memory;
        settings.start_timeout = live.start_timeout;
        settings.graceful_timeout = live.graceful_timeout;
        settings.hook_timeout = live.hook_timeout;
        let mut means = WantedPrivileges::default();
        means.umask = live.umask.map(|Mask(mask)| mask);
        means.no_new_privs = live.no_new_privs;
        means.rlimit_nofile = live.rlimit_nofile;
        self.privileges = Rc::new(self.privileges.with_means_of(&means));
        if let (Some(watch), Some(interval)) = (&mut self.file_watch, live.auto_reload_check_every)
        {
            watch.set_interval(interval);
        }
        if let Some(reaction) = live.auto_reload_handler.on_change() {
            let handler = program::Handler(program::Kind::Always(reaction));
            self.hooks.auto_reload_handler = Some(handler);
        }
        if let Some(reaction) = live.on_client_disconnect.on_disconnect() {
            let handler = disconnect::Handler(disconnect::Kind::Always(reaction));
            self.hooks.on_client_disconnect = Some(handler);
        }
        self.channels.pages.limit_requests(live.request_timeout, self.supervisor.slots());
        // How long children are to know which connections they have had.
        let watched = live.netwatch_interval.filter(|_| self.client_watch.is_some());
        self.channels.pages.watch_clients(watched, self.supervisor.slots());
    }

    fn report_settings(&self, held: &Held) {
        let Held { applied, by_upgrade, by_restart, files } = held;
        match &applied[..] {
            [] => self.log.write(&ChangeMessage::SettingsUnchanged),
            some => self.log.write(&ChangeMessage::SettingsApplied { settings: &some.join("; ") }),
        }
        for (names, takes) in
            [(by_upgrade, "an upgrade (SIGUSR2)"), (by_restart, "a restart of the daemon")]
        {
            if !names.is_empty() {
                let settings = &names.join(", ");
                self.log.write(&ChangeMessage::SettingsHeld { settings, takes });
            }
        }
        for file in files {
            self.log.write(&ChangeMessage::SettingsFileChanged { path: &one_line(&file.path) });
        }
    }
}

/// Returns `config` with what is another now than `before`: what operators have changed since by signals stays, unless
/// the settings say something else than they did.
fn configured(config: &Config, before: &Live, live: &Live) -> io::Result<Config> {
    let Live {
        prefork,
        max_children,
        // See `follow_load`.
        min_spare: _,
        queue_target: _,
        max_spare: _,
        spawn_step: _,
        calm_time: _,
        retire_pace: _,
        max_surge,
        max_lifetime,
        request_timeout,
        start_timeout,
        graceful_timeout,
        reload_timeout,
        hook_timeout,
        demand_every,
        netwatch_interval,
        // What children and hooks are given.
        concurrency: _,
        watch_processors: _,
        queue_time: _,
        queue_limit: _,
        queue_interval: _,
        max_requests: _,
        max_memory: _,
        memory_limit,
        umask: _,
        no_new_privs: _,
        rlimit_nofile: _,
        log_level: _,
        auto_reload_check_every: _,
        auto_reload_handler: _,
        on_client_disconnect: _,
    } = live;
    let mut config = config.clone();
    let prefork = if *prefork == before.prefork { config.prefork() } else { *prefork };
    config.resize(prefork.min(*max_children), *max_children).map_err(io::Error::other)?;
    follow_load(&mut config, live);
    config.max_surge = *max_surge;
    config.max_lifetime = *max_lifetime;
    config.request_timeout = *request_timeout;
    config.start_timeout = *start_timeout;
    config.graceful_timeout = *graceful_timeout;
    config.reload_timeout = *reload_timeout;
    config.hook_timeout = *hook_timeout;
    config.demand_every = *demand_every;
    config.netwatch_interval = *netwatch_interval;
    if memory_limit.is_some() {
        config.measuring = Measuring::Guard;
    }
    Ok(config)
}

/// Has the pool follow its load as the settings say.
fn follow_load(config: &mut Config, live: &Live) {
    let tuning = tuning(live);
    config.pool = match config.pool {
        Pool::Fixed => Pool::Fixed,
        Pool::ByLoad(_) => Pool::ByLoad(tuning),
        Pool::OneShot(_) => Pool::OneShot(tuning),
    };
    config.processors = live.watch_processors.then(processors).flatten();
    config.queue_target = live.queue_target;
}

/// By what the pool follows its load.
const fn tuning(live: &Live) -> Tuning {
    Tuning {
        min_spare: live.min_spare,
        max_spare: live.max_spare,
        step: live.spawn_step,
        calm: live.calm_time,
        pace: live.retire_pace,
    }
}

#[cfg(test)]
mod tests;

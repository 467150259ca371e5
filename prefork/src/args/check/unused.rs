//! Arguments that would change nothing where they are given.
//!
//! Its author believes that it does something: a limit, or that the parent is root no more. So it
//! is refused. One that only repeats its default promises nothing, and is taken. Where there are no children, a file that
//! is made for many is to serve all the same: what is about children is named in a warning then.

use super::{Faults, has_scoreboard};
use crate::{
    args::{Argument, Data, Need, PoolKind},
    hooks::ParentHooks,
};

/// Refuses each argument that lacks what it needs, and names the first thing that it lacks; and each that is wrong in
/// itself. Returns those that have no effect without children.
pub(super) fn refuse(data: &Data, hooks: &ParentHooks, faults: &mut Faults) -> Vec<&'static str> {
    let mut without_effect = Vec::new();
    for Argument { name, needs, problem } in
        data.settings.given().into_iter().chain(not_plain(data, hooks))
    {
        match needs.iter().find(|need| !is_met(**need, data, hooks)).map(|need| lack(*need)) {
            None => {}
            Some(Lack::Children) => without_effect.push(name),
            Some(Lack::Other(problem)) => faults.add(name, problem),
        }
        problem.into_iter().for_each(|problem| faults.add(name, problem));
    }
    without_effect
}

/// What an argument lacks.
enum Lack {
    Children,
    Other(String),
}

/// Those that were given of the arguments that are no plain data.
fn not_plain(data: &Data, hooks: &ParentHooks) -> impl Iterator<Item = Argument> {
    let table: [(_, _, &[Need]); 6] = [
        ("auto_reload_watch", data.auto_reload_watch.is_some(), &[Need::AutoReloadCheckEvery]),
        ("auto_reload_handler", hooks.auto_reload_handler.is_some(), &[Need::AutoReloadCheckEvery]),
        ("on_timeout", hooks.on_timeout.is_some(), &[Need::Children, Need::RequestTimeout]),
        ("demand", hooks.demand.is_some(), &[Need::Children, Need::Scoreboard]),
        ("on_child_exit", hooks.on_child_exit.is_some(), &[Need::Children]),
        (
            "on_client_disconnect",
            hooks.on_client_disconnect.is_some(),
            &[Need::Children, Need::Scoreboard],
        ),
    ];
    let given = table.into_iter().filter(|(_, is_given, _)| *is_given);
    given.map(|(name, _, needs)| Argument { name, needs, problem: None })
}

fn is_met(need: Need, data: &Data, hooks: &ParentHooks) -> bool {
    let settings = &data.settings;
    match need {
        Need::Children => settings.prefork != Some(0),
        Need::Scoreboard => has_scoreboard(data),
        Need::OnDemand => data.pool == PoolKind::OnDemand,
        Need::AutoReloadCheckEvery => settings.auto_reload_check_every.is_some(),
        Need::RequestTimeout => settings.request_timeout.is_some(),
        Need::QueueLimit => settings.queue_limit.is_some(),
        Need::Hook => !hooks.set().is_empty(),
        Need::Demand => hooks.demand.is_some(),
        Need::OnClientDisconnect => hooks.on_client_disconnect.is_some(),
        Need::User => {
            settings.user.is_some()
                || settings.group.is_some()
                || settings.supplementary_groups.is_some()
        }
    }
}

fn lack(need: Need) -> Lack {
    Lack::Other(match need {
        Need::Children => return Lack::Children,
        Need::Scoreboard => {
            "needs a scoreboard; set scoreboard_path or scoreboard_in_memory".to_owned()
        }
        Need::OnDemand => {
            "is for one of several pools with prefork 0 alone; leave it out".to_owned()
        }
        Need::AutoReloadCheckEvery => without("auto_reload_check_every"),
        Need::RequestTimeout => without("request_timeout"),
        Need::QueueLimit => without("queue_limit"),
        Need::Hook => without("a hook that it limits"),
        Need::Demand => without("demand"),
        Need::OnClientDisconnect => without("on_client_disconnect"),
        Need::User => without("user (or group, or supplementary_groups)"),
    })
}

fn without(names: &str) -> String {
    format!("does nothing without {names}; set that too")
}

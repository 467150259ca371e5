//! Arguments that would change nothing where they are given.
//!
//! Its author believes that it does something: a limit, or that the parent is root no more. So it
//! is refused. One that only repeats its default promises nothing, and is taken.

use super::{Faults, defaults, has_scoreboard};
use crate::{args::Data, hooks::ParentHooks};

/// What an argument needs to change anything.
#[derive(Clone, Copy)]
enum Need {
    Children,
    Scoreboard,
    /// Another argument, or one of several, and whether it is there.
    Another(&'static str, bool),
}

use Need::{Another, Children, Scoreboard};

impl Need {
    fn is_met(self, data: &Data) -> bool {
        match self {
            Children => data.prefork != Some(0),
            Scoreboard => has_scoreboard(data),
            Another(_, is_given) => is_given,
        }
    }

    fn problem(self) -> String {
        match self {
            Children => "does nothing with prefork 0, where there are no children".into(),
            Scoreboard => "needs a scoreboard; set scoreboard_path or scoreboard_in_memory".into(),
            Another(names, _) => format!("does nothing without {names}; set that too"),
        }
    }
}

/// Refuses each argument that lacks what it needs, and names the first thing that it lacks.
pub(super) fn refuse(data: &Data, hooks: &ParentHooks, faults: &mut Faults) {
    let who = &data.privileges;
    let changes_user =
        who.user.is_some() || who.group.is_some() || who.supplementary_groups.is_some();
    let checks = Another("auto_reload_check_every", data.auto_reload_check_every.is_some());
    let ends = Another("request_timeout", data.request_timeout.is_some());
    let watches = Another("on_client_disconnect", hooks.on_client_disconnect.is_some());
    let becomes = Another("user (or group, or supplementary_groups)", changes_user);
    let some = Another("a hook that it limits", !hooks.set().is_empty());
    let table: [(&str, bool, &[Need]); 19] = [
        ("max_children", differs(data.max_children, defaults::MAX_CHILDREN), &[Children]),
        ("min_spare", differs(data.min_spare, defaults::MIN_SPARE), &[Children, Scoreboard]),
        ("max_spare", data.max_spare.is_some(), &[Children, Scoreboard]),
        ("max_unavailable", data.max_unavailable.is_some(), &[Children]),
        ("reload_timeout", data.reload_timeout.is_some(), &[Children]),
        ("max_requests", data.max_requests.is_some(), &[Children]),
        ("max_lifetime", data.max_lifetime.is_some(), &[Children]),
        ("max_memory", data.max_memory.is_some(), &[Children]),
        ("request_timeout", data.request_timeout.is_some(), &[Children, Scoreboard]),
        ("on_timeout", hooks.on_timeout.is_some(), &[Children, ends]),
        ("on_child_exit", hooks.on_child_exit.is_some(), &[Children]),
        ("auto_reload_check_every", data.auto_reload_check_every.is_some(), &[Children]),
        ("auto_reload_watch", data.auto_reload_watch.is_some(), &[checks]),
        ("auto_reload_handler", hooks.auto_reload_handler.is_some(), &[checks]),
        ("on_client_disconnect", hooks.on_client_disconnect.is_some(), &[Children, Scoreboard]),
        ("hook_timeout", data.hook_timeout.is_some(), &[some]),
        ("netwatch_interval", data.netwatch_interval.is_some(), &[watches]),
        ("drop_parent", data.drop_parent, &[becomes]),
        ("keep_descendants", data.keep_descendants, &[Children]),
    ];
    for (argument, is_given, needs) in table {
        if is_given && let Some(need) = needs.iter().find(|need| !need.is_met(data)) {
            faults.add(argument, need.problem());
        }
    }
}

fn differs(given: Option<u32>, default: u32) -> bool {
    given.is_some_and(|given| given != default)
}

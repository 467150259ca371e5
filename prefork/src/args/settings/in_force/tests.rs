use std::{borrow::Cow, collections::BTreeSet};

use super::*;
use crate::{
    Args,
    args::check::{When, check},
};

fn in_force(args: Args) -> InForce {
    let args = args.daemonize(false).main_loop(|_, ()| Ok(()));
    match check(args, None, When::AtReload) {
        Ok(checked) => *checked.settings.in_force,
        Err(error) => panic!("{error}"),
    }
}

fn all<'a>(names: &'a [Cow<'static, str>]) -> Vec<&'a str> {
    names.iter().map(|name| &**name).collect()
}

fn by_name(held: &Held) -> (Vec<&str>, Vec<&str>, Vec<&str>) {
    let applied = held.applied.iter().filter_map(|text| text.split(' ').next());
    (applied.collect(), all(&held.by_upgrade), all(&held.by_restart))
}

#[test]
fn what_a_reload_applies_is_known_by_value() {
    let keys = Settings::default().keys().into_iter();
    let by_reload: BTreeSet<_> =
        keys.filter(|(_, by, _)| *by == Applied::Reload).map(|(name, ..)| name).collect();
    assert_eq!(by_reload, Live::KEYS.iter().copied().collect::<BTreeSet<_>>());
}

#[test]
fn what_was_read_is_reported_as_it_is() {
    let settings = in_force(Args::new().umask(0o27).max_lifetime(Duration::from_millis(1500)));
    let text = serde_json::to_vec(&settings).expect("written");
    assert!(text.len() < 2048, "{} bytes", text.len());
    assert_eq!(serde_json::from_slice::<InForce>(&text).expect("read"), settings);
}

#[test]
fn what_is_not_set_any_more_is_as_at_a_start() {
    let mut settings =
        in_force(Args::new().prefork(7).max_requests(9).graceful_timeout(Duration::ZERO));
    let held = settings.change(in_force(Args::new()));
    assert_eq!(
        held.applied,
        ["prefork 3, was 7", "max_requests none, was 9", "graceful_timeout 30 s, was 0 ms"]
    );
    assert_eq!(settings, in_force(Args::new()));
}

#[test]
fn a_default_that_is_spelt_out_changes_nothing() {
    let mut settings = in_force(Args::new());
    let spelt = Args::new()
        .prefork(3)
        .max_children(150)
        .start_timeout(Duration::from_secs(60))
        .require_root(false)
        .scoreboard_in_memory(false)
        .drop_parent(false)
        .no_new_privs(false);
    assert_eq!(settings.change(in_force(spelt)), Held::default());
}

/// A watch, and code of the program, cannot be made by a reload.
#[test]
fn a_handler_is_changed_only_for_another_that_is_data() {
    let watching = |on_change| {
        let args = Args::new().auto_reload_check_every(Duration::from_secs(1));
        in_force(args.auto_reload_handler(on_change))
    };
    let code = || {
        let args = Args::new().auto_reload_check_every(Duration::from_secs(1));
        in_force(args.auto_reload_handler(|_: &crate::Changes| Ok(OnChange::Nothing)))
    };
    let none = || in_force(Args::new());
    let table = [
        (watching(OnChange::Upgrade), watching(OnChange::Reload), "reload, was upgrade"),
        (watching(OnChange::Upgrade), code(), ""),
        (code(), watching(OnChange::Reload), ""),
        (none(), watching(OnChange::Reload), ""),
        (watching(OnChange::Reload), none(), ""),
        (code(), code(), ""),
    ];
    for (before, after, expected) in table {
        let mut now = before.clone();
        let held = now.change(after.clone());
        let applied = format!("auto_reload_handler {expected}");
        if expected.is_empty() {
            assert_eq!((&held.applied, &now.live), (&Vec::new(), &before.live));
            let differs = before.live != after.live;
            assert_eq!(
                held.by_upgrade.contains(&"auto_reload_handler".into()),
                differs,
                "{held:?}"
            );
        } else {
            assert_eq!((held.applied, held.by_upgrade), (vec![applied], vec![]));
        }
    }
}

#[test]
fn a_parent_that_has_become_its_children_has_no_other_means_for_them() {
    let dropped = |args: Args| {
        let user = rustix::process::geteuid().as_raw().to_string();
        let group = rustix::process::getegid().as_raw().to_string();
        in_force(args.user(user).group(group).drop_parent(true))
    };
    let mut settings = dropped(Args::new());
    let held = settings.change(dropped(Args::new().umask(0o77).no_new_privs(true)));
    assert_eq!(by_name(&held), (vec![], vec![], vec!["umask", "no_new_privs"]));
    assert_eq!(settings, dropped(Args::new()));
}

#[test]
fn a_file_is_named_as_long_as_it_says_something_else_than_is_in_force() {
    let read = |own| ReadFile { path: "/etc/x.toml".into(), own };
    let with = |own| InForce { files: vec![read(own)], ..in_force(Args::new()) };
    let mut settings = with(1);
    assert_eq!(settings.change(with(2)).files, [read(2)]);
    assert_eq!(settings.change(with(2)).files, [read(2)]);
    assert_eq!(settings.change(with(1)).files, []);
}

/// Each setting by its name in a file: what a reload makes of another value, and of none.
#[cfg(feature = "serde")]
#[test]
fn another_value_of_each_setting_is_in_force_or_named() {
    let table = [
        ("name", "\"x\"", "\"y\""),
        ("require_root", "false", "true"),
        ("daemonize", "false", "true"),
        ("error_log_path", "\"/tmp/x\"", "\"/tmp/y\""),
        ("access_log_path", "\"/tmp/x\"", "\"/tmp/y\""),
        ("pid_path", "\"/tmp/x\"", "\"/tmp/y\""),
        ("scoreboard_path", "\"/tmp/x\"", "\"/tmp/y\""),
        ("scoreboard_in_memory", "false", "true"),
        #[cfg(feature = "status")]
        ("status_listen", "\"127.0.0.1:9000\"", "\"127.0.0.1:9001\""),
        #[cfg(feature = "status")]
        ("metrics_listen", "\"0.0.0.0:9100\"", "\"0.0.0.0:9101\""),
        ("prefork", "4", "5"),
        ("max_children", "10", "20"),
        ("min_spare", "2", "3"),
        ("queue_target", "1", "0.5"),
        ("max_spare", "5", "6"),
        ("spawn_step", "8", "16"),
        ("watch_processors", "false", "true"),
        ("calm_time", "10", "\"1m\""),
        ("retire_pace", "1", "0.5"),
        ("sleep_after", "10", "20"),
        ("max_surge", "2", "3"),
        ("concurrency", "1", "64"),
        ("one_shot", "false", "true"),
        ("queue_time", "false", "true"),
        ("queue_limit", "1", "0.5"),
        ("queue_interval", "1", "2"),
        ("max_requests", "10", "11"),
        ("max_lifetime", "10", "\"1m\""),
        ("max_memory", "1000000", "2000000"),
        ("child_memory_limit", "1000000", "2000000"),
        ("child_process_limit", "10", "20"),
        ("memory_limit", "1000000", "2000000"),
        ("request_timeout", "1", "2.5"),
        ("start_timeout", "10", "11"),
        ("graceful_timeout", "10", "11"),
        ("reload_timeout", "10", "11"),
        ("hook_timeout", "10", "11"),
        ("demand_every", "1", "2"),
        ("auto_reload_check_every", "1", "2"),
        ("auto_reload_handler", "\"upgrade\"", "\"reload\""),
        ("on_client_disconnect", "\"cancel\"", "\"nothing\""),
        ("netwatch_interval", "1", "3"),
        ("user", "\"1\"", "\"2\""),
        ("group", "\"1\"", "\"2\""),
        ("supplementary_groups", "[\"1\"]", "[\"1\", \"2\"]"),
        ("umask", "\"022\"", "\"027\""),
        ("no_new_privs", "false", "true"),
        ("rlimit_nofile", "100", "200"),
        ("isolate", "[\"siblings\"]", "[\"require siblings\"]"),
        ("log_level", "\"warn\"", "\"debug\""),
        ("drop_parent", "false", "true"),
        ("keep_descendants", "false", "true"),
    ];
    let of = |name: &str, value: &str| {
        let settings: Settings =
            serde_json::from_str(&format!("{{\"{name}\": {value}}}")).expect("read");
        let mut args = Args::new().settings(settings);
        // What some need, and what others would demand.
        if let (None, true) =
            (&args.data.settings.auto_reload_check_every, name == "auto_reload_handler")
        {
            args = args.auto_reload_check_every(Duration::from_secs(1));
        }
        let (data, hooks) = (&args.data, &args.parent_hooks);
        let live = crate::args::check::live_of(data, hooks);
        let (fixed, is_one_shot) = (Fixed::of(data), false);
        InForce { live, fixed, is_one_shot, files: Vec::new(), own: Vec::new(), runs: None }
    };
    let keys = Settings::default().keys();
    assert_eq!(
        table.map(|(name, ..)| name).to_vec(),
        keys.iter().map(|key| key.0).collect::<Vec<_>>()
    );
    for ((name, before, after), (_, applied, _)) in table.into_iter().zip(keys) {
        let mut settings = of(name, before);
        assert_eq!(settings.change(of(name, before)), Held::default(), "{name}");
        let held = settings.change(of(name, after));
        let expected = match applied {
            Applied::Reload => (vec![name], vec![], vec![]),
            Applied::Upgrade => (vec![], vec![name], vec![]),
            Applied::Restart => (vec![], vec![], vec![name]),
        };
        let (applied, by_upgrade, by_restart) = by_name(&held);
        assert_eq!((applied, by_upgrade, by_restart), expected, "{name}");
    }
}

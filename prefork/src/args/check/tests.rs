//! Every fault, and that it is named.

use std::path::Path;

use super::*;
use crate::{Isolation, Layer, OnChange, OnDisconnect};

fn faults<S>(args: Args<S>) -> Vec<(String, String)> {
    let error = check(args, None, When::AtStart)
        .err()
        .map(|error| error.faults().to_vec())
        .unwrap_or_default();
    error.into_iter().map(|fault| (fault.argument, fault.problem)).collect()
}

fn names<S>(args: Args<S>) -> Vec<String> {
    faults(args).into_iter().map(|(argument, _)| argument).collect()
}

/// Those that are taken and have no effect, as there are no children.
fn without_effect<S>(args: Args<S>) -> Vec<&'static str> {
    check(args, None, When::AtStart)
        .map_err(|error| error.to_string())
        .expect("taken")
        .settings
        .without_effect
}

fn complete() -> Args {
    let dir = Path::new("/tmp");
    Args::new()
        .pid_path(dir.join("x.pid"))
        .error_log_path(dir.join("x.err"))
        .access_log_path(dir.join("x.log"))
        .main_loop(|_, ()| Ok(()))
}

#[test]
fn complete_arguments_have_no_fault() {
    assert_eq!(faults(complete()), []);
    assert_eq!(faults(Args::new().daemonize(false).main_loop(|_, ()| Ok(()))), []);
    assert_eq!(faults(complete().prefork(0)), []);
}

#[test]
fn what_was_tried_on_the_policy_is_what_the_pool_has() {
    let tuning = prefork_core::Tuning {
        min_spare: 2,
        max_spare: Some(9),
        step: 7,
        calm: Duration::from_secs(600),
        pace: Duration::from_secs(5),
    };
    let args = complete().scoreboard_in_memory(true).tuning(tuning);
    let checked = check(args, None, When::AtStart).map_err(|error| error.to_string());
    let checked = checked.expect("taken").settings;
    let Pool::Children(config) = &checked.pool else { panic!("it has children") };
    assert_eq!(config.pool, prefork_core::Pool::ByLoad(tuning));
}

#[test]
fn all_that_is_missing_is_named_at_once() {
    assert_eq!(names(Args::new()), ["main_loop", "pid_path", "error_log_path", "access_log_path"]);
}

#[test]
fn each_wrong_argument_is_named() {
    let file = || std::fs::File::open("/dev/null").expect("opened");
    assert_eq!(names(complete().prefork(151)), ["prefork"]);
    assert_eq!(names(complete().prefork(70_000).max_children(70_000)), ["max_children"]);
    assert_eq!(names(complete().pid_path("")), ["pid_path"]);
    assert_eq!(names(complete().pid_path("/tmp/")), ["pid_path"]);
    assert_eq!(names(complete().pid_path("a\0b")), ["pid_path"]);
    assert_eq!(names(complete().error_log_path("/tmp/x.pid")), ["error_log_path"]);
    assert_eq!(names(complete().error_log_handle(file())), ["error_log_handle"]);
    assert_eq!(names(complete().access_log_handle(file())), ["access_log_handle"]);
    assert_eq!(names(complete().scoreboard_path("/tmp/x.pid")), ["scoreboard_path"]);
    let both = complete().scoreboard_path("/tmp/x.board").scoreboard_in_memory(true);
    assert_eq!(names(both), ["scoreboard_in_memory"]);
    assert_eq!(names(complete().min_spare(2)), ["min_spare"]);
    assert_eq!(names(complete().min_spare(0).max_spare(0)), ["min_spare", "max_spare"]);
    assert_eq!(names(complete().max_spare(2)), ["max_spare"]);
    let board = || complete().scoreboard_in_memory(true);
    assert_eq!(faults(board().min_spare(2).max_spare(4)), []);
    assert_eq!(names(board().min_spare(0)), ["min_spare"]);
    assert_eq!(names(board().min_spare(151)), ["min_spare"]);
    assert_eq!(names(board().min_spare(5).max_spare(4)), ["max_spare"]);
    assert_eq!(
        names(complete().spawn_step(2).calm_time(Duration::from_secs(1))),
        ["spawn_step", "calm_time"]
    );
    assert_eq!(names(board().spawn_step(0).calm_time(Duration::ZERO)), ["spawn_step", "calm_time"]);
    assert_eq!(names(board().retire_pace(Duration::from_millis(9))), ["retire_pace"]);
    assert_eq!(names(board().retire_pace(Duration::ZERO)), ["retire_pace"]);
    assert_eq!(faults(board().spawn_step(1).retire_pace(Duration::from_millis(10))), []);
    assert_eq!(names(complete().request_timeout(Duration::from_secs(1))), ["request_timeout"]);
    assert_eq!(names(board().request_timeout(Duration::ZERO)), ["request_timeout"]);
    assert_eq!(names(complete().max_lifetime(Duration::ZERO)), ["max_lifetime"]);
    assert_eq!(names(complete().max_requests(0)), ["max_requests"]);
    assert_eq!(names(complete().max_memory(0)), ["max_memory"]);
    assert_eq!(names(complete().child_memory_limit(0)), ["child_memory_limit"]);
    assert_eq!(names(complete().memory_limit(1 << 20)), ["memory_limit"]);
    for args in
        [complete().max_memory(200), complete().child_memory_limit(200), board().memory_limit(200)]
    {
        let expected = "200 bytes are less than any process takes; write 200M for MiB";
        assert_eq!(faults(args)[0].1, expected);
    }
    assert_eq!(names(complete().child_process_limit(0)), ["child_process_limit"]);
    assert_eq!(names(board().memory_limit(0)), ["memory_limit"]);
    assert_eq!(names(complete().max_surge(0)), ["max_surge"]);
    assert_eq!(names(complete().max_surge(151)), ["max_surge"]);
    let second = Duration::from_secs(1);
    for (concurrency, fault) in
        [(0, "must be 1 to 65536, but is 0"), (65_537, "must be 1 to 65536, but is 65537")]
    {
        let expected = ("concurrency".to_owned(), fault.to_owned());
        assert_eq!(faults(complete().concurrency(concurrency)), [expected]);
    }
    assert_eq!(faults(complete().concurrency(1)), []);
    let watching = || board().watch_processors(true);
    assert_eq!(names(watching().concurrency(2)), ["watch_processors"]);
    assert_eq!(names(complete().watch_processors(true)), ["watch_processors"]);
    assert_eq!(faults(watching()), []);
    let waiting = || board().queue_target(second);
    assert_eq!(faults(waiting().min_spare(1).concurrency(2)), []);
    assert_eq!(names(waiting().min_spare(2)), ["queue_target"]);
    assert_eq!(names(waiting().one_shot(true)), ["queue_target"]);
    assert_eq!(names(complete().queue_target(second)), ["queue_target"]);
    assert_eq!(names(board().queue_target(Duration::ZERO)), ["queue_target"]);
    assert_eq!(faults(complete().concurrency(65_536)), []);
    let one_shot = || complete().one_shot(true);
    assert_eq!(faults(one_shot().concurrency(1).min_spare(2).request_timeout(second)), []);
    let contradicted = one_shot().concurrency(8).max_requests(1).max_memory(1 << 30);
    assert_eq!(names(contradicted), ["one_shot", "one_shot", "one_shot"]);
    let fault = "contradicts concurrency (8): a child has one client; leave one of them out";
    assert_eq!(faults(one_shot().concurrency(8)), [("one_shot".to_owned(), fault.to_owned())]);
    assert_eq!(names(one_shot().prefork(0)), ["one_shot"]);
    assert_eq!(names(complete().auto_reload_check_every(second)), ["auto_reload_handler"]);
    assert_eq!(names(complete().auto_reload_handler(OnChange::Reload)), ["auto_reload_handler"]);
    assert_eq!(names(complete().auto_reload_watch(WatchList::new())), ["auto_reload_watch"]);
    let reloading =
        |every| complete().auto_reload_check_every(every).auto_reload_handler(OnChange::Reload);
    assert_eq!(faults(reloading(second)), []);
    assert_eq!(names(reloading(Duration::ZERO)), ["auto_reload_check_every"]);
    assert_eq!(names(reloading(second).auto_reload_watch(WatchList::new())), ["auto_reload_watch"]);
    let cancel = OnDisconnect::Cancel;
    assert_eq!(names(complete().on_client_disconnect(cancel)), ["on_client_disconnect"]);
    assert_eq!(faults(board().on_client_disconnect(cancel)), []);
    assert_eq!(names(board().netwatch_interval(second)), ["netwatch_interval"]);
    let quick = board().on_client_disconnect(cancel).netwatch_interval(Duration::ZERO);
    assert_eq!(names(quick), ["netwatch_interval"]);
    assert_eq!(names(complete().umask(0o1000)), ["umask"]);
    assert_eq!(names(complete().user("no-such-user")), ["user"]);
    assert_eq!(names(complete().name("")), ["name"]);
    assert_eq!(names(complete().name("a\nb")), ["name"]);
    let root = rustix::process::geteuid().is_root();
    assert_eq!(
        names(complete().require_root(true)),
        if root { vec![] } else { vec!["require_root".to_owned()] }
    );
}

#[cfg(not(feature = "status"))]
#[test]
fn a_status_page_without_the_feature_is_refused() {
    assert_eq!(names(complete().status_listen("127.0.0.1:0")), ["status_listen"]);
    assert_eq!(names(complete().metrics_listen("127.0.0.1:0")), ["metrics_listen"]);
}

#[cfg(feature = "status")]
#[test]
fn a_status_page_is_for_this_machine_and_a_pool() {
    assert_eq!(faults(complete().status_listen("127.0.0.1:0")), []);
    assert_eq!(faults(complete().status_listen("/tmp/x.status")), []);
    assert_eq!(names(complete().status_listen("0.0.0.0:9000")), ["status_listen"]);
    assert_eq!(names(complete().status_listen("nonsense")), ["status_listen"]);
    assert_eq!(names(complete().status_listen("nonsense").prefork(0)), ["status_listen"]);
    let alone = complete().status_listen("127.0.0.1:0").prefork(0);
    assert_eq!(without_effect(alone), ["status_listen"]);
}

#[cfg(feature = "status")]
#[test]
fn what_is_for_everybody_has_an_address_of_its_own() {
    let both = |page, metrics| complete().status_listen(page).metrics_listen(metrics);
    assert_eq!(faults(complete().metrics_listen("0.0.0.0:9100")), []);
    assert_eq!(faults(both("127.0.0.1:0", "127.0.0.1:0")), []);
    assert_eq!(faults(both("127.0.0.1:9000", "[::]:9000")), []);
    assert_eq!(names(both("127.0.0.1:9000", "127.0.0.1:9000")), ["metrics_listen"]);
    assert_eq!(names(both("/tmp/x.status", "/tmp/x.status")), ["metrics_listen"]);
    assert_eq!(names(complete().metrics_listen("nonsense")), ["metrics_listen"]);
    let alone = complete().metrics_listen("0.0.0.0:9100").prefork(0);
    assert_eq!(without_effect(alone), ["metrics_listen"]);
}

#[test]
fn a_main_loop_that_takes_nothing_may_come_before_after_init() {
    assert_eq!(faults(complete().after_init(|_| Ok(1))), []);
}

/// A file that is made for many children serves without any too, and what is about them is named.
#[test]
fn what_has_no_effect_without_children_is_taken_and_named() {
    let second = Duration::from_secs(1);
    let alone = || complete().prefork(0).scoreboard_in_memory(true);
    assert_eq!(without_effect(alone().max_children(9)), ["max_children"]);
    assert_eq!(without_effect(alone().min_spare(2)), ["min_spare"]);
    assert_eq!(without_effect(alone().max_spare(2)), ["max_spare"]);
    assert_eq!(without_effect(alone().max_surge(2)), ["max_surge"]);
    assert_eq!(without_effect(alone().max_requests(2)), ["max_requests"]);
    assert_eq!(without_effect(alone().max_memory(2 << 20)), ["max_memory"]);
    assert_eq!(without_effect(alone().child_memory_limit(2 << 20)), ["child_memory_limit"]);
    assert_eq!(without_effect(alone().memory_limit(2 << 20)), ["memory_limit"]);
    assert_eq!(without_effect(alone().child_process_limit(2)), ["child_process_limit"]);
    assert_eq!(without_effect(alone().max_lifetime(second)), ["max_lifetime"]);
    assert_eq!(without_effect(alone().request_timeout(second)), ["request_timeout"]);
    assert_eq!(without_effect(alone().keep_descendants(true)), ["keep_descendants"]);
    assert_eq!(without_effect(alone().on_timeout(|_| Ok(()))), ["on_timeout"]);
    assert_eq!(without_effect(alone().on_child_exit(|_| Ok(()))), ["on_child_exit"]);
    assert_eq!(without_effect(alone().demand(|| Ok(0))), ["demand"]);
    let cancel = alone().on_client_disconnect(OnDisconnect::Cancel);
    assert_eq!(without_effect(cancel), ["on_client_disconnect"]);
    let reload = alone().auto_reload_check_every(second).auto_reload_handler(OnChange::Reload);
    assert_eq!(without_effect(reload), ["auto_reload_check_every"]);
    assert_eq!(names(alone().max_requests(0)), ["max_requests"], "it is wrong all the same");
    assert_eq!(without_effect(complete().max_requests(2)), [""; 0], "there are children");
}

#[test]
fn what_works_without_children_is_taken() {
    let second = Duration::from_secs(1);
    let alone = complete().prefork(0).scoreboard_in_memory(true).no_new_privs(true);
    let alone = alone.start_timeout(second).graceful_timeout(second).before_shutdown(|| Ok(()));
    assert_eq!(faults(alone), []);
}

/// Settings files repeat defaults.
#[test]
fn what_only_repeats_its_default_is_taken() {
    assert_eq!(faults(complete().prefork(0).max_children(150).min_spare(1)), []);
    assert_eq!(faults(complete().min_spare(1)), []);
}

#[test]
fn what_does_nothing_without_another_is_refused() {
    let (_, problem) = &faults(complete().min_spare(2))[0];
    assert_eq!(problem, "needs a scoreboard; set scoreboard_path or scoreboard_in_memory");
    let board = || complete().scoreboard_in_memory(true);
    let late = |args: Args| args.on_timeout(|_| Ok(()));
    let (argument, problem) = &faults(late(board()))[0];
    assert_eq!(
        (&**argument, &**problem),
        ("on_timeout", "does nothing without request_timeout; set that too")
    );
    assert_eq!(faults(late(board().request_timeout(Duration::from_secs(1)))), []);
    assert_eq!(names(complete().drop_parent(true)), ["drop_parent"]);
    let me = rustix::process::geteuid().as_raw().to_string();
    let group = rustix::process::getegid().as_raw().to_string();
    assert_eq!(faults(complete().drop_parent(true).user(me).group(&group)), []);
    assert_eq!(faults(complete().drop_parent(true).group(group)), []);
}

#[test]
fn what_waits_is_asked_for_where_a_pool_can_follow_it_and_not_without_a_pause() {
    let asked = || complete().demand(|| Ok(3));
    assert_eq!(names(asked()), ["demand"], "there is no scoreboard");
    let asked = || asked().scoreboard_in_memory(true);
    assert_eq!(faults(asked()), []);
    let pauses = [(0, true), (49, true), (50, false), (2000, false)];
    for (pause, is_wrong) in pauses {
        let args = asked().demand_every(Duration::from_millis(pause));
        assert_eq!(!names(args).is_empty(), is_wrong, "{pause} ms");
    }
    let (argument, problem) = &faults(complete().demand_every(Duration::from_secs(2)))[0];
    assert_eq!(
        (&**argument, &**problem),
        ("demand_every", "does nothing without demand; set that too")
    );
}

#[test]
fn a_start_without_time_is_refused() {
    assert_eq!(names(complete().start_timeout(Duration::ZERO)), ["start_timeout"]);
    assert_eq!(names(complete().prefork(0).start_timeout(Duration::ZERO)), ["start_timeout"]);
    assert_eq!(faults(complete().graceful_timeout(Duration::ZERO)), []);
}

#[test]
fn each_file_is_for_one_thing() {
    let args = || complete().scoreboard_path("/tmp/x.board");
    assert_eq!(names(args().error_log_path("/tmp/x.board")), ["error_log_path"]);
    assert_eq!(names(args().access_log_path("/tmp/x.board")), ["access_log_path"]);
    assert_eq!(names(args().access_log_path("/tmp/./x.board")), ["access_log_path"]);
    assert_eq!(names(args().access_log_path("/proc/self/root/tmp/x.board")), ["access_log_path"]);
    assert_eq!(faults(args().access_log_path("/tmp/x.err")), [], "logs may be one file");
    let all = Args::new().main_loop(|_, ()| Ok(())).pid_path("/x").scoreboard_path("/x");
    let all = all.error_log_path("/x").access_log_path("/x");
    assert_eq!(names(all), ["scoreboard_path", "error_log_path", "access_log_path"]);
    #[cfg(feature = "status")]
    for path in ["/tmp/x.pid", "/tmp/x.board", "/tmp/x.err", "/tmp/x.log"] {
        assert_eq!(names(args().status_listen(path)), ["status_listen"]);
    }
}

#[test]
fn a_pool_of_no_sense_hides_no_other_fault() {
    let board = || complete().scoreboard_in_memory(true);
    let found = |args: Args| {
        let faults = faults(args).into_iter();
        faults.map(|(argument, problem)| format!("{argument}: {problem}")).collect::<Vec<_>>()
    };
    assert_eq!(
        found(board().prefork(200).max_surge(0).min_spare(0).max_lifetime(Duration::ZERO)),
        [
            "max_lifetime: must be longer than 0; leave it out for no limit",
            "prefork: 200 is greater than max_children (150, the default)",
            "max_surge: must be 1 to max_children (150, the default), but is 0",
            "min_spare: must be 1 to max_children (150, the default), but is 0",
        ]
    );
    assert_eq!(
        found(board().prefork(9).max_children(4)),
        ["prefork: 9 is greater than max_children (4)"]
    );
    for few in [0, 2] {
        let expected = format!("max_children: {few} is less than prefork (3, the default)");
        assert_eq!(found(board().max_children(few)), [expected]);
    }
    assert_eq!(
        found(board().max_children(70_000).max_spare(0)),
        [
            "max_children: 70000 is greater than 65536",
            "max_spare: must be at least min_spare (1, the default), but is 0",
        ]
    );
}

#[test]
fn a_layer_that_must_be_possible_and_is_not_is_named_with_all_else() {
    // A processor that no machine of today has.
    let wanted = || Isolation::new().no_new_privileges().cpu(1023);
    let args = complete().isolate(wanted().require_all()).max_requests(0);
    let [(_, requests), (name, problem)] = &faults(args)[..] else { panic!("two faults") };
    assert_eq!((name.as_str(), requests.starts_with("must be at least 1")), ("isolate", true));
    assert!(problem.starts_with("cpus is required, but not possible here: "), "{problem}");
    assert_eq!(faults(complete().isolate(wanted())), [], "where it is possible");
    let checked = check(complete().isolate(wanted()), None, When::AtStart);
    let layers = checked.map_err(|error| error.to_string()).expect("taken").users.layers;
    assert_eq!(layers.report().on(), ["no-new-privileges"]);
    assert_eq!(layers.report().missing().len(), 1);
}

#[test]
fn isolation_that_contradicts_other_arguments_is_refused() {
    let twice = complete().isolate(Isolation::new().max_open_files(64)).rlimit_nofile(64);
    assert_eq!(names(twice), ["isolate"]);
    let alone = complete().prefork(0).isolate(Isolation::new().siblings_apart());
    assert_eq!(without_effect(alone), ["isolate"]);
    // Nothing is found out that a reload would not apply.
    let args = complete().isolate(Isolation::new().require(Layer::PrivateTmp));
    assert!(check(args, None, When::AtReload).is_ok());
}

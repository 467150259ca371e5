use std::{env, fs, process::Command};

use rustix::{
    fs::Mode,
    process::{geteuid, getrlimit},
};

use super::*;

/// Set in a process that has one test to run; holds the case.
const CASE: &str = "PREFORK_TEST_CASE";

/// In such a process, returns the case.
fn case() -> Option<String> {
    env::var(CASE).ok()
}

/// Runs this test with this case in a process of its own, which the test may change for good.
#[track_caller]
fn run_alone<T>(test: &T, case: &str) {
    let path = std::any::type_name_of_val(test).trim_end_matches("::here");
    let (_, path) = path.split_once("::").expect("it begins with the crate");
    let run = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", path, "--nocapture"])
        .env(CASE, case)
        .output()
        .expect("it can be started");
    let said = String::from_utf8_lossy(&run.stdout);
    let complained = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("1 passed"), "{case}\n{said}\n{complained}");
}

/// Runs the body of a test in a process of its own.
#[track_caller]
fn alone<T>(test: &T, body: impl FnOnce()) {
    if case().is_some() { body() } else { run_alone(test, "") }
}

/// Like [`alone`], but only for root.
#[track_caller]
fn alone_as_root<T>(test: &T, body: impl FnOnce()) {
    // The process of its own begins as root too.
    if require_root() {
        alone(test, body);
    }
}

fn require_root() -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        println!("SKIPPED: needs root");
    }
    is_root
}

/// The numbers behind a name in `status` of this thread (see `proc_pid_status(5)`).
fn status(name: &str) -> Vec<u32> {
    line(name).split_ascii_whitespace().map(|word| word.parse().expect("a number")).collect()
}

fn line(name: &str) -> String {
    let status = fs::read_to_string("/proc/thread-self/status").expect("/proc is there");
    let found = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
}

fn plan(uid: u32, gid: u32, groups: &[u32]) -> Privileges {
    Privileges {
        uid: Some(Uid::from_raw(uid)),
        gid: Some(Gid::from_raw(gid)),
        groups: Some(in_order(groups.iter().copied().map(Gid::from_raw).collect())),
        ..Privileges::default()
    }
}

/// Any ids will do; these come from a generator that needs no seed to be repeated.
fn arb_ids() -> impl FnMut() -> (u32, u32, Vec<u32>) {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut number = move |below: u32| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u32::try_from((state >> 32) % u64::from(below)).expect("below")
    };
    move || {
        let (uid, gid, count) = (number(u32::MAX), number(u32::MAX), number(40));
        (uid, gid, (0..count).map(|_| number(u32::MAX)).collect())
    }
}

/// Applies ids to this process and asserts that the kernel agrees: what it shows in `/proc` is not
/// what the code under test has asked it.
fn apply_and_look(ids: &str) {
    let ids: Vec<u32> = ids.split(' ').map(|id| id.parse().expect("a number")).collect();
    let [uid, gid, groups @ ..] = &ids[..] else { panic!("a user, a group, other groups") };
    plan(*uid, *gid, groups).apply().expect("applied");
    assert_eq!((status("Uid"), status("Gid")), (vec![*uid; 4], vec![*gid; 4]));
    let mut groups = groups.to_vec();
    groups.sort_unstable();
    groups.dedup();
    assert_eq!(status("Groups"), groups);
    if *uid != 0 {
        for set in ["CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(line(set).trim_matches('0'), "", "{set}");
        }
        let root = Uid::from_raw(0);
        setresuid(root, root, root).expect_err("no way back");
        setgroups(&[]).expect_err("no way to other groups");
    }
}

#[test]
fn what_was_applied_is_what_the_kernel_shows() {
    fn here() {}
    if let Some(ids) = case() {
        return apply_and_look(&ids);
    }
    if !require_root() {
        return;
    }
    for ids in ["0 0", "0 5 5", "5 0 0", "5 5 6 6", "4294967294 4294967294"] {
        run_alone(&here, ids);
    }
    let mut arb_ids = arb_ids();
    for _ in 0..50 {
        let (uid, gid, groups) = arb_ids();
        let all: Vec<String> = [uid, gid].iter().chain(&groups).map(u32::to_string).collect();
        run_alone(&here, &all.join(" "));
    }
}

#[test]
fn all_of_it_is_applied_at_once() {
    fn here() {}
    alone_as_root(&here, || {
        let plan = Privileges {
            umask: Some(Mode::from_raw_mode(0o137)),
            no_new_privs: true,
            rlimit_nofile: Some(123),
            ..plan(4_321, 5_432, &[6, 7])
        };
        plan.apply().expect("applied");
        assert_eq!((status("Uid"), status("Gid")), (vec![4_321; 4], vec![5_432; 4]));
        assert_eq!(status("Groups"), [6, 7]);
        assert_eq!((line("Umask"), status("NoNewPrivs")), ("0137".to_owned(), vec![1]));
        let limit = getrlimit(Resource::Nofile);
        assert_eq!((limit.current, limit.maximum), (Some(123), Some(123)));
        assert!(!prctl::get_dumpable().expect("known"), "others could read this memory");
        // Once it is what was wanted, applying it again needs no privilege.
        plan.apply().expect("applied again");
    });
}

#[test]
fn what_needs_no_privilege_is_applied_without() {
    fn here() {}
    alone(&here, || {
        let (user, group) = (status("Uid"), status("Gid"));
        let plan = Privileges {
            umask: Some(Mode::from_raw_mode(0o077)),
            no_new_privs: true,
            rlimit_nofile: Some(64),
            ..Privileges::default()
        };
        plan.apply().expect("applied");
        assert_eq!((line("Umask"), status("NoNewPrivs")), ("0077".to_owned(), vec![1]));
        assert_eq!(getrlimit(Resource::Nofile).maximum, Some(64));
        assert_eq!((status("Uid"), status("Gid")), (user, group), "nobody has asked for that");
    });
}

#[test]
fn nothing_is_applied_where_nothing_was_wanted() {
    fn here() {}
    alone(&here, || {
        let before = fs::read_to_string("/proc/self/limits").expect("read");
        let ids = || ["Uid", "Gid", "Groups", "NoNewPrivs", "Umask", "CapEff"].map(line);
        let known = ids();
        Privileges::default().apply().expect("applied");
        assert_eq!(ids(), known);
        assert_eq!(fs::read_to_string("/proc/self/limits").expect("read"), before);
    });
}

#[test]
fn a_process_without_the_privilege_learns_what_failed() {
    fn here() {}
    alone_as_root(&here, || {
        plan(4_321, 4_321, &[4_321]).apply().expect("applied");
        let error = |plan: Privileges| plan.apply().expect_err("refused").to_string();
        assert_eq!(error(plan(4_321, 4_321, &[1])), "cannot change the supplementary groups");
        assert_eq!(error(plan(4_321, 7, &[4_321])), "cannot change to group id 7");
        assert_eq!(error(plan(7, 4_321, &[4_321])), "cannot change to user id 7");
        let raised = getrlimit(Resource::Nofile).maximum.map(|limit| limit + 1);
        let plan = Privileges { rlimit_nofile: raised, ..Privileges::default() };
        assert!(error(plan).starts_with("cannot set the limit of descriptors to"));
    });
}

#[test]
fn only_a_user_that_is_not_root_must_lose_the_way_back() {
    fn here() {}
    alone_as_root(&here, || {
        let group_only = Privileges { uid: None, ..plan(0, 7, &[]) };
        group_only.apply().expect("applied");
        plan(0, 0, &[0]).apply().expect("root may stay root");
        assert_eq!(status("Uid"), [0; 4]);
    });
}

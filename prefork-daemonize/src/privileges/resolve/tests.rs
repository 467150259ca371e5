use super::*;
use crate::privileges::system::Descriptors;

const WEB: u32 = 33;
const NOBODY_HAS: u32 = 4_321;

/// A system with the users and groups that the tests need.
struct Fake {
    identity: Credentials,
    descriptors: Descriptors,
}

impl System for Fake {
    fn user_of_name(&self, name: &str) -> io::Result<Option<Account>> {
        let (uid, gid) = match name {
            "root" => (0, 0),
            "web" => (WEB, WEB),
            "1234" => (50, 51),
            "wild" => (UNCHANGED, 5),
            "stray" => (5, UNCHANGED),
            "lost" => return Err(io::Error::other("the directory is down")),
            "loner" => (60, 60),
            _ => return Ok(None),
        };
        Ok(Some(account(name, uid, gid)))
    }

    fn user_of_id(&self, uid: Uid) -> io::Result<Option<Account>> {
        Ok((uid.as_raw() == WEB).then(|| account("web", WEB, WEB)))
    }

    fn group_of_name(&self, name: &str) -> io::Result<Option<Gid>> {
        let gid = match name {
            "web" => WEB,
            "logs" => 4,
            "77" => 78,
            "wild" => UNCHANGED,
            "lost" => return Err(io::Error::other("the directory is down")),
            _ => return Ok(None),
        };
        Ok(Some(Gid::from_raw(gid)))
    }

    fn groups_of_user(&self, name: &str, gid: Gid) -> io::Result<Vec<Gid>> {
        match name {
            "web" => Ok([gid.as_raw(), 100, 4, 100].map(Gid::from_raw).into()),
            "loner" => Err(io::Error::other("the directory is down")),
            _ => Ok(vec![gid]),
        }
    }

    fn identity(&self) -> io::Result<Credentials> {
        Ok(self.identity.clone())
    }

    fn descriptors(&self) -> Descriptors {
        self.descriptors
    }
}

fn account(name: &str, uid: u32, gid: u32) -> Account {
    Account { name: name.to_owned(), uid: Uid::from_raw(uid), gid: Gid::from_raw(gid) }
}

fn system(id: u32, groups: &[u32], powers: CapabilitySet) -> Fake {
    let identity = Credentials {
        uids: [Uid::from_raw(id); 3],
        gids: [Gid::from_raw(id); 3],
        groups: groups.iter().copied().map(Gid::from_raw).collect(),
        powers,
    };
    let may_raise = powers.contains(CapabilitySet::SYS_RESOURCE);
    let descriptors = Descriptors { hard: Some(4_096), most: Some(1_000_000), may_raise };
    Fake { identity, descriptors }
}

fn root() -> Fake {
    system(0, &[0], CapabilitySet::all())
}

fn web() -> Fake {
    system(WEB, &[WEB, 4, 100], CapabilitySet::empty())
}

fn wanted(user: Option<&str>, group: Option<&str>, groups: Option<&[&str]>) -> Wanted {
    let groups = groups.map(|groups| groups.iter().copied().map(str::to_owned).collect());
    Wanted {
        user: user.map(str::to_owned),
        group: group.map(str::to_owned),
        supplementary_groups: groups,
        ..Wanted::default()
    }
}

/// What of the plan is about ids.
fn ids_of(wanted: &Wanted, system: &Fake) -> (Option<u32>, Option<u32>, Option<Vec<u32>>) {
    let plan =
        resolve(wanted, system).unwrap_or_else(|problems| panic!("{wanted:?}: {problems:?}"));
    (
        plan.uid.map(Uid::as_raw),
        plan.gid.map(Gid::as_raw),
        plan.groups.map(|groups| groups.into_iter().map(Gid::as_raw).collect()),
    )
}

#[track_caller]
fn assert_problem(wanted: &Wanted, system: &Fake, argument: &str, words: &str) {
    let problems = resolve(wanted, system).expect_err(&format!("{wanted:?} has a problem"));
    let [PrivilegesFault { argument: named, problem }] = &problems[..] else {
        panic!("one problem, not {problems:?}")
    };
    assert_eq!(*named, argument, "{problem}");
    assert!(problem.contains(words), "should say {words:?}: {problem}");
}

#[test]
fn nothing_wanted_is_nothing_done() {
    assert_eq!(resolve(&Wanted::default(), &root()), Ok(Privileges::default()));
    assert_eq!(resolve(&Wanted::default(), &web()), Ok(Privileges::default()));
}

#[test]
fn users_and_groups_become_numbers() {
    for (user, group, groups, expected) in [
        (Some("web"), None, None, (Some(33), Some(33), Some(vec![4, 33, 100]))),
        (Some("33"), None, None, (Some(33), Some(33), Some(vec![4, 33, 100]))),
        (Some("web"), Some("logs"), None, (Some(33), Some(4), Some(vec![4, 100]))),
        (Some("web"), Some("4321"), None, (Some(33), Some(4321), Some(vec![4, 100, 4321]))),
        (Some("web"), None, Some(&[][..]), (Some(33), Some(33), Some(vec![]))),
        (Some("web"), None, Some(&["logs", "9", "4"]), (Some(33), Some(33), Some(vec![4, 9]))),
        (Some("root"), None, None, (Some(0), Some(0), Some(vec![0]))),
        // A number that nobody has is taken as it is.
        (Some("4321"), Some("web"), None, (Some(NOBODY_HAS), Some(33), Some(vec![33]))),
        // A name of digits goes before a number.
        (Some("1234"), None, None, (Some(50), Some(51), Some(vec![51]))),
        (None, Some("77"), None, (None, Some(78), None)),
        (None, None, Some(&["logs"]), (None, None, Some(vec![4]))),
        (Some("4294967294"), Some("4294967294"), Some(&[]), {
            (Some(UNCHANGED - 1), Some(UNCHANGED - 1), Some(vec![]))
        }),
    ] {
        let wanted = wanted(user, group, groups);
        assert_eq!(ids_of(&wanted, &root()), expected, "for {wanted:?}");
    }
}

#[test]
fn names_that_lead_nowhere_are_reported_by_argument() {
    for (text, words) in [
        ("nobody-here", "there is no"),
        ("", "is empty"),
        ("a\0b", "NUL"),
        ("wild", "an id that is none"),
        ("lost", "the directory is down"),
        ("-1", "there is no"),
        ("+33", "there is no"),
        (" 33", "there is no"),
        ("0x21", "there is no"),
        ("33:33", "there is no"),
        // The kernel would take it for "leave it as it is", and root would stay root.
        ("4294967295", "give at most 4294967294"),
        ("4294967296", "give at most"),
        ("99999999999999999999", "give at most"),
    ] {
        assert_problem(&wanted(Some(text), None, None), &root(), "user", words);
        assert_problem(&wanted(None, Some(text), None), &root(), "group", words);
        let in_list = wanted(None, None, Some(&["logs", text]));
        assert_problem(&in_list, &root(), "supplementary_groups", words);
    }
    let of = |user| wanted(Some(user), None, None);
    assert_problem(&of("4321"), &root(), "group", "is required, as no user with the id 4321");
    assert_problem(&of("stray"), &root(), "user", "no valid primary group");
    assert_problem(&of("loner"), &root(), "user", "cannot look up the groups");
}

#[test]
fn every_wrong_argument_is_reported_at_once() {
    let everything = Wanted {
        umask: Some(0o1000),
        rlimit_nofile: Some(0),
        ..wanted(Some("x"), Some("y"), Some(&["z", "logs", ""]))
    };
    let problems = resolve(&everything, &root()).expect_err("there are problems");
    let arguments: Vec<_> = problems.into_iter().map(|fault| fault.argument).collect();
    let twice = "supplementary_groups";
    assert_eq!(arguments, ["user", "group", twice, twice, "umask", "rlimit_nofile"]);
}

#[test]
fn who_is_not_root_is_refused_by_argument() {
    let web = web();
    for (user, group, groups, argument) in [
        (Some("1234"), None, None, "user"),
        (Some("root"), None, None, "user"),
        (Some("web"), Some("logs"), None, "group"),
        (None, Some("logs"), None, "group"),
        (Some("web"), None, Some(&["logs"][..]), "supplementary_groups"),
        (None, None, Some(&[]), "supplementary_groups"),
    ] {
        let words = "but the user id is 33; start as root";
        assert_problem(&wanted(user, group, groups), &web, argument, words);
    }
    // With the capabilities but not root: they would not leave the children.
    let capable = system(WEB, &[WEB], CapabilitySet::all());
    assert_problem(&wanted(Some("1234"), None, None), &capable, "user", "start as root");
}

#[test]
fn who_is_already_what_is_wanted_needs_no_root() {
    for (user, group, groups) in [
        (Some("web"), None, None),
        (Some("33"), Some("33"), None),
        (None, Some("web"), None),
        (None, None, Some(&["100", "logs", "web"][..])),
        // The own group may be left out of the list.
        (Some("web"), None, Some(&["100", "logs"])),
    ] {
        let wanted = wanted(user, group, groups);
        let plan = resolve(&wanted, &web());
        assert!(plan.is_ok(), "{wanted:?}: {plan:?}");
    }
    // Nobody but root may set the list, so it must stay as it is, with or without the own group.
    for groups in [&[4, 100][..], &[WEB, 4, 100]] {
        let web = system(WEB, groups, CapabilitySet::empty());
        let (.., resolved) = ids_of(&wanted(Some("web"), None, None), &web);
        let mut expected = groups.to_vec();
        expected.sort_unstable();
        assert_eq!(resolved, Some(expected));
    }
    // One of the three ids is not enough.
    let mut mixed = web();
    mixed.identity.uids[2] = Uid::from_raw(0);
    assert_problem(&wanted(Some("web"), None, None), &mixed, "user", "start as root");
    // Nor are groups that are more than wanted.
    let rich = system(WEB, &[WEB, 4, 100, 0], CapabilitySet::empty());
    assert_problem(&wanted(Some("web"), None, None), &rich, "user", "supplementary groups");
}

#[test]
fn a_missing_capability_of_root_is_named() {
    for (lacking, user, group, groups, argument, name) in [
        (CapabilitySet::SETUID, Some("web"), None, None, "user", "CAP_SETUID"),
        (CapabilitySet::KILL, Some("web"), None, None, "user", "CAP_KILL"),
        (CapabilitySet::SETGID, Some("web"), None, None, "user", "CAP_SETGID"),
        (CapabilitySet::SETGID, None, Some("web"), None, "group", "CAP_SETGID"),
        (CapabilitySet::SETGID, None, None, Some(&[][..]), "supplementary_groups", "CAP_SETGID"),
    ] {
        let root = system(0, &[0], CapabilitySet::all() - lacking);
        assert_problem(&wanted(user, group, groups), &root, argument, name);
    }
    let poor = system(0, &[0], CapabilitySet::empty());
    assert!(resolve(&wanted(Some("root"), None, None), &poor).is_ok(), "it changes nothing");
}

#[test]
fn other_means_leave_the_user_and_the_groups() {
    let user = || Wanted { user: Some("web".to_owned()), ..Wanted::default() };
    let before = Wanted { umask: Some(0o27), no_new_privs: true, ..user() };
    let after = Wanted { umask: Some(0o77), rlimit_nofile: Some(100), ..user() };
    let resolved = |wanted: &Wanted| resolve(wanted, &web()).expect("allowed");
    let means = Wanted { umask: Some(0o77), rlimit_nofile: Some(100), ..Wanted::default() };
    assert_eq!(resolved(&before).with_means_of(&means), resolved(&after));
    assert_eq!(resolved(&before).with_means_of(&Wanted::default()), resolved(&user()));
}

#[test]
fn a_umask_has_nine_bits() {
    let plan = |umask| resolve(&Wanted { umask: Some(umask), ..Wanted::default() }, &web());
    for umask in [0, 0o27, 0o777] {
        assert_eq!(plan(umask).expect("allowed").umask, Some(Mode::from_raw_mode(umask)));
    }
    for umask in [0o1000, 0o1777, u32::MAX] {
        let wanted = Wanted { umask: Some(umask), ..Wanted::default() };
        assert_problem(&wanted, &web(), "umask", "must be 0 to 0o777");
    }
}

#[test]
fn a_limit_that_cannot_be_set_is_refused() {
    let wanted = |limit| Wanted { rlimit_nofile: Some(limit), ..Wanted::default() };
    for limit in [16, 1_024, 4_096] {
        let plan = resolve(&wanted(limit), &web()).expect("allowed");
        assert_eq!(plan.rlimit_nofile, Some(limit));
    }
    assert!(resolve(&wanted(1_000_000), &root()).is_ok(), "root may raise it");
    for (limit, system, words) in [
        (0, web(), "at least 16"),
        (15, root(), "at least 16"),
        (4_097, web(), "only root can raise"),
        (1_000_001, root(), "fs.nr_open is 1000000"),
        (u64::MAX, root(), "fs.nr_open"),
    ] {
        assert_problem(&wanted(limit), &system, "rlimit_nofile", words);
    }
    let mut free = web();
    free.descriptors = Descriptors { hard: None, most: None, may_raise: false };
    assert!(resolve(&wanted(u64::MAX), &free).is_ok(), "nothing is known against it");
}

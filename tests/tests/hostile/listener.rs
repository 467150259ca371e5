//! The socket at which all children accept is every child's to spoil, and the parent's to mend.

use std::net::TcpListener;

use prefork_tests::{PATIENCE, find_process, kill, require_root, require_tool, scene, wait_until};
use rustix::process::Signal;

use crate::{
    puppet::Puppet,
    siege::{Siege, fixture},
};

/// What the parent logs of a socket that it has mended.
const MENDED: &str = "it is as before again";

/// Makes a child do something to the socket.
#[track_caller]
fn spoil(siege: &Siege<'_>, how: &str) -> String {
    let mut attacker = siege.puppet();
    attacker.order(&format!("listener/{how}")).of("")[0].to_owned()
}

#[track_caller]
fn assert_mended(siege: &Siege<'_>, text: &str) {
    wait_until(PATIENCE, &format!("the parent says {text:?}"), || {
        !siege.logged(&[text, MENDED]).is_empty()
    });
    // The line may be about an earlier attempt of the child.
    wait_until(PATIENCE, "a child serves again", || siege.try_puppet().is_some());
    for _ in 0..20 {
        drop(siege.puppet());
    }
}

/// A8: a socket that a child has shut down, or turned into one that does not listen, listens again at once, no
/// child ends for it, and a stop takes its time.
#[test]
fn a_listener_that_does_not_listen_any_more_listens_again() {
    for how in ["shutdown", "disconnect"] {
        let scene = scene!();
        let Some(siege) = Siege::begin(&scene) else { return };
        let (victim, before) = (siege.puppet(), siege.daemon.living());
        assert_eq!(spoil(&siege, how), "0");
        assert_mended(&siege, "did not listen any more");
        assert_eq!(siege.daemon.living(), before, "no child has ended");
        siege.assert_replaced(victim, &format!("after the listener: {how}"));
        siege.assert_stops();
    }
}

/// Makes a child connect the listener, which it must dissolve before: the parent may be quicker, and have it listen again
/// in between.
#[track_caller]
fn connect(siege: &Siege<'_>, port: u16) {
    let attempt = || match spoil(siege, &format!("connect/{port}")).as_str() {
        "0" => true,
        "EISCONN" => false,
        other => panic!("{other}"),
    };
    wait_until(PATIENCE, "the listener is connected", attempt);
}

/// A8: a socket that a child has connected to somebody who never reads, so that closing it would take 20 s, listens
/// again, and a stop takes its time.
#[test]
fn a_listener_that_was_connected_listens_again() {
    let scene = scene!();
    let Some(siege) = Siege::begin(&scene) else { return };
    let victim = siege.puppet();
    let deaf = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = deaf.local_addr().expect("bound").port();
    connect(&siege, port);
    assert_mended(&siege, "did not listen any more");
    siege.assert_replaced(victim, "after the listener was connected");
    siege.assert_stops();
    drop(deaf);
}

/// A8: nor does a stop wait for it that comes before anybody has noticed.
#[test]
fn a_listener_that_was_connected_does_not_hold_up_a_stop() {
    let scene = scene!();
    let Some(siege) = Siege::begin(&scene) else { return };
    let deaf = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = deaf.local_addr().expect("bound").port();
    connect(&siege, port);
    siege.assert_stops();
    drop(deaf);
}

/// A8: what a child sets at the socket, and others would suffer from, is set back when the parent next looks: when
/// any child ends, at the latest.
#[test]
fn what_a_child_sets_at_the_listener_is_set_back() {
    for (how, text) in [
        ("linger", "close connections otherwise"),
        ("backlog", "let fewer connections wait"),
        ("interface", "bound to an interface"),
    ] {
        let scene = scene!();
        let Some(siege) = Siege::begin(&scene) else { return };
        // Of an earlier time: a newcomer may not get in.
        let victim = siege.puppet();
        assert_eq!(spoil(&siege, how), "0");
        siege.assert_replaced(victim, &format!("after the listener: {how}"));
        assert_mended(&siege, text);
        assert_eq!(siege.logged(&[MENDED]).len(), 1);
        siege.assert_stops();
    }
}

/// A8: also where nobody takes the place of the child that has ended, whose beginning would have the parent look.
#[test]
fn what_a_child_sets_at_the_listener_is_set_back_though_no_child_can_be_forked() {
    if !require_root() || !require_tool("strace") {
        return;
    }
    let scene = scene!();
    // The first four are for the first children.
    let refused = "inject=clone,clone3,fork,vfork:error=EAGAIN:when=5..1000";
    let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", refused];
    let daemon = fixture(&scene).under(strace).foreground();
    let siege = Siege::of(&scene, daemon);
    let mut attacker = siege.puppet();
    // No look is due that would find it.
    siege.daemon.wait_for_rest();
    assert_eq!(attacker.order("listener/linger").of("")[0], "0");
    let victim = siege.daemon.living().into_iter().find(|pid| *pid != attacker.pid);
    assert!(kill(victim.expect("there are others"), Signal::KILL));
    wait_until(PATIENCE, "it cannot be replaced", || {
        !siege.logged(&["cannot fork a child"]).is_empty()
    });
    wait_until(PATIENCE, "it is set back", || {
        !siege.logged(&["close connections otherwise", MENDED]).is_empty()
    });
    drop(attacker);
    siege.daemon.signal(Signal::TERM);
    let pid = siege.daemon.pid();
    wait_until(PATIENCE, "it stops", || find_process(pid).is_none());
}

/// A8: a socket made blocking is served from as before; a child that then sleeps in `accept(2)` is ended at the stop by
/// the measures that are there for it.
#[test]
fn a_listener_that_was_made_blocking_is_served_from() {
    let scene = scene!();
    let Some(siege) = Siege::begin(&scene) else { return };
    let victim = siege.puppet();
    assert_eq!(spoil(&siege, "blocking"), "0");
    for _ in 0..20 {
        let puppets: Vec<_> =
            (0..3).map(|_| Puppet::take(siege.scene.address()).expect("served")).collect();
        drop(puppets);
    }
    siege.assert_replaced(victim, "after the listener was made blocking");
    siege.assert_stops();
}

/// A8: a filter on the socket that would keep everybody out is refused by the kernel, or by an old one is not, and then
/// removed.
#[test]
fn a_filter_on_the_listener_does_not_keep_anybody_out() {
    let scene = scene!();
    let Some(siege) = Siege::begin(&scene) else { return };
    let victim = siege.puppet();
    let outcome = spoil(&siege, "filter");
    siege.assert_replaced(victim, "after a filter was attached, or refused");
    if outcome == "0" {
        assert_mended(&siege, "was given a filter (SO_ATTACH_FILTER)");
    } else {
        assert_eq!(outcome, "EPERM");
    }
    siege.assert_stops();
}

/// A8: a child that closes its own descriptor of the socket ends, and another takes its place.
#[test]
fn a_child_that_closes_the_listener_is_replaced() {
    let scene = scene!();
    let Some(siege) = Siege::begin(&scene) else { return };
    let (mut attacker, victim) = (siege.puppet(), siege.puppet());
    let pid = attacker.pid;
    assert_eq!(attacker.order("listener/close").of("close"), ["0"]);
    drop(attacker);
    // It notices when it is woken for somebody.
    let child = format!("child {pid} ");
    wait_until(PATIENCE, "it ends", || {
        drop(Puppet::take(siege.scene.address()));
        !siege.logged(&[&child]).is_empty()
    });
    siege.assert_named_once(pid, "exited with status 1");
    wait_until(PATIENCE, "it is replaced", || siege.daemon.living().len() == 4);
    siege.assert_replaced(victim, "after a child has closed the listener");
    siege.assert_stops();
}

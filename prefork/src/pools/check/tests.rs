use crate::{Args, Pools};

fn pool() -> Args {
    Args::new().prefork(1).max_children(1).main_loop(|_child, ()| Ok(()))
}

fn listening(address: &str) -> Args<crate::AnyListener> {
    Args::new().scoreboard_in_memory(true).listen(address).main_loop(|_child, _listener| Ok(()))
}

fn common() -> Args {
    Args::new().name("app").daemonize(false).pid_path("/run/app.pid")
}

/// All faults, in their order.
#[track_caller]
fn faults(pools: Pools) -> Vec<String> {
    match pools.check() {
        Ok(()) => Vec::new(),
        Err(error) => error.faults().iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn what_is_right_has_no_faults() {
    // Only root may say as whom children run.
    let is_root = rustix::process::geteuid().is_root();
    let with_user = |args: Args| if is_root { args.user("nobody") } else { args };
    let common = with_user(common()).sleep_after(std::time::Duration::from_secs(1));
    let pools = Pools::new(common)
        .pool("web", listening("127.0.0.1:8000"))
        .pool("reports", listening("unix:/run/reports").prefork(0))
        .pool("jobs", pool().hands_to(["heavy"]))
        .pool("heavy", Args::new().prefork(0).max_children(2).main_loop(|_child, ()| Ok(())))
        .pool("any", listening("127.0.0.1:0"))
        .pool("other", listening("127.0.0.1:0"))
        .weight(3)
        .ceiling(100)
        .role("cron", |_child| Ok(()))
        .role_with("leader", with_user(Args::new()).main_loop(|_child, ()| Ok(())));
    assert_eq!(faults(pools), [""; 0]);
}

#[test]
fn what_a_child_takes_is_its_limit_where_nothing_else_is_said() {
    let limited = |limit: u64| Args::new().prefork(2).child_memory_limit(limit).max_children(3);
    let daemon = |limit| {
        let args = limited(limit).main_loop(|_child, ()| Ok(()));
        Pools::new(common()).pool("a", args).memory_ceiling(8 << 20)
    };
    assert_eq!(faults(daemon(4 << 20)), [""; 0]);
    let less = "memory_ceiling: the memory ceiling (8M) is less than the minimums of all pools take together (10M)";
    assert_eq!(faults(daemon(5 << 20)), [less]);
    assert_eq!(faults(daemon(5 << 20).child_memory(4 << 20)), [""; 0]);
    assert_eq!(faults(daemon(4 << 20).ceiling(2)), [""; 0], "both");
}

#[test]
fn each_wrong_thing_is_named_with_its_pool_before_anything_is_started() {
    let table = [
        (Pools::new(common()), "pools: there is none; add one with Pools::pool"),
        (
            Pools::new(common()).pool("web", pool()).pool("web", pool()),
            "web: is the name of two pools; give each its own",
        ),
        (
            Pools::new(common()).pool("../web", pool()),
            "pool \"../web\": is no name for a pool: 1 to 32 of a to z, 0 to 9, - and _",
        ),
        (
            Pools::new(common())
                .pool("a", listening("127.0.0.1:80"))
                .pool("b", listening("127.0.0.1:80")),
            "b.listen: 127.0.0.1:80 is where the pool a listens; an address belongs to one pool",
        ),
        (
            Pools::new(common()).pool("a", listening("unix:/x")).pool("b", listening("/x")),
            "b.listen: /x is where the pool a listens; an address belongs to one pool",
        ),
        (
            Pools::new(common()).pool("a", pool().prefork(0)),
            "a.prefork: is 0, but nobody would ever wake the pool: set listen, have another pool hand connections to it",
        ),
        (
            Pools::new(common()).pool("a", pool().daemonize(true)),
            "a.daemonize: is the whole daemon's; set it in the arguments that all pools have in common",
        ),
        (
            Pools::new(common()).pool("a", pool().max_requests(0)),
            "a.max_requests: must be at least 1",
        ),
        (
            Pools::new(common()).pool("a", Args::new().prefork(1).max_children(1)),
            "a.main_loop: is required",
        ),
        (
            Pools::new(common()).pool("a", listening("nowhere")),
            "a.listen: cannot listen on \"nowhere\": it is no address",
        ),
        (
            Pools::new(common().main_loop(|_child, ()| Ok(()))).pool("a", pool()),
            "main_loop: belongs to a pool; set it in the arguments of one",
        ),
        (
            Pools::new(common().after_init(|_| Ok(()))).pool("a", pool()),
            "after_init: belongs to a pool; set it in the arguments of one",
        ),
        (
            Pools::new(common().status_listen("127.0.0.1:9000")).pool("a", pool()),
            "status_listen: belongs to a pool; set it in the arguments of one",
        ),
        (
            Pools::new(common()).pool("a", pool().sleep_after(std::time::Duration::from_secs(1))),
            "a.sleep_after: is for one of several pools with prefork 0 alone; leave it out",
        ),
        (
            Pools::new(common()).role_with("a", listening("127.0.0.1:80")),
            "a.listen: is for pools; a role has exactly one process",
        ),
        (
            Pools::new(common()).pool("a", pool().hands_to(["b"])),
            "a.hands_to: there is no pool \"b\"",
        ),
        (
            Pools::new(common()).pool("a", pool().hands_to(["a"])),
            "a.hands_to: names the pool itself; its own children accept by themselves",
        ),
        (
            Pools::new(common()).pool("a", pool().hands_to(["b"])).role("b", |_child| Ok(())),
            "b.hands_to: is for pools; a role takes no connections",
        ),
        (
            Pools::new(common()).pool("a", pool().prefork(3).max_children(9)).ceiling(2),
            "ceiling: the ceiling (2) is less than the minimums of all pools together (3)",
        ),
        (
            Pools::new(common()).pool("a", pool()).weight(0).ceiling(2),
            "a.weight: weight is 0, not 1 to 10000",
        ),
        (
            Pools::new(common()).pool("a", pool()).weight(2),
            "a.weight: does nothing without a ceiling; set Pools::ceiling or Pools::memory_ceiling too",
        ),
        (
            Pools::new(common()).pool("a", pool()).child_memory(4 << 20),
            "a.child_memory: does nothing without a memory ceiling; set Pools::memory_ceiling too",
        ),
        (
            Pools::new(common()).pool("a", pool()).memory_ceiling(8 << 20),
            "a.child_memory: is not set, which a memory ceiling needs: set it to what a child takes, or set \
             child_memory_limit",
        ),
        (
            Pools::new(common()).pool("a", pool()).child_memory(512).memory_ceiling(8 << 20),
            "a.child_memory: 512 bytes are less than any process takes; write 512M for MiB",
        ),
        (
            Pools::new(common()).pool("a", pool()).child_memory(0).memory_ceiling(8 << 20),
            "a.child_memory: is 0, but any process takes memory; 1M is the least",
        ),
        (
            Pools::new(common()).pool("a", pool()).child_memory(8 << 20).memory_ceiling(8),
            "memory_ceiling: 8 bytes are less than any process takes; write 8M for MiB",
        ),
        (
            Pools::new(common())
                .pool("a", pool().prefork(3).max_children(9))
                .child_memory(3 << 20)
                .memory_ceiling(8 << 20),
            "memory_ceiling: the memory ceiling (8M) is less than the minimums of all pools take together (9M)",
        ),
        (
            Pools::new(common())
                .pool("a", pool())
                .child_memory(6 << 20)
                .pool("b", listening("127.0.0.1:80").prefork(0))
                .child_memory(3 << 20)
                .memory_ceiling(8 << 20),
            "b.child_memory: a child takes 3M, but the minimums of all pools leave 2M of the memory ceiling (8M)",
        ),
        (
            Pools::new(common()).role_with("a", pool()),
            "a.prefork: is about many children, but a role has exactly one process; leave it out",
        ),
        (
            Pools::new(Args::new().daemonize(false)).role("a", |_child| Ok(())),
            "a.role: needs pid_path in the arguments that all pools have in common",
        ),
    ];
    for (pools, expected) in table {
        let shown = format!("{pools:?}");
        let faults = faults(pools);
        assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{shown}: {faults:?}");
    }
}

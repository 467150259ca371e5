//! The arguments that are plain data: all that is said of one is said here.
//!
//! From this list are made the setter, the key of a file of settings, what applies another value of it while the
//! daemon serves, its default, what it needs to change anything, and that it is not zero (`declare.rs`). What else is wrong
//! with a value or with several is in `check`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

#[cfg(feature = "serde")]
use super::settings::{Field, Given, Memory, OctalMask};
use super::{
    Args,
    declare::{
        Applied, Argument, Need, Positive, arguments, default, fingerprint, problem, setter,
    },
    defaults::{
        CALM_TIME, CONCURRENCY, DEMAND_EVERY, GRACEFUL_TIMEOUT, HOOK_TIMEOUT, MAX_CHILDREN,
        MIN_SPARE, PREFORK, RETIRE_PACE, SLEEP_AFTER, SPAWN_STEP, START_TIMEOUT,
    },
};
use crate::{Fault, Isolation, LogLevel, OnChange, OnDisconnect, StatusAddress, error::Origin};

arguments! {
    /// Sets the name of the daemon, shown in `ps` and in its log. Default: the file name of the
    /// program.
    name: String as into, by Upgrade;

    /// Refuses to start when not running as root. Default off.
    require_root: bool, by Restart, default false;

    /// Goes to the background, off the terminal. Default on.
    ///
    /// The program that was started returns from [`run`](crate::Prefork::run) once the daemon
    /// serves, or has failed to. With this off the caller becomes the parent, as container runtimes
    /// and service managers want it.
    daemonize: bool, by Restart, default true;

    /// Sets the file to which standard error goes, and with it the daemon's own messages. Required
    /// with [`daemonize`](Self::daemonize), unless [`error_log_handle`](Self::error_log_handle) is
    /// given.
    ///
    /// It is created with mode 0640 if it does not exist. As root, it must be where nobody else can put a file
    /// in its place: see [security](crate::docs::security). A daemon's standard output goes there as
    /// well. A relative path is taken from the directory in which [`Prefork::new`] was called.
    ///
    /// `SIGUSR1` has all processes go over to a new file at this path: see [logs](crate::docs::logs).
    ///
    /// In the foreground it is standard error from then on; until the daemon serves, errors are shown where that led before
    /// too. Where a start fails, the reason is logged, and standard error leads there again, for the program to print it.
    ///
    /// [`Prefork::new`]: crate::Prefork::new
    error_log_path: PathBuf as into, by Upgrade;

    /// Sets the file to which [`Child::access_log`](crate::Child::access_log) writes. Required with
    /// [`daemonize`](Self::daemonize), unless [`access_log_handle`](Self::access_log_handle) is
    /// given. Without either, the lines go nowhere.
    ///
    /// It is created with mode 0640 if it does not exist. As root, it must be where nobody else can put a file
    /// in its place: see [security](crate::docs::security). `SIGUSR1` has each child go over to a new file at this path
    /// with its next line, though its user may not open it: see [logs](crate::docs::logs).
    access_log_path: PathBuf as into, by Upgrade;

    /// Sets the file that holds the pid of the parent while it runs, and that keeps a second daemon
    /// from starting. Required with [`daemonize`](Self::daemonize).
    ///
    /// It is written with mode 0644 and removed on an orderly stop. When somebody removes, replaces or
    /// overwrites it before, it is made again within a second. As root, in a directory of root's alone: see
    /// [security](crate::docs::security).
    pid_path: PathBuf as into, by Upgrade;

    /// Sets the file in which children report to the parent, and to all who may read it, what they are
    /// doing. Default none: then nothing is reported, and the number of children stays at
    /// [`prefork`](Self::prefork).
    ///
    /// The format is that of the crate [`scoreboard`](crate::scoreboard). The file has mode 0600 and
    /// is removed on an orderly stop. Truncating it ends every child at its next report, and the
    /// parent lives on and replaces them. With [`prefork`](Self::prefork) 0 the daemon itself writes to the
    /// file through memory, and would be ended too. Choose a directory in memory, such as `/run`, that only the
    /// parent's user may write; as root, no other is taken.
    scoreboard_path: PathBuf as into, by Upgrade;

    /// Keeps the scoreboard in memory, where nobody else can read it, instead of in a file. Default
    /// off.
    ///
    /// For pools that are to follow their load without a file.
    scoreboard_in_memory: bool, by Upgrade, default false;

    /// Serves a page of what the daemon does at this address: `127.0.0.1:9000`, or the path of a UNIX socket.
    /// Default none.
    ///
    /// `/status` is for people, `/status.json` for programs (as is `/status` for those who accept only
    /// JSON), `/metrics` for Prometheus; see
    /// [status](crate::docs::status). What children do is on it with a
    /// [scoreboard](Self::scoreboard_path) only.
    ///
    /// Only loopback addresses are taken, as there is neither encryption nor a password: all who can
    /// connect can read. A UNIX socket has mode 0600 unless [`StatusAddress::mode`] says otherwise, and is
    /// removed at an orderly stop. A process of its own serves the page, as the user of the children; it
    /// is replaced when it ends.
    ///
    /// With [`prefork`](Self::prefork) 0 there is none: where the main loop may start threads, no process
    /// can be forked. Without the feature `status` of this crate it is refused.
    ///
    /// [`StatusAddress::mode`]: crate::StatusAddress::mode
    status_listen: StatusAddress as into, by Upgrade, needs Children;

    /// Serves what everybody may ask for at this address: `0.0.0.0:9100`, `127.0.0.1:9100`, or the path of a UNIX socket.
    /// Default none.
    ///
    /// `/metrics` is for a Prometheus on another machine; `/ready` and `/live` answer probes and load balancers by 200 or
    /// 503; the line `agent` is answered as HAProxy's `agent-check` wants it. See [status](crate::docs::status). There are no
    /// pages, and nothing that names a client or quotes what one has sent. There is neither encryption nor a password: a
    /// firewall, or an address that only the right machines reach, says who can ask.
    ///
    /// All else is as with [`status_listen`](Self::status_listen), which serves these too: `:9100` is that of `127.0.0.1`, a
    /// UNIX socket has mode 0600 unless [`StatusAddress::mode`] says otherwise, the same process answers, there is none with
    /// [`prefork`](Self::prefork) 0, and it takes the feature `status` of this crate.
    ///
    /// [`StatusAddress::mode`]: crate::StatusAddress::mode
    metrics_listen: StatusAddress as into, by Upgrade, needs Children;

    /// Sets the number of children that the pool starts with and comes back to, 0 to
    /// [`max_children`](Self::max_children). Default 3.
    ///
    /// With 0, [`main_loop`](Self::main_loop) runs in the parent itself: nothing is forked (see
    /// [`Prefork::run`](crate::Prefork::run)). Arguments that are about children have no effect then, and a warning
    /// names those that do not only repeat their default: the other numbers of children, the limits for a child,
    /// [`request_timeout`](Self::request_timeout) with [`on_timeout`](Self::on_timeout),
    /// [`on_child_exit`](Self::on_child_exit), [`on_client_disconnect`](Self::on_client_disconnect),
    /// [`demand`](Self::demand), [`auto_reload_check_every`](Self::auto_reload_check_every), `status_listen` and `metrics_listen`.
    prefork: u32, by Reload, default PREFORK;

    /// Sets the number of children that is never exceeded, up to 65,536, but for those that stand in
    /// for others that are being replaced ([`max_surge`](Self::max_surge)). Default 150.
    ///
    /// With a scoreboard the pool grows towards it when all children are busy, at once by as many as
    /// connections wait at the sockets of [`Init::listen`](crate::Init::listen), or jobs by what [`demand`](Self::demand)
    /// reports, and by doubling where neither is known.
    /// Children that were not needed for 10 s ([`calm_time`](Self::calm_time)) are retired, idle ones only, in growing steps a
    /// second ([`retire_pace`](Self::retire_pace)) apart, until there are [`prefork`](Self::prefork) again: from 150 to 3 in at most 20 s.
    /// Children say what they do by [`Child::accept`](crate::Child::accept), or by
    /// [`busy`](crate::Child::busy) and [`idle`](crate::Child::idle). Where no child ever says anything, the pool grows
    /// while connections wait at those sockets, with a warning, and does not shrink. Without a scoreboard the pool keeps its size; that is said at the start if this was set to
    /// more.
    max_children: u32, by Reload, default MAX_CHILDREN, needs Children;

    /// Sets how many children should be waiting for work at any time, up to
    /// [`max_children`](Self::max_children), as `MinSpareServers` does in Apache. Default 1: the pool
    /// grows when all are busy. Needs a scoreboard.
    min_spare: u32, by Reload, default MIN_SPARE, needs Children Scoreboard;

    /// Has the pool grow where clients would wait longer than this for a child, and not as soon as none is free; longer than 0.
    /// Default none: [`min_spare`](Self::min_spare). Needs a scoreboard.
    ///
    /// Connections wait in the kernel, and how long follows from how many there are and how long children take: a hundred requests
    /// of a millisecond wait for two children for 50 ms, which need no third one. So such a pool has fewer children, and none to
    /// spare, and shrinks to as many as were at work on average over this time. How long a request takes is known after some
    /// of those that wait were accepted, or at the latest once somebody has waited for so long: so it may take as long again
    /// until children are there.
    ///
    /// It counts what [`accept`](crate::Child::accept) and its like take from sockets of [`Init::listen`](crate::Init::listen), TCP
    /// and UNIX. Where it is not known how many wait, the pool grows by `min_spare`, which contradicts it else, as
    /// [`one_shot`](Self::one_shot) does.
    queue_target: Duration, by Reload, needs Children Scoreboard, positive "; leave it out to grow as soon as no child is free";

    /// Sets how many waiting children are not too many, at least [`min_spare`](Self::min_spare), as
    /// `MaxSpareServers` does in Apache. More are retired without waiting for calm, but never below
    /// [`prefork`](Self::prefork). Default none. Needs a scoreboard.
    max_spare: u32, by Reload, needs Children Scoreboard;

    /// Sets how many children may be started at once for connections that wait, at least 1; more follow 10 ms later.
    /// Default 64. Needs a scoreboard.
    ///
    /// A smaller number spreads the load that starting children is, where [`child_init`](Self::child_init) reads much or
    /// connects to a database.
    spawn_step: u32, by Reload, default SPAWN_STEP, needs Children Scoreboard, positive ", or no pool would grow";

    /// Looks, before there are more children than processors, whether those at work compute, and starts no more than are useful.
    /// Default off: the pool grows as clients wait, whatever children do. Needs a scoreboard.
    ///
    /// For pools whose requests compute, some of them at least, with a [`max_children`](Self::max_children) that is for
    /// others. More children than processors make such requests no quicker, and take memory. It does not hold up children that wait:
    /// where one in ten of those at work computes at a time, ten for each processor are useful, and where none does, any number. When no child has
    /// taken anything for a second, one more is started all the same. Processors are those that the daemon may use, by
    /// `sched_setaffinity(2)` and the limits of its control groups.
    ///
    /// A child computes in its first thread, and has one request at a time: [`concurrency`](Self::concurrency) and
    /// [`one_shot`](Self::one_shot) contradict it.
    watch_processors: bool, by Reload, default false, needs Children Scoreboard;

    /// Sets for how long children must not have been needed before they are retired, longer than 0. Default 10 s. Needs a
    /// scoreboard.
    ///
    /// It doubles, up to 8 times that, whenever the pool has to grow again that soon after it has shrunk.
    calm_time: Duration, by Reload, default CALM_TIME, needs Children Scoreboard, positive "";

    /// Sets the time between two steps of a pool that shrinks, at least 10 ms. Default 1 s. Needs a scoreboard.
    ///
    /// In the first one 1 child is retired, then 2, 4 and so on.
    retire_pace: Duration, by Reload, default RETIRE_PACE, needs Children Scoreboard, positive "";

    /// Sets how long a pool may have had nothing to do until it ends and sleeps, longer than 0. Default 10 s.
    ///
    /// For one of several [`Pools`](crate::Pools) with [`prefork`](Self::prefork) 0 alone.
    sleep_after: Duration, by Upgrade, default SLEEP_AFTER, needs OnDemand, positive "";

    /// Sets how many successors may be started at a time for children that are to be replaced, 1 to
    /// [`max_children`](Self::max_children): so many more than that there can be meanwhile. Default: a
    /// quarter of [`prefork`](Self::prefork), at least 1.
    ///
    /// On a reload, and when a child is to be replaced for any other reason while it still serves, a
    /// new child must be in its main loop before the old one is asked to leave. With a scoreboard those that have nothing
    /// to do are asked first. An old one that is asked finishes its request, and holds up nobody else. Where there is
    /// no room for a successor, as old children at work have taken it all, or the system gives no more processes, an
    /// old child leaves first.
    max_surge: u32, by Reload, needs Children;

    /// Sets how many requests one child can have in hand at once, 1 to 65,536, where it reports them by
    /// [`Child::in_flight`](crate::Child::in_flight). Default 1.
    ///
    /// The child is handed the number ([`Child::concurrency`](crate::Child::concurrency)) and keeps to it itself. The
    /// pool counts by it: with 64, a child with 16 in hand is a quarter of one at work, so that as many children are there
    /// as all requests together fill, and one to spare. Connections that wait are divided by it likewise. What number
    /// suits a program: see [tuning](crate::docs::tuning#many-requests-at-once).
    concurrency: u32, by Reload, default CONCURRENCY;

    /// Has each child serve one client and end, with all that it has started, so that nobody meets a process that has served
    /// somebody else. Default off.
    ///
    /// A client is a connection that is [accepted](crate::Child::accept), with all requests on it, or where nothing is
    /// accepted what is between [`busy`](crate::Child::busy) and [`idle`](crate::Child::idle). After it `accept` returns
    /// `None`, [`try_accept`](crate::Child::try_accept) [`Stop`](crate::TryAccept::Stop), and
    /// [`replaced_after`](crate::Child::replaced_after) and [`should_stop`](crate::Child::should_stop) end their loops.
    /// The sockets that were accepted from are gone from the child before its client's connection is returned. Requests that
    /// are begun by [`in_flight`](crate::Child::in_flight) alone are not kept to one.
    ///
    /// Children are forked before clients come. As many wait as clients come while one child starts, counted over the last
    /// [`calm_time`](Self::calm_time), at least [`prefork`](Self::prefork) and at most
    /// [`max_spare`](Self::max_spare); with those at work there are never more than [`max_children`](Self::max_children).
    /// Who comes when none waits is queued, and served in order. A scoreboard is kept in memory where none is given. What a
    /// child costs, and how to make it cheaper: see [tuning](crate::docs::tuning#one-client-a-child).
    ///
    /// [`concurrency`](Self::concurrency), [`max_requests`](Self::max_requests) and [`max_memory`](Self::max_memory) contradict
    /// it and are refused, and so is `prefork` 0. [`Child::lend`](crate::Child::lend) fails.
    one_shot: bool, by Upgrade, default false;

    /// Measures how long each client has waited when its connection is accepted, for
    /// [`Child::queued`](crate::Child::queued). Default off.
    ///
    /// It costs one system call, less than a microsecond, for each connection of [`accept`](crate::Child::accept) and its like.
    /// With [`queue_limit`](Self::queue_limit) it is measured anyway.
    queue_time: bool, by Reload, default false;

    /// Refuses clients that have waited longer than this before their connection was accepted, while the queue stays that
    /// long; longer than 0. Default none: everybody is served in the end, in whatever order it came.
    ///
    /// For pools that more clients may come to than they can serve: then all wait, until each gives up before its turn, and
    /// the children work for nobody. Set it to about half of the time after which clients give up. As long as the queue becomes
    /// shorter now and then, at least once within [`queue_interval`](Self::queue_interval), nobody is refused.
    ///
    /// [`accept`](crate::Child::accept), [`try_accept`](crate::Child::try_accept) and all that is built on them close the
    /// connections of those who are refused; [`accept_or_refuse`](crate::Child::accept_or_refuse) lets the program answer
    /// them. Connections of clients that have gone are closed too: those that were reset, and those whose client has closed
    /// its side and waited longer than this. Each child decides by what it sees itself. At UNIX sockets nobody is refused,
    /// as the kernel does not know for how long a client has waited there, but those who have gone are passed over. See
    /// [tuning](crate::docs::tuning#more-clients-than-can-be-served).
    queue_limit: Duration, by Reload, positive "; leave it out for no limit";

    /// Sets for how long all clients must have waited longer than [`queue_limit`](Self::queue_limit) before any is refused;
    /// longer than 0. Default: as long as that.
    ///
    /// A burst that the pool works off within this time is served as a whole. Nobody is served who has waited for longer than
    /// both together.
    queue_interval: Duration, by Reload, needs QueueLimit, positive "";

    /// Replaces a child once it has served about so many requests, at least 1, give or take a
    /// tenth so that children of one age do not all go at once. Default none.
    ///
    /// Requests are counted by [`Child::accept`](crate::Child::accept),
    /// [`Child::busy`](crate::Child::busy) and [`InFlight::begin`](crate::InFlight::begin). The child goes on serving until its successor does.
    max_requests: u64, by Reload, needs Children, positive "; leave it out for no limit";

    /// Replaces a child once it is about so old, give or take a tenth. Default none.
    max_lifetime: Duration, by Reload, needs Children, positive "; leave it out for no limit";

    /// Replaces a child once it has more than so many bytes of memory resident, shared memory
    /// included, at the end of a request. Default none.
    ///
    /// One that has more after its first request already would be replaced for ever, and no successor would have less. It
    /// serves on until it has grown by as much again, and a warning names both sizes.
    ///
    /// A child of many requests looks at the end of one, every 100 ms at most. See `resident` in `proc_pid_statm(5)`.
    max_memory: u64, by Reload, needs Children, positive "; leave it out for no limit";

    /// Keeps each child below so many bytes of memory, with all that it starts. Default none.
    ///
    /// Where the daemon can make control groups, each child has one of its own with this limit: the kernel ends that child, and
    /// what it has started, when it is used up, and nobody else. That takes root and a group that is the daemon's own, as in a
    /// container whose groups can be written to, or a unit with `Delegate=yes`. Elsewhere each process has it as
    /// `RLIMIT_DATA` (see `getrlimit(2)`): then allocations fail. A line at the start says which it is, and why. See
    /// [memory](crate::docs::memory#a-limit-for-each-child).
    child_memory_limit: u64, by Upgrade, needs Children, positive "; leave it out for no limit";

    /// Lets each child have no more than so many processes and threads, itself and all that it starts included: a further one
    /// is refused (`EAGAIN`). Default none.
    ///
    /// By a control group for each child, under the conditions of [`child_memory_limit`](Self::child_memory_limit). There is
    /// nothing instead, as `RLIMIT_NPROC` (the layer `processes` of [`isolate`](Self::isolate)) counts all processes of the
    /// user, those of siblings too: where it is not possible, a warning at the start says so, and why. See
    /// [isolation](crate::docs::isolation#processes).
    child_process_limit: u64, by Upgrade, needs Children, positive "; leave it out for no limit";

    /// Keeps the pool below so many bytes of memory, or below the lowest limit of its control groups, whichever is nearer.
    /// Default: the limit of the control groups, where there is any. Needs a scoreboard.
    ///
    /// With less than an eighth of it free, the largest child that has nothing to do is replaced, and no more are started for
    /// the load. Shortly before nothing is left the child that grows fastest is killed, so that not all are: see
    /// [memory](crate::docs::memory). What counts here is what the parent has resident, and of each child, with all that it has
    /// started, what it has more than the parent.
    memory_limit: u64, by Reload, needs Children Scoreboard, positive "; leave it out for the limit of the control groups";

    /// Ends a child that is at work on one request for longer than this. Default never. Needs a
    /// scoreboard.
    ///
    /// What it was doing is logged, and what each of its threads waits for: the system call with the peer, the file or the lock
    /// behind it, as far as the kernel shows that to the parent's user (see [hanging](crate::docs::hanging)). A process is forked
    /// for that, and it takes 0.1 s, or up to 2 s where many hang at once; a child that has finished meanwhile is left alone. Then
    /// [`on_timeout`](Self::on_timeout) is run, the child is sent
    /// `SIGABRT`, which leaves a core dump where those are enabled, and a second later `SIGKILL`, unless the dump is still
    /// being written: that may take 60 s. Its successor is started at once.
    /// [`Child::extend_deadline`](crate::Child::extend_deadline) asks for more time. A child that has
    /// [many](crate::Child::in_flight) in hand is ended for the first of them that has taken too long, and all others with it;
    /// each can ask for more time on its own. A parent that was stopped itself gives everybody the whole time again.
    request_timeout: Duration, by Reload, needs Children Scoreboard, positive "; leave it out for no limit";

    /// Sets how long the start may take, until every child is in its main loop; longer than 0. Default 60 s.
    ///
    /// As long may each child take that is started later, a new program to show that it works, and a reload to read the
    /// settings.
    start_timeout: Duration, by Reload, default START_TIMEOUT, positive ", or no start would ever succeed";

    /// Sets how long children may take to finish the requests in hand when the daemon stops, whether or not they were
    /// being replaced. Default 30 s.
    ///
    /// Those that take longer are named in the log, interrupted, and then killed. While the daemon serves on,
    /// [`reload_timeout`](Self::reload_timeout) is what counts.
    graceful_timeout: Duration, by Reload, default GRACEFUL_TIMEOUT;

    /// Sets how long a child that is replaced may take to finish the request in hand while the daemon serves on; longer
    /// than 0. Default none: as long as it takes, so that a reload loses nothing.
    ///
    /// It is about reloads, upgrades, and children that are too old, too large or too many. One that takes longer is
    /// named in the log with its request and client, interrupted, and then killed. Without it an old child may be
    /// there for long, beside its successor; [`request_timeout`](Self::request_timeout) holds for it as for others, and
    /// nobody waits for it.
    reload_timeout: Duration, by Reload, needs Children, positive "; leave it out for no limit";

    /// Sets how long each call of a hook may take that is made while there are children; longer than 0. Default
    /// 30 s.
    ///
    /// It is about [`ready`](Self::ready), [`on_child_exit`](Self::on_child_exit),
    /// [`on_timeout`](Self::on_timeout), [`auto_reload_handler`](Self::auto_reload_handler),
    /// [`on_client_disconnect`](Self::on_client_disconnect), [`demand`](Self::demand) and
    /// [`before_shutdown`](Self::before_shutdown). A call
    /// that takes longer is ended by `SIGKILL`, that is logged, and the daemon goes on as if it had returned. A stop
    /// takes up to this time longer for `before_shutdown`, and as much for `on_child_exit` after the last child.
    hook_timeout: Duration,
        by Reload, default HOOK_TIMEOUT, needs Hook, positive ", or no hook would ever return in time";

    /// Has [`demand`](Self::demand) report so often how many jobs wait, at least 50 ms. Default 1 s.
    ///
    /// A question costs the parent two wake-ups and the hook one. It is not asked again while it has not answered, and an
    /// answer counts for three times this long at the most.
    demand_every: Duration, by Reload, default DEMAND_EVERY, needs Demand, positive ", or it would be asked without end";

    /// Looks so often whether watched files have changed, and has
    /// [`auto_reload_handler`](Self::auto_reload_handler) see to it when they have. Default never.
    ///
    /// What is watched is the program, or what [`auto_reload_watch`](Self::auto_reload_watch) says. Where the
    /// kernel reports changes (`inotify(7)`) they are noticed at once, and the interval is for the rest, such
    /// as network file systems. Files must have been at rest for 200 ms. The interval is stretched to 200 times what a
    /// look takes, a minute at most, which matters from some thousand files on.
    ///
    /// What cannot be watched is logged: a name that is not there, a tree of more than 10,000 entries, a file that does
    /// not come to rest for 30 s. It counts as unchanged, and the others are judged without it.
    auto_reload_check_every: Duration, by Reload, needs Children, positive "; leave it out for never";

    /// Sets what is done when watched files have changed.
    auto_reload_handler: OnChange as hook, by Reload;

    /// Sets what is done when a client has gone.
    on_client_disconnect: OnDisconnect as hook, by Reload;

    /// Sets within what time it is noticed that the client of a child at work has gone, at least 50 ms.
    /// Default 2 s. Needs [`on_client_disconnect`](Self::on_client_disconnect).
    ///
    /// A look costs the parent one question to the kernel for each child at work, as long as all of them say which connection they have in
    /// hand; else as much as it takes to read all TCP connections of the host. The parent spends a fifth of its time on it
    /// at most: where that is not enough, clients are noticed later, and a warning says how much.
    netwatch_interval: Duration, by Reload, needs OnClientDisconnect;

    /// Sets the user that children run as, by name or by number. Default: the one of the parent.
    ///
    /// The parent stays root: it opens the logs, writes the pid file and the scoreboard and runs
    /// [`after_init`](Self::after_init), where a socket below port 1024 can be bound, and all that
    /// keeps its owner. A child changes its user before any code of the program runs in it. It takes
    /// the user's primary [`group`](Self::group) and
    /// [`supplementary_groups`](Self::supplementary_groups) too, unless others are given. What the
    /// kernel then says the child is gets compared with what was asked for, and a user other than
    /// root must not be able to become root again; a child of which anything of that is not true
    /// ends before it serves, and the reason is in the error log.
    ///
    /// Users and groups are looked up once, in [`Prefork::new`](crate::Prefork::new). It fails if
    /// there is no such user, and unless this process is root, with the capabilities `CAP_SETUID`,
    /// `CAP_SETGID` and `CAP_KILL` where a container or service limits them (see
    /// `capabilities(7)`); without the last one the parent could not stop its children, nor would
    /// they end with it. Nobody needs root to ask for what the process is already. A number that
    /// has no entry in the user database needs an explicit `group`. `root` is allowed, and changes
    /// nothing for a root that has its usual groups. In a user namespace the ids must be mapped (see
    /// `user_namespaces(7)`).
    ///
    /// With [`prefork`](Self::prefork) 0 it is the daemon's one process that changes, when
    /// `after_init` has returned. It may then not be able to remove its pid file; a stale one does
    /// not hinder the next start.
    ///
    /// # Fork
    ///
    /// A child inherits what is open and in memory: close and overwrite in `after_init` what only
    /// root may know. Its environment stays as well, `HOME` included. A child that has changed its
    /// user is not dumpable (see `PR_SET_DUMPABLE` in `prctl(2)`), so that nobody but root can trace
    /// it, read its memory or list its descriptors; it leaves no core dump unless `fs.suid_dumpable`
    /// allows one, and cannot open the log by `/dev/stderr`, but only write to it.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::Args;
    ///
    /// let args = Args::new()
    ///     .user("www-data")
    ///     .umask(0o027)
    ///     .no_new_privs(true)
    ///     .after_init(|init| Ok(init.listen("0.0.0.0:80")?));
    /// # drop(args);
    /// ```
    user: String as into, by Upgrade;

    /// Sets the group that children run as, by name or by number. Default: the primary group of
    /// [`user`](Self::user), or that of the parent if no user is given.
    ///
    /// [`Prefork::new`](crate::Prefork::new) fails if there is no such group, and unless this
    /// process is root with the capability `CAP_SETGID`. A user that stays root can take any group
    /// again: a group alone confines nobody.
    group: String as into, by Upgrade;

    /// Sets the supplementary groups that children have, by name or by number; none if the list is
    /// empty. Default: with [`user`](Self::user), the groups of that user in the group database, as
    /// `initgroups(3)` sets them; without, those of the parent.
    ///
    /// [`Prefork::new`](crate::Prefork::new) fails if there is no such group, and unless this
    /// process is root with the capability `CAP_SETGID`. The database is asked once, when the daemon
    /// starts: later changes of its members count from the next start on.
    supplementary_groups: Vec<String> as list, by Upgrade;

    /// Sets the file mode creation mask of children, 0 to 0o777, in octal: `0o027` keeps files that
    /// children make from everybody else. Default: that of the parent, which is `0o022` with
    /// [`daemonize`](Self::daemonize), and without it the one that the program was started with.
    ///
    /// The files of the daemon itself have the modes that are documented with them, whatever the
    /// mask (see `umask(2)`).
    umask: u32, by Reload;

    /// Keeps children, and all that they start, from gaining privileges by executing set-user-ID
    /// programs and files with capabilities, for good (see `PR_SET_NO_NEW_PRIVS` in `prctl(2)`).
    /// Default off.
    ///
    /// Needs no root. `sudo`, `su` and an old-style `ping` do not work in the children any more.
    no_new_privs: bool, by Reload, default false;

    /// Sets how many descriptors each child may have open, as both the soft and the hard limit
    /// (`RLIMIT_NOFILE`, see `getrlimit(2)`); 16 to the system's `fs.nr_open`, which is 1,048,576
    /// unless changed. Default: the limits that the daemon was started with.
    ///
    /// It is set before the change of [`user`](Self::user). [`Prefork::new`](crate::Prefork::new)
    /// fails if it is above the hard limit of this process, unless that is root with the capability
    /// `CAP_SYS_RESOURCE`. Code that uses `select(2)` breaks with descriptors above 1,023.
    rlimit_nofile: u64, by Reload;

    /// Keeps children from harming one another, though they are of one user, and limits what each uses of the machine.
    /// Default nothing.
    ///
    /// Of each layer it is found out at the start, by trying it, whether it is possible here; the first line of the log
    /// reports which are on, and which are not possible and why. [`Prefork::new`](crate::Prefork::new) fails where one is not
    /// possible that is [required](crate::Isolation::require). Children take them when they have changed
    /// [`user`](Self::user), before code of the program runs in them, and all that they start has them too. In files and
    /// flags it is a list: see [isolation](crate::docs::isolation), and what each layer holds off.
    ///
    /// Some layers are behind the feature `landlock` of this crate, which is not on by default. What is missing for want of
    /// it is reported like any layer that is not possible. `prefork run` has it.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::{Args, Isolation, Layer};
    ///
    /// let isolation = Isolation::new().siblings_apart().require(Layer::Signals).max_file_size(64 << 20);
    /// let args = Args::new().user("www-data").isolate(isolation);
    /// # drop(args);
    /// ```
    isolate: Isolation, by Upgrade, needs Children;

    /// Sets which of the daemon's own messages are logged: those that matter as much as `level`, or more. Default
    /// [`LogLevel::Info`].
    ///
    /// With the feature `tracing`, and a subscriber, that decides instead. All messages, with their levels: see
    /// [logs](crate::docs::logs#messages).
    log_level: LogLevel, by Reload, default LogLevel::Info;

    /// Makes the parent what its children are, once it has written its pid file and
    /// [`after_init`](Self::after_init) has bound its sockets. Default off. Needs [`user`](Self::user),
    /// [`group`](Self::group) or [`supplementary_groups`](Self::supplementary_groups).
    ///
    /// A parent that has done so can no longer remove its files from directories that its new user
    /// may not write, nor make its pid file again or reopen logs there; and a daemon that is started as
    /// root refuses directories that it may write. Nothing keeps a child that was taken over from
    /// harming it. Without it the parent keeps its rights and shares nothing with its children that
    /// it trusts.
    drop_parent: bool, by Upgrade, default false, needs User;

    /// Lets the processes that children start live on when these have ended. Default off.
    ///
    /// Off, all that a child has started is killed within a second of its end, whether it crashed, was retired or
    /// replaced: its children, theirs, those in sessions of their own, and those that have forked away from it
    /// (see [the guide to signals](crate::docs::signals#what-children-start)). The daemon's end waits for theirs, so
    /// that none of them keeps a port or a lock from the next start. Turn it on if children start programs on
    /// purpose that are to outlive them.
    keep_descendants: bool, by Upgrade, default false, needs Children;
}

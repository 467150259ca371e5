//! All but limits holds for one thread alone, so each test isolates a thread of its own.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    os::{linux::net::SocketAddrExt, unix::net},
    thread,
};

use nix::{
    errno::Errno,
    sys::{
        signal::kill,
        uio::{RemoteIoVec, process_vm_readv},
    },
    unistd::Pid,
};
use rustix::{
    process::{Resource, Rlimit, getpriority_process, prlimit, setpriority_process},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

use super::*;

/// Runs the code in a thread that was isolated; `None`, with a word why, where that is not possible here.
fn isolated<T: Send + 'static>(
    isolation: &Isolation,
    code: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let layers = Layers::probe(isolation);
    if let [missing, ..] = layers.report().missing() {
        println!("SKIPPED: {missing}");
        return None;
    }
    let run = move || {
        layers.begin().expect("it was found possible");
        layers.finish().expect("it was found possible");
        code()
    };
    Some(thread::spawn(run).join().expect("no panic"))
}

fn only(layer: Layer) -> Isolation {
    Isolation::new().require(layer)
}

/// A process of the same user that was there before; killed at the end.
struct Other(std::process::Child);

impl Other {
    fn start() -> Self {
        Self(std::process::Command::new("sleep").arg("60").spawn().expect("started"))
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id().try_into().expect("a pid"))
    }

    fn rustix_pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.0)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("reaped");
    }
}

#[test]
fn it_signals_no_other_but_what_it_has_started() {
    let other = Other::start();
    let pid = other.pid();
    assert_eq!(kill(pid, None), Ok(()));
    isolated(&only(Layer::Signals), move || {
        assert_eq!(kill(pid, None), Err(Errno::EPERM));
        let mut own = std::process::Command::new("sleep").arg("60").spawn().expect("started");
        own.kill().expect("killed");
        assert!(!own.wait().expect("reaped").success());
    });
}

#[test]
fn it_reads_no_other_memory() {
    let read = |pid: Pid| {
        let mut byte = [0u8];
        // An address of a page that is there in the program which is read, wherever that is: of this code.
        let remote = RemoteIoVec { base: read_address(pid)?, len: 1 };
        process_vm_readv(pid, &mut [io::IoSliceMut::new(&mut byte)], &[remote])
    };
    let other = Other::start();
    let pid = other.pid();
    assert_eq!(read(pid), Ok(1));
    isolated(&only(Layer::Tracing), move || {
        assert!(matches!(read(pid), Err(Errno::EPERM | Errno::EACCES)));
        assert_eq!(read(nix::unistd::getpid()), Ok(1));
        // Files go from directory to directory as before.
        let place = std::env::temp_dir().join(format!("prefork-isolate-{}", std::process::id()));
        fs::create_dir_all(place.join("sub")).expect("made");
        fs::write(place.join("file"), "").expect("written");
        fs::rename(place.join("file"), place.join("sub/file")).expect("moved");
        fs::remove_dir_all(place).expect("removed");
    });
}

/// The address of the first mapping of a process.
fn read_address(pid: Pid) -> nix::Result<usize> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"));
    let maps = maps.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()))?;
    let first = maps.split('-').next().unwrap_or_default();
    usize::from_str_radix(first, 16).map_err(|_not_hex| Errno::EINVAL)
}

#[test]
fn it_connects_to_no_abstract_socket_of_others() {
    let name = format!("prefork-isolate-{}", std::process::id());
    let address = net::SocketAddr::from_abstract_name(&name).expect("a name");
    let _listener = net::UnixListener::bind_addr(&address).expect("bound");
    net::UnixStream::connect_addr(&address).expect("connected");
    isolated(&only(Layer::AbstractSockets), move || {
        let refused = net::UnixStream::connect_addr(&address).expect_err("refused");
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        let own = net::SocketAddr::from_abstract_name(format!("{name}-own")).expect("a name");
        let _listener = net::UnixListener::bind_addr(&own).expect("bound");
        net::UnixStream::connect_addr(&own).expect("its own");
    });
}

#[test]
fn it_gives_others_neither_less_time_nor_less_room() {
    let other = Other::start();
    let pid = other.rustix_pid();
    let nice = getpriority_process(Some(pid)).expect("read");
    let set_nice = move || setpriority_process(Some(pid), nice);
    let set_limit = move || prlimit(Some(pid), Resource::Core, limits_of(pid)).map(drop);
    let set_cpus = move || sched_setaffinity(Some(pid), &sched_getaffinity(Some(pid))?);
    assert_eq!([set_nice(), set_cpus(), set_limit()], [Ok(()); 3]);
    isolated(&only(Layer::Scheduling), move || {
        let refused = Err(rustix::io::Errno::PERM);
        assert_eq!([set_nice(), set_cpus(), set_limit()], [refused; 3]);
        // Its own are its own.
        let own = getpriority_process(None).expect("read");
        assert_eq!(setpriority_process(None, own), Ok(()));
        assert_eq!(setpriority_process(Some(rustix::process::getpid()), own), Ok(()));
        let cpus: CpuSet = sched_getaffinity(None).expect("read");
        assert_eq!(sched_setaffinity(None, &cpus), Ok(()));
        assert!(rustix::process::setpriority_user(rustix::process::getuid(), own).is_err());
    });
}

/// The limit of core dumps of another process, which is written back as it is.
fn limits_of(pid: rustix::process::Pid) -> Rlimit {
    let text = fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero())).expect("read");
    let line =
        text.lines().find_map(|line| line.strip_prefix("Max core file size")).expect("there");
    let mut values = line.split_ascii_whitespace().map(|value| value.parse().ok());
    let mut next = || values.next().flatten();
    Rlimit { current: next(), maximum: next() }
}

#[test]
fn it_makes_no_sockets_but_those_of_unix() {
    isolated(&Isolation::new().no_network(), || {
        for refused in [
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map(drop),
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map(drop),
        ] {
            assert_eq!(refused.expect_err("refused").raw_os_error(), Some(nix::libc::EPERM));
        }
        net::UnixStream::pair().expect("made");
        net::UnixDatagram::unbound().expect("made");
    });
}

#[test]
fn it_connects_and_binds_to_the_ports_that_are_allowed() {
    let allowed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    let [allowed, other] = [allowed, other].map(|it| (it.local_addr().expect("bound"), it));
    let isolation = Isolation::new().connect(allowed.0.port()).bind(allowed.0.port());
    isolated(&isolation, move || {
        TcpStream::connect(allowed.0).expect("allowed");
        let refused = TcpStream::connect(other.0).expect_err("refused");
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        let refused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect_err("refused");
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    });
}

#[test]
fn calls_that_are_denied_fail_and_others_do_not() {
    isolated(&Isolation::new().deny("memfd_create").expect("one of them"), || {
        let make = || rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).map(drop);
        assert_eq!(make(), Err(rustix::io::Errno::PERM));
        net::UnixStream::pair().expect("made");
    });
}

#[test]
fn its_tmp_is_its_own_and_no_larger_than_it_may_be() {
    let name = format!("prefork-isolate-tmp-{}", std::process::id());
    let outside = std::path::Path::new("/tmp").join(&name);
    fs::write(&outside, "of others").expect("written");
    isolated(&Isolation::new().private_tmp(64 << 10), {
        let outside = outside.clone();
        move || {
            assert!(!outside.exists());
            fs::write("/tmp/own", [0; 4096]).expect("written");
            let full = fs::write("/tmp/large", vec![0; 128 << 10]).expect_err("too much");
            assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        }
    });
    assert!(outside.exists() && !std::path::Path::new("/tmp/own").exists());
    fs::remove_file(outside).expect("removed");
}

#[test]
fn it_is_as_nice_as_it_was_told_on_the_processors_that_it_was_told() {
    let first =
        (0..CpuSet::MAX_CPU).find(|cpu| sched_getaffinity(None).expect("read").is_set(*cpu));
    let first = u16::try_from(first.expect("one at least")).expect("a small number");
    let isolation = Isolation::new().nice(19).cpu(first).io_priority(crate::IoPriority::Idle);
    let before = getpriority_process(None);
    isolated(&isolation, move || {
        assert_eq!(getpriority_process(None), Ok(19));
        let cpus = sched_getaffinity(None).expect("read");
        assert!(cpus.count() == 1 && cpus.is_set(first.into()));
    });
    assert_eq!(getpriority_process(None), before, "it was that process alone");
}

#[test]
fn what_is_not_possible_is_reported_and_left_out() {
    let isolation = Isolation::new().cpu(1023).no_new_privileges().require(Layer::PrivateTmp);
    let layers = Layers::probe(&isolation);
    assert_eq!(layers.report().on(), ["no-new-privileges"]);
    let missing: Vec<_> = layers.report().missing().iter().map(ToString::to_string).collect();
    assert_eq!(missing[0], "private-tmp (takes a size such as 64M, and was given none)");
    assert!(missing[1].starts_with("cpus (") && missing[1].ends_with("may run on none of these)"));
    assert_eq!(
        layers.report().missing().iter().map(|it| it.is_required).collect::<Vec<_>>(),
        [true, false]
    );
    thread::spawn(move || layers.finish().expect("the rest is possible")).join().expect("no panic");
}

#[test]
fn what_is_beside_siblings_has_none_of_their_limits() {
    let isolation = Isolation::new().siblings_apart().max_file_size(0).nice(19).no_network();
    let layers = Layers::probe(&isolation).siblings_apart();
    assert_eq!(layers, Layers::probe(&Isolation::new().siblings_apart()).siblings_apart());
    let names = Layer::SIBLINGS.map(Layer::name);
    assert!(layers.report().on().iter().all(|layer| names.contains(&layer.as_str())));
    assert!(layers.report().missing().is_empty());
    assert!(layers.report().on().iter().any(|layer| layer == "not-dumpable"));
    assert_eq!(Layers::probe(&Isolation::new().nice(19)).siblings_apart(), Layers::default());
}

#[test]
fn looking_changes_nothing_for_this_process() {
    let all = Isolation::new().siblings_apart().no_network().private_tmp(1 << 20).nice(19);
    let status = || fs::read_to_string("/proc/thread-self/status").expect("read");
    let of_interest = |status: String| {
        let names = ["NoNewPrivs", "Seccomp", "Cpus_allowed"];
        let lines = status.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let (before, other) = (of_interest(status()), Other::start());
    drop(Layers::probe(&all));
    assert_eq!(of_interest(status()), before);
    assert_eq!(kill(other.pid(), None), Ok(()));
}

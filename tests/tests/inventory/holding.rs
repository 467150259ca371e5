//! What a process holds, as `/proc` shows it, in the words of the tables.

use std::{collections::BTreeMap, fs, path::Path};

use prefork_tests::{find_process, status_of};

use crate::Daemonlike;

/// Everything that is open or mapped and shared: what it is, and where.
pub(crate) type Things = BTreeMap<String, Vec<String>>;

/// Returns what is open, and what is mapped and shared with others; `None` if the process ends meanwhile.
pub(crate) fn things(pid: u32, of: &Daemonlike<'_>) -> Option<Things> {
    let mut things = Things::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten() {
        let number = entry.file_name().into_string().ok()?;
        let target = fs::read_link(entry.path()).ok()?;
        // What was left open when the test was started.
        if fs::read_link(format!("/proc/self/fd/{number}")).is_ok_and(|own| own == target)
            && number.len() > 1
        {
            continue;
        }
        let access = access(pid, &number)?;
        let what = name(&target, &access, of);
        things.entry(what).or_default().push(format!("fd {number} -> {}", target.display()));
    }
    for line in fs::read_to_string(format!("/proc/{pid}/maps")).ok()?.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if words[1].ends_with('s') {
            things.entry(mapping(&words, of)).or_default().push(line.to_owned());
        }
    }
    Some(things)
}

/// `r`, `w` or `rw`, or `path` for what can only be referred to.
fn access(pid: u32, number: &str) -> Option<String> {
    const O_PATH: u32 = 0o10_000_000;
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:\t"))?;
    let flags = u32::from_str_radix(flags.trim(), 8).ok()?;
    let access =
        if flags & O_PATH != 0 { "path" } else { ["r", "w", "rw", "?"][(flags & 3) as usize] };
    Some(access.to_owned())
}

/// Says what is behind a descriptor.
fn name(target: &Path, access: &str, of: &Daemonlike<'_>) -> String {
    let text = target.to_string_lossy().into_owned();
    if let Some(kind) = text.strip_prefix("anon_inode:") {
        return kind.trim_matches(['[', ']']).to_owned();
    }
    if let Some(memory) = text.strip_prefix("/memfd:") {
        return format!("memory: {}", memory.trim_end_matches(" (deleted)"));
    }
    if let Some(inode) = text.strip_prefix("socket:[") {
        return socket(inode.trim_end_matches(']'), of);
    }
    if text.starts_with("pipe:") {
        return format!("pipe, to {}", if access == "r" { "read" } else { "write" });
    }
    if text == "/dev/null" {
        return text;
    }
    if target == of.program() {
        return "program file".to_owned();
    }
    let folder = of.scene.path("");
    match target.strip_prefix(&folder) {
        Ok(file) if file.as_os_str().is_empty() => "directory of the daemon's files".to_owned(),
        Ok(file) => match (file.to_string_lossy().as_ref(), access) {
            ("pid", _) => "pid file".to_owned(),
            (file, _) if file.ends_with(".lock") => "lock of the role".to_owned(),
            (file, _) if file.starts_with("pid.") => "pid file of the pool".to_owned(),
            ("witness.alone", _) => "what the role has opened itself".to_owned(),
            ("scoreboard", "r") => "scoreboard, to read".to_owned(),
            ("scoreboard", _) => "scoreboard".to_owned(),
            ("error.log", _) => "error log".to_owned(),
            ("access.log", _) => "access log".to_owned(),
            (file, _) if file.ends_with(".stdout") => "standard output as started".to_owned(),
            (file, _) if file.ends_with(".stderr") => "standard error as started".to_owned(),
            _ => text,
        },
        Err(_) => text,
    }
}

/// Says what a socket is.
fn socket(inode: &str, of: &Daemonlike<'_>) -> String {
    const LISTENING: &str = "0A";
    let table = fs::read_to_string("/proc/net/tcp").expect("it can be read");
    let row = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let row = row.into_iter().find(|words| words.get(9) == Some(&inode));
    match row {
        Some(words) if words[3] == LISTENING => {
            let status = format!(":{:04X}", of.status_port);
            let kind = if words[1].ends_with(&status) { "status" } else { "service" };
            format!("listening socket of the {kind}")
        }
        Some(words) => format!("TCP connection {} {}", words[1], words[2]),
        None if is_unix(inode) => "UNIX socket".to_owned(),
        None => format!("socket {inode}"),
    }
}

fn is_unix(inode: &str) -> bool {
    let table = fs::read_to_string("/proc/net/unix").expect("it can be read");
    table.lines().any(|line| line.split_ascii_whitespace().nth(6) == Some(inode))
}

/// Says what is mapped and shared, how much of it, and whether it can be written to.
fn mapping(words: &[&str], of: &Daemonlike<'_>) -> String {
    let (from, to) = words[0].split_once('-').expect("a range");
    let address = |text| u64::from_str_radix(text, 16).expect("an address");
    let pages = (address(to) - address(from)) / 4096;
    let size = if pages == 1 { "one page" } else { "all of it" };
    let way = if words[1].starts_with("rw") { "" } else { ", to read" };
    let what = match words.get(5) {
        Some(&"/dev/zero") => "of no file".to_owned(),
        Some(path) => name(Path::new(path), "rw", of),
        None => "of nothing".to_owned(),
    };
    format!("mapped: {what}, {size}{way}")
}

/// Compares what a cell says with what is so of a process.
///
/// # Errors
///
/// Fails with what is so instead.
pub(crate) fn check(
    pid: u32,
    property: &str,
    cell: &str,
    of: &Daemonlike<'_>,
) -> Result<(), String> {
    let found = found(pid, property).ok_or("the process has gone")?;
    let wanted = match (property, cell) {
        // The harness starts each program as the leader of a group, in the directory of the test.
        ("group", "as started") => of.started.to_string(),
        ("working directory", "as started") => real(&of.scene.path("")),
        ("session" | "group", "its own") => pid.to_string(),
        // Nobody in it could open a terminal that becomes everybody's.
        ("session" | "group", "without a leader") => {
            let leader = found.parse().expect("a number");
            let is_led = leader == 0 || find_process(leader).is_some();
            return if is_led { Err(format!("it is {found}, which has a leader")) } else { Ok(()) };
        }
        // What was started with it ignored, as by `nohup`, leaves it so to children and hook processes.
        ("ignored signals", cell)
            if as_this_test(property).starts_with("HUP") && found == format!("HUP {cell}") =>
        {
            found.clone()
        }
        (_, "as started") => of.owner.has(property).unwrap_or_else(|| as_this_test(property)),
        (_, "the children's") => {
            of.owner.children_have(property).unwrap_or_else(|| as_this_test(property))
        }
        (_, "-") => String::new(),
        (_, cell) => cell.replace('`', ""),
    };
    if found == wanted { Ok(()) } else { Err(format!("it is {found:?}, expected {wanted:?}")) }
}

/// What the test has, and a process that it starts begins with.
fn as_this_test(property: &str) -> String {
    found(std::process::id(), property).expect("this process is there")
}

fn real(path: &Path) -> String {
    fs::canonicalize(path).expect("it is there").display().to_string()
}

/// Returns a property of a process, in the words of the table.
fn found(pid: u32, property: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    // The first field here is the third of proc_pid_stat(5).
    let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3).map(str::to_owned);
    let status = |name| status_of(pid, name);
    Some(match property {
        "group" => field(5)?,
        "session" => field(6)?,
        "terminal" => match field(7)?.as_str() {
            "0" => String::new(),
            terminal => terminal.to_owned(),
        },
        "user ids" => status("Uid")?,
        "group ids" => status("Gid")?,
        "supplementary groups" => status("Groups")?,
        "effective capabilities" => capabilities(&status("CapEff")?),
        "permitted capabilities" => capabilities(&status("CapPrm")?),
        "inheritable capabilities" => capabilities(&status("CapInh")?),
        "bounding capabilities" => capabilities(&status("CapBnd")?),
        "ambient capabilities" => capabilities(&status("CapAmb")?),
        "no_new_privs" => status("NoNewPrivs")?,
        "blocked signals" => signals(&status("SigBlk")?),
        "ignored signals" => signals(&status("SigIgn")?),
        "handled signals" => signals(&status("SigCgt")?),
        "working directory" => {
            fs::read_link(format!("/proc/{pid}/cwd")).ok()?.display().to_string()
        }
        "umask" => status("Umask")?,
        other => panic!("nobody knows how to look at {other:?}"),
    })
}

/// Shows a set in hexadecimal; nothing for none.
fn capabilities(set: &str) -> String {
    set.trim_start_matches('0').to_owned()
}

/// Names the signals of a set in hexadecimal, in the order of their numbers.
fn signals(set: &str) -> String {
    let set = u64::from_str_radix(set, 16).expect("a set");
    // 32 and 33 are the C library's own.
    let numbers =
        (1..=64).filter(|number| set & 1 << (number - 1) != 0 && ![32, 33].contains(number));
    let names = numbers.map(|number| {
        let signal = nix::sys::signal::Signal::try_from(number);
        signal.map_or_else(|_| number.to_string(), |signal| signal.as_str()[3..].to_owned())
    });
    names.collect::<Vec<_>>().join(" ")
}

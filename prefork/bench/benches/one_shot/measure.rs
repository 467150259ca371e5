//! The measurements, and the table.

use std::{
    env,
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use prefork_bench::{
    load,
    proc::{children, schedstat},
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::server::LEFTOVER;

const CLIENTS: usize = 16;
const ACTIVATE: &str = "/usr/bin/systemd-socket-activate";
const APACHE: &str = "/usr/sbin/apache2";

/// A server, asked to end when dropped.
struct Server {
    process: Child,
    address: String,
    /// What Apache is configured by, and serves.
    _files: Option<TempDir>,
}

impl Server {
    fn start(role: &str) -> Self {
        let number = role.bytes().fold(0_u32, |sum, byte| (sum * 31 + u32::from(byte)) % 250) + 1;
        let address = format!("127.0.19.{number}:18090");
        let files = (role == "apache").then(|| apache_files(&address));
        let mut command = command(role, &address, files.as_ref().map(TempDir::path));
        // Apache ends its whole group.
        command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let process = command.spawn().expect("it starts");
        let server = Self { process, address, _files: files };
        let deadline = Instant::now() + Duration::from_secs(20);
        while load::ask(&server.address, "/").is_err() {
            assert!(Instant::now() < deadline, "{role} does not serve");
            thread::sleep(Duration::from_millis(10));
        }
        // Those that were tried out have gone, and others are there.
        thread::sleep(Duration::from_millis(300));
        server
    }

    /// CPU time of the server, and of all that it has started, in us.
    fn cpu(&self) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.process.id()));
        let text = text.expect("it runs");
        let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        // utime, stime, cutime and cstime, in ticks.
        let ticks: u64 = fields.skip(11).take(4).map(|ticks| ticks.parse().unwrap_or(0)).sum();
        let ended = ticks as f64 * 1_000_000.0 / rustix::param::clock_ticks_per_second() as f64;
        let living = children(self.process.id()).into_iter().map(|pid| schedstat(pid).0);
        ended + living.sum::<u64>() as f64 / 1000.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.process);
        let _ = kill_process(pid, Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(10);
        while matches!(self.process.try_wait(), Ok(None)) {
            if Instant::now() >= deadline {
                let _ = self.process.kill();
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn command(role: &str, address: &str, files: Option<&Path>) -> Command {
    let program = env::current_exe().expect("the path of this program");
    if let Some(files) = files {
        let mut command = Command::new(APACHE);
        command.args(["-D", "FOREGROUND", "-f"]).arg(files.join("apache.conf"));
        return command;
    }
    if role == "inetd" {
        let mut command = Command::new(ACTIVATE);
        command.args(["--listen", address, "--accept", "--inetd", "-E"]);
        command.arg("PREFORK_BENCH_ROLE=answer").arg(program);
        return command;
    }
    let mut command = Command::new(program);
    command.arg(address).env("PREFORK_BENCH_ROLE", role);
    command
}

/// Apache with a process for each connection, and spare ones as it has them unless told otherwise.
fn apache_files(address: &str) -> TempDir {
    let files = TempDir::new().expect("a directory");
    let dir = files.path().display();
    let modules = ["mpm_prefork", "authz_core", "mime", "dir"]
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"));
    let user =
        if rustix::process::geteuid().is_root() { "User www-data\nGroup www-data\n" } else { "" };
    let conf = format!(
        "{}{user}ServerName localhost\nListen {address}\nPidFile {dir}/pid\nErrorLog {dir}/errors\n\
         DefaultRuntimeDir {dir}\nDocumentRoot {dir}\nDirectoryIndex index.txt\nKeepAlive Off\n\
         TypesConfig /dev/null\nAddType text/plain .txt\nServerLimit 60\nMaxRequestWorkers 60\n\
         MaxConnectionsPerChild 1\n",
        modules.concat()
    );
    fs::write(files.path().join("apache.conf"), conf).expect("written");
    fs::write(files.path().join("index.txt"), "hello\n").expect("written");
    // Its children are another user.
    fs::set_permissions(files.path(), Permissions::from_mode(0o755)).expect("it is ours");
    files
}

pub(crate) fn main() -> ExitCode {
    // `cargo bench` says that it is one; `cargo test` does not, and is to see that it runs.
    let is_bench = env::args().any(|word| word == "--bench");
    let wanted: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|other| other == name);
    if is_wanted("rate") {
        rates(is_bench);
    }
    if is_wanted("secrets") {
        secrets(if is_bench { 100_000 } else { 100 });
    }
    if is_wanted("leftovers") {
        leftovers(if is_bench { 10_000 } else { 50 });
    }
    ExitCode::SUCCESS
}

/// What has come of one server in all rounds.
struct Row {
    role: &'static str,
    rates: Vec<f64>,
    /// CPU time of the server for each client, in us.
    cpu: Vec<f64>,
    /// In ms: for half, and for one in a hundred.
    waits: Vec<(f64, f64)>,
    failed: usize,
}

fn rates(is_bench: bool) {
    let (rounds, time) = if is_bench { (3, 4.0) } else { (1, 0.2) };
    let time = Duration::from_secs_f64(time);
    let roles =
        ["one-shot", "one-shot 200 huge", "one-shot 200", "pool", "forking", "inetd", "apache"];
    let is_there = |role: &&str| match *role {
        "inetd" => Path::new(ACTIVATE).exists(),
        "apache" => Path::new(APACHE).exists(),
        _ => true,
    };
    let row = |role| Row { role, rates: Vec::new(), cpu: Vec::new(), waits: Vec::new(), failed: 0 };
    let mut rows: Vec<Row> = roles.into_iter().filter(is_there).map(row).collect();
    for round in 0..rounds {
        for turn in 0..rows.len() {
            let turn = if round % 2 == 0 { turn } else { rows.len() - 1 - turn };
            let row = &mut rows[turn];
            let server = Server::start(row.role);
            let before = server.cpu();
            let (rate, failed) = load::as_fast_as_can_be(&server.address, CLIENTS, time);
            row.rates.push(rate);
            row.cpu.push((server.cpu() - before) / (rate * time.as_secs_f64()));
            row.failed += failed;
        }
        // All at one rate, which ours can do twice.
        let rate = rows[0].rates[round] / 2.0;
        for row in rows.iter_mut().filter(|row| row.rates[round] > rate) {
            let server = Server::start(row.role);
            let (waits, failed) = load::at_times(&server.address, rate, time);
            row.failed += failed;
            let ms = |percent: usize| {
                let place = (waits.len() * percent / 100).min(waits.len() - 1);
                waits[place].as_secs_f64() * 1000.0
            };
            if !waits.is_empty() {
                row.waits.push((ms(50), ms(99)));
            }
        }
    }
    println!(
        "{:<20} {:>9} {:>8} {:>10} {:>10} {:>7}",
        "", "clients/s", "CPU, us", "half, ms", "99 %, ms", "failed"
    );
    for mut row in rows {
        let rate = median(&mut row.rates);
        let mut halves: Vec<f64> = row.waits.iter().map(|(half, _)| *half).collect();
        let mut latest: Vec<f64> = row.waits.iter().map(|(_, late)| *late).collect();
        let (half, late) = (median(&mut halves), median(&mut latest));
        let (cpu, failed, role) = (median(&mut row.cpu), row.failed, row.role);
        println!("{role:<20} {rate:>9.0} {cpu:>8.0} {half:>10.2} {late:>10.2} {failed:>7}");
    }
    println!("(times where clients come half as fast as the first row can serve them)");
}

fn secrets(clients: usize) {
    for role in ["one-shot", "pool"] {
        let server = Server::start(role);
        let clients = if role == "pool" { clients / 100 } else { clients };
        let answers = load::in_turn(&server.address, 8, clients / 8, "/secret");
        let count = |answer: &[u8]| answers.iter().filter(|other| *other == answer).count();
        let (found, nothing) = (count(b"found\n"), count(b"nothing\n"));
        println!("secrets, {role}: {found} of {} found what another has left", found + nothing);
    }
}

fn leftovers(clients: usize) {
    let server = Server::start("one-shot");
    let answers = load::in_turn(&server.address, 8, clients / 8, "/leave");
    let answered = answers.iter().filter(|answer| answer.ends_with(b"hello\n")).count();
    let at_once = count_leftovers();
    let begun = Instant::now();
    while count_leftovers() > 0 && begun.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(5));
    }
    let (left, took) = (count_leftovers(), begun.elapsed().as_millis());
    println!(
        "leftovers: {answered} clients have left two processes each; {at_once} of them were there at their end, \
         {left} after {took} ms"
    );
}

fn count_leftovers() -> usize {
    let name = LEFTOVER.to_str().expect("a name");
    let processes = fs::read_dir("/proc").expect("it is mounted").flatten();
    let names =
        processes.filter_map(|process| fs::read_to_string(process.path().join("comm")).ok());
    names.filter(|comm| comm.trim_end() == name).count()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

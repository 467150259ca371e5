//! A report is no system call.
mod common;

use common::{directory, give_directory, given_directory, own_role, role};
use prefork_scoreboard::{OwnedBoard, State};
use std::fs;
use std::process::{Command, Stdio};

/// Reports all there is to report, between two system calls that stand out in a trace.
fn report() {
    let board = OwnedBoard::anonymous(1).expect("a board");
    board.assign(0, 1).expect("a slot");
    let mut slot = board.enter(0).expect("my slot");
    slot.idle();
    let _ = fs::metadata(given_directory().join("begin"));
    for _ in 0..1000 {
        slot.reading();
        slot.client(std::net::SocketAddr::from(([192, 0, 2, 1], 4711)));
        slot.writing("GET /index.html");
        slot.update(|report| {
            report.state(State::Keepalive).count_requests(1).label("waiting");
        });
        slot.finished();
    }
    let _ = fs::metadata(given_directory().join("end"));
    assert_eq!(board.record(0).expect("a record").requests(), 2000);
}

#[test]
fn a_report_is_no_system_call() {
    if own_role().is_some() {
        return report();
    }
    let source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let clock = fs::read_to_string(source).unwrap_or_default();
    if !["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"]
        .contains(&clock.trim())
    {
        return println!("skipped: reading the clock {clock:?} may be a system call here");
    }
    let directory = directory();
    let trace = directory.path().join("trace");
    let program = role("a_report_is_no_system_call", "report");
    let mut strace = Command::new("strace");
    strace.arg("-f").arg("-o").arg(&trace).arg(program.get_program()).args(program.get_args());
    strace.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    strace.stdout(Stdio::null());
    let Ok(status) = give_directory(&mut strace, &directory).status() else {
        return println!("skipped: there is no strace(1) here");
    };
    let trace = fs::read_to_string(&trace).unwrap_or_default();
    if !status.success() && trace.is_empty() {
        return println!("skipped: strace(1) may not trace here");
    }
    assert!(status.success(), "the traced program ended with {status}");
    let lines: Vec<_> = trace.lines().collect();
    let at = |mark: &str| lines.iter().position(|line| line.contains(mark)).expect("the mark");
    let between = &lines[at("/begin\"") + 1..at("/end\"")];
    assert!(between.is_empty(), "5000 reports made system calls: {between:#?}");
}

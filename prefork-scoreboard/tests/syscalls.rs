//! A report is no system call.
mod common;

use common::{calls_between_marks, given_directory, own_role, role};
use prefork_scoreboard::{BoardOptions, Column, State};
use std::fs;

/// Reports all there is to report, between two system calls that stand out in a trace.
fn report() {
    let board = BoardOptions::new().column(Column::gauge("queue")).column(Column::text("host"));
    let board = board.anonymous(1).expect("a board");
    board.assign(0, 1).expect("a slot");
    let mut slot = board.enter(0).expect("my slot");
    let queue = slot.number("queue").expect("a column");
    let host = slot.text("host").expect("a column");
    slot.idle();
    let _ = fs::metadata(given_directory().join("begin"));
    for _ in 0..1000 {
        slot.reading();
        slot.client(std::net::SocketAddr::from(([192, 0, 2, 1], 4711)));
        slot.busy("GET /index.html");
        slot.update(|report| {
            report.state(State::Keepalive).count_requests(1).label("waiting");
        });
        slot.finished();
        slot.add(queue, 1);
        slot.set_text(host, "photos-3");
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
    let name = "a_report_is_no_system_call";
    let Some(between) = calls_between_marks(&mut role(name, "report")) else { return };
    assert!(between.is_empty(), "7000 reports made system calls: {between:#?}");
}

//! Children and clients.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use prefork_testing::{ChildStatus, Clients, Daemon, Launch, PATIENCE, proc, wait_until};

use crate::hello;

#[test]
fn a_child_that_is_killed_is_replaced() {
    let daemon = hello().start();
    let killed = daemon.kill(1);
    assert_eq!(killed.slot, Some(1));
    daemon.wait_for_replacement(&killed);
    let line = daemon.wait_for_log("was ended by SIGKILL");
    assert!(line.text.contains(&killed.pid.to_string()), "{line:?}");
    daemon.stop();
}

#[test]
fn a_child_that_hangs_does_nothing_until_it_may_go_on() {
    let daemon = hello().start();
    let hung = daemon.hang(0);
    let state = |pid| proc::find(pid).map(|process| process.state);
    assert_eq!(state(hung.pid), Some('T'));
    assert!(daemon.resume(&hung));
    wait_until(PATIENCE, "it goes on", || state(hung.pid) == Some('S'));
    daemon.stop();
}

#[test]
fn the_children_of_all_pools_are_children() {
    let daemon = Launch::new(env!("CARGO_BIN_EXE_pools"))
        .args(["--pool", "a={address}=2=2", "--pool", "b={address:b}=1=1"])
        .args(["--pid-path", "{pid_file}", "--error-log-path", "{error_log}"])
        .args(["--access-log-path", "{access_log}"])
        .start();
    daemon.wait_for_children(3);
    let killed = daemon.kill(2);
    daemon.wait_for_replacement(&killed);
    daemon.stop();
}

/// Returns how many children are in this state.
fn count(daemon: &Daemon, status: ChildStatus) -> usize {
    daemon.children().iter().filter(|child| child.status == status).count()
}

#[test]
fn children_at_work_are_told_from_those_that_wait() {
    let daemon = hello().start();
    wait_until(PATIENCE, "both wait", || count(&daemon, ChildStatus::Idle) == 2);
    let silent = daemon.stop_reading(1, "/sleep?ms=3000");
    assert_eq!(silent.count(), 1);
    wait_until(PATIENCE, "one works", || count(&daemon, ChildStatus::Busy) == 1);
    let busy = daemon.children().into_iter().find(|child| child.status == ChildStatus::Busy);
    assert_eq!(busy.and_then(|child| child.in_hand), Some(1));
}

/// Serves each connection by `answer`, until the test ends.
fn server(answer: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            answer(connection);
        }
    });
    address
}

/// Reads the request, so that closing the connection is no reset.
fn read(mut connection: &TcpStream) {
    let _ = connection.read(&mut [0; 4096]);
}

#[test]
fn lost_refused_reset_late_and_wrong_are_told_apart() {
    let whole =
        |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let answer = move |text: String| {
        server(move |connection| {
            read(&connection);
            let _ = (&connection).write_all(text.as_bytes());
        })
    };
    let ask = |address| Clients::of(address, 1).requests(3).ask("/").finish();

    let tally = ask(answer(whole("a")));
    assert_eq!((tally.answered, tally.total()), (3, 3), "{tally}");
    tally.assert_all_answered();

    let mut cut = whole("abc");
    cut.pop();
    let tally = ask(answer(cut));
    assert_eq!((tally.lost, tally.total()), (3, 3), "{tally}");

    let tally = ask(answer("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_owned()));
    assert_eq!((tally.wrong, tally.total()), (3, 3), "{tally}");

    // What is not read when a connection is closed has it reset.
    let tally = ask(server(|connection| {
        let _ = connection.peek(&mut [0]);
    }));
    assert_eq!((tally.reset, tally.total()), (3, 3), "{tally}");

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = listener.local_addr().expect("it is bound");
    drop(listener);
    let tally = ask(nobody);
    assert_eq!((tally.refused, tally.total()), (3, 3), "{tally}");

    let slow = whole("a");
    let slow = server(move |connection| {
        read(&connection);
        thread::sleep(Duration::from_millis(50));
        let _ = (&connection).write_all(slow.as_bytes());
    });
    let clients = Clients::of(slow, 1).requests(2).late_after(Duration::from_millis(10));
    let tally = clients.ask("/").finish();
    assert_eq!((tally.late, tally.total()), (2, 2), "{tally}");

    let silent = server(|connection| {
        read(&connection);
        thread::sleep(Duration::from_millis(300));
    });
    let clients = Clients::of(silent, 1).requests(1).give_up_after(Duration::from_millis(50));
    let tally = clients.ask("/").finish();
    assert_eq!((tally.lost, tally.total()), (1, 1), "{tally}");
}

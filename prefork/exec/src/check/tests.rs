//! Every fault, and that it is named.

use super::*;

fn problems(change: impl FnOnce(&mut Program)) -> Vec<String> {
    let mut program = Program::new(["/bin/sh"]);
    program.listen.push(Listen::at("127.0.0.1:80"));
    change(&mut program);
    let faults = program.check(&Identity::Own).into_iter();
    faults.map(|fault| format!("{}: {}", fault.argument, fault.problem)).collect()
}

#[test]
fn nothing_is_wrong_with_a_program_that_can_be_run() {
    let faults = problems(|program| {
        program.command.extend(["-c".into(), "echo {fd} {path:0} {pid} ${x}".into()]);
        program.env.push(("PORT".into(), "900{slot}".into()));
        program.listen.push(Listen {
            name: Some("b".into()),
            mode: Some(0o660),
            ..Listen::at("/run/b")
        });
        program.ready = Ready::Http("http://127.0.0.1:900{slot}/live".into());
        program.directory = Some("/".into());
        program.stop_command = Some(vec!["kill".into(), "{pid}".into()]);
    });
    assert_eq!(faults, [""; 0]);
}

#[test]
fn each_fault_is_named_with_its_argument() {
    type Change = fn(&mut Program);
    let table: [(Change, &str); 22] = [
        (|it| it.command.clear(), "command: is empty; give a program, as `-- uvicorn app:app`"),
        (
            |it| it.command.push("--fd={fdd}".into()),
            "command: argument 1 (--fd={fdd}): {fdd} stands for nothing; did you mean {fd}? write {{fdd}} if it is to stay as it is",
        ),
        (
            |it| it.command.push("a\0b".into()),
            "command: argument 1 (a\\u{0}b): holds a NUL byte, which no argument can",
        ),
        (|it| it.command = vec!["/no/such".into()], "command: there is no file /no/such"),
        (
            |it| it.directory = Some("/no/such".into()),
            "directory: cannot enter /no/such: No such file or directory (os error 2)",
        ),
        (|it| it.directory = Some("/dev/null".into()), "directory: /dev/null is no directory"),
        (|it| it.listen.push(Listen::at("127.0.0.1:80")), "listen: 127.0.0.1:80 is given twice"),
        (
            |it| it.listen[0].name = Some("80".into()),
            "listen: \"80\" is no name of a socket: 1 to 255 visible letters, not digits alone, without `:` and `}`",
        ),
        (
            |it| {
                it.listen[0].name = Some("a".into());
                it.listen.push(Listen { name: Some("a".into()), ..Listen::at("127.0.0.1:81") });
            },
            "listen: two sockets are called a",
        ),
        (
            |it| it.listen[0].mode = Some(0o660),
            "listen_mode: is for UNIX sockets, and 127.0.0.1:80 is none",
        ),
        (
            |it| it.listen[0] = Listen { mode: Some(0o1777), ..Listen::at("/run/x") },
            "listen_mode: must be 0 to 0777, but is 1777",
        ),
        (
            |it| {
                it.listen.clear();
                it.stdin = Stdin::Socket;
            },
            "stdin_socket: needs a listening socket; give one by listen",
        ),
        (|it| it.env.push(("A=B".into(), "".into())), "env: \"A=B\" is no name of a variable"),
        (
            |it| it.env.push(("A".into(), "{slot:1}".into())),
            "env: A: {slot:1} takes nothing behind slot; write {slot}",
        ),
        (
            |it| it.ready = Ready::Tcp("8000".into()),
            "ready: 8000 is no address to connect to, as 127.0.0.1:8000",
        ),
        (
            |it| it.ready = Ready::Http("https://x/".into()),
            "ready: https://x/ does not begin with http://; the check of a program of this host needs no https",
        ),
        (
            |it| {
                it.listen.clear();
                it.ready = Ready::Accept;
            },
            "ready: accept needs a listening socket; give one by listen, or say notify or after:2s",
        ),
        (
            |it| it.stop_signal = Signal::SIGSTOP,
            "stop_signal: SIGSTOP ends no program; give SIGTERM, SIGINT or SIGQUIT",
        ),
        (
            |it| it.demand = Some(Demand::Command(Vec::new())),
            "demand: is empty; give a command that prints how many jobs wait",
        ),
        (
            |it| it.demand = Some(Demand::Command(vec!["/no/such/program".into()])),
            "demand: there is no file /no/such/program",
        ),
        (|it| it.max_memory = Some(0), "max_memory: must be at least 1; leave it out for no limit"),
        (
            |it| it.max_memory = Some(200),
            "max_memory: 200 bytes are less than any process takes; write 200M for MiB",
        ),
    ];
    for (change, expected) in table {
        assert_eq!(problems(change), [expected]);
    }
}

#[test]
fn all_faults_are_found_at_once() {
    let found = problems(|program| {
        program.command = vec!["nonesuch".into()];
        program.stop_command = Some(Vec::new());
        program.env.push(("".into(), "".into()));
        program.max_memory = Some(0);
    });
    assert_eq!(found.len(), 4, "{found:#?}");
}

#[test]
fn its_own_path_is_where_a_program_is_looked_for() {
    let found = problems(|program| {
        program.command = vec!["sh".into()];
        program.env.push(("PATH".into(), "/nowhere".into()));
    });
    let expected =
        "command: there is no program sh in PATH (/nowhere); install it, or give its path";
    assert_eq!(found, [expected]);
}

#[test]
fn a_preview_shows_what_the_first_slot_runs() {
    let mut program = Program::new(["sh", "{fd}", "{slot}", "{path}"]);
    program.listen.push(Listen::at("127.0.0.1:80"));
    let (file, words) = program.preview(&Identity::Own);
    assert!(file.is_absolute() && file.ends_with("sh"), "{file:?}");
    assert_eq!(words, ["sh", "3", "0", "127.0.0.1:80"]);
}

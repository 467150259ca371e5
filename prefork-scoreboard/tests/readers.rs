//! The documentation of the format is enough to write readers in other languages.
mod common;

use common::{Forked, PATIENCE, Started, alone, directory, wait_for};
use prefork_scoreboard::{BoardOptions, Column, Facts, Slot, State};
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PAGE: u64 = 4096;

const READERS: [(&str, &str); 2] = [("python3", "scoreboard.py"), ("perl", "scoreboard.pl")];

fn options() -> BoardOptions {
    BoardOptions::new()
        .title("thumb\u{2013}nails")
        .column(Column::counter("written").unit("bytes"))
        .column(Column::text("volume"))
        .column(Column::gauge("queue"))
}

fn report(slot: &mut Slot) {
    let (written, volume) =
        (slot.number("written").expect("there"), slot.text("volume").expect("there"));
    slot.update(|report| {
        report.state(State::Keepalive).count_requests(u64::MAX - 1);
        report.label("GET /caf\u{e9} \x1b[2J\u{202e}").client("[2001:db8::1]:443");
        report.add(written, u64::MAX).set_text(volume, "photos-3 \u{e9}\u{7f}");
    });
}

const REPORTED: &str = "18446744073709551614\t0 of 1\tT\tGET /caf\u{e9} ?[2J?\t[2001:db8::1]:443\t18446744073709551615\tphotos-3 \u{e9}?\t0\n";

const NOTHING: &str = "0\t0 of 1\tT\t\t\t0\t\t0\n";

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// What each of them prints, with a T for how long ago something was.
fn assert_read(path: &Path, expected: &str) {
    for (language, script) in READERS {
        let Ok(output) = Command::new(language).arg(example(script)).arg(path).output() else {
            println!("SKIPPED: there is no {language} here");
            continue;
        };
        let printed = String::from_utf8_lossy(&output.stdout);
        let timeless = |line: &str| {
            let mut fields: Vec<_> = line.split('\t').collect();
            if fields.len() > 6 && fields[6].parse::<f64>().is_ok_and(|since| since < 600.0) {
                fields[6] = "T";
            }
            fields.join("\t") + "\n"
        };
        let printed: String = printed.lines().map(timeless).collect();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(printed, expected, "{language} printed that, and as errors: {errors}");
        assert!(errors.is_empty() && output.status.success(), "{language}: {errors}");
    }
}

const COLUMNS: &str = "slot\tstate\tpid\tlife\trequests\tin hand\tsince\tlabel\tclient\twritten/bytes\tvolume\tqueue\n";

#[test]
fn readers_in_other_languages_read_what_was_written() {
    let directory = directory();
    let path = directory.path().join("board");
    let board = options().create(&path, 5).expect("a board");
    board.assign(0, 3).expect("a slot");
    board.assign(2, u64::MAX).expect("a slot");
    report(&mut board.enter(2).expect("my slot"));
    board.assign(4, 1).expect("a slot");
    let mut facts = Facts::new();
    facts.add("name", "hello").add("listen", "127.0.0.1:80");
    board.publish_facts(&facts).expect("room");
    let vandal = OpenOptions::new().write(true).open(&path).expect("the file");
    vandal.write_all_at(b"x", PAGE * 4 + 100).expect("a byte");
    vandal.write_all_at(b"x", PAGE * 5 + 300).expect("a byte");
    let pid = std::process::id();
    let running = format!(
        "thumb\u{2013}nails\towned\t5\t{pid}\trunning\nname=hello\nlisten=127.0.0.1:80\n{COLUMNS}\
         0\tS\t0\trunning\t{NOTHING}2\tK\t{pid}\trunning\t{REPORTED}3\t?\t-\trunning\n\
         4\tS\t0\trunning\t0\t0 of 1\tT\t\t\t?\t?\t?\n"
    );
    assert_read(&path, &running);

    // As after the sudden death of the owner.
    let kept = directory.path().join("kept");
    fs::copy(&path, &kept).expect("a copy, which nobody has locked");
    assert_read(&kept, &running.replace("running", "gone"));
}

#[test]
fn readers_in_other_languages_tell_the_dead() {
    alone("readers_in_other_languages_tell_the_dead", || {
        let directory = directory();
        let path = directory.path().join("board");
        let board = options().open_or_create(&path, 3).expect("a board");
        let dead = Forked::new(|| {
            let mut slot = board.claim().expect("the first slot");
            report(&mut slot);
            loop {
                std::thread::park();
            }
        });
        wait_for("a report", || board.tally(0..3).expect("a tally").busy == 1);
        let _slot = board.claim().expect("the second slot");
        let (victim, pid) = (dead.pid(), std::process::id());
        let head = format!("thumb\u{2013}nails\tshared\t3\t{pid}\trunning\n{COLUMNS}");
        let living = format!("1\tS\t{pid}\trunning\t{NOTHING}");
        assert_read(&path, &format!("{head}0\tK\t{victim}\trunning\t{REPORTED}{living}"));
        dead.kill();
        assert_read(&path, &format!("{head}0\tK\t{victim}\tgone\t{REPORTED}{living}"));
        let vandal = OpenOptions::new().write(true).open(&path).expect("the file");
        vandal.write_all_at(b"x", PAGE + 100).expect("a byte");
        assert_read(&path, &format!("{head}0\t?\t-\tgone\n{living}"));
    });
}

#[test]
fn readers_in_other_languages_read_how_many_requests_are_in_hand() {
    let directory = directory();
    let path = directory.path().join("board");
    let board = BoardOptions::new().title("crowd").create(&path, 4).expect("a board");
    let pid = std::process::id();
    let mut expected = format!(
        "crowd\towned\t4\t{pid}\trunning\n\
         slot\tstate\tpid\tlife\trequests\tin hand\tsince\tlabel\tclient\n"
    );
    for (index, (in_hand, concurrency, shown, state)) in [
        (3, 64, "3 of 64", 'W'),
        (0, 64, "0 of 64", '_'),
        (9, 2, "2 of 2", 'W'),
        (1, 1, "1 of 1", 'W'),
    ]
    .into_iter()
    .enumerate()
    {
        board.assign(index, 1).expect("a slot");
        board.enter(index).expect("mine").update(|report| {
            report.in_hand(in_hand, concurrency);
        });
        expected += &format!("{index}\t{state}\t{pid}\trunning\t0\t{shown}\tT\t\t\n");
    }
    assert_read(&path, &expected);
}

/// Columns that cannot be are passed over, by each reader alike, and what is no board is refused.
#[test]
fn readers_in_other_languages_believe_nothing() {
    let directory = directory();
    let path = directory.path().join("board");
    let board = BoardOptions::new().title("forged").create(&path, 1).expect("a board");
    let lines = "title=a\x1b[2J\ncolumn=1 gauge a\ncolumn=504 text b\ncolumn=512 gauge c\ncolumn=264 gauge d\n\
        column=280 float e\ncolumn=280 gauge F\ncolumn=280 gauge g x y\ncolumn=280 gauge h Hz\n\
        column=280 text i bytes\ncolumn=99999999999999999999 gauge j\ncolumn=-8 gauge k\n\
        column=504 counter last bytes\ncolumn=280 gauge last\ncolumn=280 gauge\n";
    forge(&path, lines);
    let pid = std::process::id();
    let columns = "slot\tstate\tpid\tlife\trequests\tin hand\tsince\tlabel\tclient\tlast/bytes\n";
    assert_read(&path, &format!("a?[2J\towned\t1\t{pid}\trunning\n{columns}"));
    drop(board);
    for contents in [&b""[..], b"PFSBOARD", &[b'x'; 9000]] {
        fs::write(&path, contents).expect("written");
        for (language, script) in READERS {
            let Ok(output) = Command::new(language).arg(example(script)).arg(&path).output() else {
                continue;
            };
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && errors.contains("is no scoreboard"), "{errors}");
            assert_eq!(errors.lines().count(), 1, "{language}: {errors}");
        }
    }
}

/// A page of a board is made of what strangers have written.
#[test]
fn a_page_in_python_shows_a_board_and_escapes_what_is_in_it() {
    let directory = directory();
    let path = directory.path().join("board");
    let board = options().open_or_create(&path, 4).expect("a board");
    let mut slot = board.claim().expect("a slot");
    report(&mut slot);
    slot.label("<script>&\u{e9}");
    let mut command = Command::new("python3");
    command.arg("-B").arg(example("page.py")).arg(&path).arg("0").stdout(Stdio::piped());
    let Ok(child) = command.spawn() else {
        return println!("SKIPPED: there is no python3 here");
    };
    let mut page = Started(child);
    let mut address = String::new();
    let output = page.0.stdout.take().expect("piped");
    BufReader::new(output).read_line(&mut address).expect("it prints where it is");
    let address = address.trim().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let get = || {
        let mut stream = TcpStream::connect(&address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        answer
    };
    let answer = get();
    let row =
        "<tr><td>0<td>K<td>PID<td>running<td>18446744073709551614<td>&lt;script&gt;&amp;\u{e9}\
               <td>18446744073709551615<td>photos-3 \u{e9}?<td>0\n"
            .replace("PID", &std::process::id().to_string());
    assert!(answer.contains(" 200 OK\r\n") && answer.contains(&row), "{answer}");
    assert!(
        answer.contains("<h1>thumb\u{2013}nails</h1>\n<p>1 of 4 slots are taken\n"),
        "{answer}"
    );
    fs::remove_file(&path).expect("ours");
    let answer = get();
    assert!(answer.contains(" 503 ") && answer.contains("No such file"), "{answer}");
}

/// Writes a description as one who can write the file may.
fn forge(path: &Path, lines: &str) {
    let mut words = vec![lines.len() as u64];
    let mut text = lines.as_bytes().to_vec();
    text.resize(904, 0);
    words.extend(
        text.chunks_exact(8)
            .map(|chunk| u64::from_le_bytes(chunk.try_into().expect("eight bytes"))),
    );
    // As the format has it.
    let term = |(index, word): (usize, &u64)| {
        let multiplier = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let y = (word ^ word >> 32).wrapping_mul(multiplier);
        y ^ y >> 29
    };
    words.push(words.iter().enumerate().map(term).fold(0, u64::wrapping_add));
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let file = OpenOptions::new().write(true).open(path).expect("the file");
    file.write_all_at(&bytes, 104).expect("written");
}

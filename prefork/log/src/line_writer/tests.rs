//! What reaches whom, and what is lost.

use std::{fs::File, io::Read, os::unix::net::UnixStream, time::Instant};

use rustix::pipe::{PipeFlags, pipe, pipe_with};

use super::*;

fn write(writer: &mut LineWriter, text: &str) -> io::Result<()> {
    writer.write(format!("{text}\n").as_bytes(), Duration::ZERO)
}

/// Writes until there is no room, not for a byte; returns how many long lines had.
fn fill(writer: &mut LineWriter) -> usize {
    let mut write = |line: &str| {
        let most = 1 << 20;
        (0..most).take_while(|_| write(writer, line).is_ok()).count()
    };
    let long = write(&"x".repeat(1000));
    write("");
    long
}

#[test]
fn a_pipe_that_nobody_reads_takes_what_fits() {
    let (reader, shared) = pipe().expect("made");
    let mut writer = LineWriter::new(&shared).expect("opened");
    assert!(fill(&mut writer) > 10);
    let error = write(&mut writer, "lost").expect_err("it is full");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    let flags = fcntl_getfl(&shared).expect("open");
    assert!(!flags.contains(OFlags::NONBLOCK), "the others' description is left alone");
    let mut reader = File::from(reader);
    reader.read_exact(&mut [0; 10_000]).expect("read");
    write(&mut writer, "there is room again").expect("written");
}

/// What another holder of the description does to it.
#[test]
fn nobody_else_decides_about_waiting() {
    let (_reader, shared) = pipe_with(PipeFlags::NONBLOCK).expect("made");
    let mut writer = LineWriter::new(&shared).expect("opened");
    fcntl_setfl(&shared, OFlags::empty()).expect("set");
    assert!(fill(&mut writer) > 10);
}

#[test]
fn a_pipe_that_cannot_be_opened_again_is_not_waited_for_either() {
    let (_reader, shared) = pipe().expect("made");
    while write_shared(&shared, &[b'x'; 4096]).is_ok() {}
    assert_eq!(write_shared(&shared, b"lost\n"), Err(Errno::AGAIN));
}

#[test]
fn a_pipe_whose_reader_left_is_an_error() {
    let (reader, shared) = pipe().expect("made");
    drop(reader);
    let mut writer = LineWriter::new(&shared).expect("held");
    let error = write(&mut writer, "lost").expect_err("nobody reads");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn a_full_socket_is_not_waited_for() {
    let (_reader, shared) = UnixStream::pair().expect("made");
    let mut writer = LineWriter::new(&shared).expect("held");
    assert!(fill(&mut writer) > 10);
}

#[test]
fn a_reader_that_is_behind_is_waited_for_once() {
    let (_reader, shared) = pipe().expect("made");
    let mut writer = LineWriter::new(&shared).expect("opened");
    fill(&mut writer);
    writer.is_stuck = false;
    let patience = Duration::from_millis(50);
    let mut took = || {
        let begun = Instant::now();
        let lost = writer.write(b"x\n", patience);
        assert!(lost.is_err());
        begun.elapsed()
    };
    assert!(took() >= patience);
    let rest: Duration = (0..100).map(|_| took()).sum();
    assert!(rest < 100 * patience / 2, "{rest:?} for a hundred lines");
}

#[test]
fn lines_are_appended_beside_other_writers() {
    let folder = tempfile::tempdir().expect("made");
    let path = folder.path().join("log");
    // As a shell opens it for `>`.
    let mut shared = File::create(&path).expect("made");
    let mut writer = LineWriter::new(&shared).expect("opened");
    write(&mut writer, "one").expect("written");
    io::Write::write_all(&mut shared, b"two\n").expect("written");
    write(&mut writer, "three").expect("written");
    assert_eq!(std::fs::read(&path).expect("read"), b"one\ntwo\nthree\n");
}

#[test]
fn a_torn_line_does_not_spoil_the_next() {
    let folder = tempfile::tempdir().expect("made");
    let path = folder.path().join("log");
    let file = File::create(&path).expect("made");
    let mut writer = LineWriter::new(&file).expect("opened");
    writer.is_torn = true;
    write(&mut writer, "whole").expect("written");
    write(&mut writer, "next").expect("written");
    assert_eq!(std::fs::read(&path).expect("read"), b"\nwhole\nnext\n");
}

/// One that was opened again need not be another.
#[test]
fn what_was_torn_is_ended_by_the_writer_that_takes_over_the_same_file() {
    let folder = tempfile::tempdir().expect("made");
    let [path, other] = ["log", "other"].map(|name| folder.path().join(name));
    let open = |path| File::options().create(true).append(true).open(path).expect("opened");
    let mut torn = LineWriter::new(open(&path)).expect("opened");
    torn.is_torn = true;
    for (path, expected) in [(&path, "\nnext\n"), (&other, "next\n")] {
        let mut writer = LineWriter::new(open(path)).expect("opened").after(&torn);
        write(&mut writer, "next").expect("written");
        assert_eq!(std::fs::read_to_string(path).expect("read"), expected);
    }
}

/// The process that was cut short does it, so that no other has to know.
#[test]
fn what_was_cut_short_is_taken_back_unless_somebody_has_written_behind_it() {
    let folder = tempfile::tempdir().expect("made");
    let path = folder.path().join("log");
    let file = File::create(&path).expect("made");
    let content = || std::fs::read_to_string(&path).expect("read");
    let mut writer = LineWriter::new(&file).expect("opened");
    write(&mut writer, "whole").expect("written");
    rustix::io::write(writer.fd(), b"cut sh").expect("written");
    assert!(take_back(writer.fd(), 6));
    assert_eq!(content(), "whole\n");
    rustix::io::write(writer.fd(), b"cut sh").expect("written");
    io::Write::write_all(&mut &file, b"other\n").expect("written");
    assert!(!take_back(writer.fd(), 6), "it would take the other's line");
    assert_eq!(content(), "whole\ncut shother\n");
}

#[test]
fn what_is_open_for_reading_alone_is_not_written_to() {
    let folder = tempfile::tempdir().expect("made");
    let path = folder.path().join("input");
    std::fs::write(&path, "kept\n").expect("made");
    let input = File::open(&path).expect("opened");
    let mut writer = LineWriter::new(&input).expect("held");
    write(&mut writer, "lost").expect_err("not allowed");
    assert_eq!(std::fs::read(&path).expect("read"), b"kept\n");
}

/// Another child could do that to a description that all have.
#[test]
fn lines_in_a_shared_file_are_appended_whatever_becomes_of_the_description() {
    let folder = tempfile::tempdir().expect("made");
    let path = folder.path().join("log");
    std::fs::write(&path, "old\n").expect("made");
    let shared = File::options().write(true).open(&path).expect("opened");
    let other = shared.try_clone().expect("copied");
    let way = Way::SharedFile(shared.into());
    let mut writer = LineWriter {
        way,
        medium: Medium::File,
        format: Format::Plain,
        is_stuck: false,
        is_torn: false,
    };
    for (number, flags) in [OFlags::empty(), OFlags::DIRECT, OFlags::APPEND].into_iter().enumerate()
    {
        // Not every file system has it.
        let _ = fcntl_setfl(&other, flags);
        write(&mut writer, &number.to_string()).expect("written");
    }
    assert_eq!(std::fs::read(&path).expect("read"), b"old\n0\n1\n2\n");
}

#[test]
fn a_line_that_no_pipe_can_hold_is_not_begun() {
    let (reader, shared) = pipe().expect("made");
    let mut writer = LineWriter::new(&shared).expect("opened");
    let error = write(&mut writer, &"x".repeat(3 << 20)).expect_err("too long");
    assert_eq!(error.raw_os_error(), Some(Errno::MSGSIZE.raw_os_error()));
    write(&mut writer, &"y".repeat(200_000)).expect("the pipe is made larger");
    let mut text = vec![0; 200_001];
    File::from(reader).read_exact(&mut text).expect("read");
    assert!(text.iter().all(|byte| [b'y', b'\n'].contains(byte)));
}

/// One that fits later is given up, and nothing of it is there.
#[test]
fn a_long_line_is_not_begun_where_it_has_no_room() {
    let (reader, shared) = pipe().expect("made");
    let mut writer = LineWriter::new(&shared).expect("opened");
    let long = "x".repeat(9000);
    let count = (0..100).take_while(|_| write(&mut writer, &long).is_ok()).count();
    assert!((3..8).contains(&count), "{count} lines of 9 kB in 64 kB");
    drop(writer);
    drop(shared);
    let mut text = String::new();
    File::from(reader).read_to_string(&mut text).expect("read");
    assert!(text.lines().all(|line| line == long) && text.lines().count() == count);
}

//! Whether a program is there and can be executed, found out as `execvp(3)` and the kernel would.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, ErrorKind, Read},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use prefork_core::one_line;
use rustix::fs::{StatVfsMountFlags, statvfs};

use super::Identity;

/// Where `execvp(3)` looks without a `PATH`.
const USUAL: &str = "/bin:/usr/bin";

/// As much of a script's first line as the kernel reads, see `execve(2)`.
const FIRST_LINE: usize = 256;

/// Finds the file that is executed as this program.
///
/// # Errors
///
/// Fails with why there is none, or why it cannot be executed, and what to do.
pub(crate) fn find(
    program: &OsStr,
    search_path: Option<&OsStr>,
    directory: Option<&Path>,
    identity: &Identity,
) -> Result<PathBuf, String> {
    let from = |path: &Path| directory.unwrap_or(Path::new("")).join(path);
    let shown = one_line(program);
    if program.as_bytes().contains(&b'/') {
        let path = from(Path::new(program));
        return match fs::metadata(&path) {
            Ok(_) => judge(&path, search_path, identity, 0).map(|()| path),
            Err(error) => Err(missing(&path, &error)),
        };
    }
    let search_path = search_path.unwrap_or(OsStr::new(USUAL));
    let mut refused = None;
    for folder in std::env::split_paths(search_path) {
        let path = from(&folder).join(program);
        if fs::metadata(&path).is_err() {
            continue;
        }
        match judge(&path, Some(search_path), identity, 0) {
            Ok(()) => return Ok(path),
            // The search goes on past what may not be executed, and stops at what cannot be.
            Err(problem) => match may_be_executed(&path, identity) {
                true => return Err(problem),
                false => refused = refused.or(Some(problem)),
            },
        }
    }
    Err(refused.unwrap_or_else(|| {
        let here = from(Path::new(program));
        let here = match fs::metadata(&here) {
            Ok(found) if found.is_file() => {
                format!("; for the file of that name in the working directory, write ./{shown}")
            }
            Ok(_) | Err(_) => "; install it, or give its path".to_owned(),
        };
        format!("there is no program {shown} in PATH ({}){here}", one_line(search_path))
    }))
}

fn missing(path: &Path, error: &io::Error) -> String {
    let shown = one_line(path);
    match (fs::read_link(path), error.kind()) {
        (Ok(target), ErrorKind::NotFound) => {
            format!("{shown} is a symbolic link to {}, which is not there", one_line(&target))
        }
        (_, ErrorKind::NotFound) => format!("there is no file {shown}"),
        _ => format!("cannot look at {shown}: {error}"),
    }
}

fn may_be_executed(path: &Path, identity: &Identity) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file()) && identity.may_execute(path).is_ok()
}

/// Finds out whether a file that is there can be executed. An interpreter may be a script itself, four deep.
fn judge(
    path: &Path,
    search_path: Option<&OsStr>,
    identity: &Identity,
    depth: u32,
) -> Result<(), String> {
    let shown = one_line(path);
    let found = fs::metadata(path).map_err(|error| missing(path, &error))?;
    if found.is_dir() {
        return Err(format!("{shown} is a directory, no program"));
    }
    if !found.is_file() {
        return Err(format!("{shown} is no regular file, so it cannot be executed"));
    }
    let by_interpreter = by_interpreter(path);
    if found.permissions().mode() & 0o111 == 0 {
        return Err(format!("{shown} is not executable; run `chmod +x {shown}`{by_interpreter}"));
    }
    identity.may_execute(path)?;
    if statvfs(path).is_ok_and(|it| it.f_flag.contains(StatVfsMountFlags::NOEXEC)) {
        return Err(format!("{shown} is on a file system that is mounted noexec{by_interpreter}"));
    }
    // One that may be executed and not read is for the kernel to judge.
    let Ok(file) = File::open(path) else { return Ok(()) };
    let mut beginning = Vec::new();
    let _ = (&file).take(FIRST_LINE as u64).read_to_end(&mut beginning);
    if beginning.is_empty() {
        return Err(format!("{shown} is empty"));
    }
    if beginning.starts_with(b"\x7fELF") {
        return linker(&file, &beginning).map_or(Ok(()), |linker| match linker.exists() {
            true => Ok(()),
            false => Err(format!(
                "{shown} needs {}, which is not there: it was built for another system",
                one_line(&linker)
            )),
        });
    }
    if let Some(line) = beginning.strip_prefix(b"#!") {
        identity.may_read(path)?;
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        return interpreter(line, search_path, identity, depth)
            .map_err(|problem| format!("{shown} cannot be executed by its first line: {problem}"));
    }
    if beginning.contains(&0) {
        // What else the system can execute, `binfmt_misc` knows.
        return Ok(());
    }
    Err(format!(
        "{shown} is neither a program nor a script that begins with #! and its interpreter{}",
        if by_interpreter.is_empty() {
            "; give it such a line, or run it by its interpreter"
        } else {
            &by_interpreter
        }
    ))
}

/// Finds out whether there is the interpreter of a script.
fn interpreter(
    line: &[u8],
    search_path: Option<&OsStr>,
    identity: &Identity,
    depth: u32,
) -> Result<(), String> {
    if line.ends_with(b"\r") {
        return Err("it ends with a carriage return, as files of Windows do; run `sed -i 's/\\r$//'` on the file".to_owned());
    }
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let Some(program) = words.next().map(|word| Path::new(OsStr::from_bytes(word))) else {
        return Err("it names no interpreter".to_owned());
    };
    if depth > 3 {
        return Err("interpreters lead to each other".to_owned());
    }
    fs::metadata(program).map_err(|error| missing(program, &error))?;
    judge(program, search_path, identity, depth + 1)?;
    if program.file_name() != Some(OsStr::new("env")) {
        return Ok(());
    }
    // What env(1) looks for: the first word that is neither an option nor a variable.
    let meant = words.find(|word| !word.starts_with(b"-") && !word.contains(&b'='));
    meant
        .map_or(Ok(()), |word| find(OsStr::from_bytes(word), search_path, None, identity).map(drop))
}

/// Returns what loads an ELF program of 64 bits, if it has one; see `elf(5)`.
fn linker(file: &File, beginning: &[u8]) -> Option<PathBuf> {
    let number = |bytes: &[u8], at: usize, len: usize| {
        let bytes = bytes.get(at..at + len)?;
        Some(bytes.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let is_64_little = beginning.get(4..6) == Some(&[2, 1]);
    let (offset, size, count) =
        (number(beginning, 32, 8)?, number(beginning, 54, 2)?, number(beginning, 56, 2)?);
    if !is_64_little || size != 56 {
        return None;
    }
    let mut headers = (0..count.min(64)).filter_map(|index| {
        let mut header = [0; 56];
        let at = offset.checked_add(index * size)?;
        file.read_exact_at(&mut header, at).ok()?;
        (number(&header, 0, 4)? == 3).then_some(header)
    });
    let header = headers.next()?;
    let mut path = vec![0; usize::try_from(number(&header, 32, 8)?).ok()?.min(4096)];
    file.read_exact_at(&mut path, number(&header, 8, 8)?).ok()?;
    let path = path.split(|byte| *byte == 0).next()?;
    Some(PathBuf::from(OsString::from(OsStr::from_bytes(path))))
}

/// What else to do with a script of this ending.
fn by_interpreter(path: &Path) -> String {
    let interpreter = match path.extension().and_then(OsStr::to_str) {
        Some("py") => "python3",
        Some("js" | "mjs" | "cjs") => "node",
        Some("rb") => "ruby",
        Some("pl" | "psgi") => "perl",
        Some("php") => "php",
        Some("sh") => "sh",
        _ => return String::new(),
    };
    format!(", or run it by its interpreter: {interpreter} {}", one_line(path))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    fn program(directory: &Path, name: &str, text: &[u8], mode: u32) -> PathBuf {
        let path = directory.join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("it is ours");
        path
    }

    fn look(program: impl AsRef<OsStr>, path: &str, directory: &Path) -> Result<PathBuf, String> {
        find(program.as_ref(), Some(path.as_ref()), Some(directory), &Identity::Own)
    }

    #[test]
    fn a_program_is_found_as_execvp_finds_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let (a, b) = (directory.path().join("a"), directory.path().join("b"));
        for folder in [&a, &b] {
            fs::create_dir(folder).expect("made");
        }
        program(&a, "x", b"#!/bin/sh\n", 0o644);
        let good = program(&b, "x", b"#!/bin/sh\n", 0o755);
        fs::create_dir(a.join("y")).expect("made");
        let y = program(&b, "y", b"#!/bin/sh\n", 0o755);
        let path = format!("{}:{}", a.display(), b.display());
        assert_eq!(look("x", &path, directory.path()), Ok(good));
        assert_eq!(look("y", &path, directory.path()), Ok(y));
        assert_eq!(look("./b/x", "", directory.path()), Ok(directory.path().join("./b/x")));
        assert_eq!(look("x", "b", directory.path()), Ok(b.join("x")));
        let sh = find(OsStr::new("sh"), None, None, &Identity::Own).expect("it is there");
        assert!(sh.ends_with("sh") && sh.starts_with("/"), "{sh:?}");
        let refused = look("x", &a.display().to_string(), directory.path()).expect_err("no right");
        assert!(refused.contains("is not executable; run `chmod +x "), "{refused}");
    }

    #[test]
    fn what_cannot_be_executed_is_said_with_what_to_do() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path();
        std::os::unix::fs::symlink("/nowhere", at.join("link")).expect("made");
        let mut elf = b"\x7fELF\x02\x01".to_vec();
        elf.resize(64 + 56, 0);
        (elf[32], elf[54], elf[56], elf[64]) = (64, 56, 1, 3);
        (elf[64 + 8], elf[64 + 32]) = (120, 8);
        elf.extend_from_slice(b"/no/ld\0\0");
        for (name, text, mode, expected) in [
            ("app.py", &b"print(1)"[..], 0o644, "is not executable; run `chmod +x"),
            (
                "app.py",
                b"print(1)",
                0o755,
                "begins with #! and its interpreter, or run it by its interpreter: python3 ",
            ),
            ("app", b"print(1)", 0o755, "; give it such a line, or run it by its interpreter"),
            ("app", b"", 0o755, "is empty"),
            ("app", b"#!\n", 0o755, "by its first line: it names no interpreter"),
            (
                "app",
                b"#!/no/such/python\n",
                0o755,
                "by its first line: there is no file /no/such/python",
            ),
            (
                "app",
                b"#!/bin/sh\r\necho",
                0o755,
                "by its first line: it ends with a carriage return",
            ),
            (
                "app",
                b"#!/usr/bin/env -S X=1 nonesuch -u\n",
                0o755,
                "first line: there is no program nonesuch in PATH",
            ),
            (
                "app",
                &elf,
                0o755,
                "needs /no/ld, which is not there: it was built for another system",
            ),
        ] {
            let _ = fs::remove_file(at.join(name));
            program(at, name, text, mode);
            let refused = look(format!("./{name}"), "/usr/bin:/bin", at).expect_err(expected);
            assert!(refused.contains(expected), "{refused}");
        }
        for (name, expected) in [
            ("./", "is a directory, no program"),
            ("./link", "is a symbolic link to /nowhere, which is not there"),
            ("./nothing", "there is no file "),
            ("/dev/null", "is no regular file"),
            ("app", "in the working directory, write ./app"),
            (
                "nothing",
                "there is no program nothing in PATH (/usr/bin:/bin); install it, or give its path",
            ),
        ] {
            let refused = look(name, "/usr/bin:/bin", at).expect_err(expected);
            assert!(refused.contains(expected), "{name}: {refused}");
        }
    }

    #[test]
    fn programs_of_this_system_are_right() {
        let own = std::env::current_exe().expect("it runs");
        assert_eq!(find(own.as_os_str(), None, None, &Identity::Own), Ok(own));
        let folder = tempfile::tempdir().expect("a directory");
        program(folder.path(), "app", b"#!/usr/bin/env sh\n", 0o755);
        assert!(look("./app", "/usr/bin:/bin", folder.path()).is_ok());
    }

    #[test]
    fn another_user_must_have_the_right_on_the_whole_way() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let directory = tempfile::tempdir().expect("a directory");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).expect("it is ours");
        let path = program(directory.path(), "app", b"#!/bin/sh\n", 0o755);
        let nobody = Identity::Other { name: "nobody".to_owned(), uid: 65534, groups: vec![65534] };
        let refused = find(path.as_os_str(), None, None, &nobody).expect_err("it is root's");
        let expected =
            format!("user nobody may not enter {} (mode 0700", directory.path().display());
        assert!(refused.starts_with(&expected), "{refused}");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("it is ours");
        assert_eq!(find(path.as_os_str(), None, None, &nobody), Ok(path));
    }
}

use std::os::unix::fs::symlink;

use super::*;

fn with_first_word(word: &str) -> (Command, Image) {
    let mut image = Image::of_this_process().expect("there is one");
    image.arguments[0] = CString::new(word).expect("no NUL");
    (Command::of(&image).expect("found"), image)
}

#[test]
fn a_name_that_cannot_have_led_to_what_runs_is_not_believed() {
    let own = Called::Path(own_path().expect("known").into());
    for word in ["/bin/sh", "sh", "no-such-program", "/no/such", "", "/proc/self/exe", "/dev/fd/3"]
    {
        assert_eq!(with_first_word(word).0.called, own, "{word}");
    }
}

#[test]
fn a_script_or_a_kindred_program_may_have_led_to_what_runs() {
    let directory = tempfile::tempdir().expect("made");
    let name = own_path().expect("known").file_name().expect("it has one").to_owned();
    let script = directory.path().join("start");
    let kin = directory.path().join(format!(".{}-wrapped", name.to_string_lossy()));
    fs::write(&script, "#!/bin/sh\n").expect("written");
    fs::write(&kin, "\x7fELF").expect("written");
    for path in [&script, &kin] {
        let word = path.to_str().expect("text");
        assert_eq!(with_first_word(word).0.called, Called::Path(own_path().expect("known").into()));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("set");
        let (command, _) = with_first_word(word);
        assert_eq!((command.called, command.is_direct), (Called::Path(word.into()), false));
    }
    let (command, image) = with_first_word(script.to_str().expect("text"));
    let files = command.files(&image);
    assert_eq!(files, [script, own_path().expect("known")]);
}

#[test]
fn a_directory_has_the_name_that_it_was_entered_by() {
    let directory = tempfile::tempdir().expect("made");
    let here = env::current_dir().expect("there is one");
    let (link, other) = (directory.path().join("current"), directory.path().join("other"));
    symlink(&here, &link).expect("linked");
    symlink("/", &other).expect("linked");
    let by_shell = |path: &Path| vec![OsString::from(format!("PWD={}", path.display()))];
    let table: [(Vec<OsString>, Option<OsString>, &Path); 6] = [
        (by_shell(&link), None, &link),
        (by_shell(&other), None, &here),
        (by_shell(Path::new("relative")), None, &here),
        (vec![], Some(link.join("bin/hello").into()), &link),
        (vec![], Some("/bin/sh".into()), &here),
        (vec![], None, &here),
    ];
    for (environment, program, expected) in table {
        let found = directory_by_name(&environment, program.as_ref());
        assert_eq!(found.as_deref(), Some(expected), "{environment:?} {program:?}");
    }
}

#[test]
fn a_search_along_path_ends_where_something_can_be_executed() {
    let directory = tempfile::tempdir().expect("made");
    let folders = ["a", "b", "c", "d"].map(|name| directory.path().join(name));
    folders.iter().for_each(|folder| fs::create_dir(folder).expect("made"));
    // A directory of that name, and a file that cannot be executed, are passed by.
    fs::create_dir(folders[0].join("hello")).expect("made");
    fs::write(folders[1].join("hello"), "").expect("written");
    for folder in &folders[2..] {
        fs::write(folder.join("hello"), "").expect("written");
        fs::set_permissions(folder.join("hello"), fs::Permissions::from_mode(0o755)).expect("set");
    }
    let (mut command, image) = with_first_word("");
    let path = env::join_paths(&folders).expect("no colons");
    let path = [&b"PATH="[..], path.as_bytes()].concat();
    command.environment = vec![OsString::from_vec(path)];
    command.called = Called::Name("hello".into());
    let found = command.find(&image).expect("found");
    assert_eq!(found.shown, folders[2].join("hello"));
    assert_eq!(
        command.files(&image)[..3],
        folders[..3].iter().map(|folder| folder.join("hello")).collect::<Vec<_>>()
    );
    assert_eq!(command.program(&image), folders[2].join("hello"));
    // Nothing but a path that is there is ever shown.
    folders[2..].iter().for_each(|folder| fs::remove_file(folder.join("hello")).expect("removed"));
    let error = command.find(&image).expect_err("none can be executed");
    assert!(matches!(error, NoProbe::NotExecutable { path } if path == folders[1].join("hello")));
    assert_eq!(command.program(&image), folders[1].join("hello"));
    command.called = Called::Name("no-such-program".into());
    assert!(matches!(command.find(&image), Err(NoProbe::NotInPath { .. })));
    assert_eq!(command.program(&image), Path::new("no-such-program"));
    command.directory = Some(directory.path().join("gone").into());
    assert!(matches!(command.find(&image), Err(NoProbe::NoDirectory { .. })));
    command.directory = None;
    command.called = Called::Nameless;
    assert!(matches!(command.find(&image), Err(NoProbe::Nameless)));
}

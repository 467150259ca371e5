//! The ways to start a program, each of which is to lead to the program that a fresh start would run.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use prefork_tests::{
    Daemon, Launch, Load, PATIENCE, Running, Scene, asked, holds_for, output, require_tool, scene,
    wait_until,
};
use rustix::process::Signal;

use super::{wait_for_lines, wait_for_version};

/// A place where releases are put, and switched to.
struct Releases<'a> {
    scene: &'a Scene,
    content: Box<dyn Fn(u32) -> Vec<u8> + 'a>,
}

/// How a program is started, and what a release consists of besides.
struct Way {
    name: &'static str,
    /// What a shell does, in the directory of the scene, with the further arguments as `"$@"`.
    start: &'static str,
    /// What `bin/hello` of a release is: the program, or a script of this text, in which `RELEASE` stands for the
    /// directory of the release, beside the program as `bin/.hello-real`.
    script: Option<&'static str>,
    deploy: Deploy,
}

/// How a release takes the place of another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deploy {
    /// The link `current` leads to it from then on; the old one is removed.
    Switch,
    /// Its program is renamed over the old one's.
    Rename,
    /// The directory `current` is moved away and the new one moved there.
    Move,
}

impl Releases<'_> {
    fn directory(&self, version: u32) -> PathBuf {
        self.scene.path("releases").join(version.to_string())
    }

    /// Puts a release somewhere.
    fn make(&self, way: &Way, version: u32, directory: &Path) {
        let bin = directory.join("bin");
        fs::create_dir_all(&bin).expect("made");
        let write = |name: &str, content: &[u8]| {
            fs::write(bin.join(name), content).expect("written");
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).expect("set");
        };
        let program = (self.content)(version);
        match way.script {
            None => write("hello", &program),
            Some(text) => {
                write(".hello-real", &program);
                let release = directory.to_str().expect("text");
                write("hello", text.replace("RELEASE", release).as_bytes());
            }
        }
    }

    /// Makes this version current.
    fn deploy(&self, way: &Way, version: u32) {
        let (current, fresh) = (self.scene.path("current"), self.scene.path("fresh"));
        match way.deploy {
            Deploy::Switch => {
                self.make(way, version, &self.directory(version));
                symlink(self.directory(version), &fresh).expect("linked");
                fs::rename(&fresh, &current).expect("switched");
            }
            Deploy::Rename => {
                self.make(way, version, &fresh);
                fs::create_dir_all(current.join("bin")).expect("made");
                fs::rename(fresh.join("bin/hello"), current.join("bin/hello")).expect("renamed");
            }
            Deploy::Move => {
                self.make(way, version, &fresh);
                let old = self.scene.path(&format!("old-{version}"));
                let _ = fs::rename(&current, old);
                fs::rename(&fresh, &current).expect("moved");
            }
        }
    }

    /// Removes what is deployed no more, as deployments do.
    fn forget(&self, version: u32) {
        let _ = fs::remove_dir_all(self.directory(version));
    }
}

const WAYS: [Way; 18] = [
    Way {
        name: "absolute path",
        start: "exec $PWD/current/bin/hello \"$@\"",
        script: None,
        deploy: Deploy::Rename,
    },
    Way {
        name: "absolute path through a link",
        start: "exec $PWD/current/bin/hello \"$@\"",
        script: None,
        deploy: Deploy::Switch,
    },
    Way {
        name: "relative path through a link",
        start: "exec current/bin/hello \"$@\"",
        script: None,
        deploy: Deploy::Switch,
    },
    Way {
        name: "in a linked directory",
        start: "cd current && exec bin/hello \"$@\"",
        script: None,
        deploy: Deploy::Switch,
    },
    Way {
        name: "in the linked directory of the program",
        start: "cd current/bin && exec ./hello \"$@\"",
        script: None,
        deploy: Deploy::Switch,
    },
    Way {
        name: "in a directory that is moved",
        start: "cd current && exec ./bin/hello \"$@\"",
        script: None,
        deploy: Deploy::Move,
    },
    Way {
        name: "in a linked directory without a name, by an absolute path",
        start: "p=$PWD/current; cd -P current && unset PWD OLDPWD && exec env -u PWD -u OLDPWD $p/bin/hello \"$@\"",
        script: None,
        deploy: Deploy::Switch,
    },
    Way {
        name: "along PATH",
        start: "PATH=$PWD/current/bin:$PATH exec hello \"$@\"",
        script: None,
        deploy: Deploy::Switch,
    },
    Way {
        name: "along a relative PATH",
        start: "cd current; PATH=bin:$PATH exec hello \"$@\"",
        script: None,
        deploy: Deploy::Switch,
    },
    Way {
        name: "through env and nice",
        start: "exec env X=1 nice -n 1 current/bin/hello \"$@\"",
        script: None,
        deploy: Deploy::Switch,
    },
    Way {
        name: "wrapper that passes its name on",
        start: "exec current/bin/hello \"$@\"",
        script: Some("#!/bin/bash\nexec -a \"$0\" RELEASE/bin/.hello-real \"$@\"\n"),
        deploy: Deploy::Switch,
    },
    Way {
        name: "wrapper along PATH",
        start: "PATH=$PWD/current/bin:$PATH exec hello \"$@\"",
        script: Some(
            "#!/bin/bash\nexport PATH=/usr/bin:/bin\nexec -a \"$0\" RELEASE/bin/.hello-real \"$@\"\n",
        ),
        deploy: Deploy::Switch,
    },
    Way {
        name: "wrapper that executes by a link",
        start: "exec current/bin/hello \"$@\"",
        script: Some("#!/bin/sh\nexec ${0%hello}.hello-real \"$@\"\n"),
        deploy: Deploy::Switch,
    },
    Way {
        name: "linker",
        start: "exec $LINKER current/bin/hello \"$@\"",
        script: None,
        deploy: Deploy::Switch,
    },
    Way {
        name: "linker in a linked directory",
        start: "cd current && exec $LINKER --argv0 hi ./bin/hello \"$@\"",
        script: None,
        deploy: Deploy::Switch,
    },
    Way {
        name: "/proc/self/exe",
        start: "exec -a /proc/self/exe current/bin/hello \"$@\"",
        script: None,
        deploy: Deploy::Rename,
    },
    Way {
        name: "first word that leads nowhere",
        start: "exec -a 'hello: master' current/bin/hello \"$@\"",
        script: None,
        deploy: Deploy::Rename,
    },
    Way {
        name: "descriptor",
        start: "exec 9<current/bin/hello; exec -a /dev/fd/9 /dev/fd/9 \"$@\"",
        script: None,
        deploy: Deploy::Rename,
    },
];

/// The dynamic linker of the programs under test.
fn linker() -> String {
    let output = output(Command::new("ldd").arg("/bin/sh"), b"").expect("ldd is there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = text.split_whitespace().find(|word| word.starts_with('/') && word.contains("/ld-"));
    found.expect("a dynamic linker").to_owned()
}

fn launch<'a>(scene: &'a Scene, way: &Way) -> Launch<'a> {
    let arguments = ["--listen", &scene.address().to_string(), "--prefork", "2"];
    let shell = format!("LINKER={}\n{}", linker(), way.start);
    scene.tool("bash").args(["-c", &shell, "bash"]).args(arguments)
}

fn releases<'a>(scene: &'a Scene) -> Releases<'a> {
    let program = scene.program();
    let content = move |version: u32| program.content(&format!("--version {version}"));
    Releases { scene, content: Box::new(content) }
}

#[track_caller]
fn stop(scene: &Scene, daemon: &Daemon<'_>, running: &Running<'_>) {
    daemon.signal(Signal::TERM);
    assert!(running.finish().end.is_success());
    scene.assert_nothing_is_left();
}

/// L1, L3, V3: an upgrade runs what a fresh start by the same command line, in the same directory by name, would run,
/// however that is, says which file that is, and loses no request.
#[test]
fn an_upgrade_runs_what_a_fresh_start_would() {
    if !require_tool("bash") || !require_tool("ldd") {
        return;
    }
    let rounds: u32 = asked("PREFORK_UPGRADES").unwrap_or(54);
    let each = rounds.div_ceil(u32::try_from(WAYS.len()).expect("a few"));
    for way in &WAYS {
        let scene = scene!();
        let releases = releases(&scene);
        releases.deploy(way, 1);
        let running = launch(&scene, way).paths().start();
        let daemon = running.ready();
        let load = Load::start(4, scene.address(), "/");
        for version in 2..2 + each {
            releases.deploy(way, version);
            daemon.signal(Signal::USR2);
            wait_until(PATIENCE, &format!("{}: version {version} answers", way.name), || {
                let refused = scene.lines_with("error.log", "error: ");
                assert_eq!(refused, [""; 0], "{}", way.name);
                daemon.get("/version").is_ok_and(|reply| reply.body == version.to_string())
            });
            let number = version as usize - 1;
            wait_for_lines(&scene, &format!("generation {version} now"), 1);
            let became = &scene.lines_with("error.log", "the new program works; becoming it: ");
            assert_eq!(became.len(), number, "{}: {became:?}", way.name);
            // Nor is it left in a directory that is to be removed.
            let directory = fs::read_link(format!("/proc/{}/cwd", daemon.pid())).expect("it lives");
            let directory = directory.to_str().expect("text");
            for old in [format!("releases/{}", version - 1), "/old-".to_owned()] {
                assert!(!directory.contains(&old), "{}: it is in {directory}", way.name);
            }
            releases.forget(version - 1);
        }
        // Nothing was deployed since: that is no new program.
        daemon.signal(Signal::USR2);
        wait_for_lines(&scene, "the program works and is the same file as before", 1);
        wait_for_lines(&scene, &format!("generation {} now", 2 + each), 1);
        let tally = load.stop();
        assert_eq!(tally.failures, [""; 0], "{}: of {} requests", way.name, tally.answered);
        stop(&scene, &daemon, &running);
    }
}

/// L1, V3: the files that are watched are those that matter, however the program is started.
#[test]
fn the_files_that_matter_are_watched() {
    if !require_tool("bash") || !require_tool("ldd") {
        return;
    }
    for way in &WAYS {
        let scene = scene!();
        let releases = releases(&scene);
        releases.deploy(way, 1);
        let every = ["--auto-reload-check-every", "100"];
        let running = launch(&scene, way).args(every).paths().start();
        let daemon = running.ready();
        for version in 2..4 {
            releases.deploy(way, version);
            wait_for_version(&daemon, version);
            wait_for_lines(&scene, &format!("generation {version} now"), 1);
        }
        // And nothing that has not changed.
        let tried = || scene.lines_with("error.log", "trying the program").len();
        holds_for(Duration::from_millis(600), way.name, || tried() == 2);
        stop(&scene, &daemon, &running);
    }
}

/// L2, L3, V3: where a fresh start would fail, or nothing is known of it, that is logged.
#[test]
fn what_cannot_be_run_as_before_is_logged() {
    if !require_tool("bash") {
        return;
    }
    let scene = scene!();
    let releases = releases(&scene);
    let way = &WAYS[3];
    releases.deploy(way, 1);
    let running = launch(&scene, way).paths().start();
    let daemon = running.ready();
    let refused = |reason: &str, spoil: &dyn Fn()| {
        let lines = || scene.lines_with("error.log", "upgrade refused: ");
        let before = lines().len();
        spoil();
        daemon.signal(Signal::USR2);
        wait_until(PATIENCE, "it is refused", || lines().len() > before);
        let line = lines()[before].clone();
        assert!(line.contains(reason), "{reason:?} should be in {line:?}");
        assert_eq!(daemon.get("/version").expect("it serves").body, "1");
    };
    let current = scene.path("current");
    refused("the working directory ", &|| fs::remove_file(&current).expect("removed"));
    refused("cannot open the program", &|| fs::create_dir(&current).expect("made"));
    refused("the working directory ", &|| {
        fs::remove_dir(&current).expect("removed");
        fs::write(&current, "no directory").expect("written");
    });
    fs::remove_file(&current).expect("removed");
    // The old release may go: this is another one.
    releases.deploy(way, 2);
    releases.forget(1);
    daemon.signal(Signal::USR2);
    wait_for_version(&daemon, 2);
    stop(&scene, &daemon, &running);
}

/// L2: a program that was executed from memory has no name that could lead to a new one.
#[test]
fn a_program_in_memory_is_not_upgraded() {
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    let program = scene.program();
    let execute = "import os, sys
memory = os.memfd_create('hello')
os.sendfile(memory, os.open(sys.argv[1], os.O_RDONLY), 0, os.stat(sys.argv[1]).st_size)
os.execve(memory, ['hello'] + sys.argv[2:], os.environ)";
    let launch = program.launch().under(["python3", "-c", execute]).paths();
    let running = launch.start();
    let daemon = running.ready();
    daemon.signal(Signal::USR2);
    wait_for_lines(&scene, "this program was started from a file in memory", 1);
    assert_eq!(daemon.get("/version").expect("it serves").body, "1");
    stop(&scene, &daemon, &running);
}

/// L2: a program that the linker has loaded is found again on the way back, although its name leads to another.
#[test]
fn the_way_back_leads_to_the_file_that_was_loaded() {
    if !require_tool("bash") || !require_tool("ldd") {
        return;
    }
    for way in WAYS
        .iter()
        .filter(|way| way.name == "linker" || way.name.starts_with("wrapper that passes"))
    {
        let scene = scene!();
        let releases = releases(&scene);
        releases.deploy(way, 1);
        let running = launch(&scene, way).path("--sabotage", "sabotage").paths().start();
        let daemon = running.ready();
        for round in 1..4 {
            fs::write(scene.path("sabotage"), "successor init abort").expect("written");
            releases.deploy(way, 1 + round);
            daemon.signal(Signal::USR2);
            wait_for_lines(&scene, "goes on with 2 children already serving", round as usize);
            assert_eq!(daemon.get("/version").expect("it serves").body, "1");
            wait_for_lines(&scene, "failed to take over: it was ended by SIGABRT", round as usize);
        }
        fs::remove_file(scene.path("sabotage")).expect("removed");
        daemon.signal(Signal::USR2);
        wait_for_version(&daemon, 4);
        stop(&scene, &daemon, &running);
    }
}

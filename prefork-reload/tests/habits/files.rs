//! Files that are watched by their names.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::Habit;
use crate::world::Watch::{self, File as Named, Glob, Tree};
use crate::world::set_old;

const CONF: &[Watch] = &[Named("etc/app.conf")];
const APP: &[Watch] = &[Named("current/bin/app")];
const CHANGED: &[&str] = &["etc/app.conf changed"];

pub(crate) const HABITS: &[Habit] = &[
    Habit {
        name: "nobody does anything",
        watched: &[Named("etc/app.conf"), Tree("etc"), Glob("etc/conf.d/*.conf")],
        act: |_| {},
        reported: &[],
    },
    Habit {
        name: "a file is read",
        watched: &[Named("etc/app.conf"), Tree("etc")],
        act: |world| drop(fs::read(world.path("etc/app.conf"))),
        reported: &[],
    },
    Habit {
        name: "opened for writing, nothing written",
        watched: CONF,
        act: |world| drop(OpenOptions::new().append(true).open(world.path("etc/app.conf"))),
        reported: &[],
    },
    Habit {
        name: "cat > file",
        watched: CONF,
        act: |world| world.write("etc/app.conf", "something else\n"),
        reported: CHANGED,
    },
    Habit {
        name: "cat > file, as long as before",
        watched: CONF,
        act: |world| world.write("etc/app.conf", "two\n"),
        reported: CHANGED,
    },
    Habit {
        name: "a slow copy in place",
        watched: CONF,
        act: |world| {
            let mut file = File::create(world.path("etc/app.conf")).expect("writable");
            for _ in 0..50 {
                file.write_all(b"a line\n").expect("space");
                world.pass(150);
            }
            assert_eq!(world.reports(), [""; 0], "in the middle of it");
        },
        reported: CHANGED,
    },
    Habit {
        name: "vim: rename away, write again, delete the old one",
        watched: CONF,
        act: |world| {
            world.write("etc/4913", "");
            world.remove("etc/4913");
            world.rename("etc/app.conf", "etc/app.conf~");
            world.pass(30);
            world.write("etc/app.conf", "two\n");
            world.pass(30);
            world.remove("etc/app.conf~");
        },
        reported: CHANGED,
    },
    Habit {
        name: "cp -p of an older file: the time goes backwards",
        watched: CONF,
        act: |world| {
            world.write("etc/app.conf", "one\n");
            set_old(&world.path("etc/app.conf"));
        },
        reported: CHANGED,
    },
    Habit {
        name: "replaced by one of the same size and time",
        watched: CONF,
        act: |world| {
            let time = fs::metadata(world.path("etc/app.conf")).and_then(|file| file.modified());
            world.write("etc/new", "two\n");
            let new = OpenOptions::new().append(true).open(world.path("etc/new"));
            new.expect("a file").set_modified(time.expect("a time")).expect("its owner may");
            world.rename("etc/new", "etc/app.conf");
        },
        reported: CHANGED,
    },
    Habit {
        name: "install: delete, then create, with a pause",
        watched: CONF,
        act: |world| {
            world.remove("etc/app.conf");
            world.pass(10_000);
            assert_eq!(world.reports(), [""; 0], "while it is missing");
            world.write("etc/app.conf", "two\n");
        },
        reported: CHANGED,
    },
    Habit {
        name: "cargo: delete, then link to another name",
        watched: APP,
        act: |world| {
            world.write("releases/1/app-0123", "two\n");
            world.remove("releases/1/bin/app");
            world.pass(5);
            let app = world.path("current/bin/app");
            fs::hard_link(world.path("releases/1/app-0123"), app).expect("linked");
        },
        reported: &["current/bin/app changed"],
    },
    Habit {
        name: "capistrano: switch a link above the file",
        watched: APP,
        act: |world| {
            world.link("releases/2", "current.new");
            world.rename("current.new", "current");
        },
        reported: &["current/bin/app changed"],
    },
    Habit {
        name: "ln -sfn: delete the link above, link again",
        watched: APP,
        act: |world| {
            world.remove("current");
            world.pass(1000);
            world.link("releases/2", "current");
        },
        reported: &["current/bin/app changed"],
    },
    Habit {
        name: "write behind the link above, after it was switched",
        watched: APP,
        act: |world| {
            world.link("releases/2", "current.new");
            world.rename("current.new", "current");
            world.pass(10_000);
            world.reports();
            world.write("releases/1/bin/app", "nobody cares\n");
            world.pass(10_000);
            assert_eq!(world.reports(), [""; 0]);
            world.write("releases/2/bin/app", "three\n");
        },
        reported: &["current/bin/app changed"],
    },
    Habit {
        name: "switch the link that is the file",
        watched: &[Named("link.conf")],
        act: |world| {
            world.link("etc/conf.d/a.conf", "link.new");
            world.rename("link.new", "link.conf");
        },
        reported: &["link.conf changed"],
    },
    Habit {
        name: "write to the file behind a link",
        watched: &[Named("link.conf")],
        act: |world| world.write("etc/app.conf", "three\n"),
        reported: &["link.conf changed"],
    },
    Habit {
        name: "chmod, which sets the ctime",
        watched: CONF,
        act: |world| {
            let permissions = Permissions::from_mode(0o600);
            fs::set_permissions(world.path("etc/app.conf"), permissions).expect("its owner may");
        },
        reported: CHANGED,
    },
    Habit {
        name: "touch",
        watched: CONF,
        act: |world| {
            let file = OpenOptions::new().append(true).open(world.path("etc/app.conf"));
            let now = std::time::SystemTime::now();
            file.expect("a file").set_modified(now).expect("its owner may");
        },
        reported: CHANGED,
    },
    Habit {
        name: "a thousand touches a second",
        watched: CONF,
        act: |world| {
            for _ in 0..3000 {
                set_old(&world.path("etc/app.conf"));
                world.pass(1);
            }
            assert_eq!(world.reports(), [""; 0], "it never rests");
            assert!(world.wakes() < 30, "woken {} times", world.wakes());
        },
        reported: CHANGED,
    },
    Habit {
        name: "a thousand files a second beside the watched one",
        watched: CONF,
        act: |world| {
            for n in 0..3000 {
                world.write(&format!("etc/log.{}", n % 10), "a line\n");
                world.pass(1);
            }
            assert_eq!(world.reports(), [""; 0]);
            assert!(world.wakes() < 30, "woken {} times", world.wakes());
            world.write("etc/app.conf", "two\n");
        },
        reported: CHANGED,
    },
    Habit {
        name: "a dangling link, then what it leads to",
        watched: CONF,
        act: |world| {
            world.remove("etc/app.conf");
            world.link("nowhere", "etc/app.conf");
            world.pass(10_000);
            assert_eq!(world.reports(), [""; 0], "it leads nowhere");
            world.write("etc/nowhere", "two\n");
        },
        reported: CHANGED,
    },
    Habit {
        name: "a link to itself, then a file again",
        watched: CONF,
        act: |world| {
            world.remove("etc/app.conf");
            world.link("app.conf", "etc/app.conf");
            world.pass(10_000);
            assert_eq!(world.reports(), [""; 0], "it leads nowhere");
            world.write("etc/new", "two\n");
            world.rename("etc/new", "etc/app.conf");
        },
        reported: CHANGED,
    },
    Habit {
        name: "a FIFO without a writer",
        watched: &[Named("etc/app.conf"), Tree("etc")],
        act: |world| {
            world.remove("etc/app.conf");
            let path = world.path("etc/app.conf");
            mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
        },
        reported: CHANGED,
    },
    Habit {
        name: "a directory where a file was",
        watched: CONF,
        act: |world| {
            world.remove("etc/app.conf");
            fs::create_dir(world.path("etc/app.conf")).expect("created");
        },
        reported: CHANGED,
    },
    Habit {
        name: "a file where a directory above was",
        watched: APP,
        act: |world| {
            world.remove("current");
            world.write("current", "no directory\n");
        },
        reported: &[],
    },
    Habit {
        name: "a file that was not there, in a directory that was not either",
        watched: &[Named("var/lib/app/state")],
        act: |world| {
            fs::create_dir_all(world.path("var/lib/app")).expect("created");
            world.pass(1000);
            world.write("var/lib/app/state", "");
        },
        reported: &["var/lib/app/state appeared"],
    },
    Habit {
        name: "chmod of a directory that is watched itself, beside a file in it",
        watched: &[Named("etc"), Named("etc/app.conf")],
        act: |world| {
            let permissions = Permissions::from_mode(0o700);
            fs::set_permissions(world.path("etc"), permissions).expect("its owner may");
        },
        reported: &["etc changed"],
    },
];

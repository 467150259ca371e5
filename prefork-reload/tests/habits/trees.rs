//! Files that are found in trees and by globs.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::Habit;
use crate::world::Watch::{self, Glob, Tree};
use crate::world::set_old;

const TREE: &[Watch] = &[Tree("etc")];
const GLOB: &[Watch] = &[Glob("etc/conf.d/*.conf")];
const CHANGED: &[&str] = &["etc/app.conf changed"];

pub(crate) const HABITS: &[Habit] = &[
    Habit {
        name: "dpkg: unpack beside, keep a link, rename over",
        watched: TREE,
        act: |world| {
            world.write("etc/app.conf.dpkg-new", "two\n");
            world.pass(50);
            let backup = world.path("etc/app.conf.dpkg-tmp");
            fs::hard_link(world.path("etc/app.conf"), &backup).expect("linked");
            world.rename("etc/app.conf.dpkg-new", "etc/app.conf");
            world.pass(50);
            fs::remove_file(backup).expect("removed");
        },
        reported: CHANGED,
    },
    Habit {
        name: "vim in a tree: its swap file does not count",
        watched: TREE,
        act: |world| {
            world.write("etc/.app.conf.swp", "");
            world.pass(5000);
            world.remove("etc/.app.conf.swp");
        },
        reported: &[],
    },
    Habit {
        name: "rsync -t: a hidden file with an older time, renamed over",
        watched: TREE,
        act: |world| {
            world.write("etc/.app.conf.Xy12Ab", "one\n");
            set_old(&world.path("etc/.app.conf.Xy12Ab"));
            world.pass(500);
            world.rename("etc/.app.conf.Xy12Ab", "etc/app.conf");
        },
        reported: CHANGED,
    },
    Habit {
        name: "kubernetes: switch ..data, by which the files of a volume are linked",
        watched: &[Tree("mounted")],
        act: |world| {
            world.link("..2", "..data_tmp");
            world.rename("..data_tmp", "..data");
        },
        reported: &["mounted/app.conf changed"],
    },
    Habit {
        name: "write behind a link in a tree",
        watched: &[Tree("mounted")],
        act: |world| world.write("..1/app.conf", "three\n"),
        reported: &["mounted/app.conf changed"],
    },
    Habit {
        name: "a directory replaced by rename",
        watched: GLOB,
        act: |world| {
            fs::create_dir(world.path("etc/new")).expect("created");
            world.write("etc/new/a.conf", "two\n");
            world.write("etc/new/c.conf", "two\n");
            world.rename("etc/conf.d", "etc/old");
            world.pass(3000);
            assert_eq!(world.reports(), [""; 0], "while it is missing");
            world.rename("etc/new", "etc/conf.d");
        },
        reported: &["etc/conf.d/a.conf changed, etc/conf.d/b.conf vanished and \
                     etc/conf.d/c.conf appeared"],
    },
    Habit {
        name: "write into a directory that has replaced another",
        watched: GLOB,
        act: |world| {
            fs::create_dir(world.path("etc/new")).expect("created");
            world.rename("etc/conf.d", "etc/old");
            world.rename("etc/new", "etc/conf.d");
            world.pass(10_000);
            world.reports();
            world.write("etc/old/a.conf", "nobody cares\n");
            world.write("etc/conf.d/z.conf", "two\n");
        },
        reported: &["etc/conf.d/z.conf appeared"],
    },
    Habit {
        name: "a glob gains and loses files",
        watched: GLOB,
        act: |world| {
            world.write("etc/conf.d/c.conf", "new\n");
            world.write("etc/conf.d/README", "does not match\n");
            world.write("etc/conf.d/.hidden.conf", "does not match\n");
            world.pass(100);
            world.remove("etc/conf.d/a.conf");
        },
        reported: &["etc/conf.d/a.conf vanished and etc/conf.d/c.conf appeared"],
    },
    Habit {
        name: "a glob loses all its files",
        watched: GLOB,
        act: |world| {
            world.remove("etc/conf.d/a.conf");
            world.remove("etc/conf.d/b.conf");
        },
        reported: &["etc/conf.d/a.conf vanished and etc/conf.d/b.conf vanished"],
    },
    Habit {
        name: "a glob with a wildcard in the middle",
        watched: &[Glob("releases/*/bin/a??")],
        act: |world| {
            fs::create_dir_all(world.path("releases/3/bin")).expect("created");
            world.pass(5000);
            world.write("releases/3/bin/app", "three\n");
            world.write("releases/3/bin/apps", "does not match\n");
        },
        reported: &["releases/3/bin/app appeared"],
    },
    Habit {
        name: "a tree grows in depth",
        watched: TREE,
        act: |world| {
            fs::create_dir_all(world.path("etc/x/y/z")).expect("created");
            world.pass(5000);
            assert_eq!(world.reports(), [""; 0], "a directory is no file");
            world.write("etc/x/y/z/new", "");
        },
        reported: &["etc/x/y/z/new appeared"],
    },
    Habit {
        name: "a tree does not follow links to directories, but sees them switched",
        watched: &[Tree("..1")],
        act: |world| {
            world.link("..", "..1/up");
            world.pass(5000);
            assert_eq!(world.reports(), ["..1/up appeared"]);
            world.write("etc/app.conf", "two\n");
            world.pass(5000);
            assert_eq!(world.reports(), [""; 0]);
            world.link("../etc", "..1/.up");
            world.rename("..1/.up", "..1/up");
        },
        reported: &["..1/up changed"],
    },
    Habit {
        name: "a FIFO in a tree is no file",
        watched: TREE,
        act: |world| {
            let path = world.path("etc/fifo");
            mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
        },
        reported: &[],
    },
    Habit {
        name: "names that are no text, or more than a line",
        watched: TREE,
        act: |world| {
            let name = OsStr::from_bytes(b"\xff.conf");
            fs::write(world.path("etc").join(name), "").expect("writable");
            world.write("etc/two\nlines", "");
        },
        reported: &["etc/two\\nlines appeared and etc/\u{fffd}.conf appeared"],
    },
    Habit {
        name: "write in place to a file whose directory is found by a wildcard",
        watched: &[Glob("releases/*/bin/app")],
        act: |world| world.write("releases/2/bin/app", "three\n"),
        reported: &["releases/2/bin/app changed"],
    },
];

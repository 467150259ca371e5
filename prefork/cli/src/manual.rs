//! What the manual pages have beyond the help: exit status, files, environment, examples.

/// Something with what it is for.
pub(crate) type Entry = (&'static str, &'static str);

pub(crate) const FILES: [Entry; 5] = [
    (
        "/run/NAME/, $XDG_RUNTIME_DIR/NAME/",
        "Where the files of a daemon are looked for that is named by its name, or not at all.",
    ),
    (
        "board",
        "The scoreboard, which the daemon was given as scoreboard_path: what each child is doing, and whose it is. Mode 0600.",
    ),
    (
        "pid file",
        "Given to the daemon as pid_path. The daemon holds a lock on it: who holds that is the daemon, whatever number is \
         in the file.",
    ),
    (
        "PIDFILE.pools",
        "Beside the pid file of a daemon of several pools: what pools it has. Whether it runs, the lock of the pid file says.",
    ),
    ("error log", "Given as error_log_path: why something that was asked for has not come about."),
];

pub(crate) const ENVIRONMENT: [Entry; 6] = [
    (
        "PREFORK_PATH",
        "Directories, with colons between them, in which daemons are looked for instead of those above.",
    ),
    ("XDG_RUNTIME_DIR", "A directory of the user's in which daemons are looked for, too."),
    (
        "PREFORK_RUN_...",
        "Settings of prefork run, by the names of its flags in capitals, as PREFORK_RUN_MAX_CHILDREN.",
    ),
    (
        "RUNTIME_DIRECTORY",
        "Where prefork run has board and pid file, in the place of /run/NAME; systemd sets it for RuntimeDirectory=.",
    ),
    ("NO_COLOR", "If it is set and not empty, nothing is coloured."),
    ("TERM", "What kind of terminal it is; top refuses dumb."),
];

/// Returns the examples of a command; those of the whole for none.
pub(crate) fn examples(command: Option<&str>) -> &'static [Entry] {
    match command {
        None => &[
            (
                "prefork run --listen :8000 -- uvicorn app:app --fd {fd}",
                "Run a program as a daemon.",
            ),
            ("prefork list", "What runs here?"),
            ("prefork status hello", "What does the daemon called hello do?"),
            ("prefork check /run/hello/board || mail -s hello root < /dev/null", "Is all well?"),
            ("prefork reload hello --wait", "Read the settings again and replace the children."),
        ],
        Some("run") => &[
            (
                "prefork run --listen :8000 --prefork 2 --max-children 16 -- uvicorn app:app --fd {fd}",
                "2 to 16 processes of uvicorn at one port.",
            ),
            (
                "prefork run /etc/app.toml",
                "As a file says, that has the same names and command = ...",
            ),
            (
                "prefork run /etc/app/conf.d --common /etc/app/common.toml",
                "A pool for each NAME.toml there, in one daemon.",
            ),
            ("prefork run /etc/app.toml --check", "Would it? All that is wrong is named."),
            (
                "prefork run --listen :8000 --check -- php-cgi > app.toml",
                "A file of settings, made of a command line.",
            ),
        ],
        Some("status") => &[
            ("prefork status", "The only daemon that runs here."),
            ("prefork status app/web", "One of several pools."),
            (
                "prefork status --json hello | jq '.children[] | select(.request_seconds > 10)'",
                "Children that have been at a request for more than 10 seconds.",
            ),
        ],
        Some("top") => &[
            ("prefork top hello", "Longest at work first; ? lists the keys."),
            ("prefork top --interval 0.2 /run/hello/board", "Five looks a second."),
        ],
        Some("why") => &[
            ("prefork why hello", "What do all children wait for that are at work?"),
            ("prefork why hello 4711", "What does this child wait for?"),
            (
                "prefork why --json hello | jq -r '.children[].processes[].threads[].cause'",
                "In a word each: tcp, unix, lock, cpu and the like.",
            ),
        ],
        Some("metrics") => &[(
            "prefork metrics hello > /var/lib/node_exporter/hello.prom.new && mv \
             /var/lib/node_exporter/hello.prom.new /var/lib/node_exporter/hello.prom",
            "For the textfile collector of the node exporter, from a timer.",
        )],
        Some("list") => &[("prefork list", "All daemons that are found.")],
        Some("check") => {
            &[("prefork check /run/hello/pid /run/hello/board", "Both files of a daemon.")]
        }
        Some("running") => &[(
            "prefork running hello > /dev/null || systemctl start hello",
            "Start it if it does not run.",
        )],
        Some("stop") => &[
            ("prefork stop hello --timeout 90", "Requests in hand have 90 seconds."),
            ("prefork stop hello --now", "Requests in hand are not finished."),
        ],
        Some("reload") => &[(
            "prefork reload hello --wait",
            "Exits with 1 and the reason if the new children do not work.",
        )],
        Some("upgrade") => &[(
            "install hello.new /usr/local/bin/hello && prefork upgrade hello --wait",
            "Exits with 1 and the reason if the new program does not work; the old one goes on.",
        )],
        Some("reopen") => &[(
            "mv access.log access.log.1; prefork reopen hello --wait && gzip access.log.1",
            "Nobody writes to the old file any more when it is compressed.",
        )],
        Some("scale") => &[
            ("prefork scale hello 8", "8 children while there is little to do."),
            ("prefork scale app/mail 2", "2 in one of several pools."),
        ],
        Some("signal") => &[("prefork signal TTIN hello", "One child more.")],
        Some("completions") => &[(
            "prefork completions bash > /etc/bash_completion.d/prefork",
            "For all users of bash.",
        )],
        Some("init") => &[
            (
                "prefork init systemd /etc/app.toml > /etc/systemd/system/app.service",
                "A unit with the paths and times of these settings.",
            ),
            (
                "prefork init logrotate /etc/app.toml > /etc/logrotate.d/app",
                "Its logs are rotated, and no line is lost.",
            ),
        ],
        Some("plan") => &[
            (
                "prefork plan --rate 200/s --time p50=20ms,p99=900ms --max-children 64 --memory-per-child 40M",
                "An hour of 200 requests a second.",
            ),
            (
                "prefork plan --rate 200/s --time 300ms --max-children 32 --client-timeout 2s --queue-limit 1s",
                "More than can be served, with a limit of the queue.",
            ),
            (
                "prefork plan --access-log times.log --max-children 64 --svg children.svg",
                "What has really come.",
            ),
        ],
        Some("man") => &[
            ("prefork man stop | man -l -", "Show the page of one command."),
            (
                "prefork man --install /usr/local/share/man/man1",
                "Install the pages of all commands, for man prefork-stop and the like.",
            ),
        ],
        Some(_) => &[],
    }
}

//! The unit of systemd.

use std::fmt::Write;

use prefork_core::one_line;

use super::{Daemon, MARGIN, seconds};

/// Makes `NAME.service`, see `systemd.service(5)`.
pub(super) fn text(daemon: &Daemon) -> String {
    let Daemon { name, prefork, file, .. } = daemon;
    let start = format!("{} run {}", quoted(&one_line(prefork)), quoted(&one_line(file)));
    let mut unit = format!(
        "# /etc/systemd/system/{name}.service\n[Unit]\nDescription={}\nAfter=network.target\n\n[Service]\n",
        escaped(name)
    );
    if daemon.is_in_background() {
        let pid = daemon.settings.pid_path.as_deref().unwrap_or_else(|| "".as_ref());
        let _ = write!(
            unit,
            "Type=forking\nPIDFile={}\n# The text in `systemctl status`, and more time to stop.\nNotifyAccess=all\n\
             ExecStart={start}\nExecReload=/bin/kill -HUP $MAINPID\n",
            escaped(&one_line(pid))
        );
    } else {
        let _ = write!(
            unit,
            "# Needs systemd 253; before that, Type=notify and ExecReload=kill -HUP $MAINPID.\nType=notify-reload\n\
             ExecStart={start}\nWatchdogSec=30s\n"
        );
    }
    let _ = write!(
        unit,
        "# Only the parent is sent SIGTERM, and asks its children.\nKillMode=mixed\n\
         # What the kernel kills for want of memory is replaced; by default the whole service is stopped for it.\n\
         OOMPolicy=continue\nTimeoutStartSec={}s\n# More than graceful_timeout and the 6 s that harder measures take.\n\
         TimeoutStopSec={}s\nRestart=on-failure\n# Settings that are wrong are not mended by starting again.\n\
         RestartPreventExitStatus=2 78\n",
        seconds(daemon.start_time()) + MARGIN,
        daemon.stop_seconds(),
    );
    for (key, base) in [("RuntimeDirectory", "/run"), ("LogsDirectory", "/var/log")] {
        for directory in daemon.directories_below(base) {
            let _ = writeln!(unit, "{key}={}", quoted(&directory));
        }
    }
    unit + "\n[Install]\nWantedBy=multi-user.target\n"
}

/// A word that systemd does not take apart or expand.
fn quoted(word: &impl ToString) -> String {
    let word = word.to_string();
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "/._-+:@".contains(character);
    if word.chars().all(is_plain) {
        return word;
    }
    format!("\"{}\"", escaped(&word.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "$$")))
}

/// A text in which systemd expands nothing.
fn escaped(text: &impl ToString) -> String {
    text.to_string().replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::tests::daemon, *};

    #[test]
    fn a_unit_has_the_times_and_places_of_the_daemon() {
        let mut daemon = daemon();
        daemon.settings.graceful_timeout = Some(Duration::from_millis(50_500));
        daemon.settings.error_log_path = Some("/var/log/app/error.log".into());
        let unit = text(&daemon);
        for line in [
            "Type=notify-reload",
            "ExecStart=/usr/local/bin/prefork run /etc/app/app.toml",
            "TimeoutStartSec=64s",
            "TimeoutStopSec=61s",
            "RuntimeDirectory=app",
            "LogsDirectory=app",
        ] {
            assert!(unit.lines().any(|it| it == line), "{line}\n{unit}");
        }
    }

    #[test]
    fn a_daemon_in_the_background_is_known_by_its_pid_file() {
        let mut daemon = daemon();
        daemon.settings.daemonize = Some(true);
        let unit = text(&daemon);
        assert!(unit.contains("Type=forking\nPIDFile=/run/app/pid\n"), "{unit}");
        assert!(!unit.contains("WatchdogSec"), "{unit}");
    }

    #[test]
    fn systemd_expands_nothing() {
        assert_eq!(quoted(&"/etc/a/b.toml"), "/etc/a/b.toml");
        assert_eq!(quoted(&r#"/a b/%n$x"\"#), r#""/a b/%%n$$x\"\\""#);
    }
}

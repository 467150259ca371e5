//! Directories that are to be there after each boot.

use std::fmt::Write;

use prefork_core::one_line;

use super::Daemon;

/// Makes a file for `/etc/tmpfiles.d`, see `tmpfiles.d(5)`.
pub(super) fn text(daemon: &Daemon) -> Result<String, String> {
    let Daemon { name, file, .. } = daemon;
    let mut lines = String::new();
    for (base, mode) in [("/run", "0755"), ("/var/log", "0750")] {
        for directory in daemon.directories_below(base) {
            let path = format!("{base}/{directory}").replace('%', "%%");
            let _ = writeln!(lines, "d \"{}\" {mode} root root -", path.replace('"', "\\x22"));
        }
    }
    if lines.is_empty() {
        return Err(format!(
            "{} needs no directory below /run or /var/log: nothing is to be made for {name}",
            one_line(file)
        ));
    }
    Ok(format!(
        "# /etc/tmpfiles.d/{name}.conf, where no unit with RuntimeDirectory= and LogsDirectory= makes these.\n\
         # Only the parent's user may write there: what is in them is trusted.\n{lines}"
    ))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::daemon, *};

    #[test]
    fn what_is_gone_after_a_boot_is_made() {
        let mut daemon = daemon();
        let made = text(&daemon).expect("one");
        assert_eq!(made.lines().last(), Some("d \"/run/app\" 0755 root root -"));
        (daemon.settings.pid_path, daemon.settings.scoreboard_path) = (None, None);
        let refused = text(&daemon).expect_err("nothing to make");
        assert!(refused.starts_with("/etc/app/app.toml needs no directory"), "{refused}");
    }
}

//! How logs are rotated.

use std::fmt::Write;

use prefork_core::one_line;

use super::Daemon;
use crate::run::split;

/// Makes a file for `/etc/logrotate.d`, see `logrotate(8)`.
pub(super) fn text(daemon: &Daemon) -> Result<String, String> {
    let Daemon { name, prefork, file, settings, .. } = daemon;
    let mut logs = String::new();
    for log in daemon.logs() {
        let _ = writeln!(logs, "{}", quoted(&one_line(log)));
    }
    if logs.is_empty() {
        return Err(format!(
            "{} names no error_log_path and no access_log_path: there is nothing to rotate, as what is logged goes where {name} \
             was started, to the journal or a container's log",
            one_line(file)
        ));
    }
    let Some(pid) = &settings.pid_path else {
        return Err(format!(
            "{} names no pid_path, by which {name} is asked to open its logs again",
            one_line(file)
        ));
    };
    let as_word = |path: &dyn ToString| split::shell_word(&path.to_string());
    let (pid, prefork) = (as_word(&one_line(pid)), as_word(&one_line(prefork)));
    Ok(format!(
        "# /etc/logrotate.d/{name}\n{logs}{{\n    daily\n    rotate 14\n    missingok\n    notifempty\n    \
         # Without delaycompress: the command below returns when no process writes to an old log any more.\n    compress\n    \
         sharedscripts\n    postrotate\n        test ! -e {pid} || {prefork} reopen --wait --timeout 20 {pid}\n    endscript\n}}\n"
    ))
}

/// A path in which logrotate expands nothing.
fn quoted(path: &impl ToString) -> String {
    let path = path.to_string();
    let is_special = |character: char| "\\*?[]{}\"".contains(character);
    let escaped: String = path
        .chars()
        .flat_map(|character| is_special(character).then_some('\\').into_iter().chain([character]))
        .collect();
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::{super::tests::daemon, *};

    #[test]
    fn each_log_is_rotated_once() {
        let mut daemon = daemon();
        assert!(text(&daemon).expect_err("no logs").contains("error_log_path"));
        daemon.settings.error_log_path = Some("/var/log/app/all.log".into());
        daemon.settings.access_log_path = Some("/var/log/app/all.log".into());
        let rotated = text(&daemon).expect("one");
        assert_eq!(rotated.matches("\"/var/log/app/all.log\"\n").count(), 1, "{rotated}");
        assert!(rotated.contains("/usr/local/bin/prefork reopen --wait --timeout 20 /run/app/pid"));
        daemon.settings.pid_path = None;
        assert!(text(&daemon).expect_err("no pid file").contains("pid_path"));
    }
}

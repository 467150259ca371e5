//! The image of a container.

use std::fmt::Write;

use prefork_core::one_line;

use super::Daemon;

/// Makes a `Dockerfile`.
pub(super) fn text(daemon: &Daemon) -> String {
    let Daemon { name, prefork, .. } = daemon;
    let file = daemon.file_name();
    let mut image = format!(
        "# In a directory with {file}, a copy of {} and the program:\n#   docker build -t {name} . && docker run {name}\n",
        one_line(prefork)
    );
    if let Some(address) = daemon.hidden_address() {
        let _ = writeln!(
            image,
            "# {file} listens at {address}, where nobody comes from outside of the container: 0.0.0.0 is for all."
        );
    }
    let _ = write!(
        image,
        "FROM debian:bookworm-slim\n# What the program needs:\n# RUN apt-get update && apt-get install -y \
         --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*\nCOPY prefork /usr/local/bin/prefork\n\
         COPY {file} /etc/{name}/{file}\n"
    );
    for port in daemon.ports() {
        let _ = writeln!(image, "EXPOSE {port}");
    }
    let _ = write!(
        image,
        "# The parent is process 1: it stays in the foreground, reaps whatever it inherits, and on SIGTERM, which is sent to it\n\
         # alone, lets its children finish. `docker stop -t {}` gives it the time.\nSTOPSIGNAL SIGTERM\n\
         HEALTHCHECK --interval=10s --timeout=3s --start-period={}s CMD [\"/usr/local/bin/prefork\", \"status\"]\n\
         ENTRYPOINT [\"/usr/local/bin/prefork\", \"run\", \"/etc/{name}/{file}\"]\n",
        daemon.stop_seconds(),
        super::seconds(daemon.start_time()),
    );
    image
}

#[cfg(test)]
mod tests {
    use super::{super::tests::daemon, *};

    #[test]
    fn an_image_has_the_ports_and_times_of_the_daemon() {
        let mut daemon = daemon();
        let image = text(&daemon);
        assert!(
            image.contains("\nEXPOSE 8000\n") && image.contains("docker stop -t 40`"),
            "{image}"
        );
        assert!(!image.contains("nobody comes"), "{image}");
        daemon.addresses = vec!["127.0.0.1:8000".to_owned()];
        assert!(text(&daemon).contains("listens at 127.0.0.1:8000, where nobody comes"));
    }
}

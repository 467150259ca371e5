//! What Kubernetes is told.

use std::{fmt::Write, net::SocketAddr};

use prefork::Settings;

use super::{Daemon, seconds};

/// How long it serves on while it is taken out of the service.
const PRE_STOP: u64 = 5;

/// Where it answers probes if nothing else was said.
const METRICS: u16 = 9100;

/// Makes a manifest.
pub(super) fn text(daemon: &Daemon) -> String {
    let (name, file) = (label(&daemon.name), daemon.file_name());
    let mut all = config_map(daemon, &name, &file) + "---\n" + &deployment(daemon, &name, &file);
    if let Some(port) = daemon.ports().first() {
        let _ = write!(
            all,
            "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: \"{name}\"\nspec:\n  selector: {{app: \"{name}\"}}\n  ports:\n    \
             - {{name: http, port: 80, targetPort: {port}}}\n"
        );
    }
    let _ = write!(
        all,
        "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: \"{name}\"\nspec:\n  \
         scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: \"{name}\"}}\n  minReplicas: 2\n  maxReplicas: 20\n  \
         metrics:\n    # Children at work by max_children, 0 to 1, of /metrics; a metrics adapter brings it to Kubernetes.\n    \
         - type: Pods\n      pods:\n        metric: {{name: prefork_busy_ratio}}\n        \
         target: {{type: AverageValue, averageValue: 700m}}\n"
    );
    all
}

/// The settings, as they are.
fn config_map(daemon: &Daemon, name: &str, file: &str) -> String {
    let mut map = format!(
        "# One pod is one pool. The image is one with prefork and the program, as `prefork init container` describes.\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: \"{name}\"\ndata:\n  \"{file}\": |2\n"
    );
    for line in daemon.text.lines() {
        let indent = if line.is_empty() { "" } else { "    " };
        let _ = writeln!(map, "{indent}{line}");
    }
    map
}

fn deployment(daemon: &Daemon, name: &str, file: &str) -> String {
    let (metrics, is_given) = match metrics_port(&daemon.settings) {
        Some(port) => (port, true),
        None => (METRICS, false),
    };
    let mut words = vec!["run".to_owned(), format!("/etc/{name}/{file}")];
    if !is_given {
        words.push(format!("--metrics-listen=0.0.0.0:{METRICS}"));
    }
    let args: String =
        words.iter().fold(String::new(), |all, word| all + &format!("            - {word}\n"));
    let ports: String = daemon.ports().iter().fold(String::new(), |all, port| {
        all + &format!("            - {{containerPort: {port}}}\n")
    });
    let starts = seconds(daemon.start_time());
    let grace = PRE_STOP + daemon.stop_seconds();
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: \"{name}\"
  labels: {{app: \"{name}\"}}
spec:
  selector:
    matchLabels: {{app: \"{name}\"}}
  strategy:
    rollingUpdate: {{maxUnavailable: 0, maxSurge: 25%}}
  template:
    metadata:
      labels: {{app: \"{name}\"}}
    spec:
      # preStop, graceful_timeout, the 6 s that harder measures take, and a margin.
      terminationGracePeriodSeconds: {grace}
      containers:
        - name: \"{name}\"
          image: {name}:latest
          command: [/usr/local/bin/prefork]
          args:
{args}          ports:
            - {{name: metrics, containerPort: {metrics}}}
{ports}          # Until it is ready for the first time: no other probe looks.
          startupProbe:
            httpGet: {{path: \"/ready?full\", port: metrics}}
            periodSeconds: 1
            failureThreshold: {starts}
          # Not while it starts or stops. A full pod stays in the service: where all are full, none would be left.
          readinessProbe:
            httpGet: {{path: \"/ready?full\", port: metrics}}
            periodSeconds: 5
            timeoutSeconds: 2
            failureThreshold: 2
          livenessProbe:
            httpGet: {{path: /live, port: metrics}}
            periodSeconds: 10
            timeoutSeconds: 2
            failureThreshold: 3
          lifecycle:
            preStop:
              # While the endpoints of the service are told that this one goes, it serves on.
              exec: {{command: [sleep, \"{PRE_STOP}\"]}}
          volumeMounts:
            - {{name: settings, mountPath: /etc/{name}}}
            - {{name: run, mountPath: /run}}
      volumes:
        - name: settings
          configMap: {{name: \"{name}\"}}
        - name: run
          emptyDir: {{medium: Memory, sizeLimit: 16Mi}}
"
    )
}

/// Where the file has it answer probes from outside of the container.
fn metrics_port(settings: &Settings) -> Option<u16> {
    let address: SocketAddr = settings.metrics_listen.as_ref()?.to_string().parse().ok()?;
    (!address.ip().is_loopback()).then_some(address.port())
}

/// A name as Kubernetes takes it, of a service too, which begins with a letter. To YAML, `on` is no name: quote it.
fn label(name: &str) -> String {
    let plain = |character: char| {
        let lower = character.to_ascii_lowercase();
        if lower.is_ascii_alphanumeric() { lower } else { '-' }
    };
    let label: String = name.chars().map(plain).take(59).collect();
    let label = label.trim_matches('-');
    match label.chars().next() {
        None => "prefork".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("app-{label}"),
        Some(_) => label.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::daemon, *};

    #[test]
    fn a_manifest_has_the_settings_and_times_of_the_daemon() {
        let mut daemon = daemon();
        let manifest = text(&daemon);
        for part in [
            "  \"app.toml\": |2\n    command = [\"python3\", \"app.py\"]\n    listen = \"0.0.0.0:8000\"\n---\n",
            "            - run\n            - /etc/app/app.toml\n            - --metrics-listen=0.0.0.0:9100\n",
            "terminationGracePeriodSeconds: 45\n",
            "targetPort: 8000}\n",
        ] {
            assert!(manifest.contains(part), "{part}\n{manifest}");
        }
        daemon.settings.metrics_listen = Some("0.0.0.0:9200".into());
        let manifest = text(&daemon);
        assert!(
            manifest.contains("{name: metrics, containerPort: 9200}") && !manifest.contains("9100")
        );
    }

    #[test]
    fn names_are_such_as_kubernetes_takes() {
        for (name, expected) in
            [("My App_2", "my-app-2"), ("-x-", "x"), ("..", "prefork"), ("2024", "app-2024")]
        {
            assert_eq!(label(name), expected);
        }
        assert_eq!(label(&"1".repeat(100)).len(), 63);
    }
}

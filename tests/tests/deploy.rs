//! The files in `prefork/deploy`: what reads them accepts them, and what they start serves.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
};

use prefork_tests::{Daemon, Lack, PATIENCE, Scene, require_tool, scene, skip, wait_until};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../prefork/deploy");

/// How long children that do not leave are given after `graceful_timeout`.
const HARDER_MEASURES: u64 = 6;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(FOLDER).join(name)).expect("the file is there")
}

/// Starts hello as a file says, at the address and with the files of the scene, and stops it.
#[track_caller]
fn assert_serves(scene: &Scene, args: &[String]) {
    serve(scene, args).stop_in_order();
}

/// Starts it, and leaves it running.
#[track_caller]
fn serve<'a>(scene: &'a Scene, args: &[String]) -> Daemon<'a> {
    let here = |arg: &String| {
        let arg = arg.replace("0.0.0.0:8080", &scene.address().to_string());
        let arg = arg.replace("0.0.0.0:9100", &scene.public().to_string());
        let board = scene.path("scoreboard").display().to_string();
        arg.replace("/dev/shm/hello.scoreboard", &board).replace("/run/hello/scoreboard", &board)
    };
    let daemon = scene.tool(env!("CARGO_BIN_EXE_hello")).args(args.iter().map(here)).foreground();
    daemon.get("/").expect("it serves");
    daemon
}

/// The status by which a path is answered, if it is.
fn get_status(address: SocketAddr, path: &str) -> Option<u16> {
    let mut connection = TcpStream::connect(address).ok()?;
    write!(connection, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").ok()?;
    let mut text = String::new();
    connection.read_to_string(&mut text).ok()?;
    text.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// The numbers of seconds after every `name` in a text.
fn seconds_after(text: &str, name: &str) -> Vec<u64> {
    let rests = text.split(name).skip(1);
    let digits =
        rests.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    digits.filter_map(|digits| digits.parse().ok()).collect()
}

#[test]
fn systemd_accepts_the_units() {
    if !require_tool("systemd-analyze") {
        return;
    }
    let scene = scene!();
    let version = scene.tool("systemd-analyze").args(["--version"]).finish();
    let version: Option<u32> =
        version.stdout.split(' ').nth(1).and_then(|number| number.parse().ok());
    let knows_reload = version.is_some_and(|version| version >= 253);
    if !knows_reload {
        let what = format!("Type=notify-reload, which systemd {version:?} does not know");
        skip(Lack::Platform(&what));
    }
    let units = [
        "hello.service",
        "hello.socket",
        "hello-forking.service",
        "pools.service",
        "pools-web.socket",
        "pools-reports.socket",
    ]
    .map(|name| {
        let mut text = read(name)
            .replace("/usr/local/bin/hello", env!("CARGO_BIN_EXE_hello"))
            .replace("/usr/local/bin/pools", env!("CARGO_BIN_EXE_pools"));
        if !knows_reload {
            text = text.replace("Type=notify-reload", "Type=notify").replace("ReloadSignal=", "#");
        }
        fs::write(scene.path(name), text).expect("written");
        scene.path(name)
    });
    let verify = scene.tool("systemd-analyze").args(["--man=no", "verify"]);
    let checked = verify.args(&units).finish();
    let is_ours = |line: &&str| line.contains("hello") || line.contains("pools");
    let of_ours: Vec<_> = checked.stderr.lines().filter(is_ours).collect();
    assert!(checked.end.is_success() && of_ours.is_empty(), "{checked:?}");
}

#[test]
fn the_settings_of_the_unit_serve() {
    let scene = scene!();
    let text = read("hello.toml")
        .replace("0.0.0.0:8080", &scene.address().to_string())
        .replace("/run/hello/scoreboard", &scene.path("scoreboard").display().to_string());
    fs::write(scene.path("hello.toml"), text).expect("written");
    let hello = scene.tool(env!("CARGO_BIN_EXE_hello")).path("--config", "hello.toml");
    let daemon = hello.foreground();
    daemon.get("/").expect("it serves");
    daemon.stop_in_order();
}

#[test]
fn the_arguments_of_the_image_serve() {
    let scene = scene!();
    let text = read("Dockerfile");
    let command = text.lines().find_map(|line| line.strip_prefix("CMD ")).expect("it has one");
    let words = command.trim_start_matches('[').trim_end_matches(']').split(", ");
    let words: Vec<_> = words.map(|word| word.trim_matches('"').to_owned()).collect();
    assert_serves(&scene, &words);
}

#[test]
fn managers_wait_long_enough_for_the_daemon() {
    let unit = read("hello.service");
    let settings = read("hello.toml");
    let graceful = seconds_after(&settings, "graceful_timeout = \"")[0];
    assert!(seconds_after(&unit, "TimeoutStopSec=")[0] > graceful + HARDER_MEASURES);
    let pod = read("kubernetes.yaml");
    let graceful = seconds_after(&pod, "--graceful-timeout=")[0];
    let pre_stop = seconds_after(&pod, "[sleep, \"")[0];
    let grace = seconds_after(&pod, "terminationGracePeriodSeconds: ")[0];
    assert!(grace > pre_stop + graceful + HARDER_MEASURES, "{grace} s are too short");
}

/// Every field is one that Kubernetes knows, at its place and of its type.
#[test]
fn kubernetes_accepts_the_manifest() {
    if !require_tool("kubernetes-validate") {
        return;
    }
    let scene = scene!();
    let manifest = Path::new(FOLDER).join("kubernetes.yaml");
    let validate = scene.tool("kubernetes-validate").args(["--strict"]);
    let validated = validate.args([manifest]).finish();
    assert!(validated.end.is_success(), "{validated:?}");
}

/// It is YAML, the parts belong together, and what the pod's command is given serves.
#[test]
fn the_arguments_of_the_pod_serve() {
    const SCRIPT: &str = r#"
import sys, yaml
parts = {part["kind"]: part for part in yaml.safe_load_all(open(sys.argv[1]))}
pod = parts["Deployment"]["spec"]["template"]
app = pod["metadata"]["labels"]
assert parts["Deployment"]["spec"]["selector"]["matchLabels"] == app
assert parts["Service"]["spec"]["selector"] == app
assert parts["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == app
scaled = parts["HorizontalPodAutoscaler"]["spec"]
assert scaled["scaleTargetRef"]["name"] == parts["Deployment"]["metadata"]["name"]
assert scaled["metrics"][0]["pods"]["metric"]["name"] == "prefork_busy_ratio"
container = pod["spec"]["containers"][0]
ports = {port["name"]: port["containerPort"] for port in container["ports"]}
assert ports["metrics"] == 9100 == int(pod["metadata"]["annotations"]["prometheus.io/port"])
assert "preStop" in container["lifecycle"]
for probe in "startupProbe", "readinessProbe", "livenessProbe":
    get = container[probe]["httpGet"]
    assert get["port"] == "metrics", probe
    print("probe", get["path"])
print("\n".join(container["args"]))
"#;
    if !require_tool("python3") {
        return;
    }
    let scene = scene!();
    if !scene.tool("python3").args(["-c", "import yaml"]).finish().end.is_success() {
        skip(Lack::Missing("python3 has no module yaml"));
        return;
    }
    let file = Path::new(FOLDER).join("kubernetes.yaml");
    let parsed = scene.tool("python3").args(["-c", SCRIPT]).args([file]).finish();
    assert!(parsed.end.is_success(), "{parsed:?}");
    let (probes, args): (Vec<_>, Vec<_>) =
        parsed.stdout.lines().map(str::to_owned).partition(|line| line.starts_with("probe "));
    let daemon = serve(&scene, &args);
    assert_eq!(probes.len(), 3);
    for probe in &probes {
        let path = probe.trim_start_matches("probe ");
        // As the kubelet asks: by the address of the pod.
        let ok = || get_status(scene.public(), path) == Some(200);
        wait_until(PATIENCE, &format!("{path} is answered by 200"), ok);
    }
    daemon.stop_in_order();
}

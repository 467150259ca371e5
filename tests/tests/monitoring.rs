//! The alerts and the dashboard in `prefork/deploy`: what reads them accepts them, and what they ask for exists.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use prefork_tests::{Scene, require_tool, scene};
use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../prefork/deploy");
const ALERTS: &str = include_str!("../../prefork/deploy/prometheus-alerts.yaml");
const DASHBOARD: &str = include_str!("../../prefork/deploy/grafana-dashboard.json");
const MANUAL: &str = include_str!("../../prefork/docs/command.md");

/// The names of metrics in a text.
fn metrics(text: &str) -> BTreeSet<&str> {
    let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_';
    text.split(|char| !is_part(char)).filter(|word| word.starts_with("prefork_")).collect()
}

/// The metrics of the manual, which a test of the status page holds to be those that are served.
fn documented() -> BTreeSet<&'static str> {
    let (_, section) = MANUAL.split_once("\n# Metrics\n").expect("a section");
    let (section, _) = section.split_once("\n# ").expect("another section");
    let rows = section.lines().filter(|line| line.starts_with("| `prefork_"));
    rows.flat_map(|row| metrics(row.split('|').nth(1).expect("a column"))).collect()
}

/// All that is called so, anywhere in a document.
fn all<'a>(document: &'a Value, key: &str) -> Vec<&'a str> {
    match document {
        Value::Object(fields) => {
            let own = fields.get(key).and_then(Value::as_str);
            own.into_iter().chain(fields.values().flat_map(|it| all(it, key))).collect()
        }
        Value::Array(items) => items.iter().flat_map(|it| all(it, key)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn dashboard() -> Value {
    serde_json::from_str(DASHBOARD).expect("the dashboard is JSON")
}

#[track_caller]
fn assert_rules(scene: &Scene, rules: impl AsRef<Path>) {
    let checked = scene.tool("promtool").args(["check", "rules"]).args([rules.as_ref()]).finish();
    assert!(checked.end.is_success() && checked.stdout.contains("SUCCESS"), "{checked:?}");
}

#[test]
fn alerts_and_dashboard_ask_only_for_metrics_that_exist() {
    let documented = documented();
    for (file, text) in [("alerts", ALERTS), ("dashboard", DASHBOARD)] {
        let asked = metrics(text);
        assert!(asked.len() > 10, "{file}: {asked:?}");
        let base = |name: &str| name.trim_end_matches("_bucket").to_owned();
        let unknown: Vec<_> =
            asked.iter().filter(|name| !documented.contains(&*base(name))).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
}

#[test]
fn prometheus_accepts_the_alerts() {
    if require_tool("promtool") {
        assert_rules(&scene!(), Path::new(FOLDER).join("prometheus-alerts.yaml"));
    }
}

/// Each query is one that Prometheus reads, once the dashboard has put in what is chosen.
#[test]
fn prometheus_accepts_the_queries_of_the_dashboard() {
    if !require_tool("promtool") {
        return;
    }
    let scene = scene!();
    let dashboard = dashboard();
    let queries = all(&dashboard, "expr");
    assert!(queries.len() > 20, "{queries:?}");
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (number, query) in queries.iter().enumerate() {
        let query = query.replace("$__rate_interval", "5m");
        let quoted = serde_json::to_string(&query).expect("a text");
        writeln!(rules, "      - record: query:number{number}\n        expr: {quoted}")
            .expect("written");
    }
    fs::write(scene.path("rules.yaml"), rules).expect("written");
    assert_rules(&scene, scene.path("rules.yaml"));
}

/// Panels do not lie on one another, and each says what it shows.
#[test]
fn the_dashboard_has_a_place_for_each_panel() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut taken = BTreeSet::new();
    for panel in panels {
        let [x, y, w, h] =
            ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().expect("a number"));
        assert!(x + w <= 24, "{panel}");
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(place), "{place:?} is taken: {panel}");
        }
        let described = panel["description"].as_str().is_some_and(|text| !text.is_empty());
        assert!(described && panel["title"].is_string(), "{panel}");
    }
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len());
}

/// Of a daemon that is well none fires, and of one in trouble those about it.
#[test]
fn alerts_fire_for_a_daemon_in_trouble_alone() {
    const CASE: &str = r#"
rule_files: [ALERTS]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'prefork_busy_ratio{instance="well",name="hello"}', values: '0.5x30'}
      - {series: 'prefork_daemon_state{instance="well",name="hello",state="running"}', values: '1x30'}
      - {series: 'prefork_daemon_state{instance="well",name="hello",state="stopped"}', values: '0x30'}
      - {series: 'prefork_queue_drops_total{instance="well",name="hello"}', values: '7x30'}
      - {series: 'prefork_early_deaths_total{instance="well",name="hello"}', values: '3x30'}
      - {series: 'prefork_child_deaths_total{instance="well",name="hello",cause="exited"}', values: '0+5x30'}
      - {series: 'prefork_child_deaths_total{instance="well",name="hello",cause="crashed"}', values: '2x30'}
      - {series: 'prefork_reloads_total{instance="well",name="hello",result="done"}', values: '0+1x30'}
      - {series: 'prefork_busy_ratio{instance="full",name="hello"}', values: '1x30'}
      - {series: 'prefork_queue_drops_total{instance="full",name="hello"}', values: '0+9x30'}
      - {series: 'prefork_queue_seconds_bucket{instance="full",name="hello",le="0.5"}', values: '0+1x30'}
      - {series: 'prefork_queue_seconds_bucket{instance="full",name="hello",le="2"}', values: '0+9x30'}
      - {series: 'prefork_queue_seconds_bucket{instance="full",name="hello",le="+Inf"}', values: '0+9x30'}
      - {series: 'prefork_daemon_state{instance="hangs",name="hello",state="late"}', values: '1x30'}
      - {series: 'prefork_early_deaths_total{instance="loops",name="hello"}', values: '0+4x30'}
      - {series: 'prefork_child_deaths_total{instance="loops",name="hello",cause="aborted"}', values: '0+4x30'}
    promql_expr_test:
      - expr: count by (alertname, instance) (ALERTS{alertstate="firing"})
        eval_time: 25m
        exp_samples:
          - {labels: '{alertname="PreforkFull",instance="full"}', value: 1}
          - {labels: '{alertname="PreforkQueueOverflows",instance="full"}', value: 1}
          - {labels: '{alertname="PreforkClientsWait",instance="full"}', value: 1}
          - {labels: '{alertname="PreforkParentDecidesNothing",instance="hangs"}', value: 1}
          - {labels: '{alertname="PreforkChildrenEndBeforeTheyWork",instance="loops"}', value: 1}
          - {labels: '{alertname="PreforkChildrenCrash",instance="loops"}', value: 1}
"#;
    if !require_tool("promtool") {
        return;
    }
    let scene = scene!();
    let alerts = Path::new(FOLDER).join("prometheus-alerts.yaml");
    fs::write(scene.path("case.yaml"), CASE.replace("ALERTS]", &format!("{}]", alerts.display())))
        .expect("written");
    let tested = scene.tool("promtool").args(["test", "rules"]).args([scene.path("case.yaml")]);
    let tested = tested.finish();
    assert!(tested.end.is_success(), "{tested:?}");
}

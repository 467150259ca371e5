//! A board as OpenMetrics text.

use std::{fmt, time::Duration};

use prefork_scoreboard::{Life, Stall, State, Status};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
    registry::{Registry, Unit},
};

use crate::{View, words};

/// Registers what a board says, if there is one.
///
/// All are gauges: what a child has counted goes with it, so nothing here only ever grows.
#[must_use]
pub fn registry(view: Option<View>) -> Registry {
    let mut registry = Registry::with_prefix("prefork");
    if let Some(view) = view {
        registry.register_collector(Box::new(Reading(view)));
    }
    registry
}

/// Renders what is registered as OpenMetrics text.
///
/// # Panics
///
/// Panics if a collector fails, which those of this crate do not.
#[must_use]
pub fn text(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry)
        .expect("a string takes any text");
    text
}

#[derive(Debug)]
struct Reading(View);

impl Collector for Reading {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(view) = self;
        gauge(&mut to, "slots", "Slots of the scoreboard", None, Some(view.slots()))?;
        children(&mut to, view)?;
        let help = "Children that were asked to leave and finish what they have in hand";
        gauge(&mut to, "leaving_children", help, None, Some(view.leaving()))?;
        let requests = view.rows.iter().map(|row| row.requests);
        gauge(
            &mut to,
            "living_children_requests",
            "Requests served by the children that live now, falls when a child is replaced",
            None,
            Some(requests.fold(0, u64::saturating_add)),
        )?;
        let generation = view.taken().map(|row| row.generation).max();
        gauge(&mut to, "newest_generation", "Newest generation of children", None, generation)?;
        let memory = view.rows.iter().filter_map(|row| row.memory).reduce(u64::saturating_add);
        gauge(
            &mut to,
            "children_resident",
            "Resident memory of the children, shared pages counted in each",
            Some(&Unit::Bytes),
            memory,
        )?;
        let longest = view.longest_request().unwrap_or_default();
        seconds(&mut to, "longest_request", "Time in the oldest request in hand", Some(longest))?;
        let oldest = view.rows.iter().filter_map(|row| row.age).max();
        seconds(&mut to, "oldest_child_age", "Age of the oldest child", oldest)?;
        seconds(&mut to, "scoreboard_age", "Time since the board was created", view.age)?;
        let up = match view.creator_life {
            Life::Running => Some(1_u64),
            Life::Gone => Some(0),
            Life::Unknown => None,
        };
        gauge(&mut to, "creator_running", "Whether the board's creator still runs", None, up)
    }
}

fn children(to: &mut DescriptorEncoder<'_>, view: &View) -> fmt::Result {
    let help = "Children by what they are doing";
    let mut encoder = to.encode_descriptor("children", help, None, MetricType::Gauge)?;
    let live = State::ALL.into_iter().map(Status::Live);
    for status in live.chain([Status::Stalled(Stall::Damaged)]) {
        let state = words::state(status);
        let count = view.rows.iter().filter(|row| words::state(row.status) == state).count();
        let labels = [("state", state)];
        ConstGauge::new(count).encode(encoder.encode_family(&labels)?)?;
    }
    Ok(())
}

fn seconds(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    time: Option<Duration>,
) -> fmt::Result {
    gauge(to, name, help, Some(&Unit::Seconds), time.map(|time| time.as_secs_f64()))
}

/// Writes one figure; nothing if it is not known.
///
/// # Errors
///
/// Fails as the encoder does.
pub fn gauge<N: EncodeGaugeValue>(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: Option<N>,
) -> fmt::Result {
    let Some(value) = value else { return Ok(()) };
    ConstGauge::new(value).encode(to.encode_descriptor(name, help, unit, MetricType::Gauge)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::samples::{of_rows, row, view};

    fn metrics(view: &View) -> String {
        crate::text(&registry(Some(view.clone())))
    }

    /// Reads the text back, line by line, as strictly as the format has it.
    fn parsed(text: &str) -> BTreeMap<&str, f64> {
        let body = text.strip_suffix("# EOF\n").expect("the end is marked");
        let mut samples = BTreeMap::new();
        let mut family = "";
        for line in body.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                let (keyword, name) = (words.next(), words.next().expect("a name"));
                match keyword {
                    Some("HELP") => family = name,
                    Some("TYPE") => assert_eq!(words.next(), Some("gauge"), "{line}"),
                    Some("UNIT") => {
                        let unit = words.next().expect("a unit");
                        assert!(name.ends_with(&format!("_{unit}")), "{line}");
                    }
                    _ => panic!("an unknown comment: {line}"),
                }
                assert_eq!(name, family, "{line}");
                continue;
            }
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            assert_eq!(name.split('{').next(), Some(family), "{line}");
            let value = value.parse().expect("a number");
            assert_eq!(samples.insert(name, value), None, "twice: {line}");
        }
        samples
    }

    #[test]
    fn the_text_says_what_the_board_says() {
        let text = metrics(&view());
        let samples = parsed(&text);
        let expected = [
            ("prefork_slots", 8.0),
            ("prefork_children{state=\"idle\"}", 1.0),
            ("prefork_children{state=\"writing\"}", 1.0),
            ("prefork_children{state=\"keepalive\"}", 0.0),
            ("prefork_children{state=\"stalled\"}", 1.0),
            ("prefork_leaving_children", 0.0),
            ("prefork_living_children_requests", 25_000.0),
            ("prefork_newest_generation", 1.0),
            ("prefork_children_resident_bytes", 25.0 * 1024.0 * 1024.0),
            ("prefork_longest_request_seconds", 8.75),
            ("prefork_oldest_child_age_seconds", 700.0),
            ("prefork_scoreboard_age_seconds", 3723.0),
            ("prefork_creator_running", 1.0),
        ];
        for (name, value) in expected {
            assert_eq!(samples.get(name), Some(&value), "{name} in {text}");
        }
        let children = samples.keys().filter(|name| name.starts_with("prefork_children{")).count();
        assert_eq!(samples.len(), children + 9);
        assert_eq!(children, State::ALL.len() + 1);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let mut view = of_rows(vec![row(0, Status::Empty)]);
        (view.age, view.creator_life) = (None, Life::Unknown);
        let text = metrics(&view);
        let samples = parsed(&text);
        for name in ["creator_running", "scoreboard_age_seconds", "oldest_child_age_seconds"] {
            assert!(!samples.contains_key(&*format!("prefork_{name}")), "{text}");
        }
        assert_eq!(samples.get("prefork_longest_request_seconds"), Some(&0.0));
    }

    #[test]
    fn the_order_is_always_the_same() {
        assert_eq!(metrics(&view()), metrics(&view()));
    }
}

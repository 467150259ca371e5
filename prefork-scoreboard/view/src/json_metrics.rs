//! What the program counts itself, as JSON.

use std::collections::BTreeMap;

use prefork_scoreboard::metrics::{FamilyReading, Figure, MetricKind, Reading, Series};
use serde::Serialize;

/// What a program counts, as it is shown.
#[derive(Debug, Serialize)]
pub struct ShownMetrics<'a> {
    refused_series: u64,
    unreadable_series: u64,
    families: Vec<ShownFamily<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownFamily<'a> {
    name: &'a str,
    kind: &'static str,
    help: &'a str,
    unit: Option<&'a str>,
    #[serde(skip_serializing_if = "<[f64]>::is_empty")]
    bounds: &'a [f64],
    series: Vec<ShownSeries<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownSeries<'a> {
    labels: BTreeMap<&'a str, &'a str>,
    #[serde(flatten)]
    figure: ShownFigure<'a>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ShownFigure<'a> {
    Count { value: u64 },
    Gauge { value: f64 },
    Histogram { buckets: &'a [u64], sum: f64, count: u64 },
}

impl<'a> ShownMetrics<'a> {
    /// Takes from a reading what is shown of it.
    #[must_use]
    pub fn new(reading: &'a Reading) -> Self {
        Self {
            refused_series: reading.refused(),
            unreadable_series: reading.unreadable(),
            families: reading.families().iter().map(family).collect(),
        }
    }
}

fn family(family: &FamilyReading) -> ShownFamily<'_> {
    ShownFamily {
        name: family.name(),
        kind: match family.kind() {
            MetricKind::Counter => "counter",
            MetricKind::Gauge(_) => "gauge",
            MetricKind::Histogram => "histogram",
        },
        help: family.help(),
        unit: family.unit(),
        bounds: family.bounds(),
        series: family.series().iter().map(series).collect(),
    }
}

fn series(series: &Series) -> ShownSeries<'_> {
    let labels = series.labels().iter().map(|(name, value)| (&**name, &**value)).collect();
    let figure = match series.figure() {
        Figure::Counter(value) => ShownFigure::Count { value: *value },
        Figure::Gauge(value) => ShownFigure::Gauge { value: *value },
        Figure::Histogram { buckets, sum } => {
            let count = buckets.iter().fold(0, |sum: u64, more| sum.saturating_add(*more));
            ShownFigure::Histogram { buckets, sum: *sum, count }
        }
    };
    ShownSeries { labels, figure }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use serde_json::json;

    #[test]
    fn a_histogram_has_its_buckets_and_a_counter_its_value() {
        let reading = samples::metrics();
        let shown = serde_json::to_value(ShownMetrics::new(&reading)).expect("JSON");
        assert_eq!(shown["families"][0]["series"][1]["labels"]["kind"], "book");
        assert_eq!(shown["families"][0]["series"][1]["value"], 4);
        let waits = &shown["families"][2];
        let expected = json!({
            "name": "shop_wait_seconds",
            "kind": "histogram",
            "help": "Waits",
            "unit": null,
            "bounds": [0.5, 1.0],
            "series": [{ "labels": {}, "buckets": [1, 0, 1], "sum": 3.25, "count": 2 }],
        });
        assert_eq!(waits, &expected);
    }
}

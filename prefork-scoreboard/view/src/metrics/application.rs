//! What the program counts itself, beside what is known of its processes.

use std::fmt::Write;

use prefork_scoreboard::metrics::{FamilyReading, Figure, MetricKind, Reading, Series};

use super::{Exposition, Value};
use crate::metrics::exposition::{Described, Escaped};

/// Writes all metrics of the program, and how many of its series are missing.
pub fn application(to: &mut Exposition, reading: &Reading) {
    to.counter(
        "refused_series_total",
        "Series of the program's own metrics that could not be made",
        Some(reading.refused()),
    );
    to.gauge(
        "unreadable_series",
        "Series of the program's own metrics that make no sense, and are left out",
        Some(reading.unreadable()),
    );
    for family in reading.families() {
        write_family(to, family);
    }
}

fn write_family(to: &mut Exposition, family: &FamilyReading) {
    let kind = match family.kind() {
        MetricKind::Counter => "counter",
        MetricKind::Gauge(_) => "gauge",
        MetricKind::Histogram => "histogram",
    };
    let (name, help, unit) = (family.name(), family.help(), family.unit());
    let of_all = to.labels_of_all();
    let text = to.text_of(&Described { name, kind, help, unit });
    for series in family.series() {
        write_series(text, family, series, &of_all);
    }
}

fn write_series(text: &mut String, family: &FamilyReading, series: &Series, of_all: &str) {
    let mut labels = of_all.to_owned();
    for (name, value) in series.labels() {
        let comma = if labels.is_empty() { "" } else { "," };
        put(&mut labels, format_args!("{comma}{name}=\"{}\"", Escaped(value)));
    }
    let name = family.name();
    match series.figure() {
        Figure::Counter(count) => sample(text, name, "", &labels, "", Value::Whole(*count)),
        Figure::Gauge(value) => sample(text, name, "", &labels, "", Value::Real(*value)),
        Figure::Histogram { buckets, sum } => {
            let mut count = 0_u64;
            let ends = family.bounds().iter().map(|bound| Some(*bound)).chain([None]);
            for (end, more) in ends.zip(buckets) {
                count = count.saturating_add(*more);
                // OpenMetrics has a point in each of them.
                let end = end.map_or("+Inf".to_owned(), |end| format!("{end:?}"));
                let le = format!("le=\"{end}\"");
                sample(text, name, "_bucket", &labels, &le, Value::Whole(count));
            }
            sample(text, name, "_sum", &labels, "", Value::Real(*sum));
            sample(text, name, "_count", &labels, "", Value::Whole(count));
        }
    }
}

fn sample(text: &mut String, name: &str, suffix: &str, labels: &str, le: &str, value: Value) {
    let comma = if labels.is_empty() || le.is_empty() { "" } else { "," };
    match labels.is_empty() && le.is_empty() {
        true => put(text, format_args!("{name}{suffix} {value}\n")),
        false => put(text, format_args!("{name}{suffix}{{{labels}{comma}{le}}} {value}\n")),
    }
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    // A string takes any text.
    let _ = text.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, samples};

    #[test]
    fn what_the_program_counts_has_its_own_names() {
        let mut to = Exposition::new(Format::Classic, Some("shop"));
        application(&mut to, &samples::metrics());
        let expected = r#"# HELP prefork_refused_series_total Series of the program's own metrics that could not be made
# TYPE prefork_refused_series_total counter
prefork_refused_series_total{name="shop"} 0
# HELP prefork_unreadable_series Series of the program's own metrics that make no sense, and are left out
# TYPE prefork_unreadable_series gauge
prefork_unreadable_series{name="shop"} 0
# HELP shop_orders_total Orders taken, "paid" or not \\
# TYPE shop_orders_total counter
shop_orders_total{name="shop",kind="a \"b\" \\ ?"} 3
shop_orders_total{name="shop",kind="book"} 4
# HELP shop_carts_bytes Size of carts
# TYPE shop_carts_bytes gauge
shop_carts_bytes{name="shop"} 2.5
# HELP shop_wait_seconds Waits
# TYPE shop_wait_seconds histogram
shop_wait_seconds_bucket{name="shop",le="0.5"} 1
shop_wait_seconds_bucket{name="shop",le="1.0"} 1
shop_wait_seconds_bucket{name="shop",le="+Inf"} 2
shop_wait_seconds_sum{name="shop"} 3.25
shop_wait_seconds_count{name="shop"} 2
"#;
        assert_eq!(to.finish(), expected);
    }

    #[test]
    fn open_metrics_has_units_and_the_names_of_families() {
        let mut to = Exposition::new(Format::OpenMetrics, None);
        application(&mut to, &samples::metrics());
        let text = to.finish();
        for line in [
            r#"# HELP shop_orders Orders taken, \"paid\" or not \\"#,
            "# TYPE shop_orders counter",
            "# UNIT shop_carts_bytes bytes",
            "shop_carts_bytes 2.5",
            "shop_wait_seconds_bucket{le=\"0.5\"} 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn two_pools_that_count_the_same_share_a_head() {
        let mut to = Exposition::new(Format::Classic, Some("app"));
        for pool in ["web", "jobs"] {
            to.of_pool(pool);
            application(&mut to, &samples::metrics());
        }
        let text = to.finish();
        assert_eq!(text.matches("# TYPE shop_orders_total counter\n").count(), 1, "{text}");
        let both = "shop_carts_bytes{name=\"app\",pool=\"web\"} 2.5\nshop_carts_bytes{name=\"app\",pool=\"jobs\"} 2.5\n";
        assert!(text.contains(both), "{text}");
    }
}

//! Names and labels as the macros of the crate `metrics` are given them, and as Prometheus takes them.

use super::{MetricKind, names};

/// Makes a name that can be a metric of this kind.
pub(super) fn name(name: &str, kind: MetricKind) -> String {
    let name = word(name);
    match kind {
        MetricKind::Counter if name.ends_with("_total") => name,
        MetricKind::Counter => format!("{name}_total"),
        MetricKind::Gauge(_) | MetricKind::Histogram if names::has_taken_end(&name) => {
            format!("{name}_value")
        }
        MetricKind::Gauge(_) | MetricKind::Histogram => name,
    }
}

/// Makes labels, by ascending names; of two of the same name the first counts.
pub(super) fn labels<'a>(
    labels: impl Iterator<Item = (&'a str, &'a str)>,
) -> Vec<(String, &'a str)> {
    let mut labels: Vec<_> = labels.map(|(name, value)| (label(name), value)).collect();
    labels.sort_by(|(one, _), (other, _)| one.cmp(other));
    labels.dedup_by(|(later, _), (first, _)| later == first);
    labels
}

fn label(name: &str) -> String {
    let name = word(name);
    match names::check_label("", &name) {
        Ok(()) => name,
        Err(_taken) => format!("exported_{}", name.trim_start_matches('_')),
    }
}

fn word(text: &str) -> String {
    let is_right = |it: char| it.is_ascii_alphanumeric();
    let word: String = text.chars().map(|it| if is_right(it) { it } else { '_' }).collect();
    if names::is_word(&word) { word } else { format!("_{word}") }
}

#[cfg(test)]
mod tests {
    use super::super::Join;
    use super::*;

    #[test]
    fn names_become_those_that_prometheus_takes() {
        const GAUGE: MetricKind = MetricKind::Gauge(Join::Sum);
        for (given, kind, expected) in [
            ("http.requests", MetricKind::Counter, "http_requests_total"),
            ("http_requests_total", MetricKind::Counter, "http_requests_total"),
            ("park.count", MetricKind::Counter, "park_count_total"),
            ("workers.count", GAUGE, "workers_count_value"),
            ("memory_total", GAUGE, "memory_total_value"),
            ("2nd-try", MetricKind::Histogram, "_2nd_try"),
            ("größe", GAUGE, "gr__e"),
            ("", GAUGE, "_"),
        ] {
            assert_eq!(name(given, kind), expected, "{given:?}");
            assert_eq!(names::check_name(expected, kind), Ok(()), "{given:?}");
        }
    }

    #[test]
    fn labels_become_those_that_no_sample_has() {
        let given = [("b", "1"), ("name", "2"), ("a.b", "3"), ("__x", "4"), ("b", "5")];
        let expected = [("a_b", "3"), ("b", "1"), ("exported_name", "2"), ("exported_x", "4")];
        let made = labels(given.into_iter());
        assert_eq!(
            made.iter().map(|(name, value)| (&**name, *value)).collect::<Vec<_>>(),
            expected
        );
    }
}

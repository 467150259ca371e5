//! What metrics and labels may be called.

use super::{DeclareError, MetricKind};

/// The longest name of a metric in bytes.
pub(super) const NAME_SIZE: usize = 120;
/// The longest name of a label in bytes.
const LABEL_SIZE: usize = 60;
/// The most labels of one metric.
pub(super) const MAX_LABELS: usize = 10;
/// The longest value of a label in bytes.
pub(super) const VALUE_SIZE: usize = 128;
/// The longest help in bytes.
pub(super) const HELP_SIZE: usize = 256;
/// What the metrics of daemons and boards themselves begin with.
const RESERVED: [&str; 2] = ["prefork_", "scoreboard_"];
/// What the samples of a histogram have behind its name.
const OF_HISTOGRAMS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// What other kinds of metrics end with.
const OF_OTHERS: [&str; 2] = ["_info", "_created"];

/// Whether a name ends as metrics of other kinds do, or samples.
#[cfg(feature = "metrics")]
pub(super) fn has_taken_end(name: &str) -> bool {
    let ends = OF_HISTOGRAMS.into_iter().chain(OF_OTHERS).chain(["_total"]);
    ends.into_iter().any(|end| name.ends_with(end))
}

/// Checks what a metric is called.
pub(super) fn check_name(name: &str, kind: MetricKind) -> Result<(), DeclareError> {
    if !is_word(name) || name.len() > NAME_SIZE {
        return Err(DeclareError::Name { name: name.to_owned(), max: NAME_SIZE });
    }
    if let Some(prefix) = RESERVED.into_iter().find(|prefix| name.starts_with(prefix)) {
        return Err(DeclareError::Reserved { name: name.to_owned(), prefix });
    }
    let suffix = |must| Err(DeclareError::Suffix { name: name.to_owned(), must });
    match (kind, name.strip_suffix("_total")) {
        (MetricKind::Counter, None) => return suffix("is a counter, so it must end with `_total`"),
        (MetricKind::Counter, Some("")) => return suffix("must not be `_total` alone"),
        (MetricKind::Gauge(_) | MetricKind::Histogram, Some(_)) => {
            return suffix("is no counter, so it must not end with `_total`");
        }
        (MetricKind::Counter, Some(_)) | (MetricKind::Gauge(_) | MetricKind::Histogram, None) => {}
    }
    if OF_HISTOGRAMS.iter().any(|suffix| name.ends_with(suffix)) {
        return suffix(
            "must not end with `_bucket`, `_sum` or `_count`, as samples of histograms do",
        );
    }
    if OF_OTHERS.iter().any(|suffix| name.ends_with(suffix)) {
        return suffix("must not end with `_info` or `_created`, which mean something else");
    }
    Ok(())
}

/// Checks what the label of a metric is called.
pub(super) fn check_label(name: &str, label: &str) -> Result<(), DeclareError> {
    let reason = match label {
        "le" | "quantile" => "it means something to Prometheus",
        "name" | "pool" => "all samples of a daemon have it already",
        _ if label.starts_with("__") => "names that begin with `__` mean something to Prometheus",
        _ if !is_word(label) => "use letters, digits and `_`, no digit first",
        _ if label.len() > LABEL_SIZE => "it is too long",
        _ => return Ok(()),
    };
    Err(DeclareError::Label { name: name.to_owned(), label: label.to_owned(), reason })
}

/// Checks the labels of a metric.
pub(super) fn check_labels<'a>(
    name: &str,
    labels: &(impl Iterator<Item = &'a str> + Clone),
) -> Result<(), DeclareError> {
    let count = labels.clone().count();
    if count > MAX_LABELS {
        let name = name.to_owned();
        return Err(DeclareError::Labels { name, labels: count, max: MAX_LABELS });
    }
    for (index, label) in labels.clone().enumerate() {
        check_label(name, label)?;
        if labels.clone().take(index).any(|other| other == label) {
            let (name, label) = (name.to_owned(), label.to_owned());
            return Err(DeclareError::Label { name, label, reason: "it has that one already" });
        }
    }
    Ok(())
}

/// Returns the names that no other metric may have beside this one.
pub(super) fn claimed(name: &str, kind: MetricKind) -> Vec<String> {
    let with = |suffix: &str| format!("{name}{suffix}");
    match kind {
        // OpenMetrics calls the family so.
        MetricKind::Counter => vec![name.to_owned(), stem(name).to_owned()],
        MetricKind::Gauge(_) => vec![name.to_owned()],
        MetricKind::Histogram => {
            OF_HISTOGRAMS.into_iter().map(with).chain([name.to_owned()]).collect()
        }
    }
}

/// Returns the name without `_total`.
pub(super) fn stem(name: &str) -> &str {
    name.strip_suffix("_total").unwrap_or(name)
}

/// Whether a text is a name as programming languages have them.
pub(super) fn is_word(text: &str) -> bool {
    !text.starts_with(|first: char| first.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::super::Join;
    use super::*;

    #[test]
    fn names_are_those_that_prometheus_takes_and_nobody_else_has() {
        const GAUGE: MetricKind = MetricKind::Gauge(Join::Sum);
        for (name, kind, accepted) in [
            ("shop_orders_total", MetricKind::Counter, true),
            ("shop_orders", MetricKind::Counter, false),
            ("_total", MetricKind::Counter, false),
            ("shop_orders", GAUGE, true),
            ("shop_orders_total", GAUGE, false),
            ("shop_wait_seconds", MetricKind::Histogram, true),
            ("shop_wait_sum", MetricKind::Histogram, false),
            ("shop_wait_count", GAUGE, false),
            ("shop_info", GAUGE, false),
            ("", GAUGE, false),
            ("1st", GAUGE, false),
            ("shop:orders", GAUGE, false),
            ("größe", GAUGE, false),
            ("a b", GAUGE, false),
            ("a\nb", GAUGE, false),
            ("prefork_orders", GAUGE, false),
            ("scoreboard_orders", GAUGE, false),
            ("preforked", GAUGE, true),
        ] {
            assert_eq!(check_name(name, kind).is_ok(), accepted, "{name:?} as {kind:?}");
        }
        assert!(check_name(&"a".repeat(NAME_SIZE + 1), GAUGE).is_err());
    }

    #[test]
    fn labels_are_those_that_prometheus_takes_and_samples_have_not() {
        for (labels, accepted) in [
            (&["kind", "path"][..], true),
            (&[], true),
            (&["kind", "kind"], false),
            (&["le"], false),
            (&["name"], false),
            (&["__x"], false),
            (&["a-b"], false),
            (&[""], false),
            (&["a"; MAX_LABELS + 1], false),
        ] {
            assert_eq!(check_labels("x", &labels.iter().copied()).is_ok(), accepted, "{labels:?}");
        }
    }
}

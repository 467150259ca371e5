//! The text that Prometheus reads: the classic format, and OpenMetrics.
//!
//! The two differ in little, and all of it is here: which name stands in the head of a counter or of an information,
//! whether units have a line, and whether the end is marked.

use std::{
    fmt::{self, Display, Write},
    time::Duration,
};

/// What the names of all metrics of a daemon begin with, and of a board of other processes.
const DAEMON: &str = "prefork_";
const BOARD: &str = "scoreboard_";

/// The format of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The text format of Prometheus, version 0.0.4, which every reader knows.
    Classic,
    /// [OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/) 1.0.
    OpenMetrics,
}

impl Format {
    /// Returns what a server calls it, in `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// One that is counted.
    Whole(u64),
    /// One that is measured.
    Real(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Whole(value.into())
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<Duration> for Value {
    fn from(time: Duration) -> Self {
        Self::Real(time.as_secs_f64())
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => value.fmt(f),
            Self::Real(value) => value.fmt(f),
        }
    }
}

/// So many were no more than a bound, and more than that of the class before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistogramClass {
    /// The bound; `None` for all the others.
    pub bound: Option<Duration>,
    /// How many.
    pub count: u64,
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gauge,
    Counter,
    Info,
    Histogram,
}

/// A text that grows by a metric at a time.
#[derive(Debug)]
pub struct Exposition {
    format: Format,
    prefix: &'static str,
    /// The label that all samples have.
    name: Option<String>,
    /// The label of those that are of one pool of several.
    pool: Option<String>,
    families: Vec<Family>,
}

/// All samples of one name, which the formats want side by side.
#[derive(Debug)]
struct Family {
    name: String,
    text: String,
}

impl Exposition {
    /// Begins a text about the daemon of this name, which becomes the label `name` of every sample: so the texts of
    /// several daemons can be put together.
    #[must_use]
    pub fn new(format: Format, name: Option<&str>) -> Self {
        let name = name.map(str::to_owned);
        Self { format, prefix: DAEMON, name, pool: None, families: Vec::new() }
    }

    /// Begins a text about a board of this title, whose processes are no daemon's.
    #[must_use]
    pub fn of_board(format: Format, title: Option<&str>) -> Self {
        Self { prefix: BOARD, ..Self::new(format, title) }
    }

    /// Gives the label `pool` of this value to all samples that are written from now on.
    pub fn of_pool(&mut self, pool: &str) {
        self.pool = Some(pool.to_owned());
    }

    /// Writes a figure that rises and falls; nothing if it is not known.
    pub fn gauge(&mut self, name: &str, help: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.head(Kind::Gauge, name, help);
            self.sample(name, &[], value.into());
        }
    }

    /// Writes figures that rise and fall, told apart by the values of one label; nothing if there are none.
    pub fn gauges(&mut self, name: &str, help: &str, label: &str, values: &[(&str, Value)]) {
        self.family(Kind::Gauge, name, help, label, values);
    }

    /// Writes a count that only rises; nothing if it is not known. The name ends in `_total`.
    pub fn counter(&mut self, name: &str, help: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.head(Kind::Counter, name, help);
            self.sample(name, &[], value.into());
        }
    }

    /// Writes counts that only rise, told apart by the values of one label. The name ends in `_total`.
    pub fn counters(&mut self, name: &str, help: &str, label: &str, values: &[(&str, Value)]) {
        self.family(Kind::Counter, name, help, label, values);
    }

    /// Writes what is no figure, as labels. The name ends in `_info`.
    pub fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) {
        self.head(Kind::Info, name, help);
        self.sample(name, labels, Value::Whole(1));
    }

    /// Writes how many were counted in each class, the last of which has no bound, and what they are together.
    pub fn histogram(
        &mut self,
        name: &str,
        help: &str,
        classes: &[HistogramClass],
        sum: impl Into<Value>,
    ) {
        self.head(Kind::Histogram, name, help);
        let mut count: u64 = 0;
        for class in classes {
            count = count.saturating_add(class.count);
            let bound = class.bound.map(|bound| Value::from(bound).to_string());
            let bound = bound.as_deref().unwrap_or("+Inf");
            self.sample_of(name, "_bucket", &[("le", bound)], count.into());
        }
        self.sample_of(name, "_sum", &[], sum.into());
        self.sample_of(name, "_count", &[], count.into());
    }

    /// Returns the labels that every sample has, as text.
    pub(super) fn labels_of_all(&self) -> String {
        let own = self.name.as_deref().map(|name| ("name", name));
        let pool = self.pool.as_deref().map(|pool| ("pool", pool));
        let labels = own.into_iter().chain(pool);
        labels
            .map(|(label, value)| format!("{label}=\"{}\"", Escaped(value)))
            .collect::<Vec<_>>()
            .join(",")
    }

    /// Returns the text to which the samples of a metric of the program's own are added.
    pub(super) fn text_of(&mut self, of: &Described<'_>) -> &mut String {
        // No name of ours begins so: what a program counts may have any other.
        let key = format!("/{}", of.name);
        let found = self.families.iter().position(|known| known.name == key);
        let place = found.unwrap_or_else(|| {
            let text = self.head_of(of);
            self.families.push(Family { name: key, text });
            self.families.len() - 1
        });
        &mut self.families[place].text
    }

    fn head_of(&self, of: &Described<'_>) -> String {
        let Described { name, kind, help, unit } = of;
        let mut text = String::new();
        let (family, help) = match self.format {
            Format::Classic => (*name, help.replace('\\', "\\\\")),
            Format::OpenMetrics => (name.trim_end_matches("_total"), Escaped(help).to_string()),
        };
        // A string takes any text.
        if !help.is_empty() {
            let _ = writeln!(text, "# HELP {family} {help}");
        }
        let _ = writeln!(text, "# TYPE {family} {kind}");
        if let (Format::OpenMetrics, Some(unit)) = (self.format, unit) {
            let _ = writeln!(text, "# UNIT {family} {unit}");
        }
        text
    }

    /// Returns the text.
    #[must_use]
    pub fn finish(self) -> String {
        let mut text: String = self.families.into_iter().map(|family| family.text).collect();
        match self.format {
            Format::Classic => {}
            Format::OpenMetrics => text.push_str("# EOF\n"),
        }
        text
    }

    fn family(
        &mut self,
        kind: Kind,
        name: &str,
        help: &str,
        label: &str,
        values: &[(&str, Value)],
    ) {
        if !values.is_empty() {
            self.head(kind, name, help);
        }
        for (word, value) in values {
            self.sample(name, &[(label, word)], *value);
        }
    }

    fn head(&mut self, kind: Kind, name: &str, help: &str) {
        let (family, kind) = match (self.format, kind) {
            (_, Kind::Gauge) => (name, "gauge"),
            (_, Kind::Histogram) => (name, "histogram"),
            (Format::Classic, Kind::Counter) => (name, "counter"),
            (Format::Classic, Kind::Info) => (name, "gauge"),
            (Format::OpenMetrics, Kind::Counter) => (name.trim_end_matches("_total"), "counter"),
            (Format::OpenMetrics, Kind::Info) => (name.trim_end_matches("_info"), "info"),
        };
        if self.families.iter().any(|known| known.name == name) {
            return;
        }
        let has = |unit: &&str| family.strip_suffix(*unit).is_some_and(|rest| rest.ends_with('_'));
        let unit = ["seconds", "bytes"].into_iter().find(has);
        let prefix = self.prefix;
        let mut text = format!("# HELP {prefix}{family} {help}\n# TYPE {prefix}{family} {kind}\n");
        if let (Format::OpenMetrics, Some(unit)) = (self.format, unit) {
            // A string takes any text.
            let _ = writeln!(text, "# UNIT {prefix}{family} {unit}");
        }
        self.families.push(Family { name: name.to_owned(), text });
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: Value) {
        self.sample_of(name, "", labels, value);
    }

    /// Writes a sample of the family of this name, with an ending of its own.
    fn sample_of(&mut self, name: &str, ending: &str, labels: &[(&str, &str)], value: Value) {
        let own = self.name.as_deref().map(|name| ("name", name));
        let pool = self.pool.as_deref().map(|pool| ("pool", pool));
        let labels = own.iter().chain(&pool).chain(labels);
        let labels: Vec<_> =
            labels.map(|(label, value)| format!("{label}=\"{}\"", Escaped(value))).collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let prefix = self.prefix;
        let family = self.families.iter_mut().find(|family| family.name == name);
        if let Some(Family { text, .. }) = family {
            // A string takes any text.
            let _ = writeln!(text, "{prefix}{name}{ending}{labels} {value}");
        }
    }
}

/// What stands in the head of a metric that has no prefix of ours.
pub(super) struct Described<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'static str,
    pub(super) help: &'a str,
    pub(super) unit: Option<&'a str>,
}

/// The value of a label, as both formats have it between quotes.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| match char {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            _ => f.write_char(char),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format) -> String {
        let mut to = Exposition::new(format, Some("a \"b\" \\\n"));
        to.counter("waits_seconds_total", "Time waited", Some(Duration::from_millis(1500)));
        to.counters("deaths_total", "Ends", "cause", &[("killed", 2_u64.into())]);
        to.gauge("children", "Children", Some(3_usize));
        to.gauge("nothing", "What is not known", None::<u64>);
        to.gauges("last_time_seconds", "When", "cause", &[]);
        to.info("build_info", "What runs", &[("version", "1.2")]);
        to.finish()
    }

    #[test]
    fn the_classic_format_has_whole_names_in_its_heads() {
        let expected = r#"# HELP prefork_waits_seconds_total Time waited
# TYPE prefork_waits_seconds_total counter
prefork_waits_seconds_total{name="a \"b\" \\\n"} 1.5
# HELP prefork_deaths_total Ends
# TYPE prefork_deaths_total counter
prefork_deaths_total{name="a \"b\" \\\n",cause="killed"} 2
# HELP prefork_children Children
# TYPE prefork_children gauge
prefork_children{name="a \"b\" \\\n"} 3
# HELP prefork_build_info What runs
# TYPE prefork_build_info gauge
prefork_build_info{name="a \"b\" \\\n",version="1.2"} 1
"#;
        assert_eq!(written(Format::Classic), expected);
    }

    #[test]
    fn open_metrics_has_families_units_and_an_end() {
        let expected = r#"# HELP prefork_waits_seconds Time waited
# TYPE prefork_waits_seconds counter
# UNIT prefork_waits_seconds seconds
prefork_waits_seconds_total{name="a \"b\" \\\n"} 1.5
# HELP prefork_deaths Ends
# TYPE prefork_deaths counter
prefork_deaths_total{name="a \"b\" \\\n",cause="killed"} 2
# HELP prefork_children Children
# TYPE prefork_children gauge
prefork_children{name="a \"b\" \\\n"} 3
# HELP prefork_build What runs
# TYPE prefork_build info
prefork_build_info{name="a \"b\" \\\n",version="1.2"} 1
# EOF
"#;
        assert_eq!(written(Format::OpenMetrics), expected);
    }

    #[test]
    fn the_samples_of_several_pools_stand_side_by_side_under_one_head() {
        let mut to = Exposition::new(Format::Classic, Some("app"));
        for (pool, children) in [("web", 3_usize), ("jobs", 1)] {
            to.of_pool(pool);
            to.gauge("children", "Children", Some(children));
            to.gauge("leaving", "Those that leave", Some(0_usize));
        }
        let expected = r#"# HELP prefork_children Children
# TYPE prefork_children gauge
prefork_children{name="app",pool="web"} 3
prefork_children{name="app",pool="jobs"} 1
# HELP prefork_leaving Those that leave
# TYPE prefork_leaving gauge
prefork_leaving{name="app",pool="web"} 0
prefork_leaving{name="app",pool="jobs"} 0
"#;
        assert_eq!(to.finish(), expected);
    }

    #[test]
    fn a_sample_without_labels_has_no_braces() {
        let mut to = Exposition::new(Format::Classic, None);
        to.gauge("children", "Children", Some(3_usize));
        assert!(to.finish().ends_with("\nprefork_children 3\n"));
    }
}

//! What is declared, as text: a line for each family, which never changes once it is there.
//!
//! `KIND`, `NAME`, `UNIT`, `LABELS`, `BOUNDS`, `HELP`, with a tab between two of them. Series refer to a family by the number of
//! its line. A program that takes the memory over from another one adds the lines that are new.

use std::collections::HashMap;
use std::sync::Arc;

use super::declare::{Declaration, Labels};
use super::{Join, MetricKind, names};

const KINDS: [(&str, MetricKind); 5] = [
    ("counter", MetricKind::Counter),
    ("gauge_sum", MetricKind::Gauge(Join::Sum)),
    ("gauge_max", MetricKind::Gauge(Join::Max)),
    ("gauge_last", MetricKind::Gauge(Join::Last)),
    ("histogram", MetricKind::Histogram),
];

/// What stands for labels that come with each series.
const ANY: &str = "*";

/// The families by their lines; none for a line that makes no sense, whose number stays taken.
pub(super) type Schema = Vec<Option<Arc<Declaration>>>;

pub(super) fn line(of: &Declaration) -> String {
    let kind = KINDS.iter().find(|(_, kind)| *kind == of.kind).map_or("", |(word, _)| word);
    let labels = match &of.labels {
        Labels::Any => ANY.to_owned(),
        Labels::Fixed(labels) => labels.join(","),
    };
    let bounds: Vec<_> = of.bounds.iter().map(f64::to_string).collect();
    let unit = of.unit.as_deref().unwrap_or("");
    [kind, &of.name, unit, &labels, &bounds.join(","), &of.help].join("\t") + "\n"
}

/// Reads all lines, believing nothing.
pub(super) fn read(text: &[u8]) -> Schema {
    let mut schema = Schema::new();
    // Where each line was first, and who has each name last.
    let (mut first, mut owners) = (HashMap::new(), HashMap::new());
    let lines = text.split_inclusive(|byte| *byte == b'\n').take(usize::from(super::record::ANY));
    for (number, line) in lines.enumerate() {
        let declaration = line.strip_suffix(b"\n").and_then(read_line).map(Arc::new);
        schema.push(None);
        // A program that has come back declares what it has declared before, under the old number.
        let place = *first.entry(line).or_insert(number);
        // The newest of a name counts, as it is the program's that runs.
        for name in declaration.iter().flat_map(|new| names::claimed(&new.name, new.kind)) {
            if let Some(old) = owners.insert(name, place) {
                schema[old] = None;
            }
        }
        schema[place] = declaration;
    }
    schema
}

fn read_line(line: &[u8]) -> Option<Declaration> {
    let mut fields = str::from_utf8(line).ok()?.splitn(6, '\t');
    let mut next = || fields.next();
    let (kind, name, unit) = (next()?, next()?, next()?);
    let (labels, bounds, help) = (next()?, next()?, next()?);
    let list = |text: &str| match text {
        "" => Vec::new(),
        _ => text.split(',').map(str::to_owned).collect::<Vec<String>>(),
    };
    let declaration = Declaration {
        kind: KINDS.iter().find(|(word, _)| *word == kind)?.1,
        name: name.to_owned(),
        unit: Some(unit.to_owned()).filter(|unit| !unit.is_empty()),
        labels: if labels == ANY { Labels::Any } else { Labels::Fixed(list(labels)) },
        bounds: list(bounds).iter().map(|it| it.parse()).collect::<Result<_, _>>().ok()?,
        help: help.to_owned(),
    };
    declaration.check().ok()?;
    Some(declaration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some() -> Vec<Declaration> {
        let declaration = |kind, name: &str| Declaration {
            kind,
            name: name.to_owned(),
            unit: None,
            labels: Labels::Fixed(vec!["a".to_owned(), "b".to_owned()]),
            bounds: Vec::new(),
            help: "Help, with \"quotes\" and a \\".to_owned(),
        };
        let gauge = |join, name| declaration(MetricKind::Gauge(join), name);
        vec![
            declaration(MetricKind::Counter, "x_total"),
            Declaration {
                labels: Labels::Any,
                unit: Some("bytes".into()),
                ..gauge(Join::Sum, "y_bytes")
            },
            Declaration { labels: Labels::Fixed(Vec::new()), ..gauge(Join::Max, "z") },
            gauge(Join::Last, "u"),
            Declaration {
                bounds: vec![0.001, 1.0, 1e9],
                ..declaration(MetricKind::Histogram, "v_seconds")
            },
        ]
    }

    #[test]
    fn what_is_declared_comes_back() {
        let text: String = some().iter().map(line).collect();
        let read: Vec<_> = read(text.as_bytes()).into_iter().flatten().collect();
        assert_eq!(read.iter().map(|it| (**it).clone()).collect::<Vec<_>>(), some());
    }

    #[test]
    fn the_newest_of_a_name_counts_and_the_numbers_stay() {
        let old = &some()[0];
        let new = Declaration { labels: Labels::Any, ..old.clone() };
        let text = line(old) + "garbage\n" + &line(&new) + "counter\tunfinished";
        let read = read(text.as_bytes());
        assert_eq!(read.len(), 4);
        assert_eq!(read[2].as_deref(), Some(&new));
        assert!(read[0].is_none() && read[1].is_none() && read[3].is_none());
    }

    #[test]
    fn what_is_declared_again_has_its_old_number() {
        let old = &some()[0];
        let new = Declaration { labels: Labels::Any, ..old.clone() };
        let read = read((line(old) + &line(&new) + &line(old)).as_bytes());
        assert_eq!(read.iter().map(Option::as_deref).collect::<Vec<_>>(), [Some(old), None, None]);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange_to_read(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }
    }
}

use std::collections::BTreeSet;

use super::*;

/// The messages of all areas.
const AREAS: [&[Declared]; 8] = [
    ArbiterMessage::ALL,
    PoolMessage::ALL,
    ChangeMessage::ALL,
    ClientMessage::ALL,
    HookMessage::ALL,
    FileMessage::ALL,
    ForkMessage::ALL,
    ProcessMessage::ALL,
];

/// The beginning of its row in the page about logs.
fn row((_, level, fields, text): &Declared) -> String {
    let fields: Vec<_> = fields.iter().map(|field| format!("`{field}`")).collect();
    let fields = if fields.is_empty() { "-".to_owned() } else { fields.join(", ") };
    format!("| {} | `{text}` | {fields} | ", level.name())
}

/// An operator finds each line that can be logged in the page about logs, with its level, its fields and what to do
/// about it, and finds no other.
#[test]
fn every_message_is_in_the_page_about_logs() {
    let page = include_str!("../../../docs/logs.md");
    let (_, table) = page.split_once("\n# Messages\n").expect("it has the tables");
    let is_message = |line: &&str| {
        ["error", "warn", "info", "debug"].iter().any(|it| line.starts_with(&format!("| {it} | ")))
    };
    let documented: BTreeSet<&str> = table.lines().filter(is_message).collect();
    let wanted: Vec<String> = AREAS.iter().flat_map(|area| area.iter()).map(row).collect();
    let is_documented = |row: &&String| documented.iter().any(|line| line.starts_with(&***row));
    let missing: Vec<_> = wanted.iter().filter(|row| !is_documented(row)).cloned().collect();
    assert!(missing.is_empty(), "not in docs/logs.md:\n{}", missing.join("\n"));
    assert_eq!(documented.len(), wanted.len(), "there are rows of messages that nobody logs");
}

/// The program's subscriber gets numbers as numbers, times in seconds, texts on one line, and nothing for what is not
/// known; and all of it under one target, wherever in the library it comes from.
#[cfg(feature = "tracing")]
mod events {
    use std::{
        collections::BTreeMap,
        fmt::Debug,
        sync::{Arc, Mutex},
        time::Duration,
    };

    use prefork_core::SlotId;
    use tracing::{
        Event, Level, Metadata, Subscriber,
        field::{Field, Visit},
        span::{Attributes, Id, Record},
    };

    use super::*;
    use crate::logs::{describe::Span, log::Role};

    #[derive(Default)]
    struct Seen {
        level: Option<Level>,
        target: String,
        fields: BTreeMap<&'static str, String>,
    }

    #[derive(Clone, Default)]
    struct Collector(Arc<Mutex<Seen>>);

    impl Visit for Seen {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.fields.insert(field.name(), format!("{value:?}"));
        }

        fn record_f64(&mut self, field: &Field, value: f64) {
            self.fields.insert(field.name(), format!("{value} as a number"));
        }

        fn record_i64(&mut self, field: &Field, value: i64) {
            self.fields.insert(field.name(), format!("{value} as a number"));
        }

        fn record_u64(&mut self, field: &Field, value: u64) {
            self.fields.insert(field.name(), format!("{value} as a number"));
        }
    }

    impl Subscriber for Collector {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut seen = self.0.lock().expect("nobody panics");
            seen.level = Some(*event.metadata().level());
            seen.target = event.metadata().target().to_owned();
            event.record(&mut *seen);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn an_event_has_the_fields_of_the_message() {
        let collector = Collector::default();
        let message = PoolMessage::ChildDied {
            child_pid: 7,
            slot: SlotId(2),
            status: None,
            signal: Some("SIGKILL"),
            how: &"was ended by SIGKILL",
            duration: Span(Duration::from_millis(1500)),
            requests: Answered(Some(5)),
            label: Some("GET /\x1b"),
            client: None,
            busy: Some(Span(Duration::from_secs(1))),
            in_hand: &"; in hand for 1 s: GET /",
            reason: &"; evil\n",
        };
        tracing::subscriber::with_default(collector.clone(), || {
            message.trace(&Speaker::new("hello", Role::Parent));
        });
        let seen = collector.0.lock().expect("nobody panics");
        assert_eq!((seen.level, &*seen.target), (Some(Level::ERROR), "prefork"));
        let me = format!("{} as a number", std::process::id());
        let expected = BTreeMap::from([
            ("busy", "1 as a number"),
            ("child_pid", "7 as a number"),
            ("duration", "1.5 as a number"),
            ("how", "was ended by SIGKILL"),
            ("in_hand", "; in hand for 1 s: GET /"),
            ("label", "GET /\\u{1b}"),
            (
                "message",
                "child 7 (slot 2) was ended by SIGKILL after 1.5 s and 5 requests; in hand for 1 s: GET /; evil\\n",
            ),
            ("name", "\"hello\""),
            ("pid", &me),
            ("reason", "; evil\\n"),
            ("requests", "5 as a number"),
            ("role", "parent"),
            ("signal", "SIGKILL"),
            ("slot", "2 as a number"),
        ]);
        let fields: BTreeMap<_, _> =
            seen.fields.iter().map(|(name, value)| (*name, &**value)).collect();
        assert_eq!(fields, expected);
    }
}

use std::collections::BTreeSet;

use proptest::{collection::btree_map, prelude::*, sample::select};

use super::*;
use crate::{IoPriority, isolation::Wanted, layer::Kind};

fn arb_value(kind: Kind) -> BoxedStrategy<Value> {
    let ports = || proptest::collection::btree_set(any::<u16>(), 1..5);
    let calls: Vec<_> = Isolation::denied_calls().collect();
    match kind {
        Kind::Nothing => Just(Value::Nothing).boxed(),
        Kind::Size => (0..1u64 << 50).prop_map(Value::Size).boxed(),
        Kind::Count => any::<u64>().prop_map(Value::Count).boxed(),
        Kind::Ports => ports().prop_map(Value::Ports).boxed(),
        Kind::Calls => proptest::collection::btree_set(select(calls), 1..5)
            .prop_map(|names| {
                let calls: BTreeSet<_> =
                    names.into_iter().filter_map(crate::call::Call::by_name).collect();
                Value::Calls(calls)
            })
            .boxed(),
        Kind::Nice => (-20..=19).prop_map(Value::Nice).boxed(),
        Kind::IoPriority => {
            prop_oneof![Just(IoPriority::Idle), (0u8..=7).prop_map(IoPriority::BestEffort)]
                .prop_map(Value::IoPriority)
                .boxed()
        }
        Kind::Cpus => {
            proptest::collection::btree_set(0u16..1024, 1..9).prop_map(Value::Cpus).boxed()
        }
    }
}

fn arb_isolation() -> impl Strategy<Value = Isolation> {
    let layer = select(Layer::ALL.to_vec());
    let entry = layer.prop_flat_map(|layer| (Just(layer), any::<bool>(), arb_value(layer.kind())));
    proptest::collection::vec(entry, 0..8).prop_map(|entries| {
        let wanted = entries
            .into_iter()
            .map(|(layer, is_required, value)| (layer, Wanted { is_required, value }));
        Isolation { wanted: wanted.collect() }
    })
}

proptest! {
    #[test]
    fn it_is_read_as_it_is_shown(isolation in arb_isolation()) {
        prop_assert_eq!(Isolation::parse(isolation.texts()).expect("read"), isolation.clone());
        let json = serde_json::to_string(&isolation).expect("shown");
        prop_assert_eq!(serde_json::from_str::<Isolation>(&json).expect("read"), isolation);
    }

    #[test]
    fn no_text_makes_it_panic(text in ".*") {
        let _ = Isolation::parse([text]);
    }

    #[test]
    fn the_order_of_texts_does_not_matter_for_different_layers(
        all in btree_map(select(Layer::SIBLINGS.to_vec()), any::<bool>(), 0..5)
    ) {
        let texts = |(layer, is_required): (&Layer, &bool)| {
            format!("{}{layer}", if *is_required { REQUIRE } else { "" })
        };
        let forth = Isolation::parse(all.iter().map(texts));
        let back = Isolation::parse(all.iter().rev().map(texts));
        prop_assert_eq!(forth, back);
    }
}

#[test]
fn texts_say_the_same_as_the_methods() {
    let table = [
        (vec!["siblings"], Isolation::new().siblings_apart()),
        (vec!["require siblings"], Isolation::new().siblings_apart().require_all()),
        (
            vec!["siblings", "require signals"],
            Isolation::new().siblings_apart().require(Layer::Signals),
        ),
        (
            vec!["require private-tmp=64M"],
            Isolation::new().require(Layer::PrivateTmp).private_tmp(64 << 20),
        ),
        (vec!["connect=443", " connect = 80 "], Isolation::new().connect(443).connect(80)),
        (vec!["deny=keyctl"], Isolation::new().deny("keyctl").expect("it is one")),
        (
            vec!["cpus=0-1", "nice=5", "io-priority=idle"],
            Isolation::new().cpu(0).cpu(1).nice(5).io_priority(IoPriority::Idle),
        ),
    ];
    for (texts, expected) in table {
        assert_eq!(Isolation::parse(&texts).as_ref(), Ok(&expected), "{texts:?}");
    }
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    for (text, expected) in [
        ("sibling", "no layer is called \"sibling\"; there are siblings, no-new-privileges, "),
        ("siblings=1", "no layer is called \"siblings\""),
        ("signals=1", "signals takes no value, not \"1\""),
        ("open-files", "open-files takes a whole number, not \"\""),
        ("connect=443+80", "connect takes one port, 0 to 65535, not \"443+80\""),
        ("nice=20", "nice takes a number from -20 to 19, not \"20\""),
        ("io-priority=8", "io-priority takes 0 to 7, or idle, not \"8\""),
        ("deny=read", "deny takes one of the system calls that are listed"),
        ("require", "no layer is called \"require\""),
        ("\u{1b}", "no layer is called \"\\\\u{1b}\""),
    ] {
        let fault = Isolation::parse([text]).expect_err(text).to_string();
        assert!(fault.starts_with(expected), "{text}: {fault}");
    }
}

//! What the file of one of several pools says of it among the others.

use std::borrow::Cow;

use prefork_core::too_little_memory;

use super::{
    file::FileSettings,
    given::{Given, Refused},
};
use crate::amounts::bytes;

/// It.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Membership {
    /// How much of the ceiling it has, compared with the others.
    pub(super) weight: Option<u32>,
    /// How many bytes of memory a child takes.
    pub(super) child_memory: Option<u64>,
    /// Whether it is exactly one process.
    pub(super) is_role: bool,
    pub(super) origins: Origins,
}

/// What all pools share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shared {
    pub(super) children: bool,
    pub(super) memory: bool,
}

/// Where each of it comes from.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Origins {
    pub(super) role: String,
    pub(super) weight: String,
    pub(super) child_memory: String,
}

const NO_CEILING: &str = "does nothing without a ceiling; give --ceiling or --memory-ceiling too";

/// The greatest weight.
const MOST: u32 = 10_000;

impl Membership {
    /// Takes it out of what was given, and notes what is wrong with it.
    pub(super) fn take(given: &mut Vec<Given>, shared: Shared, refused: &mut Vec<Refused>) -> Self {
        let mut membership = Self::default();
        let of_pools: Vec<_> = given.extract_if(.., |given| given.own.is_of_pools()).collect();
        for given in of_pools {
            let result = match given.own.name {
                "weight" => {
                    membership.origins.weight = given.origin.to_string();
                    weight(&given, shared).map(|it| membership.weight = Some(it))
                }
                "child_memory" => {
                    membership.origins.child_memory = given.origin.to_string();
                    child_memory(&given, shared).map(|it| membership.child_memory = Some(it))
                }
                _ => {
                    membership.origins.role = given.origin.to_string();
                    membership.is_role = given.texts.iter().any(|text| text == "true");
                    Ok(())
                }
            };
            if let Err(problem) = result {
                refused.push(Refused::of(&given, problem));
            }
        }
        if membership.is_role {
            let listens = given.iter().filter(|given| given.own.name == "listen");
            let problem =
                "is for pools; a role is exactly one process, and none while that is started again";
            refused.extend(listens.map(|given| Refused::of(given, problem)));
            // It was refused here, with its place.
            given.retain(|given| given.own.name != "listen");
        }
        membership
    }

    /// Takes what the file of all pools may say of each: what a child takes.
    pub(super) fn take_for_each(common: Option<&mut FileSettings>) -> Vec<Given> {
        let is_for_each = |given: &mut Given| given.own.name == "child_memory";
        common.map(|common| common.own.extract_if(.., is_for_each).collect()).unwrap_or_default()
    }

    /// Refuses what belongs to one of several pools, where something else is meant.
    pub(super) fn refuse(given: &mut Vec<Given>, refused: &mut Vec<Refused>) {
        for given in given.extract_if(.., |given| given.own.is_of_pools()) {
            let problem = "is for one of several pools; set it in the file of that, in a directory with one for each";
            refused.push(Refused::of(&given, problem));
        }
    }
}

/// The only text.
fn text(given: &Given) -> Cow<'_, str> {
    given.texts.first().map(|text| text.to_string_lossy()).unwrap_or_default()
}

fn child_memory(given: &Given, shared: Shared) -> Result<u64, String> {
    let bytes = bytes(&text(given))?;
    match too_little_memory(bytes) {
        Some(problem) => Err(problem),
        None if bytes == 0 => Err("is 0, but any process takes memory; 1M is the least".to_owned()),
        None if shared.memory => Ok(bytes),
        None => Err("does nothing without a memory ceiling; give --memory-ceiling too".to_owned()),
    }
}

fn weight(given: &Given, shared: Shared) -> Result<u32, String> {
    let has_ceiling = shared.children || shared.memory;
    let text = text(given);
    match text.parse() {
        Ok(weight @ 1..=MOST) if has_ceiling => Ok(weight),
        Ok(1..=MOST) => Err(NO_CEILING.to_owned()),
        Ok(_) | Err(_) => Err(format!("must be a whole number from 1 to {MOST}, not {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::given::Origin, *};
    use crate::run::own::Own;

    fn given(name: &str, text: &str) -> Given {
        let own = Own::of(name).expect(name);
        Given { own, texts: vec![text.into()], origin: Origin::Flag("x") }
    }

    #[test]
    fn what_is_said_of_a_pool_among_others_is_read_and_what_is_wrong_named() {
        let whole =
            |text: &str| format!("--x: must be a whole number from 1 to 10000, not {text:?}");
        let none = format!("--x: {NO_CEILING}");
        for (text, has_ceiling, weight, problem) in [
            ("3", true, Some(3), None),
            ("10000", true, Some(10_000), None),
            ("10001", true, None, Some(whole("10001"))),
            ("0", true, None, Some(whole("0"))),
            ("-1", true, None, Some(whole("-1"))),
            ("1.5", true, None, Some(whole("1.5"))),
            ("much", true, None, Some(whole("much"))),
            ("3", false, None, Some(none)),
            ("0", false, None, Some(whole("0"))),
        ] {
            let (mut all, mut refused) = (vec![given("weight", text)], Vec::new());
            let shared = Shared { children: has_ceiling, memory: false };
            let membership = Membership::take(&mut all, shared, &mut refused);
            let said: Vec<_> =
                refused.iter().map(|it| format!("{}: {}", it.what, it.problem)).collect();
            assert_eq!(
                (membership.weight, said),
                (weight, problem.into_iter().collect()),
                "{text}"
            );
            assert_eq!(all, []);
        }
    }

    #[test]
    fn what_a_child_takes_is_an_amount_of_memory_where_that_is_shared() {
        let amount = "--x: must be an amount of memory, such as 40M or 1.5G";
        let none = "--x: does nothing without a memory ceiling; give --memory-ceiling too";
        let little = "--x: 40 bytes are less than any process takes; write 40M for MiB";
        let zero = "--x: is 0, but any process takes memory; 1M is the least";
        for (text, memory, taken, problem) in [
            ("40M", true, Some(40 << 20), None),
            ("67108864", true, Some(64 << 20), None),
            ("40", true, None, Some(little)),
            ("0", true, None, Some(zero)),
            ("40MB", true, None, Some(amount)),
            ("40M", false, None, Some(none)),
        ] {
            let (mut all, mut refused) = (vec![given("child_memory", text)], Vec::new());
            let shared = Shared { children: true, memory };
            let membership = Membership::take(&mut all, shared, &mut refused);
            let said: Vec<_> =
                refused.iter().map(|it| format!("{}: {}", it.what, it.problem)).collect();
            assert_eq!(
                (membership.child_memory, said.first().map(String::as_str)),
                (taken, problem)
            );
        }
    }

    #[test]
    fn a_weight_shares_memory_too() {
        let (mut all, mut refused) = (vec![given("weight", "3")], Vec::new());
        let shared = Shared { children: false, memory: true };
        assert_eq!(Membership::take(&mut all, shared, &mut refused).weight, Some(3));
        assert!(refused.is_empty());
    }

    #[test]
    fn a_role_listens_nowhere() {
        for (text, is_role, left) in [("true", true, 1), ("false", false, 2)] {
            let mut all = vec![given("role", text), given("listen", ":80"), given("ready", "auto")];
            let mut refused = Vec::new();
            let nothing = Shared { children: false, memory: false };
            let membership = Membership::take(&mut all, nothing, &mut refused);
            assert_eq!((membership.is_role, all.len(), refused.len()), (is_role, left, 2 - left));
        }
    }

    #[test]
    fn elsewhere_it_is_refused() {
        let (mut all, mut refused) =
            (vec![given("role", "true"), given("ready", "auto"), given("weight", "1")], Vec::new());
        Membership::refuse(&mut all, &mut refused);
        assert_eq!((all.len(), refused.len()), (1, 2));
    }
}

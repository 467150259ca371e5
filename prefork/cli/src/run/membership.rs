//! What the file of one of several pools says of it among the others.

use super::given::{Given, Refused};

/// It.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Membership {
    /// How much of the ceiling it has, compared with the others.
    pub(super) weight: Option<u32>,
    /// Whether it is exactly one process.
    pub(super) is_role: bool,
    pub(super) origins: Origins,
}

/// Where the one and the other come from.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Origins {
    pub(super) role: String,
    pub(super) weight: String,
}

/// The greatest weight.
const MOST: u32 = 10_000;

impl Membership {
    /// Takes it out of what was given, and notes what is wrong with it.
    pub(super) fn take(
        given: &mut Vec<Given>,
        has_ceiling: bool,
        refused: &mut Vec<Refused>,
    ) -> Self {
        let mut membership = Self::default();
        let of_pools: Vec<_> = given.extract_if(.., |given| given.own.is_of_pools()).collect();
        for given in of_pools {
            let result = match given.own.name {
                "weight" => {
                    membership.origins.weight = given.origin.to_string();
                    weight(&given, has_ceiling).map(|it| membership.weight = Some(it))
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

    /// Refuses what belongs to one of several pools, where something else is meant.
    pub(super) fn refuse(given: &mut Vec<Given>, refused: &mut Vec<Refused>) {
        for given in given.extract_if(.., |given| given.own.is_of_pools()) {
            let problem = "is for one of several pools; set it in the file of that, in a directory with one for each";
            refused.push(Refused::of(&given, problem));
        }
    }
}

fn weight(given: &Given, has_ceiling: bool) -> Result<u32, String> {
    let text = given.texts.first().map(|text| text.to_string_lossy()).unwrap_or_default();
    match text.parse() {
        Ok(weight @ 1..=MOST) if has_ceiling => Ok(weight),
        Ok(1..=MOST) => Err("does nothing without a ceiling; give --ceiling too".to_owned()),
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
        let none = "--x: does nothing without a ceiling; give --ceiling too".to_owned();
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
            let membership = Membership::take(&mut all, has_ceiling, &mut refused);
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
    fn a_role_listens_nowhere() {
        for (text, is_role, left) in [("true", true, 1), ("false", false, 2)] {
            let mut all = vec![given("role", text), given("listen", ":80"), given("ready", "auto")];
            let mut refused = Vec::new();
            let membership = Membership::take(&mut all, false, &mut refused);
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

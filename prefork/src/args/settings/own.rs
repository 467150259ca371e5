//! Settings of the program's own: what becomes of others when a reload reads them.

use super::in_force::Held;
use crate::child::{OwnSetting, OwnValue};

/// Goes on with those that children can be handed; notes what has become of all that are others than before. Values may be
/// secrets, so they are not named.
pub(super) fn change(before: &mut Vec<OwnSetting>, read: &[OwnSetting], held: &mut Held) {
    let of = |all: &[OwnSetting], name: &str| all.iter().rev().find(|it| it.name == name).cloned();
    let mut names: Vec<String> = Vec::new();
    for setting in read.iter().chain(&*before) {
        if !names.contains(&setting.name) {
            names.push(setting.name.clone());
        }
    }
    let mut now = Vec::new();
    for name in names {
        let (was, is) = (of(before, &name), of(read, &name));
        let takes_upgrade =
            [&was, &is].into_iter().flatten().any(|it| matches!(it.value, OwnValue::Fixed(_)));
        match (was == is, takes_upgrade) {
            (true, _) => now.extend(is),
            (false, true) => {
                now.extend(was);
                held.by_upgrade.push(name.into());
            }
            (false, false) => {
                now.extend(is);
                held.applied.push(format!("another {name}"));
            }
        }
    }
    *before = now;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child::handed;

    fn setting(name: &str, value: OwnValue) -> OwnSetting {
        OwnSetting { name: name.to_owned(), value }
    }

    #[test]
    fn children_are_handed_what_can_be_handed_and_the_rest_is_named() {
        let text = |text: &str| OwnValue::Handed(text.to_owned());
        let mut now = vec![
            setting("command", text("a")),
            setting("env", text("secret")),
            setting("listen", OwnValue::Fixed(1)),
            setting("gone", text("x")),
            setting("closed", OwnValue::Fixed(7)),
        ];
        let read = vec![
            setting("command", text("b")),
            setting("env", text("secret")),
            setting("listen", OwnValue::Fixed(2)),
            setting("new", text("y")),
        ];
        let mut held = Held::default();
        change(&mut now, &read, &mut held);
        assert_eq!(held.applied, ["another command", "another new", "another gone"]);
        assert_eq!(held.by_upgrade, ["listen", "closed"]);
        let shown = |name| handed(&now, name);
        assert_eq!(
            [shown("command"), shown("env"), shown("new"), shown("gone"), shown("listen")],
            [Some("b"), Some("secret"), Some("y"), None, None]
        );
        assert!(now.contains(&setting("listen", OwnValue::Fixed(1))));
    }
}

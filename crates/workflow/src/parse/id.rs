//! Ids of jobs and steps: which are allowed, and how GitHub makes those that nobody gave (`IdBuilder.cs`).

use std::collections::HashSet;

const LENGTH_MAX: usize = 100;

/// The ids of one scope, without regard to case.
#[derive(Default)]
pub(super) struct Ids {
    taken: HashSet<String>,
}

impl Ids {
    /// Takes an id that the user gave; says in words what is wrong with it.
    pub(super) fn take(&mut self, id: &str) -> Result<(), String> {
        check(id)?;
        if self.taken.insert(id.to_lowercase()) {
            Ok(())
        } else {
            Err(format!("the id `{id}` is used twice"))
        }
    }

    /// An id made from a step's action, or `__run`; `_2` and so on where it is taken.
    pub(super) fn make(&mut self, base: &str) -> String {
        let mut name = String::from("__");
        name.extend(base.chars().map(|c| if is_id_char(c) { c } else { '_' }));
        let mut attempt = 1u32;
        loop {
            let suffix = if attempt == 1 {
                String::new()
            } else {
                format!("_{attempt}")
            };
            let kept: String = name.chars().take(LENGTH_MAX - suffix.len()).collect();
            let candidate = kept + &suffix;
            if self.taken.insert(candidate.to_lowercase()) {
                return candidate;
            }
            attempt += 1;
        }
    }
}

/// Whether an id is well formed.
pub(super) fn check(id: &str) -> Result<(), String> {
    let mut chars = id.chars();
    let begins = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !begins || !chars.all(is_id_char) {
        return Err(format!(
            "the id `{id}` may hold only letters, digits, `-` and `_`, and begins with a letter or `_`"
        ));
    }
    if id.len() >= LENGTH_MAX {
        return Err(format!(
            "the id has {} characters, it must have less than {LENGTH_MAX}",
            id.len()
        ));
    }
    if id.starts_with("__") {
        return Err(format!(
            "the id `{id}` is reserved: ids that begin with `__` are made by the platform"
        ));
    }
    Ok(())
}

fn is_id_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// What the id of a step that uses an action is made from.
pub(super) fn base_of_action(uses: &str) -> String {
    if let Some(image) = uses.strip_prefix("docker://") {
        return image.to_owned();
    }
    if uses.starts_with("./") || uses.starts_with(".\\") || uses.starts_with("$/") {
        return "self".to_owned();
    }
    let name = uses.split('@').next().unwrap_or_default();
    let mut segments = name.split(['/', '\\']).filter(|s| !s.is_empty());
    match (segments.next(), segments.next()) {
        (Some(owner), Some(repo)) => format!("{owner}/{repo}"),
        _ => "run".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_made_as_github_makes_them() {
        let mut ids = Ids::default();
        ids.take("mine").unwrap();
        let made = [
            "run",
            "actions/checkout",
            "run",
            "actions/checkout",
            "run",
            "self",
        ]
        .map(|b| ids.make(b));
        assert_eq!(
            made,
            [
                "__run",
                "__actions_checkout",
                "__run_2",
                "__actions_checkout_2",
                "__run_3",
                "__self"
            ]
        );
        assert_eq!(ids.make(&"x".repeat(200)).len(), 100);
        assert_eq!(ids.make(&"x".repeat(200)).len(), 100);
        assert_eq!(base_of_action("docker://a/b:1"), "a/b:1");
        assert_eq!(base_of_action("o/r/path@v1"), "o/r");
    }

    #[test]
    fn bad_ids_are_refused() {
        for bad in ["", " ", "1a", "-a", "a.b", "a b", "__", "__a", &"a".repeat(100)] {
            assert!(Ids::default().take(bad).is_err(), "{bad}");
        }
        for good in ["_", "a", "A-1_", "a__", &"a".repeat(99)] {
            assert!(Ids::default().take(good).is_ok(), "{good}");
        }
        let mut ids = Ids::default();
        ids.take("one").unwrap();
        assert!(ids.take("ONE").is_err());
    }
}

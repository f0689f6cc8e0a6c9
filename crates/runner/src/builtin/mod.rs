//! Actions that are part of Pilotage: the same inputs and outputs as the originals, without a download.
//!
//! One file for each action, one [`TABLE`] for all. An input that we do not implement may stand only at its
//! default; anything else is refused by name, never ignored.

mod artifact;
mod cache;
mod call;
mod checkout;
mod coverage_gate;
mod deploy;
mod download_artifact;
mod report;
mod scan_gate;
mod setup_node;
mod setup_python;
mod upload_artifact;

pub(crate) use call::{Call, RunFn, run_main, run_post};

use std::fmt::Write;

/// One action.
pub struct BuiltIn {
    /// `owner/name`, or `owner/name/path`.
    pub name: &'static str,
    /// The major versions that it stands in for, the newest last.
    pub majors: &'static [u32],
    pub inputs: &'static [Input],
    pub outputs: &'static [&'static str],
    pub(crate) main: RunFn,
    pub(crate) post: Option<Post>,
}

/// What an action does when the job ends.
#[derive(Clone, Copy)]
pub(crate) struct Post {
    pub(crate) run: RunFn,
    /// Only when the job went well; always otherwise.
    pub(crate) on_success_only: bool,
}

/// One input of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    pub name: &'static str,
    pub default: &'static str,
    pub required: bool,
    /// Whether anything but the default is understood.
    pub implemented: bool,
}

impl Input {
    const fn new(name: &'static str, default: &'static str) -> Self {
        Self {
            name,
            default,
            required: false,
            implemented: true,
        }
    }

    const fn required(name: &'static str) -> Self {
        Self {
            name,
            default: "",
            required: true,
            implemented: true,
        }
    }

    /// May only stand at its default.
    const fn refused(name: &'static str, default: &'static str) -> Self {
        Self {
            name,
            default,
            required: false,
            implemented: false,
        }
    }
}

/// All of them, by name.
pub const TABLE: &[&BuiltIn] = &[
    &cache::CACHE,
    &cache::RESTORE,
    &cache::SAVE,
    &checkout::CHECKOUT,
    &download_artifact::DOWNLOAD_ARTIFACT,
    &setup_node::SETUP_NODE,
    &setup_python::SETUP_PYTHON,
    &upload_artifact::UPLOAD_ARTIFACT,
    &deploy::DEPLOY,
    &deploy::ROLLBACK,
    &deploy::VERIFY,
    &scan_gate::SCAN_GATE,
    &coverage_gate::COVERAGE_GATE,
];

/// The table, for those who check workflows without running them.
#[must_use]
pub fn supported() -> &'static [&'static BuiltIn] {
    TABLE
}

/// Whether an action's owner and name are those of a built-in one. GitHub's names have no case.
#[must_use]
pub fn find(name: &str) -> Option<&'static BuiltIn> {
    TABLE.iter().copied().find(|b| b.name.eq_ignore_ascii_case(name))
}

impl BuiltIn {
    /// What is wrong with a reference behind the `@`, if something is.
    ///
    /// `v4`, `v4.1` and `v4.1.2` mean major version 4. A whole commit id says nothing of its version; people pin
    /// to one, so it is taken for the newest major version.
    pub fn check_ref(&self, reference: &str) -> Result<(), String> {
        if is_commit(reference) {
            return Ok(());
        }
        let digits = reference.strip_prefix('v').unwrap_or(reference);
        let mut parts = digits.split('.').map(str::parse::<u32>);
        if let (Some(Ok(major)), true) = (parts.next(), parts.all(|p| p.is_ok()))
            && self.majors.contains(&major)
        {
            return Ok(());
        }
        let majors: Vec<String> = self.majors.iter().map(|m| format!("v{m}")).collect();
        Err(format!(
            "`{}` is built in as {}, not as `{reference}`",
            self.name,
            majors.join(", ")
        ))
    }

    /// What is wrong with a given input, if something is. `value` is none where it is not known yet.
    pub fn check_input(&self, name: &str, value: Option<&str>) -> Result<(), String> {
        let Some(input) = self.inputs.iter().find(|i| i.name.eq_ignore_ascii_case(name)) else {
            let mut message = format!("`{}` has no input `{name}`", self.name);
            if let Some(near) = nearest(name, self.inputs.iter().map(|i| i.name)) {
                let _ = write!(message, "; did you mean `{near}`?");
            }
            return Err(message);
        };
        match value {
            Some(value)
                if !input.implemented && value.trim() != input.default && !value.trim().is_empty() =>
            {
                Err(format!(
                    "the input `{}` of `{}` is not implemented here: only {} is understood",
                    input.name,
                    self.name,
                    if input.default.is_empty() {
                        "leaving it out".into()
                    } else {
                        format!("`{}`", input.default)
                    }
                ))
            }
            _ => Ok(()),
        }
    }
}

pub(crate) fn is_commit(reference: &str) -> bool {
    matches!(reference.len(), 40 | 64) && reference.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The name that is meant by a misspelt one: the one with the fewest letters changed, if they are few.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = names
        .map(|n| (distance(name, n), n))
        .min_by_key(|(distance, _)| *distance);
    near.filter(|(distance, n)| *distance <= 1 + n.len() / 4)
        .map(|(_, n)| n)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = i;
        let mut left = i + 1;
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            let replaced = before + usize::from(x != *y);
            *cell = replaced.min(above + 1).min(left + 1);
            before = above;
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_name_a_major_version() {
        let checkout = find("Actions/Checkout").unwrap();
        for good in ["v4", "v4.1", "v4.1.7", &"a".repeat(40)] {
            assert!(checkout.check_ref(good).is_ok(), "{good}");
        }
        for bad in ["v1", "main", "v4-beta", "v", "", "v4.x"] {
            assert!(checkout.check_ref(bad).is_err(), "{bad}");
        }
        let error = checkout.check_ref("v1").unwrap_err();
        assert!(
            error.starts_with("`actions/checkout` is built in as v"),
            "{error}"
        );
    }

    #[test]
    fn inputs_are_known_implemented_or_refused_by_name() {
        let checkout = find("actions/checkout").unwrap();
        assert_eq!(checkout.check_input("fetch-depth", Some("0")), Ok(()));
        assert_eq!(checkout.check_input("submodules", Some("false")), Ok(()));
        let refused = checkout.check_input("submodules", Some("recursive")).unwrap_err();
        assert!(
            refused.contains("`submodules`") && refused.contains("`false`"),
            "{refused}"
        );
        let unknown = checkout.check_input("fetch-dept", Some("0")).unwrap_err();
        assert!(unknown.ends_with("did you mean `fetch-depth`?"), "{unknown}");
    }

    #[test]
    fn every_action_is_found_and_its_inputs_are_named_once() {
        for action in TABLE {
            assert!(find(action.name).is_some());
            let mut names: Vec<_> = action.inputs.iter().map(|i| i.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), action.inputs.len(), "{}", action.name);
        }
    }
}

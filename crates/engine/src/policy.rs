//! The rules of an environment: who and what may go there, and when.
//!
//! Pure functions of the rules, the request and the approvals. Rules are set on the server; a floor is nothing but
//! more rules, which have to let the request go as well. Going back is never held up: a rollback needs no
//! approval, no branch and no window.

use crate::run::EnvironmentAnswer;
use crate::time::{Timestamp, words};
use pilotage_workflow::glob::Patterns;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The rules of one environment, or the server's floor for all of them. The default demands nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rules {
    /// Patterns of branches; empty lets every branch in.
    pub branches: Vec<String>,
    /// Patterns of tags; where `branches` or `tags` are given, nothing else is let in.
    pub tags: Vec<String>,
    /// Who may approve; empty asks for no approval.
    pub reviewers: Vec<String>,
    /// How many of them must; 0 counts as 1.
    pub approvals: u32,
    /// Lets the person who asks approve it too.
    pub self_approval: bool,
    /// How long a request waits before it goes on.
    #[serde(with = "seconds")]
    pub wait: Duration,
    pub lock: Option<Lock>,
    pub freezes: Vec<Freeze>,
    /// Who set the branches, and when, in words for a refusal: `set by ana on 12 Nov`.
    pub origin: Option<String>,
}

/// Somebody has closed the environment for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    pub by: String,
    pub reason: String,
}

/// A time in which nothing goes forward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    pub from: Timestamp,
    pub until: Timestamp,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    Forward,
    Back,
}

/// What wants to go there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub environment: String,
    /// The full ref: `refs/heads/main`, `refs/tags/v1`.
    pub git_ref: String,
    /// What exactly is asked for: a commit, or the digest of a release. An approval of anything else is none.
    pub subject: String,
    /// Who started it.
    pub actor: String,
    pub asked_at: Timestamp,
    pub direction: Direction,
}

/// What a reviewer said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub by: String,
    /// The commit or digest that was looked at.
    pub subject: String,
    pub approved: bool,
    pub at: Timestamp,
    #[serde(default)]
    pub comment: String,
}

/// What the rules say now, and when to ask again although nothing else happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub answer: EnvironmentAnswer,
    pub again_at: Option<Timestamp>,
}

/// Whether a request may go on, by each of the rules: a refusal of one refuses, else one that waits waits.
#[must_use]
pub fn decide(now: Timestamp, rules: &[&Rules], request: &Request, approvals: &[Approval]) -> Decision {
    if request.direction == Direction::Back {
        return Decision {
            answer: EnvironmentAnswer::Granted,
            again_at: None,
        };
    }
    let refusal = rules.iter().find_map(|rules| refusal(rules, request, approvals));
    if let Some(reason) = refusal {
        return Decision {
            answer: EnvironmentAnswer::Refused { reason },
            again_at: None,
        };
    }
    let mut waits = rules
        .iter()
        .filter_map(|rules| wait(now, rules, request, approvals));
    match waits.next() {
        None => Decision {
            answer: EnvironmentAnswer::Granted,
            again_at: None,
        },
        Some((reason, again_at)) => Decision {
            answer: EnvironmentAnswer::Waiting { reason },
            again_at,
        },
    }
}

/// Whether a person may approve a request, or in words why not.
pub fn may_approve(rules: &Rules, request: &Request, person: &str) -> Result<(), String> {
    let environment = &request.environment;
    if !rules.reviewers.iter().any(|reviewer| reviewer == person) {
        return Err(format!(
            "{person} is not a reviewer of {environment}; {} {}",
            rules.reviewers.join(", "),
            if rules.reviewers.len() == 1 { "is" } else { "are" }
        ));
    }
    if !rules.self_approval && request.actor == person {
        return Err(format!(
            "{person} asked for it, and {environment} takes no approval by the same person"
        ));
    }
    Ok(())
}

fn refusal(rules: &Rules, request: &Request, approvals: &[Approval]) -> Option<String> {
    refused_ref(rules, request).or_else(|| {
        let rejected =
            of_subject(request, approvals).find(|a| !a.approved && rules.reviewers.contains(&a.by))?;
        let why = if rejected.comment.is_empty() {
            String::new()
        } else {
            format!(": {}", rejected.comment)
        };
        Some(format!("{} did not approve it{why}", rejected.by))
    })
}

fn refused_ref(rules: &Rules, request: &Request) -> Option<String> {
    if rules.branches.is_empty() && rules.tags.is_empty() {
        return None;
    }
    let (name, patterns) = match request.git_ref.strip_prefix("refs/tags/") {
        Some(tag) => (tag, &rules.tags),
        None => (
            request
                .git_ref
                .strip_prefix("refs/heads/")
                .unwrap_or(&request.git_ref),
            &rules.branches,
        ),
    };
    if matches_any(patterns, name) {
        return None;
    }
    let mut takes = rules.branches.clone();
    takes.extend(rules.tags.iter().map(|tag| format!("tag {tag}")));
    let origin = rules
        .origin
        .as_ref()
        .map(|origin| format!(" ({origin})"))
        .unwrap_or_default();
    Some(format!(
        "{} takes only {}, this release is from {name}{origin}",
        request.environment,
        takes.join(", ")
    ))
}

/// Patterns as in `on.push.branches`; ones that cannot be read let nothing in.
fn matches_any(patterns: &[String], name: &str) -> bool {
    Patterns::parse(patterns.iter().map(String::as_str)).is_ok_and(|patterns| patterns.take(name))
}

fn of_subject<'a>(request: &'a Request, approvals: &'a [Approval]) -> impl Iterator<Item = &'a Approval> {
    approvals
        .iter()
        .filter(|approval| approval.subject == request.subject)
}

fn wait(
    now: Timestamp,
    rules: &Rules,
    request: &Request,
    approvals: &[Approval],
) -> Option<(String, Option<Timestamp>)> {
    let environment = &request.environment;
    if let Some(lock) = &rules.lock {
        return Some((
            format!("{environment} is locked by {}: {}", lock.by, lock.reason),
            None,
        ));
    }
    if let Some(freeze) = rules
        .freezes
        .iter()
        .find(|freeze| freeze.from <= now && now < freeze.until)
    {
        let left = words(freeze.until.since(now));
        return Some((
            format!("{environment} is frozen for {left}: {}", freeze.reason),
            Some(freeze.until),
        ));
    }
    if let Some(reason) = missing_approvals(rules, request, approvals) {
        return Some((reason, None));
    }
    let ready = request.asked_at + rules.wait;
    (ready > now).then(|| {
        (
            format!(
                "{environment} waits {} before it goes on",
                words(ready.since(now))
            ),
            Some(ready),
        )
    })
}

fn missing_approvals(rules: &Rules, request: &Request, approvals: &[Approval]) -> Option<String> {
    if rules.reviewers.is_empty() {
        return None;
    }
    let needed = usize::try_from(rules.approvals.max(1)).unwrap_or(usize::MAX);
    let mut by: Vec<&str> = of_subject(request, approvals)
        .filter(|approval| approval.approved && may_approve(rules, request, &approval.by).is_ok())
        .map(|approval| approval.by.as_str())
        .collect();
    by.sort_unstable();
    by.dedup();
    if by.len() >= needed {
        return None;
    }
    let others: Vec<&str> = rules
        .reviewers
        .iter()
        .map(String::as_str)
        .filter(|person| !by.contains(person) && may_approve(rules, request, person).is_ok())
        .collect();
    let who = if others.is_empty() {
        "somebody other than who asked".to_owned()
    } else {
        others.join(" or ")
    };
    Some(match needed {
        1 => format!("waits for the approval of {who}"),
        _ => format!("waits for the approval of {who} ({} of {needed})", by.len()),
    })
}

mod seconds {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(duration.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn rules() -> Rules {
        Rules {
            branches: vec!["main".to_owned(), "release/**".to_owned()],
            tags: vec!["v*".to_owned()],
            reviewers: vec!["ana".to_owned(), "ben".to_owned(), "eva".to_owned()],
            approvals: 2,
            ..Rules::default()
        }
    }

    fn request(git_ref: &str) -> Request {
        Request {
            environment: "production".to_owned(),
            git_ref: git_ref.to_owned(),
            subject: "abc".to_owned(),
            actor: "ana".to_owned(),
            asked_at: Timestamp(0),
            direction: Direction::Forward,
        }
    }

    /// `+ben` approves, `-ben` rejects, `+ben@old` approves another commit.
    fn approvals(script: &str) -> Vec<Approval> {
        let approval = |word: &str| {
            let (by, subject) = word[1..].split_once('@').unwrap_or((&word[1..], "abc"));
            let (by, subject) = (by.to_owned(), subject.to_owned());
            Approval {
                by,
                subject,
                approved: word.starts_with('+'),
                at: Timestamp(1),
                comment: String::new(),
            }
        };
        script.split_whitespace().map(approval).collect()
    }

    fn check(now: i64, rules: &[&Rules], request: &Request, script: &str, expected: &str) {
        let decision = decide(Timestamp(now), rules, request, &approvals(script));
        let said = match decision.answer {
            EnvironmentAnswer::Granted => "granted".to_owned(),
            EnvironmentAnswer::Waiting { reason } => reason,
            EnvironmentAnswer::Refused { reason } => format!("refused: {reason}"),
        };
        assert_eq!(said, expected, "at {now} with {script}");
    }

    #[test]
    fn only_the_branches_and_tags_that_it_takes() {
        let rules = Rules {
            reviewers: vec![],
            ..rules()
        };
        for (git_ref, expected) in [
            ("refs/heads/main", "granted"),
            ("refs/heads/release/a/b", "granted"),
            ("refs/tags/v1", "granted"),
            (
                "refs/heads/v1",
                "refused: production takes only main, release/**, tag v*, this release is from v1",
            ),
            (
                "refs/tags/main",
                "refused: production takes only main, release/**, tag v*, this release is from main",
            ),
        ] {
            check(0, &[&rules], &request(git_ref), "", expected);
        }
        let rules = Rules {
            branches: vec!["main".to_owned()],
            origin: Some("set by ana on 12 Nov".to_owned()),
            ..Rules::default()
        };
        let expected =
            "refused: production takes only main, this release is from fix/login (set by ana on 12 Nov)";
        check(0, &[&rules], &request("refs/heads/fix/login"), "", expected);
    }

    #[test]
    fn approvals_count_for_this_commit_and_not_by_who_asked() {
        let (rules, request) = (rules(), request("refs/heads/main"));
        for (script, expected) in [
            ("", "waits for the approval of ben or eva (0 of 2)"),
            ("+ben", "waits for the approval of eva (1 of 2)"),
            ("+ben +ben", "waits for the approval of eva (1 of 2)"),
            ("+ben +ana", "waits for the approval of eva (1 of 2)"),
            ("+ben +eva@old", "waits for the approval of eva (1 of 2)"),
            ("+ben +mallory", "waits for the approval of eva (1 of 2)"),
            ("+ben +eva", "granted"),
            ("+ben +eva -eva", "refused: eva did not approve it"),
            ("+ben +eva -mallory", "granted"),
        ] {
            check(0, &[&rules], &request, script, expected);
        }
        check(
            0,
            &[&Rules {
                self_approval: true,
                ..rules
            }],
            &request,
            "+ben +ana",
            "granted",
        );
    }

    #[test]
    fn timers_locks_and_freezes_hold_up() {
        let rules = Rules {
            wait: Duration::from_secs(600),
            ..Rules::default()
        };
        let request = request("refs/heads/main");
        check(
            4 * MINUTE,
            &[&rules],
            &request,
            "",
            "production waits 6 m 0 s before it goes on",
        );
        check(10 * MINUTE, &[&rules], &request, "", "granted");
        let freeze = Freeze {
            from: Timestamp(0),
            until: Timestamp(90 * MINUTE),
            reason: "launch".to_owned(),
        };
        let frozen = Rules {
            freezes: vec![freeze],
            ..rules.clone()
        };
        check(
            10 * MINUTE,
            &[&frozen],
            &request,
            "",
            "production is frozen for 1 h 20 m: launch",
        );
        check(90 * MINUTE, &[&frozen], &request, "", "granted");
        let lock = Lock {
            by: "ben".to_owned(),
            reason: "incident 12".to_owned(),
        };
        let locked = Rules {
            lock: Some(lock),
            ..frozen
        };
        check(
            95 * MINUTE,
            &[&locked],
            &request,
            "",
            "production is locked by ben: incident 12",
        );
        let back = Request {
            direction: Direction::Back,
            ..request
        };
        check(
            0,
            &[
                &locked,
                &Rules {
                    branches: vec!["none".to_owned()],
                    ..Rules::default()
                },
            ],
            &back,
            "",
            "granted",
        );
    }

    #[test]
    fn a_floor_cannot_be_lowered() {
        let own = Rules::default();
        let floor = Rules {
            branches: vec!["main".to_owned()],
            ..Rules::default()
        };
        let expected = "refused: production takes only main, this release is from dev";
        check(0, &[&own, &floor], &request("refs/heads/dev"), "", expected);
        check(0, &[&own, &floor], &request("refs/heads/main"), "", "granted");
    }

    #[test]
    fn it_says_when_to_ask_again() {
        let rules = Rules {
            wait: Duration::from_secs(60),
            ..Rules::default()
        };
        let decision = decide(Timestamp(0), &[&rules], &request("refs/heads/main"), &[]);
        assert_eq!(decision.again_at, Some(Timestamp(MINUTE)));
    }
}

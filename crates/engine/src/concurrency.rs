//! Concurrency groups: who runs in a group, who waits, who gives way. Decides over all runs of a server.
//!
//! Owns the places in the groups. It never starts or ends anything: its answers go to the runs, which ask with
//! [`crate::run::EffectKind::AskConcurrency`] and let go with `ReleaseConcurrency`.

use crate::ids::ProjectId;
use crate::run::{ConcurrencyAnswer, Holder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// As many as GitHub lets wait with `queue: max`.
pub const WAITING_MAX: usize = 100;

/// All groups in which somebody is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Groups {
    /// By project and name, without regard to case.
    groups: BTreeMap<String, Group>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Group {
    running: Option<Holder>,
    /// Oldest first.
    waiting: Vec<Holder>,
}

/// A request for a place.
#[derive(Clone, Debug)]
pub struct Ask {
    pub project: ProjectId,
    pub group: String,
    pub holder: Holder,
    pub cancel_in_progress: bool,
    pub queue_max: bool,
}

/// To be given to the run of `holder`, as [`crate::run::RunEvent::ConcurrencyAnswer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub holder: Holder,
    pub group: String,
    pub answer: ConcurrencyAnswer,
}

impl Groups {
    /// Asks for a place. Asking again changes nothing and gives the same answer.
    ///
    /// As on GitHub: one runs, and one waits. A newer one takes the place of the one that waits, which is
    /// cancelled, and with `cancel_in_progress` the one that runs is cancelled too; `queue_max` lets all wait.
    pub fn ask(&mut self, ask: &Ask) -> Vec<Answer> {
        let name = ask.group.as_str();
        let group = self.groups.entry(key(ask.project, name)).or_default();
        let Some(running) = group.running else {
            group.running = Some(ask.holder);
            return vec![granted(ask.holder, name)];
        };
        if running == ask.holder {
            return vec![granted(ask.holder, name)];
        }
        if group.waiting.contains(&ask.holder) {
            return vec![waiting(ask.holder, name, running)];
        }
        let mut answers = Vec::new();
        if !ask.queue_max {
            let gone = std::mem::take(&mut group.waiting);
            answers.extend(
                gone.into_iter()
                    .map(|holder| superseded(holder, name, ask.holder)),
            );
        } else if group.waiting.len() >= WAITING_MAX {
            let reason = format!("{WAITING_MAX} wait already in the concurrency group `{name}`");
            return vec![cancelled(ask.holder, name, reason)];
        }
        group.waiting.push(ask.holder);
        answers.push(waiting(ask.holder, name, running));
        if ask.cancel_in_progress {
            answers.push(superseded(running, name, ask.holder));
        }
        answers
    }

    /// Lets go of a place, held or waited for; the next one gets it. Letting go again changes nothing.
    pub fn release(&mut self, project: ProjectId, name: &str, holder: Holder) -> Vec<Answer> {
        let key = key(project, name);
        let Some(group) = self.groups.get_mut(&key) else {
            return Vec::new();
        };
        group.waiting.retain(|waiting| *waiting != holder);
        if group.running != Some(holder) {
            return Vec::new();
        }
        if group.waiting.is_empty() {
            self.groups.remove(&key);
            return Vec::new();
        }
        let next = group.waiting.remove(0);
        group.running = Some(next);
        vec![granted(next, name)]
    }

    /// Who runs in a group now.
    #[must_use]
    pub fn running(&self, project: ProjectId, name: &str) -> Option<Holder> {
        self.groups.get(&key(project, name))?.running
    }
}

/// GitHub takes names of groups without regard to case.
fn key(project: ProjectId, name: &str) -> String {
    format!("{project}/{}", name.to_lowercase())
}

fn granted(holder: Holder, name: &str) -> Answer {
    Answer {
        holder,
        group: name.to_owned(),
        answer: ConcurrencyAnswer::Granted,
    }
}

fn waiting(holder: Holder, name: &str, running: Holder) -> Answer {
    let reason = if running.run == holder.run {
        format!("waits for another job of this run in the concurrency group `{name}`")
    } else {
        format!("waits for run {} in the concurrency group `{name}`", running.run)
    };
    Answer {
        holder,
        group: name.to_owned(),
        answer: ConcurrencyAnswer::Waiting { reason },
    }
}

fn superseded(holder: Holder, name: &str, by: Holder) -> Answer {
    let newer = if by.run == holder.run {
        "a newer job of this run".to_owned()
    } else {
        format!("run {}", by.run)
    };
    cancelled(holder, name, format!("{newer} in the concurrency group `{name}`"))
}

fn cancelled(holder: Holder, name: &str, reason: String) -> Answer {
    Answer {
        holder,
        group: name.to_owned(),
        answer: ConcurrencyAnswer::Cancelled { reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RunId;

    fn holder(run: i64) -> Holder {
        Holder {
            run: RunId(run),
            attempt: 1,
            job: None,
        }
    }

    /// `+1` asks for run 1, `+1!` cancels what is in progress, `+1*` with `queue: max`, `-1` lets go.
    /// Answers: `1 runs`, `1 waits`, `1 ends`.
    fn check(script: &[(&str, &str)]) {
        let mut groups = Groups::default();
        for (step, expected) in script {
            let run = holder(step.trim_matches(['+', '-', '!', '*']).parse().unwrap());
            let answers = if step.starts_with('+') {
                groups.ask(&Ask {
                    project: ProjectId(1),
                    group: "Deploy".to_owned(),
                    holder: run,
                    cancel_in_progress: step.ends_with('!'),
                    queue_max: step.ends_with('*'),
                })
            } else {
                groups.release(ProjectId(1), "deploy", run)
            };
            let word = |answer: &Answer| match answer.answer {
                ConcurrencyAnswer::Granted => format!("{} runs", answer.holder.run),
                ConcurrencyAnswer::Waiting { .. } => format!("{} waits", answer.holder.run),
                ConcurrencyAnswer::Cancelled { .. } => format!("{} ends", answer.holder.run),
            };
            assert_eq!(
                answers.iter().map(word).collect::<Vec<_>>().join(", "),
                *expected,
                "at {step}"
            );
        }
        assert!(groups.groups.is_empty(), "everybody has let go: {groups:?}");
    }

    #[test]
    fn one_runs_and_the_newest_waits() {
        check(&[
            ("+1", "1 runs"),
            ("+1", "1 runs"),
            ("+2", "2 waits"),
            ("+2", "2 waits"),
            ("+3", "2 ends, 3 waits"),
            ("-2", ""),
            ("-1", "3 runs"),
            ("-1", ""),
            ("-3", ""),
        ]);
    }

    #[test]
    fn cancel_in_progress_waits_for_the_one_it_ends() {
        check(&[
            ("+1", "1 runs"),
            ("+2!", "2 waits, 1 ends"),
            ("+3!", "2 ends, 3 waits, 1 ends"),
            ("-1", "3 runs"),
            ("-3", ""),
        ]);
    }

    #[test]
    fn queue_max_lets_all_wait_in_order() {
        check(&[
            ("+1", "1 runs"),
            ("+2*", "2 waits"),
            ("+3*", "3 waits"),
            ("-2", ""),
            ("-1", "3 runs"),
            ("-3", ""),
        ]);
    }

    #[test]
    fn projects_do_not_share_groups() {
        let mut groups = Groups::default();
        for project in [1, 2] {
            let ask = Ask {
                project: ProjectId(project),
                group: "g".to_owned(),
                holder: holder(project),
                cancel_in_progress: false,
                queue_max: false,
            };
            assert_eq!(groups.ask(&ask)[0].answer, ConcurrencyAnswer::Granted);
        }
    }
}

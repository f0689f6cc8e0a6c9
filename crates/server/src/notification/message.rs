//! A message: what was known when it happened, and the words that people read.

use pilotage_workflow::delivery::Occasion;
use serde::{Deserialize, Serialize};

/// Stored with its notice: fields are added, never renamed. Only [`Message::clean`] ones are sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Message {
    pub occasion: Occasion,
    /// `owner/name`.
    pub project: String,
    pub environment: String,
    /// None where a job waits for its environment.
    pub deployment: Option<i64>,
    /// `deploy`, `rollback`, or `job`.
    pub kind: String,
    pub run: Option<i64>,
    /// The job that waits.
    pub job: String,
    /// The release's digest; empty where there is none yet.
    pub release: String,
    pub sha: String,
    pub title: String,
    pub r#ref: String,
    /// The release's name in the environment, and that of the one before.
    pub revision: String,
    pub old_revision: String,
    /// Who asked for it, and why.
    pub actor: String,
    pub reason: String,
    /// What happened, in a sentence.
    pub why: String,
    /// The guard's verdicts.
    pub evidence: Vec<String>,
    /// Milliseconds since 1970.
    pub at: i64,
}

/// More of a text that others chose is not repeated.
const TITLE_CHARS_MAX: usize = 200;
const WHY_CHARS_MAX: usize = 1000;

impl Message {
    /// The message with every text made harmless, and each changed by `mask`.
    #[must_use]
    pub(super) fn clean(&self, mask: impl Fn(&str) -> String) -> Self {
        let short = |text: &str| one_line(&mask(text), TITLE_CHARS_MAX);
        let long = |text: &str| one_line(&mask(text), WHY_CHARS_MAX);
        Self {
            project: short(&self.project),
            environment: short(&self.environment),
            job: short(&self.job),
            title: short(&self.title),
            r#ref: short(&self.r#ref),
            revision: short(&self.revision),
            old_revision: short(&self.old_revision),
            actor: short(&self.actor),
            reason: short(&self.reason),
            why: long(&self.why),
            evidence: self.evidence.iter().map(|text| long(text)).collect(),
            ..self.clone()
        }
    }

    /// `⟲`, `rolled back`.
    #[must_use]
    pub(super) fn sign_and_word(&self) -> (&'static str, &'static str) {
        match (self.occasion, self.kind.as_str()) {
            (Occasion::Waiting, _) => ("⏸", "waits"),
            (Occasion::Live, "rollback") | (Occasion::RolledBack, _) => ("⟲", "rolled back"),
            (Occasion::Live, _) => ("✓", "live"),
            (Occasion::Aborted, _) => ("⊘", "aborted"),
            (Occasion::NeedsAttention, _) => ("⚡", "needs attention"),
        }
    }

    /// `9e07b51 → 4f1c9ae`: what served, and what serves now; else what it is about.
    #[must_use]
    pub(super) fn way(&self) -> String {
        let (new, old) = (&self.revision, &self.old_revision);
        match self.occasion {
            _ if old.is_empty() => new.clone(),
            Occasion::Live => format!("{old} → {new}"),
            Occasion::RolledBack => format!("{new} → {old}"),
            _ => new.clone(),
        }
    }

    /// `⟲ rolled back  omnilife/platform production  4f1c9ae → 9e07b51`.
    #[must_use]
    pub(super) fn head(&self) -> String {
        let (sign, word) = self.sign_and_word();
        format!(
            "{sign} {word}  {} {}  {}",
            self.project,
            self.environment,
            self.way()
        )
        .trim_end()
        .to_owned()
    }

    /// What happened, without the word that the head has said.
    #[must_use]
    pub(super) fn what(&self) -> &str {
        let why = self.why.as_str();
        let rest = why.strip_prefix("live: ").or_else(|| why.strip_prefix("live, "));
        match (self.occasion, rest) {
            (Occasion::Live, Some(rest)) => rest,
            _ => why,
        }
    }

    /// What the guard found, where the sentence before does not say it.
    pub(super) fn more(&self) -> impl Iterator<Item = &str> {
        self.evidence
            .iter()
            .map(String::as_str)
            .filter(|text| !self.why.contains(text))
    }

    /// `Retry checkout on a lost connection · main · asked for by ana: by hand`.
    #[must_use]
    pub(super) fn about(&self) -> String {
        let by = match (self.actor.as_str(), self.reason.as_str()) {
            ("", _) => String::new(),
            (actor, "") => format!("asked for by {actor}"),
            // What it was undone for is the sentence above.
            (actor, reason) if reason == self.why => format!("asked for by {actor}"),
            (actor, reason) => format!("asked for by {actor}: {reason}"),
        };
        let job = match self.job.as_str() {
            "" => String::new(),
            job => format!("job {job}"),
        };
        let parts = [
            self.title.as_str(),
            crate::event::short_ref(&self.r#ref),
            &job,
            &by,
        ];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(" · ")
    }

    /// `deployment 312`, and where it is shown.
    #[must_use]
    pub(super) fn link(&self, server: &str) -> Option<(String, String)> {
        let (what, id) = match (self.deployment, self.run) {
            (Some(id), _) => ("deployment", id),
            (None, Some(id)) => ("run", id),
            (None, None) => return None,
        };
        Some((
            format!("{what} {id}"),
            format!("{server}/{}/{what}s/{id}", self.project),
        ))
    }

    /// All of it as text.
    #[must_use]
    pub(super) fn text(&self) -> String {
        let about = self.about();
        let lines = [self.head(), self.what().to_owned()]
            .into_iter()
            .chain(self.more().map(str::to_owned))
            .chain([about]);
        lines
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// `2026-11-24T14:32:57.012Z`.
    #[must_use]
    pub(super) fn time(&self) -> String {
        jiff::Timestamp::from_millisecond(self.at)
            .map(|at| at.to_string())
            .unwrap_or_default()
    }
}

/// In one line, of things that can be seen: without what moves a cursor or turns the direction of a text.
fn one_line(text: &str, chars_max: usize) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let spaced: String = text.chars().map(|c| if hidden(c) { ' ' } else { c }).collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The release of the drawings, that the guard took back.
    pub(in super::super) fn message(occasion: Occasion) -> Message {
        Message {
            occasion,
            project: "omnilife/platform".to_owned(),
            environment: "production".to_owned(),
            deployment: Some(312),
            kind: "deploy".to_owned(),
            run: Some(1846),
            job: String::new(),
            release: "sha256:0011".to_owned(),
            sha: "4f1c9ae0".to_owned(),
            title: "Retry checkout on a lost connection".to_owned(),
            r#ref: "refs/heads/main".to_owned(),
            revision: "4f1c9ae".to_owned(),
            old_revision: "9e07b51".to_owned(),
            actor: "ana".to_owned(),
            reason: "by hand".to_owned(),
            why: "the new backend failed 31 of 214 answers, the old one 12 of 1,990 (1 in 409)".to_owned(),
            evidence: Vec::new(),
            at: 1_795_530_777_012,
        }
    }

    fn check(message: &Message, expected: &str) {
        assert_eq!(message.clean(str::to_owned).text(), expected);
    }

    #[test]
    fn a_message_says_what_happened_where_and_why() {
        check(
            &message(Occasion::RolledBack),
            "⟲ rolled back  omnilife/platform production  4f1c9ae → 9e07b51\n\
             the new backend failed 31 of 214 answers, the old one 12 of 1,990 (1 in 409)\n\
             Retry checkout on a lost connection · main · asked for by ana: by hand",
        );
        let live = Message {
            why: "live: proven over 3,120 answers".to_owned(),
            reason: String::new(),
            ..message(Occasion::Live)
        };
        check(
            &live,
            "✓ live  omnilife/platform production  9e07b51 → 4f1c9ae\n\
             proven over 3,120 answers\n\
             Retry checkout on a lost connection · main · asked for by ana",
        );
        let back = Message {
            kind: "rollback".to_owned(),
            why: "live: brought back and verified".to_owned(),
            revision: "9e07b51.2".to_owned(),
            old_revision: "4f1c9ae".to_owned(),
            ..live
        };
        check(
            &back,
            "⟲ rolled back  omnilife/platform production  4f1c9ae → 9e07b51.2\n\
             brought back and verified\n\
             Retry checkout on a lost connection · main · asked for by ana",
        );
        let waits = Message {
            deployment: None,
            kind: "job".to_owned(),
            job: "ship".to_owned(),
            old_revision: String::new(),
            reason: String::new(),
            why: "waits for the approval of bo".to_owned(),
            ..message(Occasion::Waiting)
        };
        check(
            &waits,
            "⏸ waits  omnilife/platform production  4f1c9ae\n\
             waits for the approval of bo\n\
             Retry checkout on a lost connection · main · job ship · asked for by ana",
        );
        let attention = Message {
            why: "the old revision cannot be proven".to_owned(),
            evidence: vec!["the new backend failed 3 of 3 answers".to_owned()],
            ..message(Occasion::NeedsAttention)
        };
        check(
            &attention,
            "⚡ needs attention  omnilife/platform production  4f1c9ae\n\
             the old revision cannot be proven\n\
             the new backend failed 3 of 3 answers\n\
             Retry checkout on a lost connection · main · asked for by ana: by hand",
        );
    }

    #[test]
    fn links_lead_to_the_page() {
        let link = message(Occasion::Live).link("http://localhost:7070").unwrap();
        assert_eq!(
            link,
            (
                "deployment 312".to_owned(),
                "http://localhost:7070/omnilife/platform/deployments/312".to_owned()
            )
        );
        let waits = Message {
            deployment: None,
            ..message(Occasion::Waiting)
        };
        assert_eq!(
            waits.link("http://x").unwrap().1,
            "http://x/omnilife/platform/runs/1846"
        );
    }

    #[test]
    fn texts_are_one_visible_line_without_secrets() {
        let hostile = Message {
            title: "a\r\nb\u{202e}c\u{1b}[31m\0 hunter2 \u{200b}d".to_owned(),
            why: "x".repeat(2000),
            ..message(Occasion::Aborted)
        };
        let clean = hostile.clean(|text| text.replace("hunter2", "***"));
        assert_eq!(clean.title, "a b c [31m *** d");
        assert_eq!(clean.why.chars().count(), WHY_CHARS_MAX + 1);
    }
}

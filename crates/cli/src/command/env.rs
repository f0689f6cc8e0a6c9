//! `pilotage env`: environments, what the server demands of them, and who holds them.

use crate::error::{CommandError, CommandResult};
use crate::render::page::{Page, advice, json, result};
use crate::render::style::{Sign, Style, fit};
use crate::render::table::{Cell, facts, table};
use crate::render::text::{age, date, moment, plural, short};
use crate::session::{ProjectArguments, Session};
use clap::{Args, Subcommand};
use pilotage_api::client::ProjectName;
use pilotage_api::deployment::Standing;
use pilotage_api::rest::{Environment, Lock, Rules};
use std::process::ExitCode;

/// List, view, set, lock and unlock environments.
#[derive(Args)]
pub(crate) struct Env {
    #[command(flatten)]
    project: ProjectArguments,
    #[command(subcommand)]
    command: EnvCommand,
}

#[derive(Subcommand)]
enum EnvCommand {
    /// List environments: what stands there, their rules, what waits.
    List {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Show an environment.
    View {
        environment: String,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    Set(Set),
    /// Let nothing be deployed there until it is unlocked, or for a time. A rollback is always possible.
    Lock {
        environment: String,
        /// Why, for those who will ask.
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        /// How long, in whole minutes, such as 30m or 2h; a year at most.
        #[arg(long = "for", value_name = "TIME")]
        time: Option<String>,
    },
    /// Let deployments come again.
    Unlock {
        environment: String,
    },
}

/// Change what the server demands of an environment. What is not named stays as it is.
///
/// The rules are a floor: nothing in a repository lowers them.
#[derive(Args)]
struct Set {
    environment: String,
    /// Branches that may come here, as patterns: main,release/*; an empty list for all.
    #[arg(long, value_name = "PATTERNS")]
    branches: Option<String>,
    /// Tags that may come here, as patterns.
    #[arg(long, value_name = "PATTERNS")]
    tags: Option<String>,
    /// Who may approve, by the names of their tokens; an empty list for nobody has to.
    #[arg(long, value_name = "NAMES")]
    reviewers: Option<String>,
    /// How many of them must approve.
    #[arg(long, value_name = "N")]
    approvals: Option<u32>,
    /// Whether who started a run may approve it.
    #[arg(long, value_name = "true|false")]
    self_approval: Option<bool>,
    /// How long a run waits before it goes on, such as 90s, 10m or 1h.
    #[arg(long, value_name = "TIME")]
    wait: Option<String>,
    /// Whether deployments need a guard, whatever pilotage.yml says.
    #[arg(long, value_name = "true|false")]
    guard_required: Option<bool>,
}

impl Env {
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        let session = self.project.connect()?;
        let project = self.project.name(&session)?;
        let client = &session.client;
        let page = Page::out(style);
        match self.command {
            EnvCommand::List { json: true } => json(&session.wait(client.environments(&project))?)?,
            EnvCommand::List { json: false } => list(&session, &project, &page)?,
            EnvCommand::View {
                environment,
                json: as_json,
            } => {
                let environment = session.wait(client.environment(&project, &environment))?;
                if as_json {
                    json(&environment)?;
                } else {
                    result(&view(&environment, &standings(&session, &project), &page));
                }
            }
            EnvCommand::Set(set) => {
                // Rules may be there before anything was deployed: that is when they matter most.
                let all = session.wait(client.environments(&project))?;
                let before = all
                    .into_iter()
                    .find(|e| e.name.eq_ignore_ascii_case(&set.environment));
                let rules = set.rules(before.map(|e| e.rules).unwrap_or_default())?;
                let after = session.wait(client.set_rules(&project, &set.environment, &rules))?;
                result(&view(&after, &[], &page));
            }
            EnvCommand::Lock {
                environment,
                reason,
                time,
            } => {
                let minutes = time.map_or(Ok(0), |time| lock_minutes(&time))?;
                session.wait(client.lock(&project, &environment, &Lock { reason, minutes }))?;
                let until = match minutes {
                    0 => String::new(),
                    n => format!("{} UTC, or until ", moment(page.now + i64::from(n) * 60_000)),
                };
                let name = fit(&environment, 100);
                advice(&format!(
                    "{name} is locked: deployments wait until {until}somebody says `pilotage env unlock {name}`\n"
                ));
            }
            EnvCommand::Unlock { environment } => {
                session.wait(client.unlock(&project, &environment))?;
                advice(&format!("{} is not locked any more\n", fit(&environment, 100)));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Set {
    fn rules(&self, mut rules: Rules) -> CommandResult<Rules> {
        let list = |text: &String| -> Vec<String> {
            text.split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()
        };
        if let Some(branches) = &self.branches {
            rules.branches = list(branches);
        }
        if let Some(tags) = &self.tags {
            rules.tags = list(tags);
        }
        if let Some(reviewers) = &self.reviewers {
            rules.reviewers = list(reviewers);
        }
        if let Some(approvals) = self.approvals {
            rules.approvals = approvals;
        }
        if let Some(self_approval) = self.self_approval {
            rules.self_approval = self_approval;
        }
        if let Some(wait) = &self.wait {
            rules.wait_timer_s = seconds(wait).ok_or_else(|| {
                CommandError::invalid(format!("`{wait}` is no time")).hint("write it as 90s, 10m or 1h")
            })?;
        }
        if let Some(required) = self.guard_required {
            rules.guard_required = required;
        }
        Ok(rules)
    }
}

/// A lock lasts whole minutes, and none at all is not what a time asks for.
fn lock_minutes(text: &str) -> CommandResult<u32> {
    seconds(text)
        .filter(|seconds| *seconds > 0 && seconds.is_multiple_of(60))
        .and_then(|seconds| u32::try_from(seconds / 60).ok())
        .ok_or_else(|| {
            CommandError::invalid(format!("`{text}` is no time for a lock"))
                .hint("write it in whole minutes: 30m, 2h or 1d; leave it out for a lock without an end")
        })
}

fn seconds(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 = text.get(..text.len() - 1)?.parse().ok()?;
    number.checked_mul(unit)
}

/// What stands there is told where the server knows it; the rules are told in any case.
fn standings(session: &Session, project: &ProjectName) -> Vec<Standing> {
    session
        .wait(session.client.standings(project))
        .unwrap_or_default()
}

fn list(session: &Session, project: &ProjectName, page: &Page) -> CommandResult<()> {
    let environments = session.wait(session.client.environments(project))?;
    if environments.is_empty() {
        advice("there are no environments yet: pilotage.yml and the jobs of workflows name them\n");
    }
    let standings = standings(session, project);
    let row = |environment: &Environment| {
        let standing = standings.iter().find(|s| s.environment == environment.name);
        let waiting = match environment.waiting.len() {
            0 => Cell::text(""),
            1 => Cell::state(Sign::Person, "1 waits"),
            n => Cell::state(Sign::Person, format!("{n} wait")),
        };
        vec![
            Cell::text(&environment.name),
            standing.map_or(Cell::text("nothing yet"), |s| Cell::text(short(&s.sha))),
            Cell::number(standing.map(|s| age(page.now, s.since)).unwrap_or_default()),
            Cell::text(standing.map(|s| s.url.clone()).unwrap_or_default()),
            Cell::text(if environment.locked_by.is_empty() {
                String::new()
            } else {
                format!("locked by {}{}", environment.locked_by, until(environment))
            }),
            waiting,
            Cell::text(rules(&environment.rules).join("; ")),
        ]
    };
    result(&table(page, &environments.iter().map(row).collect::<Vec<_>>()));
    Ok(())
}

/// The rules, one phrase each.
fn rules(rules: &Rules) -> Vec<String> {
    let mut texts = Vec::new();
    if !rules.branches.is_empty() {
        texts.push(format!("branches: {}", rules.branches.join(", ")));
    }
    if !rules.tags.is_empty() {
        texts.push(format!("tags: {}", rules.tags.join(", ")));
    }
    if !rules.reviewers.is_empty() {
        let of = match rules.approvals {
            0 | 1 => String::new(),
            n => format!("{n} of "),
        };
        let own = if rules.self_approval {
            ", their own too"
        } else {
            ""
        };
        texts.push(format!("reviewers: {of}{}{own}", rules.reviewers.join(", ")));
    }
    if rules.wait_timer_s > 0 {
        texts.push(format!(
            "waits {}",
            crate::render::style::duration(std::time::Duration::from_secs(rules.wait_timer_s))
        ));
    }
    if rules.guard_required {
        texts.push("guard required".to_owned());
    }
    texts
}

/// ` until 2026-11-12 14:03:07 UTC` of a lock that goes by itself.
fn until(environment: &Environment) -> String {
    environment
        .locked_until
        .map(|at| format!(" until {} UTC", moment(at)))
        .unwrap_or_default()
}

fn view(environment: &Environment, standings: &[Standing], page: &Page) -> String {
    let mut text = format!("{}\n", fit(&environment.name, 200));
    let mut known = Vec::new();
    if let Some(standing) = standings.iter().find(|s| s.environment == environment.name) {
        known.push(("url", standing.url.clone()));
        known.push((
            "live",
            format!(
                "{}  {}  {}",
                short(&standing.sha),
                age(page.now, standing.since),
                standing.title
            ),
        ));
    }
    let set_by = match environment.rules_by.as_str() {
        "" => String::new(),
        by => format!("   (set by {by} on {})", date(page.now, environment.rules_at)),
    };
    match rules(&environment.rules).as_slice() {
        [] => known.push(("rules", "none: whatever is deployed may come here".to_owned())),
        rules => known.extend(rules.iter().map(|rule| ("rule", format!("{rule}{set_by}")))),
    }
    if !environment.locked_by.is_empty() {
        let reason = match environment.lock_reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        known.push((
            "locked",
            format!("by {}{}{reason}", environment.locked_by, until(environment)),
        ));
    }
    text.push_str(&facts(page, &known));
    if !environment.waiting.is_empty() {
        let waiting = environment.waiting.len() as u64;
        let verb = if waiting == 1 { "waits" } else { "wait" };
        text.push_str(&format!("\n{} {verb}\n", plural(waiting, "run")));
    }
    for waiting in &environment.waiting {
        text.push_str(&format!(
            "{} {} {}  {}  pilotage run approve {} -e {}\n",
            page.style.sign(Sign::Person),
            fit(&waiting.job_name, 60),
            short(&waiting.sha),
            fit(&waiting.why, 200),
            waiting.run,
            fit(&environment.name, 100)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_need_their_unit() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(seconds(text), expected, "{text}");
        check("90s", Some(90));
        check("10m", Some(600));
        check("1h", Some(3_600));
        check("0", Some(0));
        check("10", None);
        check("", None);
        check("9ü", None);
        check("99999999999999999999d", None);
    }

    #[test]
    fn a_lock_lasts_whole_minutes() {
        let check =
            |text: &str, expected: Option<u32>| assert_eq!(lock_minutes(text).ok(), expected, "{text}");
        check("2h", Some(120));
        check("120s", Some(2));
        check("90s", None);
        check("0", None);
        check("9999999d", None);
        check("soon", None);
    }
}

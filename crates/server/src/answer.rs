//! What a push prints on the client's screen.

use crate::app::App;
use crate::event::{Outcome, Started};
use crate::name::shown;
use pilotage_store::Project;

/// The outcome of one event in lines. Empty where there is nothing to say.
pub(crate) async fn push(app: &App, project: &Project, outcome: &Outcome) -> String {
    let mut text = String::new();
    for started in &outcome.runs {
        text.push_str(&run(app, project, started).await);
    }
    for faulty in &outcome.faults {
        let faults = if faulty.errors == 1 {
            "1 fault".to_owned()
        } else {
            format!("{} faults", faulty.errors)
        };
        text.push_str(&format!(
            "✕ {} starts nothing: {faults}\n\n{}\n",
            faulty.workflow,
            faulty.text.trim_end()
        ));
        text.push('\n');
    }
    if !outcome.faults.is_empty() {
        text.push_str("Your commits are stored. `pilotage lint` finds this before a push.\n");
    }
    if outcome.runs.is_empty() && outcome.faults.is_empty() {
        let told = |path: &String| {
            let mut notices = outcome.notices.iter();
            notices.any(|notice| notice.never && notice.workflow == *path)
        };
        for (workflow, reason) in outcome.skipped.iter().filter(|(workflow, _)| !told(workflow)) {
            text.push_str(&format!("⇢ {workflow} starts nothing: {reason}\n"));
        }
    }
    for notice in &outcome.notices {
        let file = notice.workflow.rsplit('/').next().unwrap_or(&notice.workflow);
        text.push_str(&format!("⇢ {file} {}\n", plain(&notice.text)));
    }
    text
}

/// Without what could disturb a terminal: names in it were chosen by people.
fn plain(text: &str) -> String {
    text.replace(|c: char| c.is_control(), "\u{fffd}")
}

/// `◐ ci.yml  push to dev  1a2b3c4 Fix login redirect   8 jobs, then staging`, and where to watch it.
async fn run(app: &App, project: &Project, started: &Started) -> String {
    let file = started.workflow.rsplit('/').next().unwrap_or(&started.workflow);
    let title = shown(&started.title);
    let (title, sha) = (
        title.trim_matches('`'),
        started.sha.get(..7).unwrap_or(&started.sha),
    );
    let jobs = match app.store.read().await {
        Ok(mut c) => c.jobs(started.run).await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let count = if jobs.len() == 1 {
        "1 job".to_owned()
    } else {
        format!("{} jobs", jobs.len())
    };
    let mut environments: Vec<&str> = jobs
        .iter()
        .map(|job| job.environment.as_str())
        .filter(|e| !e.is_empty())
        .collect();
    environments.dedup();
    let then = if environments.is_empty() {
        String::new()
    } else {
        format!(", then {}", environments.join(", "))
    };
    let event = match started.event.as_str() {
        "push" => format!("push to {}", shown(&started.ref_name).trim_matches('`')),
        event => event.to_owned(),
    };
    let (id, url) = (started.run, app.run_url(project, started.run));
    format!("◐ {file}  {event}  {sha} {title}   {count}{then}\n  pilotage run watch {id}\n  {url}\n")
}

//! Which waiting job goes to which runner, and why a job waits.
//!
//! A function of what the database says; it keeps no queue of its own.

use crate::ids::{JobId, ProjectId};
use crate::time::Timestamp;
use std::collections::{BTreeMap, VecDeque};

/// A job that waits for a runner.
#[derive(Clone, Debug)]
pub struct WaitingJob {
    pub job: JobId,
    pub project: ProjectId,
    pub queued_at: Timestamp,
    pub labels: Vec<String>,
    /// The group of runners that it must run in.
    pub group: Option<String>,
}

/// A runner as it stands now.
#[derive(Clone, Debug)]
pub struct Runner {
    pub name: String,
    pub labels: Vec<String>,
    pub group: Option<String>,
    pub slots: u32,
    pub busy: u32,
    pub online: bool,
    /// It finishes what it has and takes nothing new.
    pub draining: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub job: JobId,
    pub runner: String,
}

impl Runner {
    fn free(&self) -> u32 {
        if self.online && !self.draining {
            self.slots.saturating_sub(self.busy)
        } else {
            0
        }
    }

    /// Whether it has the job's group and every one of its labels, without regard to case.
    #[must_use]
    pub fn fits(&self, job: &WaitingJob) -> bool {
        self.in_group(job) && job.labels.iter().all(|label| self.has(label))
    }

    fn in_group(&self, job: &WaitingJob) -> bool {
        let same = |group: &String| {
            self.group
                .as_ref()
                .is_some_and(|own| own.eq_ignore_ascii_case(group))
        };
        job.group.as_ref().is_none_or(same)
    }

    fn has(&self, label: &str) -> bool {
        self.labels.iter().any(|own| own.eq_ignore_ascii_case(label))
    }
}

/// Gives waiting jobs to free slots. The project with the fewest running jobs comes first, in it the oldest job.
/// A job that fits nowhere holds nobody up. Of the runners that fit, the one with the fewest labels is taken, so
/// that special ones stay free for those who need them; then the one with the most free slots.
#[must_use]
pub fn assign(
    jobs: &[WaitingJob],
    runners: &[Runner],
    running: &BTreeMap<ProjectId, usize>,
) -> Vec<Assignment> {
    let mut free: Vec<u32> = runners.iter().map(Runner::free).collect();
    let mut lines = lines(jobs, runners);
    let mut running = running.clone();
    let mut assignments = Vec::new();
    while free.iter().any(|free| *free > 0) {
        let candidates = lines.iter().enumerate().filter_map(|(at, line)| {
            let job = line.jobs.front()?;
            let runner = line.best_runner(runners, &free)?;
            let load = running.get(&job.project).copied().unwrap_or(0);
            Some(((load, job.queued_at, job.job), at, runner))
        });
        let Some((_, at, runner)) = candidates.min_by_key(|(order, _, _)| *order) else {
            break;
        };
        let Some(job) = lines[at].jobs.pop_front() else {
            break;
        };
        free[runner] -= 1;
        *running.entry(job.project).or_default() += 1;
        assignments.push(Assignment {
            job: job.job,
            runner: runners[runner].name.clone(),
        });
    }
    assignments
}

/// The jobs of one project that ask for the same, oldest first: only the first of a line has to be looked at, so
/// that ten thousand legs of a matrix cost no more than one.
struct Line<'a> {
    jobs: VecDeque<&'a WaitingJob>,
    /// The runners that fit.
    fitting: Vec<usize>,
}

impl Line<'_> {
    fn best_runner(&self, runners: &[Runner], free: &[u32]) -> Option<usize> {
        let open = self.fitting.iter().copied().filter(|runner| free[*runner] > 0);
        open.min_by_key(|r| {
            (
                runners[*r].labels.len(),
                u32::MAX - free[*r],
                runners[*r].name.as_str(),
            )
        })
    }
}

fn lines<'a>(jobs: &'a [WaitingJob], runners: &[Runner]) -> Vec<Line<'a>> {
    let mut lines: BTreeMap<_, Vec<&WaitingJob>> = BTreeMap::new();
    for job in jobs {
        lines
            .entry((job.project, &job.group, &job.labels))
            .or_default()
            .push(job);
    }
    let line = |mut jobs: Vec<&'a WaitingJob>| {
        jobs.sort_by_key(|job| (job.queued_at, job.job));
        let fits = |runner: &usize| jobs.first().is_some_and(|job| runners[*runner].fits(job));
        Line {
            fitting: (0..runners.len()).filter(fits).collect(),
            jobs: jobs.into(),
        }
    };
    lines.into_values().map(line).collect()
}

/// Why a job waits, in words: `no runner has the label gpu`, `no free slot (2 of 2 busy)`.
#[must_use]
pub fn why(job: &WaitingJob, runners: &[Runner]) -> String {
    if runners.is_empty() {
        return "no runner is registered".to_owned();
    }
    let grouped: Vec<&Runner> = runners.iter().filter(|runner| runner.in_group(job)).collect();
    if let (Some(group), true) = (&job.group, grouped.is_empty()) {
        return format!("no runner is in the group `{group}`");
    }
    if let Some(label) = job
        .labels
        .iter()
        .find(|label| !grouped.iter().any(|runner| runner.has(label)))
    {
        return format!("no runner has the label `{label}`");
    }
    let fitting: Vec<&Runner> = grouped.into_iter().filter(|runner| runner.fits(job)).collect();
    if fitting.is_empty() {
        let labels: Vec<String> = job.labels.iter().map(|label| format!("`{label}`")).collect();
        return format!("no runner has all of the labels {}", labels.join(", "));
    }
    let online: Vec<&&Runner> = fitting.iter().filter(|runner| runner.online).collect();
    if online.is_empty() {
        return match fitting.as_slice() {
            [only] => format!("the runner `{}` is offline", only.name),
            several => format!("all {} runners for it are offline", several.len()),
        };
    }
    let open: Vec<&&&Runner> = online.iter().filter(|runner| !runner.draining).collect();
    if open.is_empty() {
        return "every runner for it is draining".to_owned();
    }
    let slots: u32 = open.iter().map(|runner| runner.slots).sum();
    let busy: u32 = open.iter().map(|runner| runner.busy.min(runner.slots)).sum();
    if busy < slots {
        "is about to start".to_owned()
    } else {
        format!("no free slot ({busy} of {slots} busy)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: i64, project: i64, at: i64, labels: &str) -> WaitingJob {
        WaitingJob {
            job: JobId(id),
            project: ProjectId(project),
            queued_at: Timestamp(at),
            labels: labels.split_whitespace().map(str::to_owned).collect(),
            group: None,
        }
    }

    fn runner(name: &str, labels: &str, slots: u32, busy: u32) -> Runner {
        Runner {
            name: name.to_owned(),
            labels: labels.split_whitespace().map(str::to_owned).collect(),
            group: None,
            slots,
            busy,
            online: true,
            draining: false,
        }
    }

    fn check(jobs: &[WaitingJob], runners: &[Runner], running: &[(i64, usize)], expected: &str) {
        let running = running
            .iter()
            .map(|(project, n)| (ProjectId(*project), *n))
            .collect();
        let assigned = assign(jobs, runners, &running);
        let words: Vec<String> = assigned
            .iter()
            .map(|a| format!("{}:{}", a.job, a.runner))
            .collect();
        assert_eq!(words.join(" "), expected);
    }

    #[test]
    fn oldest_first_and_all_labels_match() {
        let jobs = [
            job(1, 1, 30, "linux"),
            job(2, 1, 10, "Linux gpu"),
            job(3, 1, 20, "linux"),
        ];
        check(&jobs, &[runner("a", "linux", 1, 0)], &[], "3:a");
        check(
            &jobs,
            &[runner("a", "linux", 1, 0), runner("b", "linux GPU", 1, 0)],
            &[],
            "2:b 3:a",
        );
        check(&jobs, &[runner("a", "linux", 2, 2)], &[], "");
    }

    #[test]
    fn special_runners_stay_free() {
        let jobs = [job(1, 1, 1, "linux"), job(2, 1, 2, "gpu")];
        check(
            &jobs,
            &[runner("big", "linux gpu", 1, 0), runner("small", "linux", 1, 0)],
            &[],
            "1:small 2:big",
        );
    }

    #[test]
    fn no_project_starves_another() {
        let mut jobs: Vec<WaitingJob> = (0..6).map(|n| job(n, 1, n, "x")).collect();
        jobs.push(job(100, 2, 50, "x"));
        check(&jobs, &[runner("a", "x", 3, 0)], &[], "0:a 100:a 1:a");
        check(&jobs, &[runner("a", "x", 4, 3)], &[(1, 3)], "100:a");
    }

    #[test]
    fn who_is_away_or_leaving_gets_nothing() {
        let away = Runner {
            online: false,
            ..runner("a", "x", 1, 0)
        };
        let leaving = Runner {
            draining: true,
            ..runner("b", "x", 1, 0)
        };
        check(&[job(1, 1, 1, "x")], &[away, leaving], &[], "");
    }

    #[test]
    fn every_wait_says_for_what() {
        let x = || runner("a", "x", 2, 2);
        let away = || Runner {
            online: false,
            ..runner("b", "gpu", 1, 0)
        };
        let grouped = WaitingJob {
            group: Some("big".to_owned()),
            ..job(1, 1, 1, "x")
        };
        let cases: [(WaitingJob, Vec<Runner>, &str); 8] = [
            (job(1, 1, 1, "x"), vec![], "no runner is registered"),
            (job(1, 1, 1, "x gpu"), vec![x()], "no runner has the label `gpu`"),
            (
                job(1, 1, 1, "x gpu"),
                vec![x(), away()],
                "no runner has all of the labels `x`, `gpu`",
            ),
            (
                job(1, 1, 1, "gpu"),
                vec![x(), away()],
                "the runner `b` is offline",
            ),
            (job(1, 1, 1, "x"), vec![x(), away()], "no free slot (2 of 2 busy)"),
            (
                job(1, 1, 1, "x"),
                vec![Runner {
                    draining: true,
                    ..x()
                }],
                "every runner for it is draining",
            ),
            (grouped, vec![x()], "no runner is in the group `big`"),
            (
                job(1, 1, 1, "x"),
                vec![runner("a", "x", 2, 1)],
                "is about to start",
            ),
        ];
        for (job, runners, expected) in cases {
            assert_eq!(why(&job, &runners), expected);
        }
    }
}

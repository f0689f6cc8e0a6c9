//! The order of jobs: every `needs` names a job, and no job waits for itself.

use super::reader::Reader;
use super::suggest::closest;
use crate::model::Job;
use crate::source::Span;
use indexmap::IndexMap;
use std::collections::HashMap;

pub(super) fn check(reader: &mut Reader<'_>, jobs: &IndexMap<String, Job>, jobs_span: Span) {
    let by_name: HashMap<String, usize> = jobs
        .keys()
        .enumerate()
        .map(|(i, id)| (id.to_lowercase(), i))
        .collect();
    let mut unknown = false;
    for job in jobs.values() {
        for need in job
            .needs
            .iter()
            .filter(|n| !by_name.contains_key(&n.value.to_lowercase()))
        {
            unknown = true;
            let help = closest(&need.value, jobs.keys().map(String::as_str))
                .map(|id| format!("did you mean `{id}`?"));
            let fault = reader.error("W0103", need.span, format!("no job has the id `{}`", need.value));
            fault.label = format!("needed by `{}`", job.id.value);
            fault.help = help;
        }
    }
    if !unknown && !jobs.is_empty() && jobs.values().all(|job| !job.needs.is_empty()) {
        reader.error("W0108", jobs_span, "no job can start: each one needs another");
    }
    cycles(reader, jobs, &by_name);
}

/// Reports each need that leads back to its own job.
fn cycles(reader: &mut Reader<'_>, jobs: &IndexMap<String, Job>, by_name: &HashMap<String, usize>) {
    let targets = |index: usize| {
        let needs = jobs
            .get_index(index)
            .map(|(_, job)| job.needs.as_slice())
            .unwrap_or_default();
        needs
            .iter()
            .filter_map(|n| Some((n, *by_name.get(&n.value.to_lowercase())?)))
    };
    // Jobs that can be ordered are taken away; what is left is on a cycle or waits for one.
    let mut waits: Vec<usize> = (0..jobs.len()).map(|i| targets(i).count()).collect();
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); jobs.len()];
    for index in 0..jobs.len() {
        for (_, target) in targets(index) {
            needed_by[target].push(index);
        }
    }
    let mut ready: Vec<usize> = (0..jobs.len()).filter(|i| waits[*i] == 0).collect();
    while let Some(done) = ready.pop() {
        for waiter in &needed_by[done] {
            waits[*waiter] -= 1;
            if waits[*waiter] == 0 {
                ready.push(*waiter);
            }
        }
    }
    // Of what is left, a job that nothing on a circle needs only waits for one.
    let mut circling: Vec<bool> = waits.iter().map(|w| *w > 0).collect();
    loop {
        let idle = |i: &usize| circling[*i] && !needed_by[*i].iter().any(|w| circling[*w]);
        let Some(index) = (0..jobs.len()).find(idle) else {
            break;
        };
        circling[index] = false;
    }
    for index in (0..jobs.len()).filter(|i| waits[*i] > 0) {
        for (need, target) in targets(index).filter(|(_, t)| waits[*t] > 0) {
            let id = jobs
                .get_index(index)
                .map(|(id, _)| id.as_str())
                .unwrap_or_default();
            let message = if index == target {
                format!("the job `{id}` needs itself")
            } else if circling[index] {
                format!(
                    "the job `{id}` needs `{}`, which in turn waits for it",
                    need.value
                )
            } else {
                format!("the job `{id}` needs `{}`, which never starts", need.value)
            };
            reader.error("W0104", need.span, message);
        }
    }
}

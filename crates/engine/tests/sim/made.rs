//! Random workflows: as structures that the shadow model reads, and as the text that the engine reads.

use crate::random::Random;
use std::fmt::Write;

pub(crate) const ROOT_PATH: &str = ".github/workflows/root.yml";
pub(crate) const CALLED_PATH: &str = ".github/workflows/called.yml";

#[derive(Clone, Debug, Default)]
pub(crate) struct Made {
    pub(crate) root: MadeWorkflow,
    pub(crate) called: MadeWorkflow,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct MadeWorkflow {
    pub(crate) jobs: Vec<MadeJob>,
    pub(crate) group: Option<MadeGroup>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct MadeGroup {
    pub(crate) name: usize,
    pub(crate) cancel: bool,
    pub(crate) queue_max: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct MadeJob {
    pub(crate) key: String,
    pub(crate) needs: Vec<usize>,
    pub(crate) condition: MadeIf,
    pub(crate) matrix: Matrix,
    pub(crate) fail_fast: bool,
    pub(crate) max_parallel: Option<usize>,
    pub(crate) continue_on_error: bool,
    pub(crate) environment: bool,
    pub(crate) group: Option<MadeGroup>,
    pub(crate) calls: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MadeIf {
    None,
    Always,
    Failure,
    NotCancelled,
    SuccessOrFailure,
    /// An output of that need is `1`.
    OutputOf(usize),
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matrix {
    None,
    Of(usize),
    /// From the output `list` of that need.
    From(usize),
}

impl Made {
    pub(crate) fn new(random: &mut Random) -> Self {
        Self {
            root: MadeWorkflow::new(random, true),
            called: MadeWorkflow::new(random, false),
        }
    }
}

impl MadeWorkflow {
    fn new(random: &mut Random, may_call: bool) -> Self {
        let count = 1 + random.below(if may_call { 6 } else { 3 });
        let mut jobs = Vec::new();
        for index in 0..count {
            jobs.push(MadeJob::new(random, index, may_call));
        }
        let group = random.percent(25).then(|| MadeGroup::new(random));
        Self {
            jobs,
            group: group.filter(|_| may_call),
        }
    }

    pub(crate) fn job(&self, key: &str) -> &MadeJob {
        self.jobs.iter().find(|job| job.key == key).unwrap()
    }

    /// All jobs that a job depends on.
    pub(crate) fn ancestors(&self, index: usize) -> Vec<usize> {
        let mut found: Vec<usize> = self.jobs[index].needs.clone();
        for need in &self.jobs[index].needs {
            found.extend(self.ancestors(*need));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    pub(crate) fn text(&self, is_root: bool) -> String {
        let mut text = String::new();
        if is_root {
            text.push_str("on: push\n");
            if let Some(group) = self.group {
                writeln!(text, "concurrency: {}", group.text()).unwrap();
            }
        } else {
            let last = &self.jobs[self.jobs.len() - 1].key;
            text.push_str("on:\n  workflow_call:\n    outputs:\n");
            for output in ["v", "list"] {
                writeln!(
                    text,
                    "      {output}: {{ value: '${{{{ jobs.{last}.outputs.{output} }}}}' }}"
                )
                .unwrap();
            }
        }
        text.push_str("jobs:\n");
        for job in &self.jobs {
            job.write(&mut text, &self.jobs);
        }
        text
    }
}

impl MadeGroup {
    fn new(random: &mut Random) -> Self {
        let cancel = random.percent(30);
        Self {
            name: random.below(3),
            cancel,
            queue_max: !cancel && random.percent(30),
        }
    }

    fn text(self) -> String {
        let queue = if self.queue_max { ", queue: max" } else { "" };
        format!(
            "{{ group: g{}, cancel-in-progress: {}{queue} }}",
            self.name, self.cancel
        )
    }
}

impl MadeJob {
    fn new(random: &mut Random, index: usize, may_call: bool) -> Self {
        let mut needs: Vec<usize> = (0..index).filter(|_| random.percent(40)).collect();
        needs.truncate(3);
        let condition = match random.below(14) {
            0 => MadeIf::Always,
            1 => MadeIf::Failure,
            2 => MadeIf::NotCancelled,
            3 => MadeIf::SuccessOrFailure,
            4 | 5 if !needs.is_empty() => MadeIf::OutputOf(random.pick(&needs)),
            6 if random.percent(40) => MadeIf::Never,
            _ => MadeIf::None,
        };
        let matrix = match random.below(6) {
            0 => Matrix::Of(1 + random.below(4)),
            1 if !needs.is_empty() => Matrix::From(random.pick(&needs)),
            _ => Matrix::None,
        };
        let calls = may_call && random.percent(15);
        Self {
            key: format!("j{index}"),
            needs,
            condition,
            matrix,
            fail_fast: random.percent(60),
            max_parallel: random.percent(30).then(|| 1 + random.below(2)),
            continue_on_error: !calls && random.percent(15),
            environment: !calls && random.percent(15),
            group: random.percent(15).then(|| MadeGroup::new(random)),
            calls,
        }
    }

    fn write(&self, text: &mut String, jobs: &[MadeJob]) {
        let needs: Vec<&str> = self.needs.iter().map(|need| jobs[*need].key.as_str()).collect();
        writeln!(text, "  {}:", self.key).unwrap();
        if !needs.is_empty() {
            writeln!(text, "    needs: [{}]", needs.join(", ")).unwrap();
        }
        match self.condition {
            MadeIf::None => {}
            MadeIf::Always => text.push_str("    if: always()\n"),
            MadeIf::Failure => text.push_str("    if: failure()\n"),
            MadeIf::NotCancelled => text.push_str("    if: ${{ !cancelled() }}\n"),
            MadeIf::SuccessOrFailure => text.push_str("    if: success() || failure()\n"),
            MadeIf::OutputOf(need) => {
                writeln!(text, "    if: needs.{}.outputs.v == '1'", jobs[need].key).unwrap();
            }
            MadeIf::Never => text.push_str("    if: github.ref_name == 'dev'\n"),
        }
        self.write_matrix(text, jobs);
        if let Some(group) = self.group {
            writeln!(text, "    concurrency: {}", group.text()).unwrap();
        }
        if self.calls {
            text.push_str("    uses: ./.github/workflows/called.yml\n");
            return;
        }
        text.push_str("    runs-on: linux\n");
        if self.continue_on_error {
            text.push_str("    continue-on-error: true\n");
        }
        if self.environment {
            text.push_str("    environment: production\n");
        }
        text.push_str("    outputs: { v: '1', list: '[]' }\n    steps: [{ run: 'true' }]\n");
    }

    fn write_matrix(&self, text: &mut String, jobs: &[MadeJob]) {
        let matrix = match self.matrix {
            Matrix::None => return,
            Matrix::Of(count) => {
                let values: Vec<String> = (0..count).map(|n| n.to_string()).collect();
                format!("[{}]", values.join(", "))
            }
            Matrix::From(need) => {
                format!(
                    "\"${{{{ fromJSON(needs.{}.outputs.list || '[9]') }}}}\"",
                    jobs[need].key
                )
            }
        };
        text.push_str("    strategy:\n");
        writeln!(text, "      fail-fast: {}", self.fail_fast).unwrap();
        if let Some(max) = self.max_parallel {
            writeln!(text, "      max-parallel: {max}").unwrap();
        }
        writeln!(text, "      matrix: {{ n: {matrix} }}").unwrap();
    }
}

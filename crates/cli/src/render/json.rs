//! Events as `exec --json` prints them: one object a line, in the order of what happened, and nothing else.

use crate::exec::driver::Observer;
use pilotage_api::rest::RunEvent;
use std::io::Write;

pub(crate) struct JsonLines(pub(crate) std::io::BufWriter<std::io::Stdout>);

impl JsonLines {
    pub(crate) fn new() -> Self {
        Self(std::io::BufWriter::with_capacity(1 << 16, std::io::stdout()))
    }
}

impl Observer for JsonLines {
    fn told(&mut self, event: &RunEvent) {
        if matches!(event, RunEvent::State { .. } | RunEvent::StepStarted { .. }) {
            return;
        }
        // A reader that went away is no reason to stop the jobs.
        if serde_json::to_writer(&mut self.0, event).is_ok() {
            let _ = self.0.write_all(b"\n");
        }
        if !matches!(event, RunEvent::Log { .. }) {
            let _ = self.0.flush();
        }
    }

    fn tick(&mut self) {
        let _ = self.0.flush();
    }
}

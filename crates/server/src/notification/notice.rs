//! Notices: what happened, written down in the transaction in which it happens.

use super::message::Message;
use crate::driver::Turn;
use pilotage_engine::deployment::Deployment;
use pilotage_store::{Deployment as Row, Notice, Result, Run, Wait};
use pilotage_workflow::delivery::Occasion;

/// How much of a commit names it.
const SHORT: usize = 7;

impl Turn<'_> {
    /// Of a deployment. `which` tells apart what happens to the same one.
    pub(crate) async fn note_deployment(
        &mut self,
        row: &Row,
        machine: Option<&Deployment>,
        which: &str,
        what: &str,
        text: &str,
    ) -> Result<()> {
        let Some(occasion) = Occasion::of(what) else {
            tracing::error!(deployment.id = row.id, "nobody can be told of `{what}`");
            return Ok(());
        };
        let (Some(project), release) = (
            self.c.project_by_id(row.project_id).await?,
            self.c.release(row.release_id).await?,
        ) else {
            return Ok(());
        };
        let view = machine.map(Deployment::view);
        let (digest, sha, title, r#ref) = release
            .map(|r| (r.digest, r.sha, r.title, r.r#ref))
            .unwrap_or_default();
        let reason = machine.map_or("", |machine| &machine.spec().reason);
        let message = Message {
            occasion,
            project: project.path(),
            environment: row.environment.clone(),
            deployment: Some(row.id),
            kind: row.kind.clone(),
            run: row.run_id,
            job: String::new(),
            release: digest,
            revision: match row.revision.as_str() {
                "" => sha.get(..SHORT).unwrap_or_default().to_owned(),
                revision => revision.to_owned(),
            },
            sha,
            title,
            r#ref,
            old_revision: view
                .as_ref()
                .and_then(|view| view.old.as_ref())
                .map(|old| old.revision.clone())
                .unwrap_or_default(),
            actor: row.actor.clone(),
            reason: reason.to_owned(),
            why: text.to_owned(),
            evidence: view
                .into_iter()
                .flat_map(|view| view.services)
                .filter_map(|service| service.verdict)
                .collect(),
            at: self.now,
        };
        let key = format!("deployment/{}/{which}", row.id);
        self.note(row.project_id, key, &message).await
    }

    /// Of a job that waits for its environment. Jobs of one run that wait for the same are one notice.
    pub(crate) async fn note_wait(&mut self, wait: &Wait, run: &Run, why: &str) -> Result<()> {
        let Some(project) = self.c.project_by_id(wait.project_id).await? else {
            return Ok(());
        };
        let job = self.c.job(wait.job_id).await?;
        let message = Message {
            occasion: Occasion::Waiting,
            project: project.path(),
            environment: wait.environment.clone(),
            deployment: None,
            kind: "job".to_owned(),
            run: Some(run.id),
            job: job.map(|job| job.name).unwrap_or_default(),
            release: String::new(),
            sha: run.sha.clone(),
            title: run.title.clone(),
            r#ref: run.r#ref.clone(),
            revision: run.sha.get(..SHORT).unwrap_or_default().to_owned(),
            old_revision: String::new(),
            actor: run.actor.clone(),
            reason: String::new(),
            why: why.to_owned(),
            evidence: Vec::new(),
            at: self.now,
        };
        let key = format!("run/{}/{}/{}/{why}", run.id, run.attempt, wait.environment);
        self.note(wait.project_id, key, &message).await
    }

    async fn note(&mut self, project: i64, key: String, message: &Message) -> Result<()> {
        let notice = Notice {
            id: 0,
            project_id: project,
            environment: message.environment.clone(),
            deployment_id: message.deployment,
            run_id: message.run,
            event: message.occasion.word().to_owned(),
            key,
            message: crate::driver::to_text(message)?,
            at: self.now,
        };
        self.c.add_notice(&notice).await
    }
}

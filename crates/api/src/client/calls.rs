//! One method for each call of the table in [`crate::rest`].

use super::{Client, ClientError, Download, EventStream, JobLog, Lines, ProjectName, RunEvents};
use crate::rest::*;
use reqwest::Method;

type Answer<T> = Result<T, ClientError>;
const NOTHING: &[(&str, &str)] = &[];

fn optional<'a>(name: &'a str, value: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    value.map(|value| (name, value)).into_iter().collect()
}

/// Projects and workflows.
impl Client {
    pub async fn projects(&self) -> Answer<Vec<Project>> {
        self.get(&["projects"], NOTHING).await
    }

    pub async fn create_project(&self, new: &NewProject) -> Answer<Project> {
        self.ask(Method::POST, &["projects"], new).await
    }

    pub async fn project(&self, of: &ProjectName) -> Answer<Project> {
        self.get(&["projects", &of.owner, &of.name], NOTHING).await
    }

    pub async fn workflows(&self, of: &ProjectName) -> Answer<Vec<Workflow>> {
        self.get(&["projects", &of.owner, &of.name, "workflows"], NOTHING)
            .await
    }

    /// `workflow` is an id, or a file's name.
    pub async fn workflow(
        &self,
        of: &ProjectName,
        workflow: &str,
        at: Option<&str>,
    ) -> Answer<WorkflowDetail> {
        let path = ["projects", &of.owner, &of.name, "workflows", workflow];
        self.get(&path, &optional("ref", at)).await
    }

    pub async fn enable_workflow(&self, of: &ProjectName, workflow: &str, enabled: bool) -> Answer<()> {
        let path = ["projects", &of.owner, &of.name, "workflows", workflow, "enabled"];
        self.tell(Method::PUT, &path, &Enabled { enabled }).await
    }

    pub async fn dispatch(&self, of: &ProjectName, workflow: &str, dispatch: &Dispatch) -> Answer<Run> {
        let path = [
            "projects",
            &of.owner,
            &of.name,
            "workflows",
            workflow,
            "dispatches",
        ];
        self.ask(Method::POST, &path, dispatch).await
    }
}

/// Runs, logs and artifacts.
impl Client {
    pub async fn runs(&self, query: &RunQuery) -> Answer<Vec<Run>> {
        self.get(&["runs"], query).await
    }

    /// `attempt`: the latest where there is none.
    pub async fn run(&self, run: i64, attempt: Option<u32>) -> Answer<RunDetail> {
        let attempt = attempt.map(|n| n.to_string());
        let query = optional("attempt", attempt.as_deref());
        self.get(&["runs", &run.to_string()], &query).await
    }

    pub async fn rerun(&self, run: i64, which: &Rerun) -> Answer<Run> {
        self.ask(Method::POST, &["runs", &run.to_string(), "rerun"], which)
            .await
    }

    pub async fn cancel(&self, run: i64, cancel: Cancel) -> Answer<Run> {
        self.ask(Method::POST, &["runs", &run.to_string(), "cancel"], &cancel)
            .await
    }

    pub async fn delete_run(&self, run: i64) -> Answer<()> {
        self.tell(Method::DELETE, &["runs", &run.to_string()], &()).await
    }

    pub async fn approve_run(&self, run: i64, approve: &Approve) -> Answer<()> {
        self.tell(Method::POST, &["runs", &run.to_string(), "approvals"], approve)
            .await
    }

    /// What happens in a run, from the start of the attempt until the run is over.
    #[must_use]
    pub fn run_events(&self, run: i64, attempt: Option<u32>) -> RunEvents {
        let query = attempt.map(|n| ("attempt".to_owned(), n.to_string()));
        let path = ["runs", &run.to_string(), "events"];
        let query = query.into_iter().collect();
        RunEvents::new(EventStream::new(self.clone(), &path, query))
    }

    #[must_use]
    pub fn job_log(&self, job: i64, query: LogQuery) -> JobLog {
        JobLog::new(self.clone(), job, query)
    }

    pub async fn artifacts(&self, run: i64) -> Answer<Vec<Artifact>> {
        self.get(&["runs", &run.to_string(), "artifacts"], NOTHING).await
    }

    /// A ZIP.
    pub async fn artifact_content(&self, artifact: i64) -> Answer<Download> {
        self.download(&["artifacts", &artifact.to_string(), "content"])
            .await
    }
}

/// Secrets and variables; `environment` is none for the whole project.
impl Client {
    pub async fn secrets(&self, of: &ProjectName, environment: Option<&str>) -> Answer<Vec<Secret>> {
        let path = ["projects", &of.owner, &of.name, "secrets"];
        self.get(&path, &optional("environment", environment)).await
    }

    pub async fn set_secret(&self, of: &ProjectName, name: &str, value: &SetValue) -> Answer<()> {
        let path = ["projects", &of.owner, &of.name, "secrets", name];
        self.tell(Method::PUT, &path, value).await
    }

    pub async fn delete_secret(&self, of: &ProjectName, name: &str, environment: Option<&str>) -> Answer<()> {
        self.delete_value(&["projects", &of.owner, &of.name, "secrets", name], environment)
            .await
    }

    pub async fn variables(&self, of: &ProjectName, environment: Option<&str>) -> Answer<Vec<Variable>> {
        let path = ["projects", &of.owner, &of.name, "variables"];
        self.get(&path, &optional("environment", environment)).await
    }

    pub async fn set_variable(&self, of: &ProjectName, name: &str, value: &SetValue) -> Answer<()> {
        let path = ["projects", &of.owner, &of.name, "variables", name];
        self.tell(Method::PUT, &path, value).await
    }

    pub async fn delete_variable(
        &self,
        of: &ProjectName,
        name: &str,
        environment: Option<&str>,
    ) -> Answer<()> {
        self.delete_value(&["projects", &of.owner, &of.name, "variables", name], environment)
            .await
    }

    async fn delete_value(&self, path: &[&str], environment: Option<&str>) -> Answer<()> {
        let request = self.request(Method::DELETE, path)?;
        self.send(request.query(&optional("environment", environment)))
            .await?;
        Ok(())
    }
}

/// Environments.
impl Client {
    pub async fn environments(&self, of: &ProjectName) -> Answer<Vec<Environment>> {
        self.get(&["projects", &of.owner, &of.name, "environments"], NOTHING)
            .await
    }

    pub async fn environment(&self, of: &ProjectName, environment: &str) -> Answer<Environment> {
        let path = ["projects", &of.owner, &of.name, "environments", environment];
        self.get(&path, NOTHING).await
    }

    pub async fn set_rules(&self, of: &ProjectName, environment: &str, rules: &Rules) -> Answer<Environment> {
        let path = [
            "projects",
            &of.owner,
            &of.name,
            "environments",
            environment,
            "rules",
        ];
        self.ask(Method::PUT, &path, rules).await
    }

    pub async fn lock(&self, of: &ProjectName, environment: &str, lock: &Lock) -> Answer<()> {
        let path = [
            "projects",
            &of.owner,
            &of.name,
            "environments",
            environment,
            "lock",
        ];
        self.tell(Method::PUT, &path, lock).await
    }

    pub async fn unlock(&self, of: &ProjectName, environment: &str) -> Answer<()> {
        let path = [
            "projects",
            &of.owner,
            &of.name,
            "environments",
            environment,
            "lock",
        ];
        self.tell(Method::DELETE, &path, &()).await
    }
}

/// The server itself.
impl Client {
    pub async fn runners(&self) -> Answer<Vec<Runner>> {
        self.get(&["runners"], NOTHING).await
    }

    pub async fn drain_runner(&self, name: &str, drain: bool) -> Answer<()> {
        self.tell(Method::PUT, &["runners", name, "drain"], &Drain { drain })
            .await
    }

    pub async fn tokens(&self) -> Answer<Vec<Token>> {
        self.get(&["tokens"], NOTHING).await
    }

    pub async fn create_token(&self, new: &NewToken) -> Answer<CreatedToken> {
        self.ask(Method::POST, &["tokens"], new).await
    }

    pub async fn revoke_token(&self, token: i64) -> Answer<()> {
        self.tell(Method::DELETE, &["tokens", &token.to_string()], &())
            .await
    }

    /// Entries after a number, the oldest first.
    pub async fn audit(&self, after: i64, limit: u32) -> Answer<Vec<AuditEntry>> {
        let query = [("after", after.to_string()), ("limit", limit.to_string())];
        self.get(&["audit"], &query).await
    }

    pub async fn verify_audit(&self) -> Answer<AuditProof> {
        self.get(&["audit", "verify"], NOTHING).await
    }

    /// One entry a line.
    pub async fn export_audit(&self) -> Answer<Lines> {
        let response = self
            .send(self.request(Method::GET, &["audit", "export"])?)
            .await?;
        Ok(Lines::new(self.clone(), response))
    }

    pub async fn status(&self, project: Option<&ProjectName>) -> Answer<Status> {
        let project = project.map(ToString::to_string);
        self.get(&["status"], &optional("project", project.as_deref()))
            .await
    }

    pub async fn doctor(&self) -> Answer<Vec<Fact>> {
        self.get(&["doctor"], NOTHING).await
    }
}

//! One method for each call of the table in [`crate::deployment`].

use super::{Client, ClientError, EventStream, Lines, ProjectName};
use crate::deployment::*;
use reqwest::Method;

type Answer<T> = Result<T, ClientError>;
const NOTHING: &[(&str, &str)] = &[];

impl Client {
    pub async fn deployments(&self, of: &ProjectName, query: &DeploymentQuery) -> Answer<Vec<Deployment>> {
        self.get(&["projects", &of.owner, &of.name, "deployments"], query)
            .await
    }

    pub async fn deploy(&self, of: &ProjectName, deploy: &Deploy) -> Answer<Deployment> {
        let path = ["projects", &of.owner, &of.name, "deployments"];
        self.ask(Method::POST, &path, deploy).await
    }

    pub async fn roll_back(&self, of: &ProjectName, rollback: &Rollback) -> Answer<Deployment> {
        let path = ["projects", &of.owner, &of.name, "rollbacks"];
        self.ask(Method::POST, &path, rollback).await
    }

    pub async fn deployment(&self, deployment: i64) -> Answer<DeploymentDetail> {
        self.get(&["deployments", &deployment.to_string()], NOTHING).await
    }

    /// Where a deployment stands, again at each change. It is over when the deployment has an outcome.
    #[must_use]
    pub fn deployment_events(&self, deployment: i64) -> EventStream<DeploymentDetail> {
        let path = ["deployments", &deployment.to_string(), "events"];
        EventStream::new(self.clone(), &path, Vec::new())
    }

    pub async fn replay(&self, deployment: i64) -> Answer<Vec<Replay>> {
        self.get(&["deployments", &deployment.to_string(), "replay"], NOTHING)
            .await
    }

    pub async fn approve_deployment(&self, deployment: i64, approve: &ApproveDeployment) -> Answer<()> {
        let path = ["deployments", &deployment.to_string(), "approvals"];
        self.tell(Method::POST, &path, approve).await
    }

    pub async fn abort(&self, deployment: i64, abort: &Abort) -> Answer<Deployment> {
        let path = ["deployments", &deployment.to_string(), "abort"];
        self.ask(Method::POST, &path, abort).await
    }

    pub async fn releases(&self, of: &ProjectName, limit: u32) -> Answer<Vec<Release>> {
        let path = ["projects", &of.owner, &of.name, "releases"];
        self.get(&path, &[("limit", limit.to_string())]).await
    }

    /// `release` is a digest, or the beginning of a commit.
    pub async fn release(&self, of: &ProjectName, release: &str) -> Answer<ReleaseDetail> {
        let path = ["projects", &of.owner, &of.name, "releases", release];
        self.get(&path, NOTHING).await
    }

    pub async fn standings(&self, of: &ProjectName) -> Answer<Vec<Standing>> {
        self.get(&["projects", &of.owner, &of.name, "standings"], NOTHING)
            .await
    }

    pub async fn service_log(
        &self,
        of: &ProjectName,
        environment: &str,
        service: &str,
        query: &ServiceLogQuery,
    ) -> Answer<Lines> {
        let path = ["projects", &of.owner, &of.name, "logs", environment, service];
        let response = self.send(self.request(Method::GET, &path)?.query(query)).await?;
        Ok(Lines::new(self.clone(), response))
    }

    pub async fn quarantine(&self, of: &ProjectName) -> Answer<Vec<Quarantined>> {
        self.get(&["projects", &of.owner, &of.name, "quarantine"], NOTHING)
            .await
    }

    pub async fn release_from_quarantine(&self, of: &ProjectName, digest: &str) -> Answer<()> {
        let path = ["projects", &of.owner, &of.name, "quarantine", digest];
        self.tell(Method::DELETE, &path, &()).await
    }
}

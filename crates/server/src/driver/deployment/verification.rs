//! Proof of what answers: the digest behind each of a row of answers, by the keepers of the replicas that gave them,
//! and the checks of the release.

use super::world::{Why, chain, environment_of};
use super::{load, plan_of};
use crate::app::App;
use pilotage_deploy::replica::ReplicaState;
use pilotage_deploy::verify;
use pilotage_engine::deployment::{ANSWERS_PER_REPLICA, Deployment, Standing, listen_address};
use pilotage_store::Project;
use pilotage_workflow::delivery::{EnvironmentPlan, ServicePlan};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// All of it together.
const WITHIN: Duration = Duration::from_secs(120);
/// How often it begins, when processes are replaced under it.
const ATTEMPTS: u32 = 3;
/// What a killed process needs to come back.
const AGAIN: Duration = Duration::from_millis(500);

/// Proves what is live in an environment, at any time.
pub(crate) async fn verify_standing(app: &Arc<App>, project: &Project, environment: &str) -> Why<String> {
    let mut c = app.store.read().await.map_err(|error| chain(&error))?;
    let row = c
        .standing(project.id, environment)
        .await
        .map_err(|error| chain(&error))?;
    let row = row.ok_or_else(|| format!("nothing is live in {environment}"))?;
    let release = c.release(row.release_id).await.map_err(|error| chain(&error))?;
    let open = c
        .open_deployments(project.id, environment)
        .await
        .map_err(|error| chain(&error))?;
    let machine = match open.first() {
        Some(open) => load(&mut c, open.id).await.map_err(|error| chain(&error))?,
        None => None,
    };
    drop(c);
    let standing: Standing = serde_json::from_str(&row.standing).map_err(|error| chain(&error))?;
    // While a new revision is watched, it is the one that has all traffic.
    let new = machine
        .filter(Deployment::has_all_traffic)
        .map(|machine| machine.spec().new.clone());
    let (revision, digest) = match new {
        Some(new) => (new.revision, new.digest),
        None => (standing.release.revision, standing.release.digest),
    };
    let plan = match release.filter(|release| release.digest == digest) {
        Some(release) => plan_of(&release, environment),
        None => {
            let mut c = app.store.read().await.map_err(|error| chain(&error))?;
            let release = c
                .release_by_digest(project.id, &digest)
                .await
                .map_err(|error| chain(&error))?;
            plan_of(&release.ok_or("its release is not there any more")?, environment)
        }
    };
    let plan = plan
        .map_err(|error| chain(&error))?
        .ok_or("the release has no such environment")?;
    let most = plan
        .services
        .iter()
        .map(|service| service.replicas)
        .max()
        .unwrap_or(1);
    let proof = Verification {
        app,
        project,
        plan: &plan,
        revision: &revision,
        digest: &digest,
    };
    proof.run(ANSWERS_PER_REPLICA * most).await
}

/// That a revision answers, and answers well.
pub(super) struct Verification<'a> {
    pub(super) app: &'a Arc<App>,
    pub(super) project: &'a Project,
    pub(super) plan: &'a EnvironmentPlan,
    pub(super) revision: &'a str,
    pub(super) digest: &'a str,
}

impl Verification<'_> {
    /// What was proven, in words; or the first fault. Where a process was killed meanwhile, it begins anew: that
    /// proves nothing against the release.
    pub(super) async fn run(&self, answers: u32) -> Why<String> {
        let whole = async {
            for _ in 1..ATTEMPTS {
                let before = self.processes().await;
                let fault = match self.once(answers).await {
                    Ok(what) => return Ok(what),
                    Err(fault) => fault,
                };
                // Its keeper needs a moment to see that a process is gone, and to start it again.
                sleep(AGAIN).await;
                if self.processes().await == before {
                    return Err(fault);
                }
                tracing::info!("verified again, a process was replaced meanwhile: {fault}");
            }
            self.once(answers).await
        };
        match timeout(WITHIN, whole).await {
            Ok(end) => end,
            Err(_) => Err(format!("it took longer than {} s", WITHIN.as_secs())),
        }
    }

    async fn once(&self, answers: u32) -> Why<String> {
        let services = u32::try_from(self.plan.services.len().max(1)).unwrap_or(1);
        let each = answers.div_ceil(services).max(1);
        let mut given = 0;
        for service in &self.plan.services {
            given += self.service(service, each).await?;
        }
        let executing = self.executing().await?;
        self.checks().await?;
        Ok(format!(
            "{} executes on {executing} replicas and gave {given} answers in a row",
            self.revision
        ))
    }

    /// Who runs: another proxy or replica than before has another number here.
    async fn processes(&self) -> Vec<Option<i32>> {
        let keeper = self.app.local.proxy_dir().join("keeper");
        let proxy = tokio::task::spawn_blocking(move || pilotage_keep::client::status(&keeper)).await;
        let proxy = proxy.ok().and_then(Result::ok).and_then(|status| status.child);
        let environment = environment_of(self.project, &self.plan.environment);
        let states = self.app.local.observe(&environment).await.unwrap_or_default();
        let mut pids = vec![proxy.map(|child| child.pid)];
        pids.extend(states.iter().map(|state| state.pid));
        pids
    }

    async fn service(&self, service: &ServicePlan, answers: u32) -> Why<u32> {
        let (base, host) = base_of(&service.url)?;
        let proof = self
            .app
            .local
            .verify_digest(base, &host, &service.path, self.digest, answers)
            .await
            .map_err(|error| chain(&error))?;
        if proof.holds() {
            return Ok(proof.right);
        }
        let fault = proof.fault.unwrap_or_else(|| "too few answers".to_owned());
        Err(format!("{} of {}: {fault}", service.path, service.name))
    }

    /// `3 of 3`; fewer is a fault.
    async fn executing(&self) -> Why<String> {
        let environment = environment_of(self.project, &self.plan.environment);
        let states = self
            .app
            .local
            .observe(&environment)
            .await
            .map_err(|error| chain(&error))?;
        let of_it: Vec<_> = states
            .iter()
            .filter(|state| state.placed.id.revision == self.revision)
            .collect();
        let executes = |state: &ReplicaState| state.executes.as_deref() == Some(self.digest);
        let right = of_it.iter().filter(|state| executes(state)).count();
        match of_it.iter().find(|state| !executes(state)) {
            Some(other) => Err(format!(
                "replica {} does not execute {}",
                other.placed.id, self.revision
            )),
            None if right == 0 => Err(format!("no replica of {} runs", self.revision)),
            None => Ok(format!("{right} of {right}")),
        }
    }

    async fn checks(&self) -> Why<()> {
        let (base, host) = base_of(&self.plan.url)?;
        for checked in verify::verify(&self.plan.verify, base, &host).await {
            if let Some(fault) = checked.fault {
                return Err(format!("GET {}: {fault}", checked.get));
            }
        }
        Ok(())
    }
}

/// Where to ask for a url from this machine, and the name to ask for.
fn base_of(url: &str) -> Why<(SocketAddr, String)> {
    let (mut address, host) = listen_address(url).map_err(str::to_owned)?;
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let host = host.unwrap_or_else(|| address.to_string());
    Ok((address, host))
}

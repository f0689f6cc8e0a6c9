//! A lease as it is handed out: the job with the secrets that it names and no others, its token and its variables.

use crate::app::App;
use crate::driver::Turn;
use crate::error::{AppError, AppResult};
use crate::secrets;
use pilotage_api::lease::Lease;
use pilotage_api::runner::{Conclusion, JobResult, JobSpec};
use pilotage_engine::ids::JobId;
use pilotage_engine::run::Run;
use pilotage_store::{NewToken, Project, QueuedJob, Runner, Secret, SecretUse, StoreError, Variable};
use pilotage_trust::token::{self, TokenKind};
use pilotage_workflow::secret::Named;
use serde_json::Value as Json;

struct Given {
    job: i64,
    fence: i64,
    spec: JobSpec,
    run: Box<Run>,
    project: Project,
    environment: String,
    secrets: Vec<Secret>,
    environment_secrets: Vec<Secret>,
    /// Those that the job's own file names.
    named: Named,
    variables: Vec<Variable>,
}

/// Gives the slot a job, if there is one for it.
pub(super) async fn offer(app: &App, runner: Runner, slot: u32) -> AppResult<Option<Lease>> {
    let token = token::generate(TokenKind::Job).map_err(|error| AppError::internal(&error))?;
    let hash = token::hash(&token);
    let given = app
        .driver
        .turn(move |mut turn| {
            Box::pin(async move {
                let Some(offer) = turn.offer(&runner, slot).await? else {
                    return Ok(None);
                };
                let damaged = |what: &str| StoreError::Damaged {
                    what: what.to_owned(),
                };
                let job = offer.job;
                let project = turn
                    .c
                    .project_by_id(job.project_id)
                    .await?
                    .ok_or_else(|| damaged("a queued job"))?;
                let run = turn
                    .load_run(job.run_id)
                    .await?
                    .map_err(|_| damaged("the run of a queued job"))?;
                turn.give_token(&job, &hash).await?;
                let (named, of_project) = run
                    .secrets_named(JobId(job.job_id))
                    .map_err(|_| damaged("the run of a queued job"))?;
                let secrets = turn.secrets_given(&job, "", &of_project).await?;
                let (mut environment_secrets, mut variables) = (Vec::new(), Vec::new());
                if !job.environment.is_empty() {
                    environment_secrets = turn.secrets_given(&job, &job.environment, &named).await?;
                    variables = turn.c.variables(project.id, &job.environment).await?;
                }
                let spec =
                    serde_json::from_str(&job.spec).map_err(|_| damaged("the specification of a job"))?;
                let (fence, environment, job) = (offer.fence, job.environment, job.job_id);
                let run = Box::new(run);
                Ok(Some(Given {
                    job,
                    fence,
                    spec,
                    run,
                    project,
                    environment,
                    secrets,
                    environment_secrets,
                    named,
                    variables,
                }))
            })
        })
        .await?;
    let Some(given) = given else { return Ok(None) };
    let (job, fence) = (given.job, given.fence);
    match lease(app, given, &token) {
        Ok(lease) => Ok(Some(lease)),
        Err(reason) => {
            fail(app, job, fence, reason).await?;
            Ok(None)
        }
    }
}

impl Turn<'_> {
    /// The token that a job has while it runs; an earlier one of the same job is dead.
    async fn give_token(&mut self, job: &QueuedJob, hash: &str) -> Result<(), StoreError> {
        let name = format!("job {}", job.job_id);
        let new = NewToken {
            name: &name,
            hash,
            kind: TokenKind::Job.word(),
            scopes: "",
            project_id: Some(job.project_id),
            job_id: Some(job.job_id),
            expires_at: None,
        };
        self.c.delete_job_tokens(job.job_id).await?;
        self.c.add_token(new, self.now).await?;
        Ok(())
    }

    /// The secrets of one level that a job names; that it got them is taken note of.
    async fn secrets_given(
        &mut self,
        job: &QueuedJob,
        environment: &str,
        named: &Named,
    ) -> Result<Vec<Secret>, StoreError> {
        let mut secrets = self.c.secrets(job.project_id, environment).await?;
        secrets.retain(|secret| named.has(&secret.name));
        if !secrets.is_empty() {
            let names: Json = secrets.iter().map(|secret| secret.name.as_str()).collect();
            let user = SecretUse::Job {
                run: job.run_id,
                job: job.job_id,
            };
            self.c
                .secrets_used(job.project_id, environment, &names.to_string(), user, self.now)
                .await?;
        }
        Ok(secrets)
    }
}

/// Ends a job that cannot be handed out, because it would not be any better the next time.
async fn fail(app: &App, job: i64, fence: i64, reason: String) -> AppResult<()> {
    let result = JobResult {
        conclusion: Conclusion::Failure,
        continue_on_error: false,
        outputs: indexmap::IndexMap::new(),
        error: Some(reason),
        log_lines: 0,
        log_bytes: 0,
    };
    app.driver
        .turn(move |mut turn| {
            Box::pin(async move { super::report::finish(&mut turn, job, fence, result, 0, None).await })
        })
        .await?;
    Ok(())
}

/// The lease, or in words why the job's secrets cannot be worked out.
fn lease(app: &App, given: Given, token: &str) -> Result<Lease, String> {
    let Given {
        job,
        fence,
        mut spec,
        run,
        project,
        environment,
        secrets,
        environment_secrets,
        named,
        variables,
    } = given;
    let mut available = secrets::open_all(app, &project, secrets);
    available.insert("GITHUB_TOKEN".to_owned(), token.to_owned());
    let of_environment = secrets::open_all(app, &project, environment_secrets);
    spec.secrets = run.secrets_for(JobId(job), &available, &of_environment)?;
    spec.secrets
        .retain(|name, _| named.has(name) || name == "GITHUB_TOKEN");
    if let Some(Json::Object(github)) = spec.contexts.get_mut("github") {
        github.insert("token".to_owned(), Json::from(token));
    }
    if !environment.is_empty()
        && let Json::Object(vars) = spec
            .contexts
            .entry("vars")
            .or_insert_with(|| Json::Object(serde_json::Map::new()))
    {
        vars.extend(
            variables
                .into_iter()
                .map(|variable| (variable.name, Json::from(variable.value))),
        );
    }
    let git_path = format!("/{}.git", project.path());
    Ok(Lease {
        job,
        fence: u64::try_from(fence).unwrap_or_default(),
        spec,
        token: token.to_owned(),
        git_path,
    })
}

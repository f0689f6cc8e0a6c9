//! What is to stand in an environment, with every default filled in. Stored with a release and sent between
//! our processes: fields are added, never renamed.

use super::defaults;
use super::model::{Delivery, Environment, Service};
use serde::{Deserialize, Serialize};

/// One environment of `pilotage.yml`, resolved: what `pilotage debug plan ENV` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentPlan {
    pub environment: String,
    /// Where people reach it; where the proxy listens.
    pub url: String,
    /// In the order of the file; [`ServicePlan::after`] says in which order they go live.
    pub services: Vec<ServicePlan>,
    pub strategy: Strategy,
    pub guard: GuardPlan,
    pub verify: Vec<Check>,
    /// How many releases stay ready for a rollback.
    pub keep: u32,
    /// Who is told of its deployments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Route>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServicePlan {
    pub name: String,
    pub source: ArtifactSource,
    /// A shell line; started with `PORT` set.
    pub run: String,
    /// A shell line, once per release and host, before any replica starts.
    pub prepare: Option<String>,
    pub before: Option<Before>,
    /// The prefix of the paths that it answers.
    pub path: String,
    /// Where the proxy listens for it: the environment's `url`, or its own.
    pub url: String,
    pub replicas: u32,
    pub health: HealthPlan,
    pub stop: StopPlan,
    /// None is no limit.
    pub memory_bytes: Option<u64>,
    /// Names and templates, in which only `${{ vars.NAME }}` and `${{ secrets.NAME }}` stand; not yet evaluated.
    pub env: Vec<(String, String)>,
    /// Services that go live before it, and are taken back after it.
    pub after: Vec<String>,
    /// A prefix of paths that is asked of every kept revision, so that an old page finds its files.
    pub assets: Option<String>,
}

/// What a service's release is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactSource {
    /// The project's own files at the run's commit.
    Project,
    /// What the run uploaded under that name.
    Artifact(String),
}

/// A command that runs once before the first replica of a release starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    pub run: String,
    /// Whether the release before it can live with what the command did.
    pub reversible: bool,
}

/// How a replica proves that it can take traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthPlan {
    /// Asked with GET.
    pub path: String,
    pub every_ms: u64,
    /// Answers in a row.
    pub passes: u32,
    /// From its start to its last pass.
    pub within_ms: u64,
    /// An answer with a lower status passes.
    pub status_below: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPlan {
    /// Without `SIG`: `TERM`, `INT`, `QUIT`, `HUP`, `USR1`, `USR2`.
    pub signal: String,
    /// From the signal to the kill.
    pub grace_ms: u64,
}

/// How traffic moves from the old revision to the new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Strategy {
    /// One replica at a time, new before old.
    Rolling,
    Canary {
        steps: Vec<Canary>,
    },
    /// All at once, both complete sides standing.
    BlueGreen,
}

/// One step of a canary: so much of the traffic for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// Parts of 10,000.
    pub share: u32,
    pub for_ms: u64,
}

/// The limits of the guard. Shares are fractions of 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuardPlan {
    pub enabled: bool,
    /// The share of failed answers that is too many: 0.05.
    pub error_rate: f64,
    /// How much slower than the old revision is too slow: 0.5.
    pub response_time: f64,
    /// How long the guard looks on once all traffic is on the new revision.
    pub watch_ms: u64,
    /// The chance that a good release is taken back, over the whole deployment: 0.01.
    pub false_alarms: f64,
    pub undecided: Undecided,
}

/// What happens when there was too little traffic to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undecided {
    /// The deployment goes on, and ends as live, not proven.
    Continue,
    Hold,
    RollBack,
}

/// One request that a deployment and a rollback must answer rightly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// The path, with its query.
    pub get: String,
    pub status: u16,
    pub contains: Option<String>,
    /// Members that the answer's JSON must have; it may have more.
    pub json: Option<serde_json::Value>,
    pub within_ms: u64,
}

/// One way from what happens to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub channel: Channel,
    /// Where the channel sends it: a URL, or a PagerDuty key. A template, as in `env`.
    pub address: String,
    /// What a webhook's messages are signed with. A template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Of everything where nothing is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<Occasion>,
}

impl Route {
    /// Whether it takes what happened.
    #[must_use]
    pub fn takes(&self, occasion: Occasion) -> bool {
        self.on.is_empty() || self.on.contains(&occasion)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    Slack,
    PagerDuty,
    Webhook,
}

/// What people may want to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occasion {
    /// Something waits for its environment: mostly for a person.
    Waiting,
    Live,
    RolledBack,
    Aborted,
    NeedsAttention,
}

impl Occasion {
    pub const ALL: [(&'static str, Self); 5] = [
        ("live", Self::Live),
        ("rolled-back", Self::RolledBack),
        ("aborted", Self::Aborted),
        ("needs-attention", Self::NeedsAttention),
        ("waiting", Self::Waiting),
    ];

    /// The word for it in `pilotage.yml`.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, occasion)| *occasion == self)
            .map_or("", |(word, _)| word)
    }

    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, occasion)| *occasion)
    }
}

/// Resolves one environment; none where the file has no environment of that name.
#[must_use]
pub fn plan(delivery: &Delivery, environment: &str) -> Option<EnvironmentPlan> {
    let here = delivery.environments.get(environment)?;
    let settings = delivery.settings.with(&here.settings);
    let services = delivery
        .services
        .values()
        .filter_map(|service| service_plan(delivery, here, service));
    let own_url = || here.services.values().find_map(|s| s.url.as_ref());
    Some(EnvironmentPlan {
        environment: environment.to_owned(),
        url: here.url.as_ref().or_else(own_url)?.value.clone(),
        services: services.collect(),
        strategy: defaults::strategy(&settings),
        guard: defaults::guard(&settings.guard),
        verify: here.verify.clone().unwrap_or_default(),
        keep: settings.keep.unwrap_or(defaults::KEEP),
        notify: delivery.notify.clone(),
    })
}

fn service_plan(delivery: &Delivery, environment: &Environment, service: &Service) -> Option<ServicePlan> {
    let here = environment.services.get(&service.name.value);
    let mut settings = delivery
        .settings
        .with(&service.settings)
        .with(&environment.settings);
    if let Some(here) = here {
        settings = settings.with(&here.settings);
    }
    let url = here.and_then(|h| h.url.as_ref()).or(environment.url.as_ref())?;
    Some(ServicePlan {
        name: service.name.value.clone(),
        source: service.source.clone(),
        run: service.run.clone(),
        prepare: service.prepare.clone(),
        before: service.before.clone(),
        path: service
            .path
            .as_ref()
            .map_or(defaults::PATH, |p| &p.value)
            .to_owned(),
        url: url.value.clone(),
        replicas: settings.replicas.unwrap_or(defaults::REPLICAS),
        health: defaults::health(&settings.health),
        stop: defaults::stop(&settings.stop),
        memory_bytes: settings.memory_bytes,
        env: settings.env,
        after: service.after.iter().map(|a| a.value.clone()).collect(),
        assets: service.assets.clone(),
    })
}

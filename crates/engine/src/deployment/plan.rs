//! From what a project wrote to what a deployment does: an environment's plan of `pilotage.yml`, together with the
//! server's floor, becomes a [`Plan`].

use super::{Guard, Plan, Service, Step, Strategy, Undecided};
use pilotage_guard::Policy;
use pilotage_workflow::delivery::{self, EnvironmentPlan, GuardPlan, ServicePlan};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Answers in a row for each replica that verify a revision.
pub const ANSWERS_PER_REPLICA: u32 = 20;
/// How long the old revision has to answer well after a return; no longer than the watch would have been.
const QUIET_MS: u64 = 10_000;

/// What the server demands of every deployment to an environment, whatever a project's file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floor {
    /// The guard looks on, and its limits are no laxer than the defaults.
    pub guard_required: bool,
}

/// Why a plan cannot be carried out here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("the url `{url}` of {service} cannot be served here: {why}")]
    Url {
        service: String,
        url: String,
        why: &'static str,
    },
    #[error("{environment} has no services")]
    NoServices { environment: String },
    #[error("the services {} wait for one another", .0.join(", "))]
    Cycle(Vec<String>),
}

impl Plan {
    /// # Errors
    /// When a `url` is none that the proxy of this machine can serve, or services cannot be ordered.
    pub fn from_environment(plan: &EnvironmentPlan, floor: Floor) -> Result<Self, PlanError> {
        if plan.services.is_empty() {
            return Err(PlanError::NoServices {
                environment: plan.environment.clone(),
            });
        }
        let services = in_order(&plan.services)?;
        let replicas = services.iter().map(|s| s.replicas.max(1)).max().unwrap_or(1);
        Ok(Self {
            services: services.into_iter().map(service).collect::<Result<_, _>>()?,
            strategy: strategy(&plan.strategy),
            guard: guard(&plan.guard, floor),
            verify_answers: ANSWERS_PER_REPLICA.saturating_mul(replicas),
        })
    }
}

/// Where the proxy listens for a `url`, and for which host; none stands for every name.
///
/// `localhost` and names below it stay on this machine; any other name is served on all of its addresses.
///
/// # Errors
/// In words why not.
pub fn listen_address(url: &str) -> Result<(SocketAddr, Option<String>), &'static str> {
    let rest = match url.split_once("://") {
        Some(("http", rest)) => rest,
        Some(("https", _)) => return Err("https is not implemented on the local target, write http"),
        _ => return Err("it does not begin with http://"),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if let Ok(address) = authority.parse::<SocketAddr>() {
        return Ok((address, None));
    }
    if let Ok(ip) = authority.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok((SocketAddr::new(ip, 80), None));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| "its port is none")?),
        None => (authority, 80),
    };
    let host = host.to_ascii_lowercase();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if host.is_empty() || !host.chars().all(plain) || port == 0 {
        return Err("it names no host and port");
    }
    let loopback = host == "localhost" || host.ends_with(".localhost");
    let ip = if loopback {
        Ipv4Addr::LOCALHOST
    } else {
        Ipv4Addr::UNSPECIFIED
    };
    Ok(((ip, port).into(), (host != "localhost").then_some(host)))
}

fn service(plan: &ServicePlan) -> Result<Service, PlanError> {
    let (listen, host) = listen_address(&plan.url).map_err(|why| PlanError::Url {
        service: plan.name.clone(),
        url: plan.url.clone(),
        why,
    })?;
    Ok(Service {
        name: plan.name.clone(),
        replicas: plan.replicas.max(1),
        listen,
        host,
        path: plan.path.clone(),
        assets: plan.assets.clone(),
        before: plan.before.is_some(),
        reversible: plan.before.as_ref().is_none_or(|before| before.reversible),
        drain_ms: plan.stop.grace_ms,
    })
}

/// Each service after those that it waits for; otherwise as the file has them.
fn in_order(services: &[ServicePlan]) -> Result<Vec<&ServicePlan>, PlanError> {
    let mut waiting: Vec<&ServicePlan> = services.iter().collect();
    let mut ordered: Vec<&ServicePlan> = Vec::new();
    while !waiting.is_empty() {
        let stands_behind = |name: &String| waiting.iter().any(|service| service.name == *name);
        let Some(next) = waiting
            .iter()
            .position(|service| !service.after.iter().any(stands_behind))
        else {
            return Err(PlanError::Cycle(waiting.iter().map(|s| s.name.clone()).collect()));
        };
        ordered.push(waiting.remove(next));
    }
    Ok(ordered)
}

fn strategy(strategy: &delivery::Strategy) -> Strategy {
    match strategy {
        delivery::Strategy::Rolling => Strategy::Rolling,
        delivery::Strategy::BlueGreen => Strategy::BlueGreen,
        delivery::Strategy::Canary { steps } => {
            let step = |step: &delivery::Canary| Step {
                share: step.share,
                for_ms: step.for_ms,
            };
            Strategy::Canary(steps.iter().map(step).collect())
        }
    }
}

fn guard(plan: &GuardPlan, floor: Floor) -> Guard {
    let least = Policy::default();
    let mut policy = Policy {
        error_rate: plan.error_rate,
        response_time: plan.response_time,
        false_alarms: plan.false_alarms,
        ..Policy::default()
    };
    if floor.guard_required {
        policy.error_rate = policy.error_rate.min(least.error_rate);
        policy.response_time = policy.response_time.min(least.response_time);
        policy.false_alarms = policy.false_alarms.max(least.false_alarms);
    }
    Guard {
        enabled: plan.enabled || floor.guard_required,
        policy,
        watch_ms: plan.watch_ms,
        quiet_ms: plan.watch_ms.min(QUIET_MS),
        undecided: match plan.undecided {
            delivery::Undecided::Continue => Undecided::Continue,
            delivery::Undecided::Hold => Undecided::Hold,
            delivery::Undecided::RollBack => Undecided::RollBack,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pilotage_workflow::delivery::{ArtifactSource, HealthPlan, StopPlan};

    fn check(url: &str, expected: &str) {
        let got = match listen_address(url) {
            Ok((address, host)) => format!("{address} {}", host.as_deref().unwrap_or("*")),
            Err(why) => why.to_owned(),
        };
        assert_eq!(got, expected, "{url}");
    }

    #[test]
    fn urls_say_where_to_listen() {
        check("http://localhost:8080", "127.0.0.1:8080 *");
        check("http://localhost/", "127.0.0.1:80 *");
        check("http://127.0.0.1:8001/x", "127.0.0.1:8001 *");
        check("http://[::1]:9", "[::1]:9 *");
        check("http://App.localhost:80", "127.0.0.1:80 app.localhost");
        check("http://hello.example.org:8080", "0.0.0.0:8080 hello.example.org");
        check(
            "https://x",
            "https is not implemented on the local target, write http",
        );
        check("http://x:99999", "its port is none");
        check("http://", "it names no host and port");
        check("ftp://x", "it does not begin with http://");
    }

    fn service(name: &str, after: &[&str]) -> ServicePlan {
        ServicePlan {
            name: name.to_owned(),
            source: ArtifactSource::Project,
            run: "true".to_owned(),
            prepare: None,
            before: None,
            path: format!("/{name}"),
            url: "http://localhost:8080".to_owned(),
            replicas: 2,
            health: HealthPlan {
                path: "/".to_owned(),
                every_ms: 1000,
                passes: 1,
                within_ms: 1000,
                status_below: 500,
            },
            stop: StopPlan {
                signal: "TERM".to_owned(),
                grace_ms: 1000,
            },
            memory_bytes: None,
            env: Vec::new(),
            after: after.iter().map(|s| (*s).to_owned()).collect(),
            assets: None,
        }
    }

    fn environment(services: Vec<ServicePlan>, guard: bool) -> EnvironmentPlan {
        EnvironmentPlan {
            environment: "production".to_owned(),
            url: "http://localhost:8080".to_owned(),
            services,
            strategy: delivery::Strategy::Rolling,
            guard: GuardPlan {
                enabled: guard,
                error_rate: 0.5,
                response_time: 0.25,
                watch_ms: 60_000,
                false_alarms: 0.01,
                undecided: delivery::Undecided::Continue,
            },
            verify: Vec::new(),
            keep: 5,
            notify: Vec::new(),
        }
    }

    #[test]
    fn services_stand_after_what_they_wait_for() {
        let services = vec![
            service("web", &["api"]),
            service("api", &["db"]),
            service("db", &[]),
        ];
        let plan = Plan::from_environment(&environment(services, true), Floor::default()).unwrap();
        let names: Vec<&str> = plan.services.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["db", "api", "web"]);
        assert_eq!(plan.verify_answers, 40);
        let services = vec![service("a", &["b"]), service("b", &["a"])];
        let error = Plan::from_environment(&environment(services, true), Floor::default()).unwrap_err();
        assert_eq!(error.to_string(), "the services a, b wait for one another");
    }

    #[test]
    fn a_floor_is_not_lowered_by_a_file() {
        let environment = environment(vec![service("a", &[])], false);
        let plan = Plan::from_environment(&environment, Floor { guard_required: true }).unwrap();
        assert!(plan.guard.enabled);
        assert_eq!(
            (plan.guard.policy.error_rate, plan.guard.policy.response_time),
            (0.05, 0.25)
        );
        let plan = Plan::from_environment(&environment, Floor::default()).unwrap();
        assert!(!plan.guard.enabled);
    }
}

//! What differs between two releases in one environment, by name: never a value.

use pilotage_workflow::delivery::{EnvironmentPlan, ServicePlan};
use std::collections::BTreeSet;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Of `pilotage.yml`.
    pub settings: Vec<String>,
    /// Secrets and variables that either of them is given.
    pub secrets: Vec<String>,
    /// What ran before the newer one's replicas started.
    pub migrations: Vec<Migration>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Migration {
    pub service: String,
    pub run: String,
    pub reversible: bool,
}

impl Migration {
    pub(super) fn named(&self) -> String {
        format!("Migration of {} ({})", self.service, self.run)
    }
}

impl Changes {
    /// From what stands to what is gone back to. A release that does not know the environment has nothing to tell.
    pub(super) fn between(from: Option<&EnvironmentPlan>, to: Option<&EnvironmentPlan>) -> Self {
        let (Some(from), Some(to)) = (from, to) else {
            return Self::default();
        };
        let mut settings = BTreeSet::new();
        let mut differs = |name: &str, differs: bool| {
            if differs {
                settings.insert(name.to_owned());
            }
        };
        differs("url", from.url != to.url);
        differs("strategy", from.strategy != to.strategy);
        differs("guard", from.guard != to.guard);
        differs("verify", from.verify != to.verify);
        differs("notify", from.notify != to.notify);
        differs("keep", from.keep != to.keep);
        for service in &from.services {
            match to.services.iter().find(|other| other.name == service.name) {
                Some(other) => {
                    for name in service_settings(service, other) {
                        differs(&format!("{} of {}", name, service.name), true);
                    }
                }
                None => differs(&format!("{}, which was not there", service.name), true),
            }
        }
        for gone in to
            .services
            .iter()
            .filter(|other| from.services.iter().all(|service| service.name != other.name))
        {
            differs(&format!("{}, which comes back", gone.name), true);
        }
        Self {
            settings: settings.into_iter().collect(),
            secrets: secrets(from)
                .chain(secrets(to))
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            migrations: from
                .services
                .iter()
                .filter_map(|service| {
                    let before = service.before.as_ref()?;
                    Some(Migration {
                        service: service.name.clone(),
                        run: before.run.clone(),
                        reversible: before.reversible,
                    })
                })
                .collect(),
        }
    }
}

/// Names of what differs of a service; of its environment, the names of the variables.
fn service_settings(from: &ServicePlan, to: &ServicePlan) -> Vec<String> {
    let pairs = [
        ("run", from.run != to.run),
        ("prepare", from.prepare != to.prepare),
        ("before", from.before != to.before),
        ("path", from.path != to.path),
        ("url", from.url != to.url),
        ("replicas", from.replicas != to.replicas),
        ("health", from.health != to.health),
        ("stop", from.stop != to.stop),
        ("memory", from.memory_bytes != to.memory_bytes),
        ("after", from.after != to.after),
        ("assets", from.assets != to.assets),
    ];
    let mut names: Vec<String> = pairs
        .iter()
        .filter(|(_, differs)| *differs)
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let value = |plan: &ServicePlan, name: &str| {
        plan.env
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    };
    let variables: BTreeSet<&String> = from.env.iter().chain(&to.env).map(|(name, _)| name).collect();
    for name in variables {
        if value(from, name) != value(to, name) {
            names.push(format!("env {name}"));
        }
    }
    names
}

/// Names in templates: `secrets.DATABASE_URL` is `DATABASE_URL`.
fn secrets(plan: &EnvironmentPlan) -> impl Iterator<Item = String> + '_ {
    let values = plan
        .services
        .iter()
        .flat_map(|service| &service.env)
        .map(|(_, value)| value.as_str());
    values.flat_map(|value| {
        let places = ["secrets.", "vars."]
            .into_iter()
            .flat_map(|begin| value.match_indices(begin));
        places.filter_map(|(at, begin)| {
            let rest = value.get(at + begin.len()..)?;
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            rest.get(..end).filter(|name| !name.is_empty()).map(str::to_owned)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pilotage_workflow::delivery;

    fn plan(text: &str) -> EnvironmentPlan {
        let source = pilotage_workflow::source::Source::new("pilotage.yml", text);
        let (file, faults) = delivery::parse(&source);
        assert!(faults.is_empty(), "{faults:?}");
        delivery::plan(&file.expect("a file"), "production").expect("a plan")
    }

    #[test]
    fn what_differs_is_named_and_no_value_is_shown() {
        let from = plan(
            "services:
  web:
    run: ./new
    before: {run: ./migrate up, reversible: true}
    env: {LEVEL: sensitive, KEY: '${{ secrets.KEY }}', ROOM: 'a${{ vars.ROOM }}b'}
  extra: {run: ./extra, path: /extra, before: ./drop-column}
environments:
  production: {url: 'http://localhost:8080', replicas: 3}
",
        );
        let to = plan(
            "services:
  web:
    run: ./old
    env: {LEVEL: info, KEY: '${{ secrets.KEY }}', OLD: '1'}
environments:
  production: {url: 'http://localhost:8080'}
",
        );
        let changes = Changes::between(Some(&from), Some(&to));
        assert_eq!(
            changes.settings,
            [
                "before of web",
                "env LEVEL of web",
                "env OLD of web",
                "env ROOM of web",
                "extra, which was not there",
                "replicas of web",
                "run of web",
            ]
        );
        assert_eq!(changes.secrets, ["KEY", "ROOM"]);
        let migrations: Vec<(String, bool)> = changes
            .migrations
            .iter()
            .map(|m| (m.named(), m.reversible))
            .collect();
        let expected = [
            ("Migration of web (./migrate up)".to_owned(), true),
            ("Migration of extra (./drop-column)".to_owned(), false),
        ];
        assert_eq!(migrations, expected);
        assert!(!format!("{changes:?}").contains("sensitive"));
        assert_eq!(Changes::between(Some(&from), None), Changes::default());
    }
}

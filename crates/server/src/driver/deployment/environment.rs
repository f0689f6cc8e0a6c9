//! The environment of replicas and of what runs before them: a plan's `env`, with `${{ vars.X }}` and
//! `${{ secrets.X }}` resolved when something starts. A value that is not there is an error that names it.

use crate::app::App;
use crate::secrets;
use pilotage_store::{Project, SecretUse, StoreError};
use pilotage_workflow::delivery::ServicePlan;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The values that templates may name, of one environment of a project.
pub(crate) struct Values {
    vars: HashMap<String, String>,
    secrets: HashMap<String, String>,
    /// The environment of each secret; empty for the project's.
    levels: HashMap<String, String>,
}

impl Values {
    /// Of the project, with those of the environment over them.
    pub(crate) async fn load(app: &App, project: &Project, environment: &str) -> Result<Self, StoreError> {
        let mut values = Self {
            vars: HashMap::new(),
            secrets: HashMap::new(),
            levels: HashMap::new(),
        };
        for level in ["", environment] {
            let mut c = app.store.read().await?;
            for variable in c.variables(project.id, level).await? {
                values
                    .vars
                    .insert(variable.name.to_ascii_uppercase(), variable.value);
            }
            let sealed = c.secrets(project.id, level).await?;
            let opened = secrets::open_all(app, project, sealed);
            for (name, value) in opened {
                let name = name.to_ascii_uppercase();
                values.levels.insert(name.clone(), level.to_owned());
                values.secrets.insert(name, value);
            }
        }
        Ok(values)
    }

    /// What must not be shown.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.values().map(String::as_str)
    }

    /// Takes note of the secrets that templates were given. Nothing waits for that, and nothing fails with it.
    pub(crate) async fn note_use<'t>(
        &self,
        app: &App,
        project: &Project,
        templates: impl IntoIterator<Item = &'t str>,
        user: SecretUse,
    ) {
        let mut names: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for name in templates.into_iter().flat_map(secrets_in) {
            if let Some(level) = self.levels.get(&name) {
                names.entry(level).or_default().insert(name);
            }
        }
        let (id, now) = (project.id, app.now());
        for (level, names) in names {
            let (level, names) = (level.to_owned(), Json::from_iter(names).to_string());
            let noted = app
                .store
                .write(move |c| Box::pin(async move { c.secrets_used(id, &level, &names, user, now).await }))
                .await;
            if let Err(error) = noted {
                crate::error::log("the use of a secret was not noted", &error);
            }
        }
    }

    /// A service's `env`.
    pub(super) fn env(&self, service: &ServicePlan) -> Result<Vec<(String, String)>, String> {
        let resolve = |(name, template): &(String, String)| {
            let value = self
                .resolve(template)
                .map_err(|why| format!("`env` of {}: {name}: {why}", service.name))?;
            Ok((name.clone(), value))
        };
        service.env.iter().map(resolve).collect()
    }

    /// A template with its values in it.
    pub(crate) fn resolve(&self, template: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("${{") {
            out.push_str(before);
            let (inside, after) = after.split_once("}}").ok_or("`${{` has no end")?;
            out.push_str(self.value(inside.trim())?);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn value(&self, path: &str) -> Result<&str, String> {
        let (what, values, name) = if let Some(name) = path.strip_prefix("vars") {
            ("variable", &self.vars, quoted(name))
        } else if let Some(name) = path.strip_prefix("secrets") {
            ("secret", &self.secrets, quoted(name))
        } else {
            return Err(format!("`{path}` is neither of `vars` nor of `secrets`"));
        };
        let set = format!("set it with `pilotage {what} set {name}`");
        values
            .get(&name)
            .map(String::as_str)
            .ok_or_else(|| format!("there is no {what} {name}: {set}"))
    }
}

/// The name in `.NAME` or `['NAME']`.
fn quoted(name: &str) -> String {
    name.trim_matches(['[', ']', '\'', '.', ' ']).to_ascii_uppercase()
}

/// The names of the secrets that a template names.
fn secrets_in(template: &str) -> impl Iterator<Item = String> {
    let inside = template.split("${{").skip(1);
    let paths = inside.filter_map(|rest| rest.split_once("}}"));
    paths.filter_map(|(path, _)| Some(quoted(path.trim().strip_prefix("secrets")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, expected: Result<&str, &str>) {
        let vars = HashMap::from([("REGION".to_owned(), "eu".to_owned())]);
        let secrets = HashMap::from([("KEY".to_owned(), "a}}b".to_owned())]);
        let levels = HashMap::new();
        let values = Values {
            vars,
            secrets,
            levels,
        };
        let got = values.resolve(template);
        assert_eq!(got.as_deref().map_err(String::as_str), expected, "{template}");
    }

    #[test]
    fn values_stand_where_templates_name_them() {
        check("plain", Ok("plain"));
        check("x-${{ vars.REGION }}-${{secrets.key}}", Ok("x-eu-a}}b"));
        check("${{ secrets['KEY'] }}", Ok("a}}b"));
        let missing = "there is no secret URL: set it with `pilotage secret set URL`";
        check("${{ secrets.URL }}", Err(missing));
        check(
            "${{ github.sha }}",
            Err("`github.sha` is neither of `vars` nor of `secrets`"),
        );
        check("${{ vars.REGION", Err("`${{` has no end"));
    }

    #[test]
    fn the_secrets_of_a_template_are_known_by_name() {
        let of = |template| secrets_in(template).collect::<Vec<_>>();
        assert_eq!(
            of("x-${{ vars.A }}-${{secrets.key}}${{ secrets['B'] }}"),
            ["KEY", "B"]
        );
        assert_eq!(of("secrets.KEY ${{ secrets.KEY"), [""; 0]);
    }
}

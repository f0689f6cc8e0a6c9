//! The environment of replicas and of what runs before them: a plan's `env`, with `${{ vars.X }}` and
//! `${{ secrets.X }}` resolved when something starts. A value that is not there is an error that names it.

use crate::app::App;
use crate::secrets;
use pilotage_store::{Project, StoreError};
use pilotage_workflow::delivery::ServicePlan;
use std::collections::HashMap;

/// The values that templates may name, of one environment of a project.
pub(crate) struct Values {
    vars: HashMap<String, String>,
    secrets: HashMap<String, String>,
}

impl Values {
    /// Of the project, with those of the environment over them.
    pub(crate) async fn load(app: &App, project: &Project, environment: &str) -> Result<Self, StoreError> {
        let mut values = Self {
            vars: HashMap::new(),
            secrets: HashMap::new(),
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
            values.secrets.extend(
                opened
                    .into_iter()
                    .map(|(name, value)| (name.to_ascii_uppercase(), value)),
            );
        }
        Ok(values)
    }

    /// What must not be shown.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.values().map(String::as_str)
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
        let quoted = |name: &str| name.trim_matches(['[', ']', '\'', '.', ' ']).to_ascii_uppercase();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, expected: Result<&str, &str>) {
        let vars = HashMap::from([("REGION".to_owned(), "eu".to_owned())]);
        let secrets = HashMap::from([("KEY".to_owned(), "a}}b".to_owned())]);
        let got = Values { vars, secrets }.resolve(template);
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
}

//! Secrets on their way into the store and out of it. A value is plain only here and in a job's lease.

use crate::app::App;
use crate::error::{AppError, AppResult};
use pilotage_store::{Project, Secret};
use std::collections::BTreeMap;

/// A secret's place: bound into what is sealed, so that no sealed value can be put into another's place.
fn record(project: &Project, environment: &str, name: &str) -> String {
    format!("project {}\nenvironment {environment}\nsecret {name}", project.id)
}

/// Seals a value for its place.
pub(crate) fn seal(
    app: &App,
    project: &Project,
    environment: &str,
    name: &str,
    value: &str,
) -> AppResult<Secret> {
    let sealed = app
        .keys
        .seal(&record(project, environment, name), value.as_bytes());
    let sealed = hex::encode(sealed.map_err(|error| AppError::internal(&error))?);
    Ok(Secret {
        environment: environment.to_owned(),
        name: name.to_owned(),
        sealed,
        updated_at: app.now(),
        used_at: None,
        used_run: None,
        used_job: None,
        used_deployment: None,
    })
}

/// The values by name. One that does not open is left out, and said so in the server's log.
pub(crate) fn open_all(app: &App, project: &Project, secrets: Vec<Secret>) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for secret in secrets {
        let record = record(project, &secret.environment, &secret.name);
        let bytes = hex::decode(&secret.sealed).unwrap_or_default();
        match app.keys.open(&record, &bytes) {
            Ok(value) => {
                values.insert(secret.name, String::from_utf8_lossy(&value).into_owned());
            }
            Err(error) => tracing::error!(
                "the secret {} of {} does not open: {error}",
                secret.name,
                project.path()
            ),
        }
    }
    values
}

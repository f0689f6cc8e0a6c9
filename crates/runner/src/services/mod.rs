//! What a job asks of the world around it: artifacts, caches and deployments.
//!
//! Two worlds: directories of this machine ([`Local`], for `exec`) and the platform ([`Http`]). Names become
//! visible only when their content is whole, and an artifact's name is never given twice.

mod http;
mod local;

pub use http::Http;
pub use local::Local;

use pilotage_api::services::{
    ArtifactInfo, ArtifactUpload, CacheInfo, CacheQuery, DeployRequest, DeploymentProgress, ProgressQuery,
    RollbackRequest, VerifyRequest, VerifyResult,
};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub enum Services {
    Local(Local),
    Http(Http),
}

/// A finished file that is ready for an upload.
#[derive(Clone, Debug)]
pub struct Packed {
    pub path: PathBuf,
    pub size_bytes: u64,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error(
        "an artifact named `{0}` is there already in this run; artifacts are immutable (`overwrite: true` replaces one)"
    )]
    ArtifactExists(String),
    #[error("the artifact's name `{name}` {fault}")]
    ArtifactName { name: String, fault: &'static str },
    #[error("{0} needs a Pilotage server; `pilotage exec` has no environments to deploy to")]
    NeedsServer(&'static str),
    #[error("what was received has the digest {actual}, announced was {expected}")]
    Digest { expected: String, actual: String },
    #[error("the platform refuses it: {0}")]
    Refused(String),
    #[error("the platform cannot be reached at {url}")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("the platform's answer is not understood: {0}")]
    Answer(String),
    #[error("cannot use {path}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl ServiceError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

impl Services {
    pub async fn upload_artifact(
        &self,
        upload: &ArtifactUpload,
        packed: &Packed,
    ) -> Result<ArtifactInfo, ServiceError> {
        check_artifact_name(&upload.name)?;
        match self {
            Services::Local(local) => local.upload_artifact(upload, packed),
            Services::Http(http) => http.upload_artifact(upload, packed).await,
        }
    }

    /// The artifacts of this run, those of earlier jobs too.
    pub async fn artifacts(&self) -> Result<Vec<ArtifactInfo>, ServiceError> {
        match self {
            Services::Local(local) => local.artifacts(),
            Services::Http(http) => http.artifacts().await,
        }
    }

    /// Writes the artifact's ZIP to `to` and checks its digest.
    pub async fn download_artifact(&self, artifact: &ArtifactInfo, to: &Path) -> Result<(), ServiceError> {
        match self {
            Services::Local(local) => local.download_artifact(artifact, to),
            Services::Http(http) => {
                http.download(
                    &format!("artifacts/{}/content", artifact.id),
                    &artifact.digest,
                    to,
                )
                .await
            }
        }
    }

    pub async fn find_cache(&self, query: &CacheQuery) -> Result<Option<CacheInfo>, ServiceError> {
        match self {
            Services::Local(local) => local.find_cache(query),
            Services::Http(http) => http.find_cache(query).await,
        }
    }

    pub async fn download_cache(&self, cache: &CacheInfo, to: &Path) -> Result<(), ServiceError> {
        match self {
            Services::Local(local) => local.download_cache(cache, to),
            Services::Http(http) => {
                http.download(&format!("caches/{}/content", cache.id), &cache.digest, to)
                    .await
            }
        }
    }

    /// None where the key is taken already, which is no fault: caches are immutable.
    pub async fn save_cache(
        &self,
        key: &str,
        version: &str,
        packed: &Packed,
    ) -> Result<Option<CacheInfo>, ServiceError> {
        match self {
            Services::Local(local) => local.save_cache(key, version, packed),
            Services::Http(http) => http.save_cache(key, version, packed).await,
        }
    }

    pub async fn deploy(&self, request: &DeployRequest) -> Result<DeploymentProgress, ServiceError> {
        self.platform("pilotage/deploy")?
            .post("deployments", request)
            .await
    }

    pub async fn roll_back(&self, request: &RollbackRequest) -> Result<DeploymentProgress, ServiceError> {
        self.platform("pilotage/rollback")?
            .post("rollbacks", request)
            .await
    }

    /// Answers when there is news of the deployment, or after the query's `wait_s`.
    pub async fn progress(
        &self,
        deployment: i64,
        query: &ProgressQuery,
    ) -> Result<DeploymentProgress, ServiceError> {
        self.platform("a deployment")?
            .get(&format!("deployments/{deployment}"), query)
            .await
    }

    pub async fn verify(&self, request: &VerifyRequest) -> Result<VerifyResult, ServiceError> {
        self.platform("pilotage/verify")?
            .post("verifications", request)
            .await
    }

    fn platform(&self, what: &'static str) -> Result<&Http, ServiceError> {
        match self {
            Services::Http(http) => Ok(http),
            Services::Local(_) => Err(ServiceError::NeedsServer(what)),
        }
    }
}

/// The rules of GitHub's artifact names, and no name that could be taken for a path.
pub fn check_artifact_name(name: &str) -> Result<(), ServiceError> {
    let fault = if name.is_empty() {
        "is empty"
    } else if name.len() > 256 {
        "is longer than 256 bytes"
    } else if name.contains(['"', ':', '<', '>', '|', '*', '?', '\r', '\n', '\\', '/']) {
        "holds one of the characters \" : < > | * ? \\ / or a line break"
    } else if name.chars().any(char::is_control) {
        "holds a control character"
    } else if name.trim_matches(['.', ' ']).is_empty() || name.ends_with(['.', ' ']) || name.starts_with(' ')
    {
        "is only dots, or begins or ends with a blank or a dot"
    } else {
        return Ok(());
    };
    Err(ServiceError::ArtifactName {
        name: name.to_owned(),
        fault,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifact_names_are_no_paths() {
        for name in [
            "backend",
            "test results",
            "v1.2.3",
            ".config",
            "日本",
            "a%2fb",
            "x..y",
        ] {
            assert!(check_artifact_name(name).is_ok(), "{name}");
        }
        let long = "x".repeat(300);
        for name in [
            "", "..", ".", "../x", "a/b", "a\\b", "C:x", "a\0b", "a\nb", "a.", "a ", " a", "...", &long,
        ] {
            assert!(check_artifact_name(name).is_err(), "{name}");
        }
    }
}

//! Removes replicas and releases that nothing needs any more.
//!
//! What is needed is given; what a kept or a living replica executes is needed, too. Nothing that is needed is ever
//! touched, and what was removed is told.

use crate::error::{DeployError, blocking};
use crate::local::{Local, remove_tree};
use crate::release::folder_name;
use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// A deployment ends long before that.
const BEFORE_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// What must stay.
#[derive(Clone, Debug, Default)]
pub struct Needed {
    /// Digests.
    pub releases: HashSet<String>,
    /// Names of replicas.
    pub replicas: HashSet<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// The names of their folders.
    pub releases: Vec<String>,
    pub replicas: Vec<String>,
}

impl Local {
    /// Stops and removes every replica that is not needed, and then every release that neither is needed nor
    /// executed by a replica that is left. What could not be stopped stays, with its release.
    ///
    /// `needed` must name what deployments under way are about to use.
    ///
    /// # Errors
    /// When a folder cannot be read or removed.
    pub async fn retain(&self, needed: Needed) -> Result<Removed, DeployError> {
        let mut removed = Removed::default();
        let local = self.clone();
        for placed in blocking(move || local.placed()).await? {
            let id = placed.id.to_string();
            if needed.replicas.contains(&id) {
                continue;
            }
            self.stop_replica(&id).await?;
            let (_alone, dir) = (self.alone(format!("replica {id}")).await, self.replica_dir(&id)?);
            let local = self.clone();
            blocking(move || local.remove_replica(&dir)).await?;
            removed.replicas.push(id);
        }
        for folder in self.unneeded_releases(&needed).await? {
            let _alone = self.alone(format!("release {folder}")).await;
            let dir = self.releases().join(&folder);
            // Out of the way at once, so that a half removed one is never taken for whole.
            let trash = dir.with_file_name(format!(".{folder}.new"));
            blocking(move || {
                remove_tree(&trash)?;
                fs::rename(&dir, &trash).map_err(DeployError::path("move away", &dir))?;
                remove_tree(&trash)
            })
            .await?;
            removed.releases.push(folder);
        }
        self.remove_remains().await?;
        Ok(removed)
    }

    /// What interrupted attempts left, and the results of commands that nobody will ask for again.
    async fn remove_remains(&self) -> Result<(), DeployError> {
        let names = |dir: PathBuf| {
            let entries = fs::read_dir(&dir).map_err(DeployError::path("read", &dir))?;
            Ok(entries.flatten().map(|e| e.path()).collect::<Vec<PathBuf>>())
        };
        for path in names(self.releases())? {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if let Some(folder) = name.strip_prefix('.').and_then(|n| n.strip_suffix(".new")) {
                let _alone = self.alone(format!("release {folder}")).await;
                blocking(move || remove_tree(&path)).await?;
            }
        }
        for path in names(self.replicas())? {
            let id = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            let _alone = self.alone(format!("replica {id}")).await;
            let local = self.clone();
            // Without its `replica.json` it is of a start, or a removal, that did not come to its end.
            blocking(move || {
                if local.placed_at(&path).is_some() {
                    Ok(())
                } else {
                    local.remove_replica(&path)
                }
            })
            .await?;
        }
        for path in names(self.before())? {
            let modified = fs::metadata(&path).and_then(|m| m.modified()).ok();
            if modified
                .and_then(|m| m.elapsed().ok())
                .is_some_and(|age| age > BEFORE_KEPT)
            {
                blocking(move || remove_tree(&path)).await?;
            }
        }
        Ok(())
    }

    /// The names of their folders.
    async fn unneeded_releases(&self, needed: &Needed) -> Result<Vec<String>, DeployError> {
        let local = self.clone();
        let mut used: HashSet<String> = needed.releases.iter().map(|digest| folder_name(digest)).collect();
        blocking(move || {
            used.extend(local.placed()?.iter().map(|placed| folder_name(&placed.digest)));
            let dir = local.releases();
            let entries = fs::read_dir(&dir).map_err(DeployError::path("read", &dir))?;
            let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
            Ok(names
                .filter(|n| !n.starts_with('.') && !used.contains(&folder_name(n)))
                .collect())
        })
        .await
    }
}

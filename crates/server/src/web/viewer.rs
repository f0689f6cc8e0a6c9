//! Who looks: the session of the cookie, and the holder of the token behind it.

use super::page::WebError;
use super::session;
use crate::app::App;
use crate::attempts::Asker;
use crate::auth::Principal;
use crate::error::AppResult;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use pilotage_trust::token::Scope;
use pilotage_ui::shell::{self, Theme};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Somebody who signed in.
#[derive(Clone, Debug)]
pub(super) struct Viewer {
    pub who: Principal,
    pub theme: Theme,
    /// What the session's forms carry.
    pub csrf: String,
    /// When the token was shown that the session stands on.
    pub signed_in_at: i64,
}

impl Viewer {
    /// Who these headers are of; none where nobody is signed in.
    pub(super) async fn of(headers: &HeaderMap, app: &App) -> AppResult<Option<Self>> {
        let Some(cookie) = session::cookie(headers, session::SESSION) else {
            return Ok(None);
        };
        let hash = pilotage_trust::token::hash(cookie);
        let mut c = app.store.read().await?;
        let Some((row, signed_in_at)) = c.token_of_session(&hash, app.now()).await? else {
            return Ok(None);
        };
        Ok(Some(Self {
            who: row.try_into()?,
            theme: session::theme(headers),
            csrf: csrf_of(cookie),
            signed_in_at,
        }))
    }

    /// What the shell shows of them.
    pub(super) fn shown(&self) -> shell::Viewer {
        shell::Viewer {
            name: self.who.name.clone(),
            csrf: self.csrf.clone(),
            admin: self.who.demand_server(Scope::Admin).is_ok(),
        }
    }

    /// Why they may not, in words that stand where the button would; none if they may.
    pub(super) fn refusal(&self, scope: Scope, project: &pilotage_store::Project) -> Option<String> {
        let refused = self.who.demand(scope, project).err()?;
        Some(refused.detail)
    }

    /// Whether a button for it is shown; the use case asks again.
    pub(super) fn may(&self, scope: Scope, project: &pilotage_store::Project) -> bool {
        self.who.demand(scope, project).is_ok()
    }
}

/// The word that a session's forms carry. It is worked out from the cookie, which other sites cannot read.
pub(super) fn csrf_of(cookie: &str) -> String {
    hex::encode(Sha256::digest(format!("pilotage form {cookie}")))
}

impl FromRequestParts<Arc<App>> for Viewer {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, WebError> {
        if let Some(viewer) = Viewer::of(&parts.headers, app).await? {
            Asker::name(&parts.extensions, viewer.who.actor());
            return Ok(viewer);
        }
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let to = if parts.method == Method::GET { path } else { "/" };
        Err(WebError::SignIn(to.to_owned()))
    }
}

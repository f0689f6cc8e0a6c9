//! Who looks: the session of the cookie, and the holder of the token behind it.

use super::page::WebError;
use super::session;
use crate::app::App;
use crate::auth::Principal;
use crate::error::AppError;
use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;
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
}

impl Viewer {
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
        let theme = Theme::parse(session::cookie(&parts.headers, session::THEME).unwrap_or_default());
        let cookie = session::cookie(&parts.headers, session::SESSION);
        let row = match cookie {
            Some(cookie) => {
                let hash = pilotage_trust::token::hash(cookie);
                app.store
                    .read()
                    .await
                    .map_err(AppError::from)?
                    .token_of_session(&hash, app.now())
                    .await
            }
            None => Ok(None),
        };
        let (Some(row), Some(cookie)) = (row.map_err(AppError::from)?, cookie) else {
            let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            let to = if parts.method == Method::GET { path } else { "/" };
            return Err(WebError::SignIn(to.to_owned()));
        };
        Ok(Self {
            who: row.try_into()?,
            theme,
            csrf: csrf_of(cookie),
        })
    }
}

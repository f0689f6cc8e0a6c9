//! Who asks, and what they may. Every handler begins with one call here; there is no other way in.

use crate::app::App;
use crate::attempts::{Asker, Peer};
use crate::error::{AppError, AppResult};
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine;
use pilotage_store::{Project, Token};
use pilotage_trust::token::{self, Scope, TokenKind};
use std::sync::Arc;
use std::time::Duration;

/// How long a wrong token is held up.
pub(crate) const GUESS_TIME: Duration = Duration::from_millis(100);

/// The holder of a good token.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    pub token: i64,
    /// Of the holder, as approvals and the audit log show it.
    pub name: String,
    pub kind: TokenKind,
    pub scopes: Vec<Scope>,
    /// The only project that the token is good for.
    pub project: Option<i64>,
    pub job: Option<i64>,
}

impl Principal {
    /// For the audit log.
    #[must_use]
    pub(crate) fn actor(&self) -> String {
        format!("{} (token {})", self.name, self.token)
    }

    fn has(&self, scope: Scope) -> bool {
        self.kind == TokenKind::Person
            && (self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin))
    }

    /// Something of the whole server, such as tokens: not with a token for one project.
    pub(crate) fn demand_server(&self, scope: Scope) -> AppResult<()> {
        if self.has(scope) && self.project.is_none() {
            Ok(())
        } else {
            Err(AppError::forbidden(scope.word()))
        }
    }

    /// Whether anything of a project is shown to this token at all.
    #[must_use]
    pub(crate) fn sees(&self, project: i64) -> bool {
        self.project.is_none_or(|only| only == project) && self.kind == TokenKind::Person
    }

    /// Something of a project. What may not even be seen is not there.
    pub(crate) fn demand(&self, scope: Scope, project: &Project) -> AppResult<()> {
        if !self.sees(project.id) || !(self.has(Scope::Read) || self.has(scope)) {
            return Err(AppError::not_found(format!("project `{}`", project.path())));
        }
        if self.has(scope) {
            Ok(())
        } else {
            Err(AppError::forbidden(scope.word()))
        }
    }

    /// Reading a project by git: a person who may read, or a job of this project.
    pub(crate) fn demand_fetch(&self, project: &Project) -> AppResult<()> {
        match self.kind {
            TokenKind::Job if self.project == Some(project.id) => Ok(()),
            _ => self.demand(Scope::Read, project),
        }
    }
}

impl TryFrom<Token> for Principal {
    type Error = AppError;

    fn try_from(row: Token) -> AppResult<Self> {
        Ok(Self {
            token: row.id,
            kind: TokenKind::parse(&row.kind).ok_or_else(AppError::unauthorized)?,
            scopes: row.scopes.split_whitespace().filter_map(Scope::parse).collect(),
            name: row.name,
            project: row.project_id,
            job: row.job_id,
        })
    }
}

impl FromRequestParts<Arc<App>> for Principal {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> AppResult<Self> {
        let header = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = header.and_then(token_of).ok_or_else(AppError::unauthorized)?;
        let row = app
            .store
            .read()
            .await?
            .token(&token::hash(&token), app.now())
            .await?;
        let Some(row) = row else {
            let (peer, now) = (Peer::of(&parts.extensions), app.now());
            if let Some(seconds) = app.attempts.bearer.wait(peer, now) {
                return Err(AppError::too_many(seconds));
            }
            app.attempts.bearer.count(peer, now);
            // Guessing 256 bits is hopeless anyway; this keeps it from being a load.
            tokio::time::sleep(GUESS_TIME).await;
            return Err(AppError::unauthorized());
        };
        let who: Self = row.try_into()?;
        Asker::name(&parts.extensions, who.actor());
        Ok(who)
    }
}

/// The token in `Bearer TOKEN`, `token TOKEN`, or as the password (or, without one, the user) of `Basic …`.
fn token_of(header: &str) -> Option<String> {
    let (scheme, value) = header.split_once(' ')?;
    let value = value.trim();
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" | "token" => Some(value.to_owned()),
        "basic" => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(value).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            let (user, password) = text.split_once(':')?;
            Some(if password.is_empty() { user } else { password }.to_owned())
        }
        _ => None,
    }
}

/// A runner's own calls.
pub(crate) struct RunnerPrincipal(pub Principal);

impl FromRequestParts<Arc<App>> for RunnerPrincipal {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> AppResult<Self> {
        let principal = Principal::from_request_parts(parts, app).await?;
        if principal.kind == TokenKind::Runner {
            Ok(Self(principal))
        } else {
            Err(AppError::unauthorized())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_in_each_form() {
        for (header, expected) in [
            ("Bearer abc", Some("abc")),
            ("bearer abc", Some("abc")),
            ("token abc", Some("abc")),
            // user:abc, abc:, :
            ("Basic dXNlcjphYmM=", Some("abc")),
            ("Basic YWJjOg==", Some("abc")),
            ("Basic Og==", Some("")),
            ("Basic ???", None),
            ("Digest abc", None),
            ("abc", None),
        ] {
            assert_eq!(token_of(header).as_deref(), expected, "{header}");
        }
    }

    fn person(scopes: &[Scope], project: Option<i64>) -> Principal {
        let scopes = scopes.to_vec();
        Principal {
            token: 1,
            name: "ana".to_owned(),
            kind: TokenKind::Person,
            scopes,
            project,
            job: None,
        }
    }

    #[test]
    fn nothing_is_allowed_that_was_not_granted() {
        let project = |id| Project {
            id,
            owner: "o".to_owned(),
            name: "p".to_owned(),
            default_branch: "main".to_owned(),
            created_at: 0,
        };
        let status = |end: AppResult<()>| end.err().map_or(200, |error| error.status.as_u16());
        for (who, scope, expected) in [
            (person(&[], None), Scope::Read, 404),
            (person(&[Scope::Read], None), Scope::Read, 200),
            (person(&[Scope::Read], None), Scope::Write, 403),
            (person(&[Scope::Write], None), Scope::Write, 200),
            (person(&[Scope::Write], None), Scope::Secrets, 404),
            (person(&[Scope::Admin], None), Scope::Secrets, 200),
            (person(&[Scope::Admin], Some(1)), Scope::Secrets, 200),
            (person(&[Scope::Admin], Some(2)), Scope::Read, 404),
            (
                Principal {
                    kind: TokenKind::Job,
                    ..person(&[Scope::Admin], Some(1))
                },
                Scope::Read,
                404,
            ),
            (
                Principal {
                    kind: TokenKind::Runner,
                    ..person(&[Scope::Admin], None)
                },
                Scope::Read,
                404,
            ),
        ] {
            assert_eq!(
                status(who.demand(scope, &project(1))),
                expected,
                "{who:?} {scope:?}"
            );
        }
        let job = Principal {
            kind: TokenKind::Job,
            ..person(&[], Some(1))
        };
        assert_eq!(status(job.demand_fetch(&project(1))), 200);
        assert_eq!(status(job.demand_fetch(&project(2))), 404);
        assert_eq!(
            status(person(&[Scope::Admin], Some(1)).demand_server(Scope::Admin)),
            403
        );
    }
}

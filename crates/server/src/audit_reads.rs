//! Who read the audit log stands in it, and who wanted to and may not.
//!
//! A reader is noted once an hour with what was looked for first, so that looking at it does not fill it.

use crate::app::App;
use crate::attempts;
use crate::auth::Principal;
use crate::error::AppResult;
use pilotage_trust::token::Scope;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// For so long a reader is not noted again, in milliseconds.
const AGAIN: i64 = 3600 * 1000;
/// How many readers are remembered; one that is forgotten is noted again.
const READERS_MAX: usize = 4096;

/// How it is read. Taking the whole log along is not the same as looking at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reading {
    Page,
    List,
    Export,
}

impl Reading {
    fn word(self) -> &'static str {
        match self {
            Reading::Page => "page",
            Reading::List => "list",
            Reading::Export => "export",
        }
    }
}

/// When each reader was noted.
#[derive(Debug, Default)]
pub(crate) struct Readers(Mutex<HashMap<(String, Reading), i64>>);

impl Readers {
    fn is_new(&self, reader: &str, reading: Reading, now: i64) -> bool {
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (reader.to_owned(), reading);
        if readers.get(&key).is_some_and(|at| now - at < AGAIN) {
            return false;
        }
        if readers.len() >= READERS_MAX {
            readers.retain(|_, at| now - *at < AGAIN);
        }
        if readers.len() >= READERS_MAX {
            readers.clear();
        }
        readers.insert(key, now);
        true
    }

    fn forget(&self, reader: &str, reading: Reading) {
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readers.remove(&(reader.to_owned(), reading));
    }
}

/// Lets somebody read the audit log, and notes it. `reader` is the session, or empty for the token itself; `filter`
/// what is looked for.
pub(crate) async fn allow(
    app: &App,
    who: &Principal,
    reader: &str,
    reading: Reading,
    filter: &str,
) -> AppResult<()> {
    let actor = who.actor();
    if let Err(refused) = who.demand_server(Scope::Admin) {
        let detail = serde_json::json!({"reading": reading.word(), "reason": refused.detail});
        attempts::denied(app, &actor, "the audit log", detail).await;
        return Err(refused);
    }
    let now = app.now();
    let reader = if reader.is_empty() {
        actor.clone()
    } else {
        reader.to_owned()
    };
    if !app.audit_readers.is_new(&reader, reading, now) {
        return Ok(());
    }
    let detail = serde_json::json!({"reading": reading.word(), "filter": filter}).to_string();
    let noted = app
        .store
        .write(move |c| {
            Box::pin(async move {
                c.add_audit(now, &actor, "audit.read", "the audit log", &detail)
                    .await
            })
        })
        .await;
    if let Err(error) = noted {
        app.audit_readers.forget(&reader, reading);
        crate::error::log("a look at the audit log is not in it", &error);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_noted_once_an_hour_and_memory_is_bounded() {
        let readers = Readers::default();
        assert!(readers.is_new("a", Reading::Page, 0));
        assert!(!readers.is_new("a", Reading::Page, AGAIN - 1));
        assert!(readers.is_new("a", Reading::Export, 1) && readers.is_new("b", Reading::Page, 1));
        assert!(readers.is_new("a", Reading::Page, AGAIN));
        for n in 0..3 * READERS_MAX {
            readers.is_new(&n.to_string(), Reading::List, AGAIN);
        }
        assert!(readers.0.lock().expect("unpoisoned").len() <= READERS_MAX);
    }
}

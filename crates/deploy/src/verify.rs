//! Verification: what users get through the proxy is right, and comes from the release that should give it.

use crate::error::DeployError;
use crate::http::{self, Answer};
use crate::local::Local;
use pilotage_workflow::delivery::Check;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

const PROBE_WITHIN: Duration = Duration::from_secs(10);
/// How much of a body is shown where it is not what it should be.
const SHOWN: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub get: String,
    pub took: Duration,
    /// Absent where it passed.
    pub fault: Option<String>,
}

/// Asks all the checks, one after the other.
///
/// `base` is where the proxy listens; `host` the name that users know it by.
pub async fn verify(checks: &[Check], base: SocketAddr, host: &str) -> Vec<Checked> {
    let mut results = Vec::with_capacity(checks.len());
    for check in checks {
        let begun = Instant::now();
        let within = Duration::from_millis(check.within_ms);
        let fault = match http::get(base, host, &check.get, &[], within).await {
            Ok(answer) => fault(check, &answer),
            Err(error) => Some(error.to_string()),
        };
        results.push(Checked {
            get: check.get.clone(),
            took: begun.elapsed(),
            fault,
        });
    }
    results
}

fn fault(check: &Check, answer: &Answer) -> Option<String> {
    if answer.status != check.status {
        return Some(format!("status {} instead of {}", answer.status, check.status));
    }
    let text = String::from_utf8_lossy(&answer.body);
    let shown: String = text.chars().take(SHOWN).collect();
    if let Some(wanted) = &check.contains
        && !text.contains(wanted)
    {
        return Some(format!("the answer does not contain `{wanted}`: {shown}"));
    }
    match (&check.json, serde_json::from_slice(&answer.body)) {
        (Some(_), Err(_)) => Some(format!("the answer is no JSON: {shown}")),
        (Some(wanted), Ok(found)) => difference(wanted, &found, "").map(|at| format!("{at}: {shown}")),
        (None, _) => None,
    }
}

/// Where the found value does not have what is wanted.
fn difference(wanted: &Value, found: &Value, at: &str) -> Option<String> {
    let here = || if at.is_empty() { "the answer" } else { at }.to_owned();
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => wanted.iter().find_map(|(key, value)| {
            let at = if at.is_empty() {
                key.clone()
            } else {
                format!("{at}.{key}")
            };
            match found.get(key) {
                Some(found) => difference(value, found, &at),
                None => Some(format!("`{at}` is missing")),
            }
        }),
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            let mut pairs = wanted.iter().zip(found).enumerate();
            pairs.find_map(|(i, (wanted, found))| difference(wanted, found, &format!("{at}[{i}]")))
        }
        _ if wanted == found => None,
        _ => Some(format!("`{}` is {found} instead of {wanted}", here())),
    }
}

/// What a row of answers through the proxy proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Answers asked for, and how many of them came from the release that was meant.
    pub answers: u32,
    pub right: u32,
    /// The first that was not right.
    pub fault: Option<String>,
}

impl Proof {
    #[must_use]
    pub fn holds(&self) -> bool {
        self.right == self.answers && self.answers > 0
    }
}

impl Local {
    /// Asks `answers` times through the proxy which replica answers, and asks the keeper of that replica which
    /// digest its process executes. Stops at the first that is not `digest`.
    ///
    /// # Errors
    /// When the proxy's probe secret cannot be read.
    pub async fn verify_digest(
        &self,
        base: SocketAddr,
        host: &str,
        path: &str,
        digest: &str,
        answers: u32,
    ) -> Result<Proof, DeployError> {
        let secret = self.probe_secret()?;
        let mut proof = Proof {
            answers,
            right: 0,
            fault: None,
        };
        for _ in 0..answers {
            match self.who_answers(base, host, path, &secret).await {
                Ok((replica, executes)) if executes != digest => {
                    proof.fault = Some(format!(
                        "replica {replica} executes {executes} instead of {digest}"
                    ));
                    return Ok(proof);
                }
                Ok(_) => proof.right += 1,
                Err(fault) => {
                    proof.fault = Some(fault);
                    return Ok(proof);
                }
            }
        }
        Ok(proof)
    }

    async fn who_answers(
        &self,
        base: SocketAddr,
        host: &str,
        path: &str,
        secret: &str,
    ) -> Result<(String, String), String> {
        let headers = [(crate::proxy::PROBE_HEADER, secret)];
        let answer = http::get(base, host, path, &headers, PROBE_WITHIN)
            .await
            .map_err(|e| e.to_string())?;
        let status = answer.status;
        let replica = answer.header("pilotage-replica");
        let replica = replica
            .ok_or_else(|| format!("status {status}, and no replica named itself"))?
            .to_owned();
        let state = self.observe_replica(&replica).await.map_err(|e| e.to_string())?;
        let executes = state
            .executes
            .ok_or_else(|| format!("replica {replica} does not run"))?;
        Ok((replica, executes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(check: Check, status: u16, body: &str, expected: Option<&str>) {
        let answer = Answer {
            status,
            headers: ::http::HeaderMap::new(),
            body: body.to_owned().into(),
        };
        assert_eq!(fault(&check, &answer).as_deref(), expected, "{check:?}");
    }

    #[test]
    fn faults_say_what_was_found() {
        let base = || Check {
            get: "/".into(),
            status: 200,
            contains: None,
            json: None,
            within_ms: 1000,
        };
        check(base(), 302, "", Some("status 302 instead of 200"));
        check(
            Check {
                status: 404,
                ..base()
            },
            404,
            "",
            None,
        );
        let contains = || Check {
            contains: Some("Omni".into()),
            ..base()
        };
        check(contains(), 200, "OmniLife", None);
        check(
            contains(),
            200,
            "Error",
            Some("the answer does not contain `Omni`: Error"),
        );
        let wanted = || Check {
            json: Some(json!({"status": "ok", "db": {"up": true}})),
            ..base()
        };
        check(
            wanted(),
            200,
            r#"{"status":"ok","db":{"up":true,"ms":3},"more":1}"#,
            None,
        );
        check(
            wanted(),
            200,
            r#"{"status":"ok"}"#,
            Some("`db` is missing: {\"status\":\"ok\"}"),
        );
        let body = r#"{"status":"ok","db":{"up":false}}"#;
        check(
            wanted(),
            200,
            body,
            Some(&format!("`db.up` is false instead of true: {body}")),
        );
        check(wanted(), 200, "<html>", Some("the answer is no JSON: <html>"));
        check(
            Check {
                json: Some(json!([1])),
                ..base()
            },
            200,
            "[1,2]",
            Some("`the answer` is [1,2] instead of [1]: [1,2]"),
        );
    }
}

//! `pilotage/deploy`, `pilotage/rollback` and `pilotage/verify`: asked of the platform, and watched until they are
//! over. Without a platform they are refused.

use super::{BuiltIn, Call, Input};
use crate::action::ActionError;
use pilotage_api::services::{
    DeployRequest, DeploymentProgress, ProgressQuery, RollbackRequest, Until, VerifyRequest,
};

const OUTPUTS: &[&str] = &["deployment", "url", "release", "previous", "result"];

/// How long the platform may keep a question waiting for news.
const WAIT_S: u32 = 25;

pub(super) const DEPLOY: BuiltIn = BuiltIn {
    name: "pilotage/deploy",
    majors: &[1],
    inputs: &[
        Input::new("environment", ""),
        Input::refused("services", ""),
        Input::new("release", ""),
        Input::new("wait", "traffic"),
    ],
    outputs: OUTPUTS,
    main: |call| Box::pin(deploy(call)),
    post: None,
};

pub(super) const ROLLBACK: BuiltIn = BuiltIn {
    name: "pilotage/rollback",
    majors: &[1],
    inputs: &[
        Input::new("environment", ""),
        Input::new("to", "previous"),
        Input::new("deployment", ""),
        Input::new("reason", ""),
    ],
    outputs: OUTPUTS,
    main: |call| Box::pin(roll_back(call)),
    post: None,
};

pub(super) const VERIFY: BuiltIn = BuiltIn {
    name: "pilotage/verify",
    majors: &[1],
    inputs: &[
        Input::new("environment", ""),
        Input::new("deployment", ""),
        Input::refused("checks", ""),
        Input::new("expect", "live"),
    ],
    outputs: &["result"],
    main: |call| Box::pin(verify(call)),
    post: None,
};

async fn deploy(call: &mut Call<'_>) -> Result<(), ActionError> {
    let until = match call.input("wait") {
        "traffic" => Until::Traffic,
        "live" => Until::Live,
        other => {
            return Err(ActionError::failed(format!(
                "`wait` is traffic or live, not `{other}`"
            )));
        }
    };
    let request = DeployRequest {
        environment: given(call, "environment"),
        services: words(call, "services"),
        release: given(call, "release"),
    };
    let services = call.services();
    let begun = call.wait(services.deploy(&request)).await??;
    watch(call, begun, until).await
}

async fn roll_back(call: &mut Call<'_>) -> Result<(), ActionError> {
    let request = RollbackRequest {
        environment: given(call, "environment"),
        to: call.input("to").to_owned(),
        deployment: deployment(call)?,
        reason: call.input("reason").to_owned(),
    };
    let services = call.services();
    let begun = call.wait(services.roll_back(&request)).await??;
    watch(call, begun, Until::Live).await
}

async fn verify(call: &mut Call<'_>) -> Result<(), ActionError> {
    let expect = call.input("expect").to_owned();
    if !matches!(expect.as_str(), "live" | "rolled-back") {
        return Err(ActionError::failed(format!(
            "`expect` is live or rolled-back, not `{expect}`"
        )));
    }
    let request = VerifyRequest {
        environment: given(call, "environment"),
        deployment: deployment(call)?,
        checks: words(call, "checks"),
        expect: expect.clone(),
    };
    let services = call.services();
    let verified = call.wait(services.verify(&request)).await??;
    verified.lines.iter().for_each(|line| call.say(line));
    call.output("result", &verified.result);
    if verified.ok {
        return Ok(());
    }
    Err(ActionError::failed(format!(
        "not verified: it is {}, expected {expect}",
        verified.result
    )))
}

/// Shows the deployment's progress until it has settled. A cancelled job leaves it alone: it belongs to the platform.
async fn watch(call: &mut Call<'_>, begun: DeploymentProgress, until: Until) -> Result<(), ActionError> {
    let services = call.services();
    let mut progress = begun;
    let id = progress.deployment;
    let mut after = 0;
    loop {
        // The first answer may begin anywhere; lines that were shown already are not shown again.
        let first = progress.next.saturating_sub(progress.lines.len() as u64);
        let seen = usize::try_from(after.max(first) - first).unwrap_or(usize::MAX);
        progress.lines.iter().skip(seen).for_each(|line| call.say(line));
        after = after.max(progress.next);
        tell(call, &progress);
        call.flush().await?;
        if progress.settled {
            break;
        }
        let query = ProgressQuery {
            after,
            until,
            wait_s: WAIT_S,
        };
        progress = call.wait(services.progress(id, &query)).await??;
    }
    if progress.ok {
        return Ok(());
    }
    let said = if progress.message.is_empty() {
        progress.state
    } else {
        progress.message
    };
    Err(ActionError::failed(format!("deployment {id}: {said}")))
}

fn tell(call: &mut Call<'_>, progress: &DeploymentProgress) {
    call.output("deployment", &progress.deployment.to_string());
    call.output("url", &progress.url);
    call.output("release", &progress.release);
    call.output("previous", &progress.previous);
    call.output("result", &progress.state);
}

fn given(call: &Call<'_>, name: &str) -> Option<String> {
    Some(call.input(name))
        .filter(|v| !v.is_empty())
        .map(str::to_owned)
}

fn words(call: &Call<'_>, name: &str) -> Vec<String> {
    let words = call.input(name).split([',', '\n', ' ']).map(str::trim);
    words.filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

fn deployment(call: &Call<'_>) -> Result<Option<i64>, ActionError> {
    let Some(text) = given(call, "deployment") else {
        return Ok(None);
    };
    let number = text
        .parse()
        .map_err(|_| ActionError::failed(format!("`deployment` is a number, not `{text}`")));
    number.map(Some)
}

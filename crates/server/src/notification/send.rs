//! The sending of notifications: each is tried until it was told, or a day after what it tells of.
//!
//! What is tried lies in the store until its answer is written there; whoever dies in between tries again.

use super::message::Message;
use super::{Request, pagerduty, route, slack, webhook};
use crate::app::App;
use crate::driver::deployment::Values;
use crate::outgoing::{Answer, Target};
use pilotage_store::{Notice, Notification, Project, SecretUse, StoreError};
use pilotage_trust::mask::Masker;
use pilotage_workflow::delivery::{Channel, Route};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How many are tried at the same time.
const AT_ONCE: usize = 8;
const SECOND_MS: i64 = 1000;
const FIRST_WAIT_MS: i64 = 10 * SECOND_MS;
const WAIT_MS_MAX: i64 = 3600 * SECOND_MS;
/// After so long nobody wants to hear of it any more.
const GIVE_UP_MS: i64 = 24 * 3600 * SECOND_MS;
/// Looked at least this often, for a system clock that was moved.
const SLEEP_MS_MAX: i64 = 60 * SECOND_MS;
/// What could not be looked at is looked at again after so long.
const AGAIN_MS: i64 = 5 * SECOND_MS;

/// Makes notifications of notices and sends them, until it is dropped.
pub(crate) async fn send(app: Arc<App>) {
    let mut changes = app.driver.changes();
    let mut hands = Hands::default();
    loop {
        changes.borrow_and_update();
        let sleep_ms = match begin(&app, &mut hands).await {
            Ok(next) => next
                .map_or(SLEEP_MS_MAX, |at| at - app.now())
                .clamp(0, SLEEP_MS_MAX),
            Err(error) => {
                crate::error::log(
                    "notifications cannot be looked at; tried again in a while",
                    &error,
                );
                AGAIN_MS
            }
        };
        let sleep = Duration::from_millis(u64::try_from(sleep_ms).unwrap_or_default());
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            Some(ended) = hands.sending.join_next() => {
                if let Ok(id) = ended {
                    hands.under_way.remove(&id);
                }
            }
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// What this process is about.
#[derive(Default)]
struct Hands {
    sending: JoinSet<i64>,
    under_way: HashSet<i64>,
    /// Notices whose routes could not be read, and when to try that again.
    held: HashMap<i64, i64>,
}

/// Starts what is due; gives when to look again.
async fn begin(app: &Arc<App>, hands: &mut Hands) -> Result<Option<i64>, StoreError> {
    let now = app.now();
    hands.held.retain(|_, until| *until > now);
    for notice in app.store.read().await?.unrouted_notices().await? {
        if !hands.held.contains_key(&notice.id) && !route_one(app, &notice).await? {
            hands.held.insert(notice.id, now + AGAIN_MS);
        }
    }
    let held = hands.held.values().min().copied();
    let mut c = app.store.read().await?;
    let limit = i64::try_from(AT_ONCE * 2).unwrap_or(i64::MAX);
    let due = c.due_notifications(now, limit).await?;
    let next = held.into_iter().chain(c.next_notification(now).await?).min();
    drop(c);
    for notification in due {
        // What is left when all hands are busy is begun when one has ended.
        if hands.sending.len() < AT_ONCE && hands.under_way.insert(notification.id) {
            let (app, id) = (Arc::clone(app), notification.id);
            hands.sending.spawn(async move {
                if let Err(error) = send_one(&app, notification).await {
                    crate::error::log("the end of a notification cannot be written", &error);
                    tokio::time::sleep(Duration::from_millis(AGAIN_MS.unsigned_abs())).await;
                }
                id
            });
        }
    }
    Ok(next)
}

/// False where the routes of a notice cannot be read now.
async fn route_one(app: &App, notice: &Notice) -> Result<bool, StoreError> {
    let routes = match route::routes(app, notice).await {
        Ok(routes) => routes,
        Err(error) => {
            crate::error::log(
                "the routes of a notification cannot be read; tried again in a while",
                &error,
            );
            return Ok(false);
        }
    };
    let mut rows = Vec::new();
    for route in routes {
        let key = uuid::Uuid::new_v4().to_string();
        rows.push((
            key,
            crate::driver::to_text(&route)?,
            word(route.channel).to_owned(),
        ));
    }
    let id = notice.id;
    let turn = app
        .driver
        .turn(move |turn| Box::pin(async move { turn.c.route_notice(id, &rows, turn.now).await }));
    turn.await?;
    Ok(true)
}

fn word(channel: Channel) -> &'static str {
    match channel {
        Channel::Slack => "slack",
        Channel::PagerDuty => "pagerduty",
        Channel::Webhook => "webhook",
    }
}

/// How a try ended.
struct Try {
    host: String,
    /// In words without an address, if it failed.
    end: Result<(), String>,
    /// How long the other side wants to be left alone.
    wait_ms: Option<i64>,
}

async fn send_one(app: &App, row: Notification) -> Result<(), StoreError> {
    let notice = app.store.read().await?.notice(row.notice_id).await?;
    let tried = match &notice {
        Some(notice) => try_one(app, notice, &row).await?,
        None => Try::failed("what it tells of is not there any more"),
    };
    let at = notice.as_ref().map_or(0, |notice| notice.at);
    let ended = after(row, tried, at, app.now());
    let given_up = ended.state == "given-up";
    let (channel, error) = (ended.channel.clone(), ended.error.clone());
    if let (false, Some(next)) = (ended.error.is_empty(), &notice) {
        tracing::warn!(
            notification.id = ended.id,
            "a notification of `{}` {}: {channel} {error}",
            next.event,
            if given_up { "is given up" } else { "has to wait" }
        );
    }
    let subject = match &notice {
        Some(notice) if given_up => Some(subject(app, notice).await?),
        _ => None,
    };
    let turn = app.driver.turn(move |turn| {
        Box::pin(async move {
            turn.c.update_notification(&ended).await?;
            if let Some((subject, detail)) = subject {
                let detail = serde_json::json!({"channel": channel, "host": ended.host, "error": error, "tries": ended.tries, "event": detail});
                turn.c
                    .add_audit(turn.now, "pilotage", "notification.given-up", &subject, &detail.to_string())
                    .await?;
            }
            Ok(())
        })
    });
    turn.await
}

/// What the audit log calls it, and what happened.
async fn subject(app: &App, notice: &Notice) -> Result<(String, String), StoreError> {
    let project = app.store.read().await?.project_by_id(notice.project_id).await?;
    let project = project.map(|project| project.path()).unwrap_or_default();
    let subject = match (notice.deployment_id, notice.run_id) {
        (Some(id), _) => format!("{project}/{} #{id}", notice.environment),
        (None, Some(run)) => format!("{project} run {run}"),
        (None, None) => project,
    };
    Ok((subject, notice.event.clone()))
}

/// The row after a try.
fn after(row: Notification, tried: Try, happened_at: i64, now: i64) -> Notification {
    let tries = row.tries + 1;
    let mut row = Notification {
        host: if tried.host.is_empty() {
            row.host
        } else {
            tried.host
        },
        state: "told".to_owned(),
        tries,
        next_at: None,
        error: String::new(),
        at: now,
        ..row
    };
    if let Err(error) = tried.end {
        row.error = error;
        let wait_ms = back_off(tries).max(tried.wait_ms.unwrap_or(0));
        let next = now.saturating_add(wait_ms);
        let in_time = next <= happened_at.saturating_add(GIVE_UP_MS);
        row.next_at = in_time.then_some(next);
        row.state = if in_time { "pending" } else { "given-up" }.to_owned();
    }
    row
}

/// 10 s, twice as long each time, an hour at most.
fn back_off(tries: i64) -> i64 {
    let doublings = u32::try_from(tries - 1).unwrap_or(0).min(20);
    FIRST_WAIT_MS.saturating_mul(1 << doublings).min(WAIT_MS_MAX)
}

impl Try {
    fn failed(why: impl Into<String>) -> Self {
        Self {
            host: String::new(),
            end: Err(why.into()),
            wait_ms: None,
        }
    }
}

async fn try_one(app: &App, notice: &Notice, row: &Notification) -> Result<Try, StoreError> {
    let (Ok(route), Ok(message)) = (
        serde_json::from_str::<Route>(&row.route),
        serde_json::from_str::<Message>(&notice.message),
    ) else {
        return Ok(Try::failed("it is damaged in the store"));
    };
    let Some(project) = app.store.read().await?.project_by_id(notice.project_id).await? else {
        return Ok(Try::failed("its project is not there any more"));
    };
    // The project's values only: see the module above.
    let values = Values::load(app, &project, "").await?;
    let message = hide(app, &project, &notice.environment, &message).await?;
    let request = match request(app, &route, &values, &message, &row.key) {
        Ok(request) => request,
        Err(why) => return Ok(Try::failed(why)),
    };
    let templates = [Some(route.address.as_str()), route.secret.as_deref()];
    values
        .note_use(
            app,
            &project,
            templates.into_iter().flatten(),
            SecretUse::Notification,
        )
        .await;
    let target = match Target::parse(&request.url) {
        Ok(target) => target,
        Err(error) => return Ok(Try::failed(error.to_string())),
    };
    let answer = app.outgoing.post(&target, &request.headers, request.body).await;
    let (end, wait_ms) = match answer {
        Ok(answer) => (judge(route.channel, &answer), wait_ms(&answer, app.now())),
        Err(error) => (Err(error.to_string()), None),
    };
    Ok(Try {
        host: target.host,
        end,
        wait_ms,
    })
}

/// The message without a secret of the project or the environment.
async fn hide(
    app: &App,
    project: &Project,
    environment: &str,
    message: &Message,
) -> Result<Message, StoreError> {
    let masker = Masker::new();
    for level in ["", environment] {
        let values = Values::load(app, project, level).await?;
        values.secrets().for_each(|secret| masker.add(secret));
    }
    Ok(message.clean(|text| masker.mask_str(text).into_owned()))
}

fn request(
    app: &App,
    route: &Route,
    values: &Values,
    message: &Message,
    key: &str,
) -> Result<Request, String> {
    let resolve = |template: &str| {
        let value = values.resolve(template)?;
        match value.trim() {
            "" => Err("its address is empty".to_owned()),
            value => Ok(value.to_owned()),
        }
    };
    let address = resolve(&route.address)?;
    let server = app.url.as_str();
    Ok(match route.channel {
        Channel::Slack => slack::request(address, message, server),
        Channel::PagerDuty => pagerduty::request(&app.pagerduty, message, server, &address),
        Channel::Webhook => {
            let secret = route.secret.as_deref().map(resolve).transpose()?;
            webhook::request(address, message, server, key, secret.as_deref())
        }
    })
}

fn judge(channel: Channel, answer: &Answer) -> Result<(), String> {
    match channel {
        Channel::Slack => slack::judge(answer),
        Channel::PagerDuty => pagerduty::judge(answer),
        Channel::Webhook => webhook::judge(answer),
    }
}

/// `Retry-After`, in seconds or as a date.
fn wait_ms(answer: &Answer, now: i64) -> Option<i64> {
    let text = answer.retry_after.as_deref()?.trim();
    let ms = match text.parse::<i64>() {
        Ok(seconds) => seconds.saturating_mul(SECOND_MS),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(text).ok()?;
            at.timestamp().as_millisecond() - now
        }
    };
    Some(ms.clamp(0, GIVE_UP_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(tries: i64) -> Notification {
        Notification {
            id: 1,
            notice_id: 1,
            key: String::new(),
            route: String::new(),
            channel: "slack".to_owned(),
            host: "hooks.slack.com".to_owned(),
            state: "pending".to_owned(),
            tries,
            next_at: Some(0),
            error: String::new(),
            at: 0,
        }
    }

    /// After so many failed tries, at so many seconds: the state, and in how many seconds comes the next try.
    fn check(tries: i64, now_s: i64, wait_s: Option<i64>, expected: (&str, Option<i64>)) {
        let tried = Try {
            wait_ms: wait_s.map(|s| s * SECOND_MS),
            ..Try::failed("no")
        };
        let now = now_s * SECOND_MS;
        let row = after(row(tries), tried, 0, now);
        let next = row.next_at.map(|at| (at - now) / SECOND_MS);
        assert_eq!((row.state.as_str(), next), expected, "{tries} tries at {now_s} s");
        assert_eq!(row.tries, tries + 1);
    }

    #[test]
    fn tries_come_later_and_later_and_end_after_a_day() {
        check(0, 0, None, ("pending", Some(10)));
        check(1, 10, None, ("pending", Some(20)));
        check(8, 5_000, None, ("pending", Some(2560)));
        check(9, 7_000, None, ("pending", Some(3600)));
        check(400, 7_000, None, ("pending", Some(3600)));
        check(30, 82_800, None, ("pending", Some(3600)));
        check(30, 82_801, None, ("given-up", None));
        // What the other side asks for counts, where it is longer.
        check(0, 0, Some(90), ("pending", Some(90)));
        check(3, 0, Some(1), ("pending", Some(80)));
        check(0, 0, Some(90_000), ("given-up", None));
    }

    #[test]
    fn what_was_told_is_not_tried_again() {
        let tried = Try {
            host: "hooks.slack.com".to_owned(),
            end: Ok(()),
            wait_ms: Some(7),
        };
        let row = after(row(3), tried, 0, 90);
        assert_eq!(
            (row.state.as_str(), row.next_at, row.tries, row.at),
            ("told", None, 4, 90)
        );
    }

    #[test]
    fn the_other_side_may_ask_for_time() {
        let check = |text: &str, expected: Option<i64>| {
            let answer = Answer {
                status: 429,
                retry_after: Some(text.to_owned()),
                body: String::new(),
            };
            assert_eq!(wait_ms(&answer, 1_445_412_470_000), expected, "{text}");
        };
        check("30", Some(30_000));
        check(" 0 ", Some(0));
        check("Wed, 21 Oct 2015 07:28:00 GMT", Some(10_000));
        check("-5", Some(0));
        check("99999999999999999999", None);
        check("soon", None);
    }
}

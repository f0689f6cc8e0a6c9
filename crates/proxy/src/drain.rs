//! Letting go of a revision: waits until nothing of it is in flight, and cuts what is left at the deadline.

use crate::plane::{Plane, Refusal};
use pilotage_api::proxy::Response;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long a cut connection may take to end.
const CUT: Duration = Duration::from_secs(2);

pub(crate) async fn drain(plane: &Plane, id: &str, name: &str, deadline: Duration) -> Response {
    match wait(plane, id, name, deadline).await {
        Ok((finished, cut)) => Response::Drained { finished, cut },
        Err(refusal) => Response::Refused {
            reason: refusal.to_string(),
        },
    }
}

async fn wait(plane: &Plane, id: &str, name: &str, deadline: Duration) -> Result<(u64, u64), Refusal> {
    let Some(revision) = plane.without_share(id, name)? else {
        return Ok((0, 0));
    };
    revision.seats.iter().for_each(|seat| seat.set_leaving(true));
    // Who entered before this is counted; who comes after it sees that the revision leaves.
    plane.settle_cores();
    let at_first = revision.in_flight();
    let mut deadline = Instant::now() + deadline.min(Duration::from_secs(24 * 3600));
    let mut cut = None;
    loop {
        let left = revision.left.notified();
        tokio::pin!(left);
        left.as_mut().enable();
        // A table may have given it a share meanwhile: then there is nothing to let go of.
        plane.without_share(id, name)?;
        if revision.in_flight() == 0 {
            break;
        }
        if timeout_at(deadline, left).await.is_err() {
            if cut.is_some() {
                tracing::error!(service = id, revision = name, "a cut request does not end");
                break;
            }
            cut = Some(revision.in_flight());
            revision.seats.iter().for_each(|seat| seat.cuts.cut());
            deadline = Instant::now() + CUT;
        }
    }
    revision
        .seats
        .iter()
        .for_each(|seat| seat.close_idle(Duration::ZERO));
    let cut = cut.unwrap_or(0);
    Ok((at_first.saturating_sub(cut), cut))
}

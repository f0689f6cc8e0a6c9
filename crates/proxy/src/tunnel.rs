//! Upgraded connections (WebSockets): bytes both ways, in flight until one side ends or a drain's deadline cuts.

use crate::exchange::Exchange;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio::io::copy_bidirectional;

pub(crate) fn spawn(mut exchange: Exchange, client: OnUpgrade, replica: OnUpgrade) {
    let core = Arc::clone(exchange.core());
    let seat = exchange.flight().map(|flight| Arc::clone(&flight.arm.seat));
    let presence = core.presence();
    let task = tokio::spawn(async move {
        let _presence = presence;
        let (Ok(client), Ok(replica)) = tokio::join!(client, replica) else {
            return;
        };
        let (mut client, mut replica) = (TokioIo::new(client), TokioIo::new(replica));
        if let Ok((_, bytes)) = copy_bidirectional(&mut client, &mut replica).await {
            exchange.passed(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
    });
    if let Some(seat) = seat {
        seat.register(task.abort_handle());
    }
}

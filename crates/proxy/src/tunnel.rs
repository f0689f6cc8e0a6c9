//! Upgraded connections (WebSockets): bytes both ways, in flight until one side ends or a drain's deadline cuts.

use crate::exchange::Exchange;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy, copy_bidirectional, sink, split};
use tokio::time::timeout;

/// How long a cut tunnel may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

pub(crate) fn spawn(mut exchange: Exchange, client: OnUpgrade, replica: OnUpgrade) {
    let cut = exchange
        .flight()
        .map_or_else(Arc::default, |flight| flight.seat().cuts.join());
    let presence = exchange.core().presence();
    tokio::spawn(async move {
        let _presence = presence;
        let (Ok(client), Ok(replica)) = tokio::join!(client, replica) else {
            return;
        };
        let (mut client, mut replica) = (TokioIo::new(client), TokioIo::new(replica));
        let copied = tokio::select! {
            copied = copy_bidirectional(&mut client, &mut replica) => copied,
            () = cut.wait() => {
                let _ = timeout(GOODBYE, part(client, replica)).await;
                return;
            }
        };
        if let Ok((_, bytes)) = copied {
            exchange.passed(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
    });
}

/// Tells the replica that its client is gone, lets it finish what it says, and closes so that all of it arrives: a
/// socket that is dropped with bytes unread would reset the connection and take back what was sent before.
async fn part(
    client: impl AsyncRead + AsyncWrite,
    mut replica: impl AsyncRead + AsyncWrite + Unpin,
) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = split(client);
    replica.shutdown().await?;
    let goodbye = async {
        copy(&mut replica, &mut to_client).await?;
        to_client.shutdown().await
    };
    let mut unread = sink();
    tokio::try_join!(goodbye, copy(&mut from_client, &mut unread)).map(drop)
}

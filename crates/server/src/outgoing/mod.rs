//! Requests that the server makes to addresses which people have chosen: at the public internet, and at what the
//! administrator allows, and nowhere else.
//!
//! A host is resolved once; what is checked is what is called. No proxy, no redirect, little patience, a short
//! answer. An error never says more of an address than its host: the rest may be a secret.

mod address;

pub use address::Allowed;

use futures_util::future::BoxFuture;
use reqwest::header::{HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

const CONNECT_TIME: Duration = Duration::from_secs(5);
/// From the first byte sent to the last byte read.
const WHOLE_TIME: Duration = Duration::from_secs(10);
const RESOLVE_TIME: Duration = Duration::from_secs(5);
/// More of an answer is not read.
const ANSWER_BYTES_MAX: usize = 4096;
const ADDRESSES_MAX: usize = 8;

/// Finds a host's addresses.
pub(crate) trait Resolver: Send + Sync {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, std::io::Result<Vec<IpAddr>>>;
}

/// The machine's own.
struct System;

impl Resolver for System {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, std::io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// The way out.
pub(crate) struct Outgoing {
    allowed: Vec<Allowed>,
    resolver: Arc<dyn Resolver>,
}

/// An answer, whatever it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
    /// Its beginning.
    pub body: String,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("its address is no URL")]
    NoUrl,
    #[error("its address is neither `http` nor `https`")]
    Scheme,
    #[error("{host} has no address")]
    Unresolved { host: String },
    #[error(
        "{host} is an address {kind}, which the server does not call: `outgoing: {{allow: [{host}]}}` in server.yml allows it"
    )]
    Forbidden { host: String, kind: &'static str },
    #[error("cannot connect to {host}: {why}")]
    Unconnected { host: String, why: String },
    #[error("no answer from {host} within {} s", WHOLE_TIME.as_secs())]
    Late { host: String },
    #[error("{host} broke off")]
    Broken { host: String },
}

impl Outgoing {
    #[must_use]
    pub(crate) fn new(allowed: Vec<Allowed>) -> Self {
        Self::with_resolver(allowed, Arc::new(System))
    }

    #[must_use]
    pub(crate) fn with_resolver(allowed: Vec<Allowed>, resolver: Arc<dyn Resolver>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { allowed, resolver }
    }

    /// Posts to an address that was checked.
    pub(crate) async fn post(
        &self,
        target: &Target,
        headers: &[(HeaderName, HeaderValue)],
        body: Vec<u8>,
    ) -> Result<Answer, NoAnswer> {
        let host = || target.host.clone();
        let addresses = self.checked_addresses(target).await?;
        let client = Client::builder()
            .dns_resolver(Arc::new(Pinned(addresses)))
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIME)
            .timeout(WHOLE_TIME)
            .user_agent(concat!("pilotage/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| NoAnswer::Unconnected {
                host: host(),
                why: deepest(&error.without_url()),
            })?;
        let mut request = client.post(target.url.clone()).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut answer = request.send().await.map_err(|error| failure(host(), error))?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok().map(str::to_owned));
        let mut bytes = Vec::new();
        // Its status is what counts; an answer that breaks off later has said enough.
        while let Ok(Some(chunk)) = answer.chunk().await {
            bytes.extend_from_slice(&chunk);
            if bytes.len() >= ANSWER_BYTES_MAX {
                bytes.truncate(ANSWER_BYTES_MAX);
                break;
            }
        }
        Ok(Answer {
            status,
            retry_after,
            body: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }

    /// The addresses of a host that may be called.
    async fn checked_addresses(&self, target: &Target) -> Result<Vec<IpAddr>, NoAnswer> {
        let host = target.host.as_str();
        let found = match target.address {
            Some(address) => vec![address],
            None => {
                let found = tokio::time::timeout(RESOLVE_TIME, self.resolver.addresses(host)).await;
                let mut found = found.ok().and_then(Result::ok).unwrap_or_default();
                found.truncate(ADDRESSES_MAX);
                found
            }
        };
        let mut refused = None;
        let mut good = Vec::new();
        for address in found {
            match address::check(&self.allowed, host, address) {
                Ok(()) => good.push(address),
                Err(kind) => refused = Some(kind),
            }
        }
        match (good.is_empty(), refused) {
            (false, _) => Ok(good),
            (true, Some(kind)) => Err(NoAnswer::Forbidden {
                host: host.to_owned(),
                kind,
            }),
            (true, None) => Err(NoAnswer::Unresolved {
                host: host.to_owned(),
            }),
        }
    }
}

/// An address that a person has chosen, read.
#[derive(Debug)]
pub(crate) struct Target {
    url: Url,
    /// As people may be shown it: without brackets, port or path.
    pub host: String,
    /// Where the host is an address, in whatever spelling.
    address: Option<IpAddr>,
}

impl Target {
    pub(crate) fn parse(text: &str) -> Result<Self, NoAnswer> {
        let url = Url::parse(text.trim()).map_err(|_| NoAnswer::NoUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(NoAnswer::Scheme);
        }
        let host = url.host_str().unwrap_or_default();
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host)
            .to_owned();
        if host.is_empty() {
            return Err(NoAnswer::NoUrl);
        }
        Ok(Self {
            address: host.parse().ok(),
            host,
            url,
        })
    }
}

/// Gives what was checked, whatever it is asked for: nothing is resolved a second time.
struct Pinned(Vec<IpAddr>);

impl reqwest::dns::Resolve for Pinned {
    fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let addresses: Vec<SocketAddr> = self.0.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
        let addresses: reqwest::dns::Addrs = Box::new(addresses.into_iter());
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

fn failure(host: String, error: reqwest::Error) -> NoAnswer {
    let error = error.without_url();
    if error.is_timeout() {
        NoAnswer::Late { host }
    } else if error.is_connect() {
        NoAnswer::Unconnected {
            host,
            why: deepest(&error),
        }
    } else {
        NoAnswer::Broken { host }
    }
}

/// What lies at the bottom of an error, without its number.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let text = deepest.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.chars().take(100).collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests;

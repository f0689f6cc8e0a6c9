//! The rules of heads: what belongs to one connection only, what the replica is told of the client.

use crate::answer::Fault;
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, TE, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, request};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Who sent a request, for the replica.
pub(crate) struct Client<'a> {
    /// Its address, as a header's value.
    pub(crate) address: &'a HeaderValue,
    /// It is on this machine, such as a proxy that ends TLS: what it says of scheme and host is believed.
    pub(crate) is_local: bool,
}

/// Refuses what no replica could answer safely, and gives the request's host. The parser has already refused what
/// is ambiguous in its framing; a head with both a length and chunks reaches us with the chunks alone, and its
/// connection ends after it (RFC 9112 §6.1).
pub(crate) fn host(head: &request::Parts) -> Result<HeaderValue, Fault> {
    if head.method == Method::CONNECT {
        return Err(Fault::Connect);
    }
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = match (head.uri.authority(), hosts.next()) {
        // An absolute target overrides the header (RFC 9112 §3.2.2).
        (Some(authority), _) => {
            let host = authority
                .as_str()
                .rsplit_once('@')
                .map_or(authority.as_str(), |(_, host)| host);
            HeaderValue::from_str(host).map_err(|_| Fault::BadHost)?
        }
        (None, Some(host)) => host.clone(),
        (None, None) if head.version == Version::HTTP_10 => HeaderValue::from_static(""),
        (None, None) => return Err(Fault::BadHost),
    };
    if hosts.next().is_some() || host.to_str().is_err() || host.as_bytes().contains(&b'/') {
        return Err(Fault::BadHost);
    }
    Ok(host)
}

/// Makes of a client's head the one that goes to a replica. Gives the protocol that the client wants to change to.
pub(crate) fn to_replica(
    head: &mut request::Parts,
    host: HeaderValue,
    client: &Client<'_>,
) -> Option<HeaderValue> {
    let upgrade = strip(&mut head.headers, true);
    if head.uri.authority().is_some() || head.uri.scheme().is_some() {
        head.uri = Uri::from(
            head.uri
                .path_and_query()
                .cloned()
                .unwrap_or_else(|| PathAndQuery::from_static("/")),
        );
    }
    if head.version == Version::HTTP_2 {
        join_cookies(&mut head.headers);
    }
    head.version = Version::HTTP_11;
    let headers = &mut head.headers;
    let address = match headers.get(FORWARDED_FOR) {
        None => client.address.clone(),
        Some(_) => appended(headers, client.address),
    };
    headers.insert(FORWARDED_FOR, address);
    if !client.is_local || !headers.contains_key(FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if !client.is_local || !headers.contains_key(FORWARDED_HOST) {
        headers.insert(FORWARDED_HOST, host.clone());
    }
    headers.insert(HOST, host);
    if let Some(protocol) = &upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
    upgrade
}

/// Removes what belongs to one connection only (RFC 9110 §7.6.1). Gives the protocol of an upgrade, if one is asked.
pub(crate) fn strip(headers: &mut HeaderMap, is_request: bool) -> Option<HeaderValue> {
    // One pass that finds nothing is the common case.
    if !headers
        .keys()
        .any(|name| is_of_connection(name) || (is_request && name == EXPECT))
    {
        return None;
    }
    let mut named = Vec::new();
    let mut wants_upgrade = false;
    for value in headers.get_all(CONNECTION) {
        for option in value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            wants_upgrade |= option.eq_ignore_ascii_case(b"upgrade");
            // What frames or addresses a message is nobody's to remove.
            match HeaderName::from_bytes(option) {
                Ok(name) if name != HOST && name != CONTENT_LENGTH => named.push(name),
                _ => (),
            }
        }
    }
    let upgrade = headers.get(UPGRADE).filter(|_| wants_upgrade).cloned();
    let trailers = is_request && headers.get(TE).is_some_and(|te| has_token(te, b"trailers"));
    for name in named {
        headers.remove(name);
    }
    for name in [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        TE,
        http::header::TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
    if is_request {
        // The replica is not asked for leave: the client gets its 100 when a replica's connection takes the body.
        headers.remove(EXPECT);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    upgrade
}

fn is_of_connection(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection" | "keep-alive" | "proxy-connection" | "te" | "transfer-encoding" | "upgrade"
    )
}

fn has_token(value: &HeaderValue, token: &[u8]) -> bool {
    value
        .as_bytes()
        .split(|b| *b == b',')
        .any(|part| part.trim_ascii().eq_ignore_ascii_case(token))
}

/// All values of `X-Forwarded-For` in one line, and the client's address after them.
fn appended(headers: &HeaderMap, address: &HeaderValue) -> HeaderValue {
    let mut all: Vec<&[u8]> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    all.push(address.as_bytes());
    HeaderValue::from_bytes(&all.join(&b", "[..])).unwrap_or_else(|_| address.clone())
}

/// HTTP/2 may split cookies over several lines; HTTP/1.1 has one (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if crumbs.len() > 1
        && let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    /// A head as lines, sorted, after it was made ready for a replica.
    fn check(target: &str, version: Version, is_local: bool, lines: &[(&str, &str)], expected: &[&str]) {
        let mut request = Request::builder().uri(target).version(version);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let (mut head, ()) = request.body(()).expect("a request").into_parts();
        let address = HeaderValue::from_static("192.0.2.7");
        let host = host(&head).expect("a host");
        to_replica(
            &mut head,
            host,
            &Client {
                address: &address,
                is_local,
            },
        );
        let lines = head
            .headers
            .iter()
            .map(|(n, v)| format!("{n}: {}", v.to_str().expect("text")));
        let mut got: Vec<String> = lines.chain([format!("target: {}", head.uri)]).collect();
        got.sort();
        assert_eq!(got, expected);
    }

    #[test]
    fn a_plain_head_gains_what_the_replica_must_know() {
        check(
            "/a?b=c",
            Version::HTTP_11,
            false,
            &[("host", "h:80"), ("accept", "*/*")],
            &[
                "accept: */*",
                "host: h:80",
                "target: /a?b=c",
                "x-forwarded-for: 192.0.2.7",
                "x-forwarded-host: h:80",
                "x-forwarded-proto: http",
            ],
        );
    }

    #[test]
    fn what_belongs_to_the_connection_stays_there() {
        let lines = [
            ("host", "h"),
            ("connection", "close, X-Secret, host, content-length"),
            ("connection", "x-other"),
            ("x-secret", "1"),
            ("x-other", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("content-length", "3"),
            ("trailer", "x-sum"),
        ];
        check(
            "/",
            Version::HTTP_11,
            false,
            &lines,
            &[
                "content-length: 3",
                "host: h",
                "target: /",
                "trailer: x-sum",
                "x-forwarded-for: 192.0.2.7",
                "x-forwarded-host: h",
                "x-forwarded-proto: http",
            ],
        );
    }

    #[test]
    fn an_upgrade_and_trailers_are_asked_for_again() {
        let lines = [
            ("host", "h"),
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
        ];
        check(
            "/",
            Version::HTTP_11,
            false,
            &lines,
            &[
                "connection: upgrade",
                "host: h",
                "target: /",
                "upgrade: websocket",
                "x-forwarded-for: 192.0.2.7",
                "x-forwarded-host: h",
                "x-forwarded-proto: http",
            ],
        );
        let lines = [("host", "h"), ("te", "gzip, trailers"), ("connection", "te")];
        check(
            "/",
            Version::HTTP_11,
            false,
            &lines,
            &[
                "connection: te",
                "host: h",
                "target: /",
                "te: trailers",
                "x-forwarded-for: 192.0.2.7",
                "x-forwarded-host: h",
                "x-forwarded-proto: http",
            ],
        );
    }

    #[test]
    fn only_this_machine_is_believed_about_scheme_and_host() {
        let lines = [
            ("host", "h"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "outer"),
        ];
        check(
            "/",
            Version::HTTP_11,
            false,
            &lines,
            &[
                "host: h",
                "target: /",
                "x-forwarded-for: 10.0.0.1, 10.0.0.2, 192.0.2.7",
                "x-forwarded-host: h",
                "x-forwarded-proto: http",
            ],
        );
        check(
            "/",
            Version::HTTP_11,
            true,
            &lines,
            &[
                "host: h",
                "target: /",
                "x-forwarded-for: 10.0.0.1, 10.0.0.2, 192.0.2.7",
                "x-forwarded-host: outer",
                "x-forwarded-proto: https",
            ],
        );
    }

    #[test]
    fn other_forms_of_the_target_come_out_as_one() {
        check(
            "http://user@a:81/x?y",
            Version::HTTP_11,
            false,
            &[("host", "b")],
            &[
                "host: a:81",
                "target: /x?y",
                "x-forwarded-for: 192.0.2.7",
                "x-forwarded-host: a:81",
                "x-forwarded-proto: http",
            ],
        );
        check(
            "http://a",
            Version::HTTP_2,
            false,
            &[("cookie", "a=1"), ("cookie", "b=2")],
            &[
                "cookie: a=1; b=2",
                "host: a",
                "target: /",
                "x-forwarded-for: 192.0.2.7",
                "x-forwarded-host: a",
                "x-forwarded-proto: http",
            ],
        );
    }

    #[test]
    fn heads_without_one_host_are_refused() {
        for hosts in [&[][..], &["a", "b"], &["a", "a"], &["a/b"]] {
            let mut request = Request::builder().uri("/");
            for value in hosts {
                request = request.header(HOST, *value);
            }
            let (head, ()) = request.body(()).expect("a request").into_parts();
            assert!(matches!(host(&head), Err(Fault::BadHost)), "{hosts:?}");
        }
    }
}

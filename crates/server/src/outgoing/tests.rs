use super::*;
use std::collections::VecDeque;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers with what the test says, one answer after the other, and counts.
struct Script(Mutex<VecDeque<Vec<IpAddr>>>);

impl Script {
    fn of(answers: &[&[&str]]) -> Arc<Self> {
        let read = |answer: &&[&str]| answer.iter().map(|text| text.parse().unwrap()).collect();
        Arc::new(Self(Mutex::new(answers.iter().map(read).collect())))
    }

    fn left(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Resolver for Script {
    fn addresses<'a>(&'a self, _: &'a str) -> BoxFuture<'a, std::io::Result<Vec<IpAddr>>> {
        let answer = self.0.lock().unwrap().pop_front();
        Box::pin(std::future::ready(
            answer.ok_or_else(|| std::io::ErrorKind::NotFound.into()),
        ))
    }
}

/// What a spelling of an address comes to, when nothing is allowed and every name leads to 127.0.0.1.
async fn check(spelling: &str, expected: &str) {
    let outgoing = Outgoing::with_resolver(Vec::new(), Script::of(&[&["127.0.0.1"]]));
    let got = match Target::parse(spelling) {
        Ok(target) => outgoing.post(&target, &[], Vec::new()).await,
        Err(error) => Err(error),
    };
    let word = match got {
        Err(NoAnswer::Forbidden { kind, .. }) => kind,
        Err(NoAnswer::Scheme) => "scheme",
        Err(NoAnswer::NoUrl) => "no URL",
        Err(NoAnswer::Unresolved { .. }) => "unresolved",
        other => panic!("{spelling}: {other:?}"),
    };
    assert_eq!(word, expected, "{spelling}");
}

#[tokio::test]
async fn no_spelling_of_a_closed_address_is_called() {
    const OWN: &str = "of this machine";
    const PRIVATE: &str = "of a private network";
    const LINK: &str = "link-local, where clouds keep their metadata";
    const OUTSIDE: &str = "not of the public internet";
    let table: &[(&str, &str)] = &[
        ("http://127.0.0.1/", OWN),
        ("http://127.0.0.1:80/", OWN),
        ("https://127.0.0.1/", OWN),
        ("HTTP://127.0.0.1", OWN),
        ("http:127.0.0.1", OWN),
        ("http:\\\\127.0.0.1\\", OWN),
        ("  http://127.0.0.1/\n", OWN),
        ("http://user:pass@127.0.0.1/", OWN),
        ("http://hooks.slack.com@127.0.0.1/", OWN),
        ("http://127.1/", OWN),
        ("http://127.0.1/", OWN),
        ("http://127.000.000.001/", OWN),
        ("http://0177.0.0.1/", OWN),
        ("http://0x7f.0.0.1/", OWN),
        ("http://0x7f000001/", OWN),
        ("http://2130706433/", OWN),
        ("http://017700000001/", OWN),
        ("http://127.0.0.1./", OWN),
        ("http://%31%32%37.0.0.1/", OWN),
        ("http://127。0。0。1/", OWN),
        ("http://①②⑦.⓪.⓪.①/", OWN),
        ("http://１２７.0.0.1/", OWN),
        ("http://127.254.3.9/", OWN),
        ("http://0/", OWN),
        ("http://0.0.0.0/", OWN),
        ("http://[::]/", OWN),
        ("http://[::1]/", OWN),
        ("http://[0:0:0:0:0:0:0:1]/", OWN),
        ("http://[0000:0000:0000:0000:0000:0000:0000:0001]:8080/", OWN),
        ("http://[::ffff:127.0.0.1]/", OWN),
        ("http://[::ffff:7f00:1]/", OWN),
        ("http://[0:0:0:0:0:FFFF:127.0.0.1]/", OWN),
        ("http://[::127.0.0.1]/", OUTSIDE),
        ("http://[64:ff9b::7f00:1]/", OUTSIDE),
        ("http://[2002:7f00:1::]/", "reserved"),
        ("http://localhost/", OWN),
        ("http://LOCALHOST/", OWN),
        ("http://localhost./", OWN),
        ("http://localhost.localdomain/", OWN),
        ("http://127.0.0.1.nip.io/", OWN),
        ("http://10.0.0.1/", PRIVATE),
        ("http://10.1/", PRIVATE),
        ("http://167772161/", PRIVATE),
        ("http://172.16.0.1/", PRIVATE),
        ("http://192.168.1.1/", PRIVATE),
        ("http://0xc0a80101/", PRIVATE),
        ("http://[fd00::1]/", PRIVATE),
        ("http://[fd00:ec2::254]/", PRIVATE),
        ("http://[fe80::1]/", "link-local"),
        ("http://169.254.169.254/latest/meta-data/", LINK),
        ("http://2852039166/", LINK),
        ("http://0xa9fea9fe/", LINK),
        ("http://0251.0376.0251.0376/", LINK),
        ("http://[::ffff:a9fe:a9fe]/", LINK),
        ("http://[::ffff:169.254.169.254]/", LINK),
        ("http://100.100.100.200/", "of a shared network"),
        ("http://224.0.0.1/", "for many at once"),
        ("http://255.255.255.255/", "reserved"),
        ("file:///etc/passwd", "scheme"),
        ("ftp://127.0.0.1/", "scheme"),
        ("gopher://127.0.0.1:6379/_INFO", "scheme"),
        ("unix:/run/docker.sock", "scheme"),
        ("ext::sh -c x", "scheme"),
        ("data:text/plain,x", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("//127.0.0.1/", "no URL"),
        ("127.0.0.1", "no URL"),
        ("", "no URL"),
        ("http://", "no URL"),
        ("http://[::1", "no URL"),
        ("http://[fe80::1%25eth0]/", "no URL"),
        ("http://256.256.256.256/", "no URL"),
        ("http://1.2.3.4.5/", "no URL"),
        ("http://a b/", "no URL"),
        ("http://127.0.0.1\u{0}/", "no URL"),
    ];
    for (spelling, expected) in table {
        check(spelling, expected).await;
    }
}

/// A server of one answer, as bytes; gives its port and what it was sent.
async fn once(answer: &'static [u8]) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut got = vec![0; 4096];
        let length = stream.read(&mut got).await.unwrap();
        let _ = stream.write_all(answer).await;
        String::from_utf8_lossy(&got[..length]).into_owned()
    });
    (port, served)
}

fn loopback() -> Vec<Allowed> {
    vec![Allowed::parse("127.0.0.1/32").unwrap()]
}

#[tokio::test]
async fn a_host_is_resolved_once_and_called_at_what_was_checked() {
    // The second answer would lead elsewhere: rebinding.
    let script = Script::of(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let outgoing = Outgoing::with_resolver(loopback(), script.clone());
    let (port, served) = once(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let target = Target::parse(&format!("http://rebinds.example:{port}/x")).unwrap();
    let answer = outgoing.post(&target, &[], b"hello".to_vec()).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    assert_eq!(script.left(), 1);
    let sent = served.await.unwrap();
    assert!(sent.contains(&format!("host: rebinds.example:{port}")), "{sent}");
    // Now it leads where nobody may go, and is not called.
    let refused = outgoing.post(&target, &[], Vec::new()).await;
    assert!(matches!(refused, Err(NoAnswer::Forbidden { .. })), "{refused:?}");
    let unresolved = outgoing.post(&target, &[], Vec::new()).await;
    assert!(
        matches!(unresolved, Err(NoAnswer::Unresolved { .. })),
        "{unresolved:?}"
    );
}

#[tokio::test]
async fn of_several_addresses_only_those_that_may_be_are_called() {
    let (port, served) = once(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    let script = Script::of(&[&["10.0.0.1", "127.0.0.1", "169.254.169.254"]]);
    let outgoing = Outgoing::with_resolver(loopback(), script);
    let target = Target::parse(&format!("http://mixed.example:{port}/")).unwrap();
    assert_eq!(outgoing.post(&target, &[], Vec::new()).await.unwrap().status, 204);
    served.await.unwrap();
}

#[tokio::test]
async fn redirects_are_answers_and_long_answers_are_cut() {
    let outgoing = Outgoing::new(loopback());
    let (port, served) = once(
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://169.254.169.254/\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let target = Target::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
    let answer = outgoing.post(&target, &[], Vec::new()).await.unwrap();
    assert_eq!((answer.status, answer.retry_after.as_deref()), (307, Some("7")));
    served.await.unwrap();
    let long = format!(
        "HTTP/1.1 500 No\r\nContent-Length: 90000\r\n\r\n{}",
        "x".repeat(90_000)
    );
    let (port, served) = once(Box::leak(long.into_boxed_str()).as_bytes()).await;
    let target = Target::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
    let answer = outgoing.post(&target, &[], Vec::new()).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (500, ANSWER_BYTES_MAX));
    served.await.unwrap();
}

#[tokio::test]
async fn errors_tell_the_host_and_nothing_else_of_an_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let target = Target::parse(&format!(
        "http://me:hush@127.0.0.1:{port}/services/S3CRET?key=S3CRET"
    ))
    .unwrap();
    let error = Outgoing::new(loopback())
        .post(&target, &[], Vec::new())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot connect to 127.0.0.1: connection refused"
    );
    let error = Outgoing::new(Vec::new())
        .post(&target, &[], Vec::new())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "127.0.0.1 is an address of this machine, which the server does not call: `outgoing: {allow: [127.0.0.1]}` in server.yml allows it"
    );
    let (port, served) = once(b"not HTTP at all\r\n\r\n").await;
    let target = Target::parse(&format!("http://127.0.0.1:{port}/S3CRET")).unwrap();
    let error = Outgoing::new(loopback())
        .post(&target, &[], Vec::new())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "127.0.0.1 broke off");
    served.await.unwrap();
}

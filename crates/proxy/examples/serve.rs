//! A proxy with one service, for measuring it: `serve DIR CORES LISTEN NAME=SHARE@REPLICA[,REPLICA]...`
//!
//! Shares are parts of 10,000; without any revision it serves what is on disk. Ends by SIGTERM.
#![allow(clippy::print_stdout, reason = "a program")]

use pilotage_api::proxy::{Replica, Request, RevisionTable, ServiceTable};
use pilotage_proxy::{ProxyConfig, run};
use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "serve DIR CORES LISTEN NAME=SHARE@REPLICA[,REPLICA]...";
    let mut args = std::env::args().skip(1);
    let (dir, cores, listen) = (
        args.next().ok_or(usage)?,
        args.next().ok_or(usage)?,
        args.next().ok_or(usage)?,
    );
    let revisions = args
        .map(|text| revision(&text).ok_or(usage))
        .collect::<Result<Vec<_>, _>>()?;
    let mut config = ProxyConfig::new(PathBuf::from(&dir));
    config.cores = cores.parse()?;
    config.access_log = std::env::var_os("NO_LOG").is_none();
    let table = ServiceTable {
        id: "bench/bench/local/web".into(),
        epoch: u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?,
        listen: listen.parse()?,
        host: None,
        path: "/".into(),
        assets: None,
        revisions,
        armed: None,
        hold_ms: 5000,
    };
    let control = PathBuf::from(dir).join("control");
    let server = std::thread::spawn(move || run(config).map_err(|error| error.to_string()));
    if !table.revisions.is_empty() {
        let mut stream = loop {
            match UnixStream::connect(&control) {
                Ok(stream) => break stream,
                Err(_) if !server.is_finished() => std::thread::yield_now(),
                Err(error) => return Err(error.into()),
            }
        };
        let mut line = serde_json::to_vec(&Request::Apply {
            table: Box::new(table),
        })?;
        line.push(b'\n');
        stream.write_all(&line)?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        print!("{answer}");
    }
    server.join().map_err(|_| "the proxy panicked")??;
    Ok(())
}

fn revision(text: &str) -> Option<RevisionTable> {
    let (name, rest) = text.split_once('=')?;
    let (share, replicas) = rest.split_once('@')?;
    let replica = |address: &str| {
        Some(Replica {
            id: format!("{name}-{address}"),
            address: address.parse().ok()?,
        })
    };
    Some(RevisionTable {
        revision: name.to_owned(),
        share: share.parse().ok()?,
        replicas: replicas.split(',').map(replica).collect::<Option<_>>()?,
    })
}

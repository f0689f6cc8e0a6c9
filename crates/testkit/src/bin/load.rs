//! `load ADDRESS PATH RATE [POST_EVERY [HEADER…]]`: sends until it is interrupted or its input ends, a line for each
//! request on the output: `due_us took_us outcome revision id`. One request in POST_EVERY (10) is a POST; 0 for none.

use pilotage_testkit::load::{Load, Outcome};
use std::io::{Read, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

#[expect(clippy::print_stderr, reason = "the edge of a development tool")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let parsed = match arguments.as_slice() {
        [address, path, rate, more @ ..] => {
            let post_every = more.first().map_or(Ok(10), |text| text.parse());
            address
                .parse()
                .ok()
                .zip(rate.parse().ok())
                .zip(post_every.ok())
                .map(|((address, rate), post_every)| Load {
                    address,
                    path: path.clone(),
                    headers: more.iter().skip(1).cloned().collect(),
                    rate,
                    post_every,
                    connections: 48,
                    timeout: Duration::from_secs(5),
                })
        }
        _ => None,
    };
    let Some(load) = parsed else {
        eprintln!("use: load 127.0.0.1:3000 /path 100 [POST_EVERY [HEADER...]]");
        return ExitCode::from(2);
    };
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, samples) = mpsc::channel();
    // Whoever started it ends it by closing its input, and dies without leaving it behind.
    let ending = Arc::clone(&stop);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ending.store(true, Ordering::Relaxed);
    });
    let sending = std::thread::spawn(move || load.run(stop, sender));
    let mut out = std::io::stdout().lock();
    for sample in samples {
        let outcome = match sample.outcome {
            Outcome::Status(status) => status.to_string(),
            Outcome::Lost(class) => class.to_owned(),
        };
        let revision = if sample.revision.is_empty() {
            "-"
        } else {
            &sample.revision
        };
        let line = writeln!(
            out,
            "{} {} {outcome} {revision} {}",
            sample.due_us, sample.took_us, sample.id
        );
        if line.and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    let _ = sending.join();
    ExitCode::SUCCESS
}

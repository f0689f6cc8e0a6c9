//! Measures masking: `cargo run --release -p pilotage-trust --example mask [MEGABYTES]`.

use pilotage_trust::mask::Masker;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let megabytes: usize = std::env::args().nth(1).map_or(Ok(64), |n| n.parse())?;
    let line =
        "2026-11-25T02:03:04.5678Z   Compiling pilotage-trust v0.1.0 (crates/trust), 12 of 345 units done\n";
    let text = line.repeat(megabytes * 1_000_000 / line.len());
    let mut out = std::io::stdout();
    for count in [0, 1, 5, 20] {
        let masker = Arc::new(Masker::new());
        for number in 0..count {
            masker.add(&format!("s3cr3t/{number}-Zq8&x'\"k2-wVtR41pLmN"));
        }
        let built = time(|| drop(masker.mask_str("x")));
        let whole = time(|| {
            for chunk in text.as_bytes().chunks(128 * 1024) {
                drop(masker.mask_bytes(chunk));
            }
        });
        let streamed = time(|| {
            let (mut stream, mut masked) = (masker.stream(), Vec::new());
            for chunk in text.as_bytes().chunks(64 * 1024) {
                stream.push(chunk, &mut masked);
                masked.clear();
            }
            stream.finish(&mut masked);
        });
        let rate = |took: Duration| text.len() as f64 / 1e6 / took.as_secs_f64();
        writeln!(
            out,
            "{count:>3} secrets: chunks {:>7.0} MB/s, stream {:>7.0} MB/s, built in {built:.2?}",
            rate(whole),
            rate(streamed)
        )?;
    }
    Ok(())
}

fn time(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

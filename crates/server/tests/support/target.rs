//! `keep DIR` and `proxy DIR`, as `pilotage` does them.

use pilotage_proxy::ProxyConfig;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["keep", dir] => pilotage_keep::run(Path::new(dir)).is_ok(),
        ["proxy", dir] => {
            let mut config = ProxyConfig::new(Path::new(dir).to_owned());
            config.keeper = Some(Path::new(dir).join("keeper"));
            config.cores = 2;
            pilotage_proxy::run(config).is_ok()
        }
        _ => false,
    };
    if done {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

//! Every code of a diagnostic is documented, and every documented code exists.

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn codes_and_their_documentation_agree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut used = BTreeSet::new();
    collect(&root.join("src"), &mut used);
    let text = std::fs::read_to_string(root.join("../../docs/diagnostics.md")).unwrap();
    let documented: BTreeSet<String> = text
        .lines()
        .filter_map(|l| l.strip_prefix("| ")?.split(' ').next().map(str::to_owned))
        .filter(|c| is_code(c))
        .collect();
    assert!(used.len() > 50, "{used:?}");
    assert_eq!(used, documented);
}

fn collect(folder: &Path, used: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("the sources can be listed") {
        let path = entry.expect("a source can be listed").path();
        if path.is_dir() {
            collect(&path, used);
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source can be read");
        used.extend(text.split('"').filter(|piece| is_code(piece)).map(str::to_owned));
    }
}

fn is_code(text: &str) -> bool {
    text.len() == 5 && text.starts_with(['W', 'P']) && text[1..].bytes().all(|b| b.is_ascii_digit())
}

//! Pages of the documentation that a test writes, so that they cannot drift from the code.

use std::path::Path;

/// Compares `content` with `docs/name`; with `KEEPLINE_BLESS=1` in the environment writes it.
pub(super) fn assert_page(name: &str, content: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name);
    if std::env::var_os("KEEPLINE_BLESS").is_some() {
        std::fs::write(&path, content).unwrap();
        return;
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = known.lines().zip(content.lines()).position(|(a, b)| a != b);
    assert!(
        known == content,
        "docs/{name} is out of date (line {}): run KEEPLINE_BLESS=1 cargo test -p keepline-proto",
        differs.unwrap_or_else(|| known.lines().count().min(content.lines().count())) + 1,
    );
}

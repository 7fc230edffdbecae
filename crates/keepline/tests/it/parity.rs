//! The page that compares our tests with Go's claims no test that is not there.

use std::path::{Path, PathBuf};
use std::{fs, iter};

/// All Rust sources below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("the sources can be listed");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match path.extension() {
            _ if path.is_dir() => sources(&path),
            Some(extension) if extension == "rs" => vec![path],
            _ => Vec::new(),
        })
        .collect()
}

/// What stands in backquotes in the last column of a row.
fn named(row: &str) -> impl Iterator<Item = &str> {
    let ours = row.trim_end_matches('|').rsplit('|').next().unwrap_or("");
    let mut rest = ours.split('`');
    iter::from_fn(move || {
        rest.next()?;
        rest.next()
    })
}

#[test]
fn every_test_that_the_page_names_exists() {
    let keepline = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = keepline.join("../../docs/parity-go.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let proto = keepline.join("../keepline-proto/src");
    let all: String = [keepline.join("src"), keepline.join("tests"), proto]
        .iter()
        .flat_map(|directory| sources(directory))
        .map(|path| fs::read_to_string(path).expect("a source can be read"))
        .collect();
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let names: Vec<&str> = rows.flat_map(named).collect();
    assert!(names.len() > 40, "the page is not read as it is written");
    for name in names {
        assert!(all.contains(&format!("fn {name}()")), "no test {name}");
    }
}

//! The page that compares our tests with Go's claims no test that is not there, counts right, and
//! leaves none of Go's out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, iter};

/// All Rust sources below a directory.
pub(crate) fn sources(directory: &Path) -> Vec<PathBuf> {
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

/// The page, as it is written.
fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/parity-go.md");
    fs::read_to_string(path).expect("the page is there")
}

/// A row: which of Go's tests, and what stands in its last column.
struct Row<'a> {
    is_of_server: bool,
    go: &'a str,
    ours: &'a str,
}

impl Row<'_> {
    /// Tests of ours stand for it. A reason why none does may name tests too, of what is near.
    fn is_tested(&self) -> bool {
        !self.ours.starts_with("not ") && named(self.ours).next().is_some()
    }
}

fn rows(page: &str) -> Vec<Row<'_>> {
    let mut is_of_server = false;
    let mut rows = Vec::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            is_of_server = ["Server", "The same"]
                .iter()
                .any(|start| heading.starts_with(start));
        }
        let columns = line
            .strip_prefix("| ")
            .and_then(|row| row.strip_suffix(" |"));
        if let Some((go, rest)) = columns.and_then(|row| row.split_once(" | "))
            && go != "Go"
        {
            let (_, ours) = rest.rsplit_once(" | ").expect("three columns");
            rows.push(Row {
                is_of_server,
                go,
                ours,
            });
        }
    }
    rows
}

/// What stands in backquotes.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.split('`');
    iter::from_fn(move || {
        rest.next()?;
        rest.next()
    })
}

/// The tests of Go in a list of them, without what stands in brackets behind some. A dash stands for what
/// no test of Go's asserts.
fn go_tests(list: &str) -> impl Iterator<Item = &str> {
    let list = if list.starts_with('–') { "" } else { list };
    list.split(',')
        .map(|name| name.split('(').next().unwrap_or(name).trim())
        .filter(|name| {
            let mut characters = name.chars();
            name.len() > 3 && characters.all(|c| c.is_ascii_alphanumeric() || "_*".contains(c))
        })
}

#[test]
fn every_test_that_the_page_names_exists() {
    let keepline = Path::new(env!("CARGO_MANIFEST_DIR"));
    let proto = keepline.join("../keepline-proto/src");
    let all: String = [keepline.join("src"), keepline.join("tests"), proto]
        .iter()
        .flat_map(|directory| sources(directory))
        .map(|path| fs::read_to_string(path).expect("a source can be read"))
        .collect();
    let page = page();
    let rows = rows(&page);
    let names: BTreeSet<&str> = rows.iter().flat_map(|row| named(row.ours)).collect();
    assert!(names.len() > 150, "the page is not read as it is written");
    for name in names {
        assert!(all.contains(&format!("fn {name}()")), "no test {name}");
    }
}

#[test]
fn the_page_counts_its_rows_right() {
    let page = page();
    let rows = rows(&page);
    let count = |is_of_server| {
        let rows = || rows.iter().filter(|row| row.is_of_server == is_of_server);
        (rows().filter(|row| row.is_tested()).count(), rows().count())
    };
    let ((client, of_client), (server, of_server)) = (count(false), count(true));
    assert!(client >= 120 && server >= 75, "{client}, {server}");
    let counts = format!(
        "Of the client and of messages {client} rows of {of_client} are covered by tests of ours, \
         of the server {server} of {of_server}."
    );
    assert!(page.contains(&counts), "the page should say: {counts}");
    for row in rows.iter().filter(|row| !row.is_tested()) {
        let reason = [
            "not applicable: ",
            "not covered: ",
            "not covered in one test; ",
        ]
        .iter()
        .find_map(|start| row.ours.strip_prefix(start));
        assert!(reason.is_some_and(|r| r.len() > 10), "{}", row.go);
    }
}

#[test]
fn every_test_of_the_index_has_its_row() {
    let page = page();
    let (_, index) = page.split_once("## Index").expect("an index");
    let listed: BTreeSet<&str> = index
        .split("\n- ")
        .skip(1)
        .filter_map(|group| group.rsplit_once(": "))
        .flat_map(|(_, names)| go_tests(names))
        .collect();
    let rows = rows(&page);
    let answered: BTreeSet<&str> = rows.iter().flat_map(|row| go_tests(row.go)).collect();
    assert!(listed.len() > 300, "the index is not read as it is written");
    let missing: Vec<_> = listed.difference(&answered).collect();
    assert!(missing.is_empty(), "without a row: {missing:?}");
    let unlisted: Vec<_> = answered.difference(&listed).collect();
    assert!(unlisted.is_empty(), "not in the index: {unlisted:?}");
}

//! No difference without a reason: the files of cases and `docs/nginx-differences.md` name the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::compare::{load, path};

#[test]
fn every_difference_has_a_reason_and_every_reason_a_difference() {
    let mut differing = BTreeSet::new();
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(path("")).expect("the cases are there") {
        let file = load(&entry.expect("a directory can be read").path());
        for case in file.cases {
            if case.differs() {
                differing.insert(case.name.clone());
            }
            assert!(
                names.insert(case.name.clone()),
                "two cases are called: {}",
                case.name
            );
        }
    }
    let explained = explained();
    let unexplained: Vec<_> = differing.difference(&explained).collect();
    let outdated: Vec<_> = explained.difference(&differing).collect();
    assert!(
        unexplained.is_empty() && outdated.is_empty(),
        "not in docs/nginx-differences.md: {unexplained:#?}\nonly there: {outdated:#?}"
    );
}

/// The first column of the table.
fn explained() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/nginx-differences.md");
    let text = fs::read_to_string(path).expect("the document is there");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
    let first = rows.filter_map(|row| Some(row.split_once(" |")?.0.to_owned()));
    first.filter(|name| name != "case").collect()
}

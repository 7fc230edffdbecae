//! The page for those who come from reqwest leaves none of its options out, names nothing that is not
//! there, and shows a program that is compiled.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::parity::sources;

const EXAMPLE: &str = include_str!("../../examples/from_reqwest.rs");
const OPTIONS: &str = include_str!("reqwest-client-builder.txt");

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/from-reqwest.md");
    fs::read_to_string(path).expect("the page is there")
}

/// The columns of the rows below a heading.
fn rows<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, section) = page.split_once(heading).expect("the heading is there");
    let section = section.split("\n## ").next().unwrap_or_default();
    let lines = section.lines().filter(|line| line.starts_with("| "));
    let rows = lines.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect());
    // The first one is that of the titles.
    rows.skip(1).collect()
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The names in code, but for those of its arguments that are a letter.
fn names(code: &str) -> impl Iterator<Item = &str> {
    let names = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    names.filter(|name| name.len() > 1)
}

#[test]
fn the_page_has_a_row_for_each_option_of_reqwest() {
    let page = page();
    let options: BTreeSet<&str> = OPTIONS.lines().filter(|x| !x.starts_with('#')).collect();
    let mut named = BTreeSet::new();
    for row in rows(&page, "\n## ClientBuilder\n") {
        assert_eq!(row.len(), 3, "{row:?}");
        for option in quoted(row[0]) {
            let option = option.split('(').next().unwrap_or_default();
            assert!(named.insert(option), "{option} has two rows");
        }
    }
    let missing: Vec<_> = options.difference(&named).collect();
    let unknown: Vec<_> = named.difference(&options).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing {missing:?}, unknown {unknown:?}"
    );
}

/// What the page calls ours is: a function or a field, and its type before it.
#[test]
fn what_the_page_names_of_ours_exists() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut code = String::new();
    for of in ["keepline/src", "keepline-proto/src"] {
        for source in sources(&crates.join(of)) {
            code.push_str(&fs::read_to_string(source).expect("a source can be read"));
        }
    }
    let is_there = |name: &str| {
        let defined = ["fn ", "pub ", "struct ", "enum "];
        let ends = ["(", "<", ":", " {", ","];
        defined.iter().any(|start| {
            ends.iter()
                .any(|end| code.contains(&format!("{start}{name}{end}")))
        }) || code.contains(&format!("    {name},\n"))
            || code.contains(&format!("    {name}("))
    };
    let others = ["compression", "cookies", "hickory", "http2", "tracing"];
    let page = page();
    for row in rows(&page, "\n## ClientBuilder\n") {
        for code in quoted(row[1]).filter(|code| !others.contains(code)) {
            for name in names(code) {
                assert!(is_there(name), "{code}: there is no {name}");
            }
        }
    }
}

#[test]
fn the_page_shows_the_program_that_is_compiled() {
    let (_, program) = EXAMPLE
        .split_once("a test compares it.\n")
        .expect("the example says where it begins");
    let shown = format!("```rust,ignore\n{program}```\n");
    assert!(page().contains(&shown), "the page should show:\n{shown}");
}

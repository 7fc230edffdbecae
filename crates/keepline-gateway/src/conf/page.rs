//! `docs/from-nginx.md` says of every directive and variable what the tables say.

use std::path::Path;

use super::directive::{Context, Known, Support};
use super::table::{DIRECTIVES, FAMILIES};
use crate::config::Variable;

fn directives() -> String {
    let mut rows: Vec<_> = DIRECTIVES.iter().collect();
    rows.sort_by_key(|known| (known.name, !known.contexts.has(Context::Http)));
    let mut text = String::from("| directive | where | |\n|---|---|---|\n");
    for known in rows {
        text.push_str(&format!(
            "| `{}` | {} | {} |\n",
            known.name,
            contexts(known),
            support(known)
        ));
    }
    text
}

fn contexts(known: &Known) -> String {
    let letters = known.contexts.iter().map(|context| match context {
        Context::Main => "M",
        Context::Events => "E",
        Context::Http => "H",
        Context::Server => "S",
        Context::Location => "L",
        Context::Upstream => "U",
        Context::IfInServer => "`if` in S",
        Context::IfInLocation => "`if` in L",
        Context::LimitExcept => "`limit_except`",
    });
    letters.collect::<Vec<_>>().join(" ")
}

fn support(known: &Known) -> String {
    match known.support {
        Support::Full => "supported".to_owned(),
        Support::Partly(what) => format!("partly: {what}"),
        Support::NoEffect(why) => format!("no effect: {why}"),
        Support::NotYet(instead) => format!("**not yet**: {instead}"),
    }
}

fn families() -> String {
    let rows = FAMILIES
        .iter()
        .map(|(prefix, reason)| format!("`{prefix}…`: {reason}"));
    format!("- {}\n", rows.collect::<Vec<_>>().join("\n- "))
}

fn variables() -> String {
    let named = Variable::names().map(|name| format!("`${name}`"));
    let families = Variable::family_prefixes().map(|prefix| format!("`${prefix}…`"));
    let mut line = String::new();
    let mut text = String::new();
    for name in named.chain(families).chain(["`$1` to `$9`".to_owned()]) {
        if line.len() + name.len() > 118 {
            text.push_str(line.trim_end());
            text.push('\n');
            line.clear();
        }
        line.push_str(&name);
        line.push(' ');
    }
    format!("{text}{}\n", line.trim_end())
}

/// The page with the text between two marks replaced.
fn replaced(page: &str, begin: &str, end: &str, text: &str) -> String {
    let (before, rest) = page.split_once(begin).expect("the page has the mark");
    let (mark, rest) = rest.split_once("-->\n").expect("the mark is a comment");
    let (_, after) = rest
        .split_once(end)
        .expect("the page has the end of the mark");
    format!("{before}{begin}{mark}-->\n{text}{end}{after}")
}

#[test]
fn the_page_for_those_who_come_from_nginx_is_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/from-nginx.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let mut expected = page.clone();
    for (begin, end, text) in [
        (
            "<!-- directives",
            "<!-- end of directives -->",
            directives(),
        ),
        ("<!-- families", "<!-- end of families -->", families()),
        ("<!-- variables", "<!-- end of variables -->", variables()),
    ] {
        expected = replaced(&expected, begin, end, &text);
    }
    if std::env::var_os("KEEPLINE_BLESS").is_some() {
        std::fs::write(&path, expected).unwrap();
        return;
    }
    let differs = page.lines().zip(expected.lines()).position(|(a, b)| a != b);
    assert!(
        page == expected,
        "docs/from-nginx.md is out of date (line {}): run KEEPLINE_BLESS=1 cargo test -p keepline-gateway page",
        differs.unwrap_or_default() + 1
    );
}

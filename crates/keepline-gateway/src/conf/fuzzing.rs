//! What holds for the language whatever is written in it, as a function of arbitrary bytes.
//!
//! - nothing panics, and it ends;
//! - what is read is bounded, also if files include each other;
//! - a tree that is written down and read again is the same tree.

use super::document::Document;
use super::lexer::Word;
use super::outside::Memory;
use super::paths::Paths;
use super::tree::{self, Block};

/// The fuzz target `conf`: files `/n`, `/1`, `/2` … separated by zero bytes.
///
/// # Panics
/// If something that must hold does not.
pub fn conf(data: &[u8]) {
    let mut files = Memory::default();
    for (number, content) in data.split(|byte| *byte == 0).take(8).enumerate() {
        let name = if number == 0 {
            "n".to_owned()
        } else {
            number.to_string()
        };
        files = files.with(&format!("/{name}"), content);
    }
    if let Err(errors) = Document::read_from(&Paths::of("/n"), "", &files) {
        assert!(!format!("{errors} {errors:#}").is_empty());
    }
    let Ok(tree) = tree::read("/n".as_ref(), "", &files) else {
        return;
    };
    let mut written = String::new();
    write(&tree.root, &mut written);
    let again = Memory::default().with("/n", written.as_str());
    let again = tree::read("/n".as_ref(), "", &again).expect("what was written can be read");
    let mut rewritten = String::new();
    write(&again.root, &mut rewritten);
    assert_eq!(rewritten, written);
}

/// Writes a tree as text, each word in quotes.
fn write(block: &Block, text: &mut String) {
    for directive in &block.directives {
        quote(&directive.name, text);
        for arg in &directive.args {
            text.push(' ');
            quote(arg, text);
        }
        match &directive.block {
            Some(block) => {
                text.push('{');
                write(block, text);
                text.push('}');
            }
            None => text.push(';'),
        }
        text.push('\n');
    }
}

fn quote(word: &Word, text: &mut String) {
    text.push('"');
    for c in word.text.chars() {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_corpus_of_the_fuzz_target_holds() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/conf");
        let mut count = 0;
        for file in std::fs::read_dir(corpus).unwrap() {
            conf(&std::fs::read(file.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "{corpus} is empty");
    }

    proptest! {
        #[test]
        fn arbitrary_words_hold(data in r#"((http|server|include /[n12]|if|"|'|\\|\$\{|[{};\n \x00#é])( |;|\{|\})?){0,40}"#) {
            conf(data.as_bytes());
        }

        #[test]
        fn arbitrary_bytes_hold(data in prop::collection::vec(any::<u8>(), 0..200)) {
            conf(&data);
        }
    }
}

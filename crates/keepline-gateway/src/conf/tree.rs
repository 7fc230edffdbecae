//! The directives of a configuration as a tree, with every `include` replaced by what it names.
//!
//! This stage knows the grammar and `include`, and no other directive: a name is followed by arguments
//! and by `;` or a block. Everything is bounded: the depth of blocks and of includes, the number of
//! files, their size. The time it takes is linear in their text.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::ConfError;
use super::lexer::{Lexer, Token, Word};
use super::outside::Outside;
use super::source::{Place, Source};

/// A directive with its arguments and, perhaps, its block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directive {
    pub(crate) name: Word,
    pub(crate) args: Vec<Word>,
    pub(crate) block: Option<Block>,
}

/// What stands between `{` and `}`, or in a whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) directives: Vec<Directive>,
}

/// A configuration: its tree, and the files that it was read from, in the order of reading.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: Block,
    pub(crate) sources: Vec<Arc<Source>>,
}

/// Files within files within files. Beyond, a file includes itself.
const MAX_INCLUDE_DEPTH: usize = 32;
/// Files in all, one that is included twice counting twice.
const MAX_FILES: usize = 10_000;
/// All text in bytes, likewise.
const MAX_TEXT: usize = 64 * 1024 * 1024;
/// Blocks within blocks. nginx's own directives nest no deeper than a handful, but for `location`.
const MAX_BLOCK_DEPTH: usize = 64;

/// Reads a configuration: the directives of `-g` if there are any, then the file.
pub(crate) fn read(
    file: &Path,
    directives: &str,
    outside: &dyn Outside,
) -> Result<Tree, ConfError> {
    let mut reader = Reader {
        outside,
        directory: file.parent().map(Path::to_path_buf).unwrap_or_default(),
        sources: Vec::new(),
        text: 0,
    };
    let mut root = Block::default();
    if !directives.trim().is_empty() {
        let source = Source::new("command line", directives);
        // nginx supplies the last semicolon in this place, too.
        let source = match directives.trim_end().ends_with([';', '}']) {
            true => source,
            false => Source::new("command line", format!("{directives};")),
        };
        reader.file(&source, &mut root, 0, 0)?;
    }
    let source = reader.open(file, None)?;
    reader.file(&source, &mut root, 0, 0)?;
    Ok(Tree {
        root,
        sources: reader.sources,
    })
}

struct Reader<'a> {
    outside: &'a dyn Outside,
    /// Where the names of included files begin: the directory of the main file.
    directory: PathBuf,
    sources: Vec<Arc<Source>>,
    /// Bytes read so far.
    text: usize,
}

impl Reader<'_> {
    fn open(&mut self, path: &Path, from: Option<&Place>) -> Result<Arc<Source>, ConfError> {
        let name = path.display().to_string();
        let fail = |what: String| match from {
            Some(place) => ConfError::new(place, what),
            None => ConfError::nowhere(what),
        };
        let content = self.outside.read(path);
        let content =
            content.map_err(|error| fail(format!("open() \"{name}\" failed: {error}")))?;
        self.text = self.text.saturating_add(content.len());
        if self.sources.len() >= MAX_FILES || self.text > MAX_TEXT {
            return Err(fail(format!(
                "the configuration is too large: more than {MAX_FILES} files or {MAX_TEXT} bytes"
            )));
        }
        let text = String::from_utf8(content).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let before = &error.as_bytes()[..good];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            fail(format!(
                "\"{name}\" is not UTF-8: byte {good}, in line {line}"
            ))
        })?;
        // A byte order mark is no part of the text, as in nginx.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let source = Source::new(name, text);
        self.sources.push(Arc::clone(&source));
        Ok(source)
    }

    /// Reads a file into a block that is `depth` blocks deep.
    fn file(
        &mut self,
        source: &Arc<Source>,
        into: &mut Block,
        depth: usize,
        includes: usize,
    ) -> Result<(), ConfError> {
        let mut lexer = Lexer::new(Arc::clone(source));
        let mut open: Vec<Directive> = Vec::new();
        let mut words: Vec<Word> = Vec::new();
        while let Some(token) = lexer.next()? {
            match token {
                Token::Word(word) => words.push(word),
                Token::End(place) => {
                    let directive = directive(&mut words, &place, ";")?;
                    let block = innermost(&mut open, into);
                    if is_include(&directive) {
                        let depth = depth + open.len();
                        let block = innermost(&mut open, into);
                        self.include(&directive, block, depth, includes + 1)?;
                    } else {
                        block.directives.push(directive);
                    }
                }
                Token::Open(place) => {
                    let mut directive = directive(&mut words, &place, "{")?;
                    if depth + open.len() >= MAX_BLOCK_DEPTH {
                        let what = format!("blocks nest deeper than {MAX_BLOCK_DEPTH}");
                        return Err(ConfError::new(&place, what));
                    }
                    directive.block = Some(Block::default());
                    open.push(directive);
                }
                Token::Close(place) => {
                    refuse_words(&words, &place)?;
                    let Some(closed) = open.pop() else {
                        return Err(ConfError::new(&place, "unexpected \"}\""));
                    };
                    innermost(&mut open, into).directives.push(closed);
                }
            }
        }
        let end = lexer.place(1);
        if let Some(unfinished) = words.first() {
            let what = "unexpected end of file, expecting \";\" or \"}\"";
            let note = format!("this directive has no end: {}", unfinished.text);
            return Err(ConfError::new(&unfinished.place, what).note(note));
        }
        if let Some(unclosed) = open.last() {
            let note = format!(
                "the block of \"{}\" was opened in line {}",
                unclosed.name.text,
                unclosed.name.place.line()
            );
            let what = "unexpected end of file, expecting \"}\"";
            return Err(ConfError::new(&end, what).note(note));
        }
        Ok(())
    }

    fn include(
        &mut self,
        directive: &Directive,
        into: &mut Block,
        depth: usize,
        includes: usize,
    ) -> Result<(), ConfError> {
        let [pattern] = directive.args.as_slice() else {
            let what = "invalid number of arguments in \"include\" directive";
            return Err(
                ConfError::new(&directive.name.place, what).note("include FILE or PATTERN;")
            );
        };
        if includes > MAX_INCLUDE_DEPTH {
            let what = format!("includes nest deeper than {MAX_INCLUDE_DEPTH}");
            return Err(ConfError::new(&pattern.place, what).note("does a file include itself?"));
        }
        let path = self.directory.join(&pattern.text);
        let paths = match pattern.text.contains(['*', '?', '[']) {
            true => self
                .outside
                .matching(&path.to_string_lossy())
                .map_err(|error| ConfError::new(&pattern.place, format!("bad pattern: {error}")))?,
            false => vec![path],
        };
        for path in paths {
            let source = self.open(&path, Some(&pattern.place))?;
            self.file(&source, into, depth, includes)?;
        }
        Ok(())
    }
}

/// The block that is being read: of the directive that was opened last, or the file's.
fn innermost<'a>(open: &'a mut [Directive], file: &'a mut Block) -> &'a mut Block {
    match open.last_mut() {
        Some(directive) => directive.block.get_or_insert_default(),
        None => file,
    }
}

fn directive(words: &mut Vec<Word>, end: &Place, mark: &str) -> Result<Directive, ConfError> {
    let mut words = std::mem::take(words).into_iter();
    let Some(name) = words.next() else {
        return Err(ConfError::new(end, format!("unexpected \"{mark}\"")));
    };
    Ok(Directive {
        name,
        args: words.collect(),
        block: None,
    })
}

fn refuse_words(words: &[Word], close: &Place) -> Result<(), ConfError> {
    let Some(word) = words.first() else {
        return Ok(());
    };
    let note = format!("this directive has no end: {}", word.text);
    Err(ConfError::new(close, "unexpected \"}\", expecting \";\"").note(note))
}

fn is_include(directive: &Directive) -> bool {
    directive.name.text == "include" && !directive.name.is_quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::outside::Memory;

    fn tree(text: &str) -> Result<Tree, ConfError> {
        read(
            "/c/n.conf".as_ref(),
            "",
            &Memory::default().with("/c/n.conf", text),
        )
    }

    fn told(block: &Block) -> String {
        let mut text = String::new();
        for directive in &block.directives {
            text.push_str(&directive.name.text);
            for arg in &directive.args {
                text.push(' ');
                text.push_str(&arg.text);
            }
            match &directive.block {
                Some(block) => text.push_str(&format!("{{{}}}", told(block))),
                None => text.push(';'),
            }
        }
        text
    }

    #[test]
    fn blocks_nest() {
        let tree = tree("a;\nb c { d e; f { } }\ng;").unwrap();
        assert_eq!(told(&tree.root), "a;b c{d e;f{}}g;");
    }

    #[test]
    fn a_file_is_included_where_it_is_named_and_patterns_in_alphabetical_order() {
        let files = Memory::default()
            .with("/c/n.conf", "a { include sub/*.conf; b; } include /x;")
            .with("/c/sub/2.conf", "two { include more; }")
            .with("/c/sub/1.conf", "one;")
            .with("/c/sub/.hidden.conf", "hidden;")
            .with("/c/sub/deeper/3.conf", "three;")
            .with("/c/more", "more;")
            .with("/x", "x;");
        let tree = read("/c/n.conf".as_ref(), "", &files).unwrap();
        assert_eq!(told(&tree.root), "a{one;two{more;}b;}x;");
        let names: Vec<_> = tree.sources.iter().map(|source| source.name()).collect();
        assert_eq!(
            names,
            [
                "/c/n.conf",
                "/c/sub/1.conf",
                "/c/sub/2.conf",
                "/c/more",
                "/x"
            ]
        );
    }

    #[test]
    fn a_pattern_may_match_nothing_but_a_name_must_exist() {
        assert_eq!(told(&tree("include none/*;").unwrap().root), "");
        let error = tree("events {}\n include none;").unwrap_err().to_string();
        assert!(error.starts_with("open() \"/c/none\" failed: "), "{error}");
        assert!(error.ends_with(" in /c/n.conf:2:10"), "{error}");
    }

    #[test]
    fn directives_of_the_command_line_come_first_and_need_no_semicolon() {
        let files = Memory::default().with("/n", "a;");
        for directives in ["daemon off", "daemon off;", " daemon off ; "] {
            let tree = read("/n".as_ref(), directives, &files).unwrap();
            assert_eq!(told(&tree.root), "daemon off;a;");
        }
        let error = read("/n".as_ref(), "daemon off }", &files).unwrap_err();
        assert!(
            error.to_string().ends_with("in command line:1:12"),
            "{error}"
        );
    }

    #[test]
    fn what_is_not_finished_is_shown_where_it_began() {
        for (text, expected) in [
            (
                "a {\n b;\n",
                "unexpected end of file, expecting \"}\" in /c/n.conf:3:1",
            ),
            (
                "a;\nb c",
                "unexpected end of file, expecting \";\" or \"}\" in /c/n.conf:2:1",
            ),
            (
                "a { b }",
                "unexpected \"}\", expecting \";\" in /c/n.conf:1:7",
            ),
            ("}", "unexpected \"}\" in /c/n.conf:1:1"),
            (";", "unexpected \";\" in /c/n.conf:1:1"),
            ("{", "unexpected \"{\" in /c/n.conf:1:1"),
        ] {
            assert_eq!(tree(text).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn an_included_file_ends_its_own_blocks() {
        let files = Memory::default()
            .with("/n", "a { include /m; }")
            .with("/m", "b; }");
        let error = read("/n".as_ref(), "", &files).unwrap_err();
        assert_eq!(error.to_string(), "unexpected \"}\" in /m:1:4");
    }

    #[test]
    fn a_file_that_includes_itself_is_refused() {
        let error = tree("include n.conf;").unwrap_err();
        assert_eq!(error.what(), "includes nest deeper than 32");
        let error = tree("include n.conf; include n.conf;").unwrap_err();
        assert_eq!(error.what(), "includes nest deeper than 32");
    }

    #[test]
    fn what_grows_without_end_is_refused() {
        let files = Memory::default()
            .with("/n", "include /a; ".repeat(200))
            .with("/a", "include /b; ".repeat(200))
            .with("/b", "");
        let error = read("/n".as_ref(), "", &files).unwrap_err();
        assert!(
            error.what().starts_with("the configuration is too large"),
            "{error}"
        );
        let error = tree(&"a { ".repeat(1000)).unwrap_err();
        assert_eq!(error.what(), "blocks nest deeper than 64");
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let files = Memory::default().with("/n", b"a;\nb \xff;".to_vec());
        let error = read("/n".as_ref(), "", &files).unwrap_err();
        assert_eq!(error.to_string(), "\"/n\" is not UTF-8: byte 5, in line 2");
    }

    #[test]
    fn a_quoted_include_is_a_name_like_any_other() {
        assert_eq!(
            told(&tree("map { \"include\" x; }").unwrap().root),
            "map{include x;}"
        );
    }
}

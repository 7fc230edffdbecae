//! What a configuration defines somewhere and uses anywhere: variables, upstreams, zones, formats.
//!
//! nginx lets most of them be used before they are defined, so they are collected first.

use std::collections::HashMap;
use std::sync::Arc;

use crate::conf::error::ConfError;
use crate::conf::lexer::Word;
use crate::conf::tree::Block;
use crate::config::{
    LogFormat, MapId, Pattern, SlotId, Template, TemplateError, UpstreamId, Variable, ZoneId,
};

/// The names of a configuration.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// What `set`, named groups and maps define, in lower case.
    variables: HashMap<String, Variable>,
    slots: Vec<Box<str>>,
    pub(crate) upstreams: HashMap<String, UpstreamId>,
    pub(crate) zones: HashMap<String, ZoneId>,
    pub(crate) formats: HashMap<String, Arc<LogFormat>>,
}

impl Names {
    /// Collects the variables and upstreams of an `http` block.
    pub(crate) fn collect(http: &Block) -> Result<Self, ConfError> {
        let mut names = Self::default();
        let mut maps = 0;
        for directive in &http.directives {
            match directive.name.text.as_str() {
                "map" => {
                    let word = directive.arg(1)?;
                    names.define(word, variable_name(word)?, Variable::Map(MapId(maps)))?;
                    maps += 1;
                }
                "upstream" => {
                    let word = directive.arg(0)?;
                    let id = UpstreamId(names.upstreams.len());
                    if names.upstreams.insert(word.text.clone(), id).is_some() {
                        let what = format!("duplicate upstream \"{}\"", word.text);
                        return Err(ConfError::new(&word.place, what));
                    }
                }
                _ => {}
            }
        }
        names.collect_slots(http)?;
        Ok(names)
    }

    fn collect_slots(&mut self, block: &Block) -> Result<(), ConfError> {
        for directive in &block.directives {
            match directive.name.text.as_str() {
                "set" => {
                    let word = directive.arg(0)?;
                    let name = variable_name(word)?;
                    if !Variable::built_in(name).is_some_and(|known| known.is_changeable()) {
                        self.slot(word, name)?;
                    }
                }
                "server_name"
                | "location"
                | "rewrite"
                | "if"
                | "proxy_redirect"
                | "proxy_cookie_domain"
                | "proxy_cookie_path" => {
                    for word in &directive.args {
                        self.groups(word)?;
                    }
                }
                "map" => {
                    let rows = directive.block.iter().flat_map(|block| &block.directives);
                    for row in rows {
                        self.groups(&row.name)?;
                    }
                    continue;
                }
                _ => {}
            }
            if let Some(block) = &directive.block {
                self.collect_slots(block)?;
            }
        }
        Ok(())
    }

    /// The named groups of what may be a regular expression.
    fn groups(&mut self, word: &Word) -> Result<(), ConfError> {
        let mut rest = word.text.as_str();
        while let Some(at) = rest.find("(?") {
            rest = &rest[at + 2..];
            let (name, close) = match rest.as_bytes() {
                [b'<', ..] => (&rest[1..], '>'),
                [b'P', b'<', ..] => (&rest[2..], '>'),
                [b'\'', ..] => (&rest[1..], '\''),
                _ => continue,
            };
            // `(?<=` and `(?<!` are no names, and refused when they are compiled.
            if let Some((name, _)) = name.split_once(close)
                && is_name(name)
            {
                self.slot(word, name)?;
            }
        }
        Ok(())
    }

    fn slot(&mut self, word: &Word, name: &str) -> Result<(), ConfError> {
        let folded = name.to_ascii_lowercase();
        if matches!(self.variables.get(&folded), Some(Variable::Slot(_))) {
            return Ok(());
        }
        self.define(word, name, Variable::Slot(SlotId(self.slots.len())))?;
        self.slots.push(folded.into());
        Ok(())
    }

    fn define(&mut self, word: &Word, name: &str, variable: Variable) -> Result<(), ConfError> {
        let folded = name.to_ascii_lowercase();
        if Variable::built_in(&folded).is_some() || self.variables.contains_key(&folded) {
            let what = format!("the duplicate \"{name}\" variable");
            return Err(ConfError::new(&word.place, what).note("take another name"));
        }
        self.variables.insert(folded, variable);
        Ok(())
    }

    /// The variable of this name, without the `$`.
    pub(crate) fn variable(&self, name: &str) -> Option<Variable> {
        let own = self.variables.get(&name.to_ascii_lowercase()).cloned();
        own.or_else(|| Variable::built_in(name))
    }

    /// The names of `set` and named groups, by their slots.
    pub(crate) fn slots(&self) -> &[Box<str>] {
        &self.slots
    }

    /// A value with variables.
    pub(crate) fn template(&self, word: &Word) -> Result<Template, ConfError> {
        self.template_of(&word.text, word)
    }

    /// A part of a word that is a value with variables.
    pub(crate) fn template_of(&self, text: &str, word: &Word) -> Result<Template, ConfError> {
        Template::parse(text, |name| self.variable(name)).map_err(|error| {
            let told = ConfError::new(&word.place, error.to_string());
            match &error {
                TemplateError::Unknown(name) => self.near(told, name),
                TemplateError::InvalidName => {
                    told.note("a name follows each $; a $ by itself cannot be written")
                }
            }
        })
    }

    /// A word that is one variable and nothing else.
    pub(crate) fn lone_variable(&self, word: &Word) -> Result<Variable, ConfError> {
        let name = variable_name(word)?;
        self.variable(name).ok_or_else(|| {
            let told = ConfError::new(&word.place, format!("unknown \"{name}\" variable"));
            self.near(told, name)
        })
    }

    fn near(&self, error: ConfError, name: &str) -> ConfError {
        let own = self.variables.keys().map(String::as_str);
        let built_in = Variable::names().map(|name| -> &str { name });
        error.near(name, own.chain(built_in))
    }
}

/// The name in `$name`.
fn variable_name(word: &Word) -> Result<&str, ConfError> {
    let name = word.text.strip_prefix('$').filter(|name| is_name(name));
    name.ok_or_else(|| {
        let what = format!("invalid variable name \"{}\"", word.text);
        ConfError::new(&word.place, what).note("expected $name")
    })
}

fn is_name(name: &str) -> bool {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.bytes().all(is_name_byte)
}

/// A regular expression within a word.
pub(crate) fn pattern(source: &str, ignores_case: bool, word: &Word) -> Result<Pattern, ConfError> {
    Pattern::new(source, ignores_case).map_err(|error| {
        let what = format!("regular expression \"{source}\" cannot be used: {error}");
        ConfError::new(&word.place, what)
    })
}

//! `add_header`, `add_trailer` and `expires`.

use std::time::Duration;

use super::Builder;
use super::level::Level;
use crate::conf::error::ConfError;
use crate::conf::lexer::Word;
use crate::conf::tree::Directive;
use crate::conf::units;
use crate::conf::value::{invalid, unknown_parameter};
use crate::config::{AddedField, Expires};

/// Takes the directive if it is one of these.
pub(super) fn apply(
    level: &mut Level,
    directive: &Directive,
    builder: &Builder<'_>,
) -> Result<bool, ConfError> {
    match directive.name.text.as_str() {
        "add_header" => {
            if level.is_first("add_header") {
                level.scope.settings.add_headers.clear();
            }
            let field = added_field(directive, builder)?;
            level.scope.settings.add_headers.push(field);
        }
        "add_trailer" => {
            if level.is_first("add_trailer") {
                level.scope.settings.add_trailers.clear();
            }
            let field = added_field(directive, builder)?;
            level.scope.settings.add_trailers.push(field);
        }
        "expires" => level.scope.settings.expires = expires(directive, builder)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn added_field(directive: &Directive, builder: &Builder<'_>) -> Result<AddedField, ConfError> {
    let always = match directive.args.get(2) {
        None => false,
        Some(word) if word.text == "always" => true,
        Some(word) => return Err(unknown_parameter(directive, word, &["always"])),
    };
    Ok(AddedField {
        name: field_name(directive.arg(0)?)?.into(),
        value: builder.names.template(directive.arg(1)?)?,
        always,
    })
}

/// A field name that can be sent. nginx sends whatever is written.
pub(super) fn field_name(word: &Word) -> Result<&str, ConfError> {
    match http::HeaderName::from_bytes(word.text.as_bytes()) {
        Ok(_) => Ok(&word.text),
        Err(_) => {
            let what = format!("\"{}\" is no field name", word.text);
            Err(ConfError::new(&word.place, what))
        }
    }
}

fn expires(directive: &Directive, builder: &Builder<'_>) -> Result<Expires, ConfError> {
    let from_modified = match directive.args.as_slice() {
        [_] => false,
        [word, _] if word.text == "modified" => true,
        _ => return Err(invalid(directive, directive.arg(0)?, "[modified] time")),
    };
    let Some(word) = directive.args.last() else {
        return Err(directive.error("invalid number of arguments in \"expires\" directive"));
    };
    if word.text.contains('$') {
        return Ok(Expires::Variable {
            value: builder.names.template(word)?,
            from_modified,
        });
    }
    let fixed = match word.text.as_str() {
        "off" => Some(Expires::Off),
        "epoch" => Some(Expires::Epoch),
        "max" => Some(Expires::Max),
        _ => None,
    };
    match fixed {
        Some(fixed) if !from_modified => Ok(fixed),
        Some(_) => Err(invalid(directive, word, "a time behind modified")),
        None => relative(directive, word, from_modified),
    }
}

fn relative(directive: &Directive, word: &Word, from_modified: bool) -> Result<Expires, ConfError> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let expected = "time, -time, @time, epoch, max or off";
    let time = |text: &str| {
        let time = units::time(text);
        time.ok_or_else(|| invalid(directive, word, expected))
    };
    if let Some(daily) = word.text.strip_prefix('@') {
        let daily = time(daily)?;
        if from_modified || daily > DAY {
            return Err(invalid(
                directive,
                word,
                "a time of the day, without modified",
            ));
        }
        return Ok(Expires::Daily(daily));
    }
    Ok(match (word.text.strip_prefix('-'), from_modified) {
        (Some(before), false) => Expires::Before(time(before)?),
        (Some(before), true) => Expires::BeforeModified(time(before)?),
        (None, false) => Expires::After(time(word.text.trim_start_matches('+'))?),
        (None, true) => Expires::AfterModified(time(word.text.trim_start_matches('+'))?),
    })
}

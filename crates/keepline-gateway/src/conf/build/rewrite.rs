//! The rewrite phase: `if`, `set`, `rewrite`, `return`, `break`.

use std::sync::Arc;

use super::Builder;
use super::level::Level;
use super::names;
use crate::conf::directive::Context;
use crate::conf::error::ConfError;
use crate::conf::lexer::Word;
use crate::conf::tree::{Block, Directive};
use crate::conf::units;
use crate::conf::value::{invalid, unknown_parameter};
use crate::config::{Condition, FileTest, Flag, Op, Program, Return, SetTarget, Variable};

/// Whether a directive belongs to the rewrite phase.
pub(super) fn is_of_phase(directive: &Directive) -> bool {
    matches!(
        directive.name.text.as_str(),
        "if" | "set" | "rewrite" | "return" | "break"
    )
}

/// The directives of the rewrite phase in a block. `level` is the block, with all its other directives
/// applied.
pub(super) fn program(
    block: &Block,
    level: &Level,
    builder: &mut Builder<'_>,
    location: Option<&str>,
) -> Result<Program, ConfError> {
    let mut program = Program::default();
    for directive in block.directives.iter().filter(|d| is_of_phase(d)) {
        let op = match directive.name.text.as_str() {
            "if" => branch(directive, level, builder, location)?,
            "set" => set(directive, builder)?,
            "rewrite" => rewrite(directive, builder)?,
            "return" => Op::Return(returned(directive, builder)?),
            _ => Op::Break,
        };
        program.0.push(op);
    }
    Ok(program)
}

fn branch(
    directive: &Directive,
    level: &Level,
    builder: &mut Builder<'_>,
    location: Option<&str>,
) -> Result<Op, ConfError> {
    let condition = condition(directive, builder)?;
    let empty = Block::default();
    let block = directive.block.as_ref().unwrap_or(&empty);
    let context = match level.context {
        Context::Server => Context::IfInServer,
        _ => Context::IfInLocation,
    };
    let mut inner = level.inner(context, builder.scope_id());
    builder.settings(&mut inner, block, None)?;
    let then = program(block, &inner, builder, location)?;
    // In a location an `if` that holds has settings of its own, as in nginx, even if nothing is set.
    let scope = match context {
        Context::IfInLocation => Some(Arc::new(inner.scope)),
        _ => None,
    };
    Ok(Op::If {
        condition,
        scope,
        then,
    })
}

fn set(directive: &Directive, builder: &Builder<'_>) -> Result<Op, ConfError> {
    let word = directive.arg(0)?;
    let target = match builder.names.lone_variable(word)? {
        Variable::Slot(slot) => SetTarget::Slot(slot),
        Variable::Args => SetTarget::Args,
        Variable::LimitRate => SetTarget::LimitRate,
        _ => return Err(invalid(directive, word, "a variable that can be set")),
    };
    Ok(Op::Set {
        target,
        value: builder.names.template(directive.arg(1)?)?,
    })
}

fn rewrite(directive: &Directive, builder: &Builder<'_>) -> Result<Op, ConfError> {
    let source = directive.arg(0)?;
    let word = directive.arg(1)?;
    let url = begins_with_scheme(&word.text);
    let flag = match directive.args.get(2).map(|word| (word, word.text.as_str())) {
        None | Some((_, "last" | "break")) if url => Flag::Redirect,
        None => Flag::None,
        Some((_, "last")) => Flag::Last,
        Some((_, "break")) => Flag::Break,
        Some((_, "redirect")) => Flag::Redirect,
        Some((_, "permanent")) => Flag::Permanent,
        Some((word, _)) => {
            let known = ["last", "break", "redirect", "permanent"];
            return Err(unknown_parameter(directive, word, &known));
        }
    };
    let text = word.text.strip_suffix('?');
    Ok(Op::Rewrite {
        pattern: names::pattern(&source.text, false, source)?,
        replacement: builder
            .names
            .template_of(text.unwrap_or(&word.text), word)?,
        keeps_args: text.is_none(),
        flag,
    })
}

fn begins_with_scheme(text: &str) -> bool {
    ["http://", "https://", "$scheme"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
}

fn returned(directive: &Directive, builder: &Builder<'_>) -> Result<Return, ConfError> {
    let first = directive.arg(0)?;
    let status = units::number::<u16>(&first.text).filter(|status| *status <= 999);
    let expected = "a status, or a URL that begins with http://, https:// or $scheme";
    let Some(word) = directive.args.get(1) else {
        return match status {
            Some(status) => Ok(Return::Status(status)),
            None if begins_with_scheme(&first.text) => Ok(Return::Redirect {
                status: 302,
                url: builder.names.template(first)?,
            }),
            None => Err(invalid(directive, first, expected)),
        };
    };
    let status = status.ok_or_else(|| invalid(directive, first, "a status"))?;
    let text = builder.names.template(word)?;
    Ok(match status {
        301 | 302 | 303 | 307 | 308 => Return::Redirect { status, url: text },
        _ => Return::Text { status, text },
    })
}

/// `($a)`, `($a = b)`, `($a ~ b)`, `(-f b)`; the parentheses may stand apart or not.
fn condition(directive: &Directive, builder: &Builder<'_>) -> Result<Condition, ConfError> {
    let words = without_parentheses(directive)?;
    let fail = |word: &Word| {
        let expected = "($a), ($a = text), ($a ~ regex) or (-f path)";
        let what = format!("invalid condition \"{}\"", word.text);
        ConfError::new(&word.place, what).note(format!("expected {expected}"))
    };
    match words.as_slice() {
        [variable] if variable.text.starts_with('$') => {
            Ok(Condition::True(builder.names.lone_variable(variable)?))
        }
        [test, path] => {
            let (is_negated, test_text) = match test.text.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, test.text.as_str()),
            };
            let test = match test_text {
                "-f" => FileTest::File,
                "-d" => FileTest::Directory,
                "-e" => FileTest::Exists,
                "-x" => FileTest::Executable,
                _ => return Err(fail(test)),
            };
            let path = builder.names.template(path)?;
            Ok(Condition::File {
                test,
                path,
                is_negated,
            })
        }
        [variable, operator, operand] => comparison(
            builder.names.lone_variable(variable)?,
            operator,
            operand,
            builder,
        )
        .unwrap_or_else(|| Err(fail(operator))),
        [] => Err(directive.error("\"if\" has no condition")),
        [word, ..] => Err(fail(word)),
    }
}

fn comparison(
    variable: Variable,
    operator: &Word,
    operand: &Word,
    builder: &Builder<'_>,
) -> Option<Result<Condition, ConfError>> {
    let (is_negated, kind) = match operator.text.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, operator.text.as_str()),
    };
    Some(match kind {
        "=" => builder
            .names
            .template(operand)
            .map(|value| Condition::Equal {
                variable,
                value,
                is_negated,
            }),
        "~" | "~*" => {
            names::pattern(&operand.text, kind == "~*", operand).map(|pattern| Condition::Matches {
                variable,
                pattern,
                is_negated,
            })
        }
        _ => return None,
    })
}

fn without_parentheses(directive: &Directive) -> Result<Vec<Word>, ConfError> {
    let mut words = directive.args.clone();
    let unbalanced = || directive.error("the condition of \"if\" has to stand in parentheses");
    let first = words.first_mut().ok_or_else(unbalanced)?;
    first.text = first
        .text
        .strip_prefix('(')
        .ok_or_else(unbalanced)?
        .to_owned();
    let last = words.last_mut().ok_or_else(unbalanced)?;
    last.text = last
        .text
        .strip_suffix(')')
        .ok_or_else(unbalanced)?
        .to_owned();
    // A parenthesis that stood alone leaves nothing; quoted nothing is an operand.
    words.retain(|word| !word.text.is_empty() || word.is_quoted);
    Ok(words)
}

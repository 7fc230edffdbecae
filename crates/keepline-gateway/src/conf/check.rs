//! Whether the directives of a tree are known, stand where they may, and have the right number of arguments.
//!
//! All that is wrong is told at once. What directives mean is decided by `build`, which this stage
//! spares the question whether a directive belongs where it is.

use super::directive::{Body, Context, Known, Support};
use super::error::{ConfError, ConfErrors};
use super::table;
use super::tree::{Block, Directive};

/// A directive that is accepted and changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: super::source::Place,
    /// Why nothing here is tuned by it.
    pub reason: &'static str,
}

/// What the stage found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) errors: Vec<ConfError>,
    pub(crate) ignored: Vec<Ignored>,
}

/// Checks a block that is of this context, and all within it.
pub(crate) fn check(block: &Block, context: Context, findings: &mut Findings) {
    for directive in &block.directives {
        // Advice on what was meant is dear, and nobody reads a thousand errors.
        if findings.errors.len() >= ConfErrors::MOST {
            return;
        }
        match known(directive, context) {
            Ok(known) => {
                if let Support::NoEffect(reason) = known.support {
                    findings.ignored.push(Ignored {
                        name: directive.name.text.clone(),
                        place: directive.name.place.clone(),
                        reason,
                    });
                }
                if let (Some(block), Some(inner)) = (&directive.block, inner(known, context)) {
                    check(block, inner, findings);
                }
            }
            Err(error) => findings.errors.push(error),
        }
    }
}

/// The context within the braces, if there are directives there.
pub(crate) const fn inner(known: &Known, context: Context) -> Option<Context> {
    match known.body {
        Body::None | Body::Data => None,
        Body::Holds(inner) => Some(inner),
        Body::HoldsIf => Some(match context {
            Context::Server => Context::IfInServer,
            _ => Context::IfInLocation,
        }),
    }
}

/// The row of the table that a directive is, unless something is wrong with it.
fn known(directive: &Directive, context: Context) -> Result<&'static Known, ConfError> {
    let name = directive.name.text.as_str();
    let place = &directive.name.place;
    let Some(known) = table::rows(name).find(|known| known.contexts.has(context)) else {
        return Err(unknown(directive, context));
    };
    if let Support::NotYet(instead) = known.support {
        return Err(
            ConfError::new(place, format!("\"{name}\" is not supported yet")).note(instead),
        );
    }
    match (known.body, &directive.block) {
        (Body::None, Some(_)) => {
            let what = format!("directive \"{name}\" is not terminated by \";\"");
            return Err(ConfError::new(place, what).note(known.usage()));
        }
        (Body::Holds(_) | Body::HoldsIf | Body::Data, None) => {
            let what = format!("directive \"{name}\" has no opening \"{{\"");
            return Err(ConfError::new(place, what).note(known.usage()));
        }
        _ => {}
    }
    if !known.arity.admits(directive.args.len()) {
        let what = format!("invalid number of arguments in \"{name}\" directive");
        return Err(ConfError::new(place, what).note(known.usage()));
    }
    if known.arity == super::directive::Arity::Flag {
        flag(directive)?;
    }
    Ok(known)
}

/// The value of a directive that is `on` or `off`.
pub(crate) fn flag(directive: &Directive) -> Result<bool, ConfError> {
    let name = &directive.name.text;
    let Some(value) = directive.args.first() else {
        let what = format!("invalid number of arguments in \"{name}\" directive");
        return Err(ConfError::new(&directive.name.place, what));
    };
    // nginx does not mind the case.
    if value.text.eq_ignore_ascii_case("on") {
        Ok(true)
    } else if value.text.eq_ignore_ascii_case("off") {
        Ok(false)
    } else {
        let what = format!(
            "invalid value \"{}\" in \"{name}\" directive, it must be \"on\" or \"off\"",
            value.text
        );
        Err(ConfError::new(&value.place, what))
    }
}

/// A name that has no row for this context.
fn unknown(directive: &Directive, context: Context) -> ConfError {
    let name = directive.name.text.as_str();
    let place = &directive.name.place;
    if table::rows(name).next().is_some() {
        let what = format!("\"{name}\" directive is not allowed here");
        let elsewhere: Vec<_> = table::rows(name)
            .map(|known| known.contexts.to_string())
            .collect();
        return ConfError::new(place, what).note(format!(
            "this is {context}; it may stand in: {}",
            elsewhere.join(", ")
        ));
    }
    if let Some(reason) = table::family(name) {
        let what = format!("\"{name}\" is not supported yet");
        return ConfError::new(place, what).note(reason);
    }
    let here = table::DIRECTIVES
        .iter()
        .filter(|known| known.contexts.has(context) && !matches!(known.support, Support::NotYet(_)))
        .map(|known| known.name);
    ConfError::new(place, format!("unknown directive \"{name}\"")).near(name, here)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::outside::Memory;
    use crate::conf::tree;

    fn findings(text: &str) -> Findings {
        let files = Memory::default().with("/n", text);
        let tree = tree::read("/n".as_ref(), "", &files).unwrap();
        let mut findings = Findings::default();
        check(&tree.root, Context::Main, &mut findings);
        findings
    }

    /// The errors in full, without the excerpts.
    fn errors(text: &str) -> Vec<String> {
        let errors = findings(text).errors.into_iter();
        errors
            .map(|error| {
                let mut told = vec![error.to_string()];
                told.extend(error.notes().iter().cloned());
                told.join(" | ")
            })
            .collect()
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once_each_with_its_remedy() {
        let told = errors(
            "worker_procesess 2;\nhttp { keepalive 3; keepalive_timeout;\n sendfile maybe; server { \
             root { }\n location / { fastcgi_pass x; proxy_cache z; lua_x y; what_is_this; } location; } upstream u;}",
        );
        assert_eq!(
            told,
            [
                "unknown directive \"worker_procesess\" in /n:1:1 | did you mean \"worker_processes\"?",
                "\"keepalive\" directive is not allowed here in /n:2:8 | this is http; it may stand in: upstream",
                "invalid number of arguments in \"keepalive_timeout\" directive in /n:2:21 | keepalive_timeout timeout [header_timeout];",
                "invalid value \"maybe\" in \"sendfile\" directive, it must be \"on\" or \"off\" in /n:3:11",
                "directive \"root\" is not terminated by \";\" in /n:3:27 | root path;",
                "\"fastcgi_pass\" is not supported yet in /n:4:15 | no FastCGI: only HTTP is spoken to backends",
                "\"proxy_cache\" is not supported yet in /n:4:31 | answers are not stored",
                "\"lua_x\" is not supported yet in /n:4:46 | no Lua",
                "unknown directive \"what_is_this\" in /n:4:55",
                "directive \"location\" has no opening \"{\" in /n:4:71 | location [= | ~ | ~* | ^~] uri | @name { ... }",
                "directive \"upstream\" has no opening \"{\" in /n:4:83 | upstream name { ... }",
            ]
        );
    }

    #[test]
    fn what_is_tuned_in_vain_is_listed() {
        let findings = findings("http { sendfile on; server { location / { tcp_nopush on; } } }");
        assert!(findings.errors.is_empty());
        let ignored: Vec<_> = findings.ignored.iter().map(|i| i.name.as_str()).collect();
        assert_eq!(ignored, ["sendfile", "tcp_nopush"]);
    }

    #[test]
    fn if_holds_what_it_may_hold_where_it_stands() {
        let told = errors(
            "http { server { if ($a) { proxy_pass http://b; } location / { if ($a) { proxy_pass http://b; } } } }",
        );
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("this is if in server"), "{told:?}");
    }

    #[test]
    fn data_is_not_taken_for_directives() {
        assert!(
            errors("http { types { text/html html; } map $a $b { default 1; x y; } }").is_empty()
        );
    }

    #[test]
    fn no_two_rows_answer_for_the_same_name_in_the_same_place() {
        for (index, known) in table::DIRECTIVES.iter().enumerate() {
            for other in &table::DIRECTIVES[index + 1..] {
                let shared = known.contexts.iter().find(|c| other.contexts.has(*c));
                assert!(
                    known.name != other.name || shared.is_none(),
                    "{}",
                    known.name
                );
            }
        }
    }
}

//! A value with variables in it: `http://$host:8080${request_uri}`.

use std::fmt;

use super::Variable;

/// A value of the configuration that is evaluated for each request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    /// What it is made of, in order; no two literals stand next to each other, and none is empty.
    pieces: Box<[Piece]>,
}

/// A part of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text that stands for itself.
    Literal(Box<str>),
    /// The value of a variable; an undefined one is empty.
    Variable(Variable),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// A `$` without a name behind it, or a `${` without `}`.
    InvalidName,
    /// No variable has this name.
    Unknown(String),
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName => f.write_str("invalid variable name"),
            Self::Unknown(name) => write!(f, "unknown \"{name}\" variable"),
        }
    }
}

impl std::error::Error for TemplateError {}

impl Template {
    /// A text that is always the same.
    pub fn literal(text: impl Into<Box<str>>) -> Self {
        Self::from_pieces([Piece::Literal(text.into())])
    }

    /// One variable alone.
    #[must_use]
    pub fn variable(variable: Variable) -> Self {
        Self::from_pieces([Piece::Variable(variable)])
    }

    /// From its parts. Empty literals are left out, neighbours are joined.
    pub fn from_pieces(pieces: impl IntoIterator<Item = Piece>) -> Self {
        let mut joined: Vec<Piece> = Vec::new();
        for piece in pieces {
            match (joined.last_mut(), piece) {
                (_, Piece::Literal(text)) if text.is_empty() => {}
                (Some(Piece::Literal(last)), Piece::Literal(text)) => {
                    *last = format!("{last}{text}").into_boxed_str();
                }
                (_, piece) => joined.push(piece),
            }
        }
        Self {
            pieces: joined.into_boxed_slice(),
        }
    }

    /// Reads nginx's notation (`ngx_http_script_compile`): `$name`, `${name}`, `$1`. `find` knows
    /// the variables; [`Variable::built_in`] those that are always there.
    ///
    /// # Errors
    /// A `$` without a name, or a name that `find` does not know.
    pub fn parse(
        text: &str,
        mut find: impl FnMut(&str) -> Option<Variable>,
    ) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            pieces.push(Piece::Literal(rest[..at].into()));
            let (name, behind) = name_at(&rest[at + 1..])?;
            let variable = find(name).ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
            pieces.push(Piece::Variable(variable));
            rest = behind;
        }
        pieces.push(Piece::Literal(rest.into()));
        Ok(Self::from_pieces(pieces))
    }

    /// Its parts in order.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The text, if it has no variable. An empty template is the empty text.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match &*self.pieces {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// It is empty whatever the request: nginx's way to switch a field off.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

/// The name behind a `$`, and what follows it.
fn name_at(text: &str) -> Result<(&str, &str), TemplateError> {
    if let Some(braced) = text.strip_prefix('{') {
        let end = braced.find('}').ok_or(TemplateError::InvalidName)?;
        let (name, behind) = (&braced[..end], &braced[end + 1..]);
        return if !name.is_empty() && name.bytes().all(is_name_byte) {
            Ok((name, behind))
        } else {
            Err(TemplateError::InvalidName)
        };
    }
    // A capture is one digit: `$10` is `$1` and a 0.
    let end = match text.as_bytes() {
        [b'1'..=b'9', ..] => 1,
        bytes => bytes
            .iter()
            .position(|&byte| !is_name_byte(byte))
            .unwrap_or(bytes.len()),
    };
    if end == 0 {
        return Err(TemplateError::InvalidName);
    }
    Ok(text.split_at(end))
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Template, TemplateError> {
        Template::parse(text, Variable::built_in)
    }

    #[test]
    fn variables_stand_between_literals() {
        let template = parse("http://$host:8080${request_uri}x$1$2").unwrap();
        let literal = |text: &str| Piece::Literal(text.into());
        assert_eq!(
            template.pieces(),
            [
                literal("http://"),
                Piece::Variable(Variable::Host),
                literal(":8080"),
                Piece::Variable(Variable::RequestUri),
                literal("x"),
                Piece::Variable(Variable::Capture(1)),
                Piece::Variable(Variable::Capture(2)),
            ]
        );
        assert_eq!(parse("plain").unwrap().as_literal(), Some("plain"));
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn a_dollar_needs_a_known_name() {
        for bad in ["$", "a$ b", "${", "${}", "${a b}", "$-"] {
            assert_eq!(parse(bad), Err(TemplateError::InvalidName), "{bad}");
        }
        assert_eq!(
            parse("$nonsense"),
            Err(TemplateError::Unknown("nonsense".into()))
        );
    }
}

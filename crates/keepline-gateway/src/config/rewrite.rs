//! The rewrite phase: `set`, `if`, `rewrite`, `return` and `break`, carried out in order.

use std::sync::Arc;

use super::{Pattern, Scope, SlotId, Template, Variable};

/// The directives of the rewrite phase of a server or location, in the order of the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Program(pub Vec<Op>);

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// `set`.
    Set {
        /// What gets the value.
        target: SetTarget,
        /// The value.
        value: Template,
    },
    /// `if`. When it holds, `scope` becomes the request's (if the block has any directive of another
    /// phase, else `None`) and `then` is carried out; what follows the block too.
    If {
        /// What is asked.
        condition: Condition,
        /// The settings inside.
        scope: Option<Arc<Scope>>,
        /// The directives of this phase inside.
        then: Program,
    },
    /// `rewrite`.
    Rewrite {
        /// What `$uri` has to match.
        pattern: Pattern,
        /// What it becomes. Without the `?` at its end that keeps the arguments away.
        replacement: Template,
        /// The request's arguments are added to those of the replacement: it did not end with `?`.
        keeps_args: bool,
        /// What happens then.
        flag: Flag,
    },
    /// `return`.
    Return(Return),
    /// `break`: the rest of this phase is left out.
    Break,
}

/// What `set` can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetTarget {
    /// A variable of the configuration's own.
    Slot(SlotId),
    /// `$args`.
    Args,
    /// `$limit_rate`.
    LimitRate,
}

/// The last argument of `rewrite`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// None: goes on, and looks for a location again at the end of the phase.
    None,
    /// `last`: looks for a location again, at once.
    Last,
    /// `break`: ends the phase and stays in the location.
    Break,
    /// `redirect`, or a replacement that begins with a scheme: 302.
    Redirect,
    /// `permanent`: 301.
    Permanent,
}

/// `return`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Return {
    /// `return CODE;`: the page of that status. 444 closes without an answer.
    Status(u16),
    /// `return CODE TEXT;`.
    Text {
        /// The status.
        status: u16,
        /// The content, of the location's default type.
        text: Template,
    },
    /// `return URL;` (302) or `return CODE URL;` with 301, 302, 303, 307 or 308.
    Redirect {
        /// The status.
        status: u16,
        /// What Location says.
        url: Template,
    },
}

/// The condition of an `if`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// `($variable)`: neither empty nor `0`.
    True(Variable),
    /// `($variable = text)`, `!=`.
    Equal {
        /// The variable.
        variable: Variable,
        /// The text; it may have variables.
        value: Template,
        /// `!=`.
        is_negated: bool,
    },
    /// `($variable ~ regex)`, `~*`, `!~`, `!~*`. Its groups become `$1` to `$9`.
    Matches {
        /// The variable.
        variable: Variable,
        /// The regular expression.
        pattern: Pattern,
        /// `!~` or `!~*`.
        is_negated: bool,
    },
    /// `(-f path)` and so on.
    File {
        /// What is asked of the path.
        test: FileTest,
        /// The path.
        path: Template,
        /// `!-f` and so on.
        is_negated: bool,
    },
}

/// What an `if` can ask of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileTest {
    /// `-f`: a regular file.
    File,
    /// `-d`: a directory.
    Directory,
    /// `-e`: anything.
    Exists,
    /// `-x`: it may be executed.
    Executable,
}

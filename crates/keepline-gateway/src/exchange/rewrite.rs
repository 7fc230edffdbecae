//! Carries out `set`, `if`, `rewrite`, `return` and `break`.

use super::Serving;
use crate::answer::Answer;
use crate::config::{Condition, FileTest, Flag, Op, Pattern, Program, Return, SetTarget, Variable};
use crate::request::{Captures, Request};
use crate::route::Text;

/// How a program ended.
#[derive(Debug, PartialEq)]
pub(super) enum Ended {
    /// The request goes on in its location.
    Here,
    /// A location is looked for again.
    Elsewhere,
    /// It is answered.
    With(Answer),
}

/// What an operation says about the next one.
enum Flow {
    Next,
    /// The phase is over.
    Stop,
    Answer(Answer),
}

impl<'l> Serving<'_, '_, 'l> {
    /// Carries out a program.
    pub(super) fn rewrite(&mut self, program: &'l Program) -> Ended {
        let mut moved = false;
        match self.carry_out(program, &mut moved) {
            Flow::Answer(answer) => Ended::With(answer),
            Flow::Next | Flow::Stop if moved => Ended::Elsewhere,
            Flow::Next | Flow::Stop => Ended::Here,
        }
    }

    fn carry_out(&mut self, program: &'l Program, moved: &mut bool) -> Flow {
        for op in &program.0 {
            let flow = match op {
                Op::Set { target, value } => {
                    let value = self.view().value(value);
                    self.set(*target, value);
                    Flow::Next
                }
                Op::If {
                    condition,
                    scope,
                    then,
                } => {
                    if !self.holds(condition) {
                        continue;
                    }
                    if let Some(scope) = scope {
                        self.request.enter_scope(scope);
                        self.settle_terms();
                    }
                    self.carry_out(then, moved)
                }
                Op::Rewrite {
                    pattern,
                    replacement,
                    keeps_args,
                    flag,
                } => self.replace(pattern, replacement, *keeps_args, *flag, moved),
                Op::Return(how) => Flow::Answer(self.answer_of(how)),
                Op::Break => Flow::Stop,
            };
            if !matches!(flow, Flow::Next) {
                return flow;
            }
        }
        Flow::Next
    }

    fn set(&mut self, target: SetTarget, value: Vec<u8>) {
        match target {
            SetTarget::Slot(slot) => self.request.set_slot(slot, &value),
            SetTarget::Args => {
                self.request.subject.args = Text::Owned(value);
                self.request.subject.is_as_sent = false;
            }
            SetTarget::LimitRate => self.request.limit_rate = Some(value.into()),
        }
    }

    /// `rewrite`, on a path that may match.
    fn replace(
        &mut self,
        pattern: &Pattern,
        replacement: &crate::config::Template,
        keeps_args: bool,
        flag: Flag,
        moved: &mut bool,
    ) -> Flow {
        let target = self.exchange.head().target();
        let path = self.request.subject.path(target);
        let Some(captures) = Captures::of(pattern, path) else {
            return Flow::Next;
        };
        self.request.keep_captures(pattern, captures);
        let mut url = self.view().value(replacement);
        let target = self.exchange.head().target();
        let args = self.request.subject.args(target);
        if keeps_args && !args.is_empty() {
            url.push(if url.contains(&b'?') { b'&' } else { b'?' });
            url.extend_from_slice(args);
        }
        match flag {
            Flag::Redirect => return Flow::Answer(redirect(302, url)),
            Flag::Permanent => return Flow::Answer(redirect(301, url)),
            Flag::None | Flag::Last | Flag::Break => {}
        }
        let (path, args) = match url.iter().position(|&byte| byte == b'?') {
            Some(at) => (url[..at].to_vec(), url[at + 1..].to_vec()),
            None => (url, Vec::new()),
        };
        let subject = &mut self.request.subject;
        (subject.path, subject.args) = (Text::Owned(path), Text::Owned(args));
        (subject.is_as_sent, subject.is_internal) = (false, true);
        match flag {
            Flag::Break => {
                subject.is_located = false;
                *moved = false;
                Flow::Stop
            }
            Flag::Last => {
                *moved = true;
                Flow::Stop
            }
            Flag::None | Flag::Redirect | Flag::Permanent => {
                *moved = true;
                Flow::Next
            }
        }
    }

    fn answer_of(&self, how: &Return) -> Answer {
        match how {
            Return::Status(444) => Answer::HangUp,
            Return::Status(status) => Answer::Status(*status),
            Return::Text { status, text } => Answer::Text {
                status: *status,
                text: self.view().value(text),
            },
            Return::Redirect { status, url } => redirect(*status, self.view().value(url)),
        }
    }

    fn holds(&mut self, condition: &Condition) -> bool {
        match condition {
            Condition::True(variable) => !matches!(&*self.value(variable), b"" | b"0"),
            Condition::Equal {
                variable,
                value,
                is_negated,
            } => (self.value(variable) == self.view().value(value)) != *is_negated,
            Condition::Matches {
                variable,
                pattern,
                is_negated,
            } => {
                let value = self.value(variable);
                let captures = Captures::of(pattern, &value);
                let matches = captures.is_some();
                if let Some(captures) = captures {
                    self.request.keep_captures(pattern, captures);
                }
                matches != *is_negated
            }
            Condition::File {
                test,
                path,
                is_negated,
            } => is_file(*test, self.view().value(path)) != *is_negated,
        }
    }

    fn value(&self, variable: &Variable) -> Vec<u8> {
        let mut value = Vec::new();
        self.view().variable(variable, &mut value);
        value
    }
}

impl Request<'_> {
    /// Keeps the groups of a regular expression, by number and by name.
    pub(super) fn keep_captures(&mut self, pattern: &Pattern, captures: Captures) {
        for &(group, slot) in pattern.slots() {
            let value = captures.group(group).unwrap_or_default().to_vec();
            self.set_slot(slot, &value);
        }
        self.captures = captures;
    }
}

fn redirect(status: u16, url: Vec<u8>) -> Answer {
    Answer::Redirect { status, url }
}

/// What `-f` and its like ask. The file system answers at once or blocks, as in nginx.
fn is_file(test: FileTest, path: Vec<u8>) -> bool {
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::PermissionsExt;
    let path = std::path::PathBuf::from(std::ffi::OsString::from_vec(path));
    let Ok(found) = std::fs::metadata(path) else {
        return false;
    };
    match test {
        FileTest::File => found.is_file(),
        FileTest::Directory => found.is_dir(),
        FileTest::Exists => true,
        FileTest::Executable => found.permissions().mode() & 0o111 != 0,
    }
}

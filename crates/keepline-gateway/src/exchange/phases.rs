//! The phases of a request in nginx's order: real address, rewrite of the server, location, rewrite
//! of the location, limits, access, `try_files`, content; and again from the server's rewrites when
//! something redirects inside the gateway.

use keepline::{CloseReason, Error};

use super::Serving;
use super::reply::{closes, wire_status};
use super::rewrite::Ended;
use crate::answer::Answer;
use crate::config::{
    Content, ErrorPage, ErrorResponse, ErrorTarget, Level, Location, Matcher, Template, TryLast,
};
use crate::request::Captures;
use crate::route::Text;

/// How often rewrites and redirects inside the gateway may send a request to another location, in all
/// (nginx: 10).
const MOST_MOVES: u32 = 10;

/// Where a request goes on.
#[derive(Debug)]
enum Step {
    /// The rewrites of the server.
    Server,
    /// A location is looked for.
    Locate,
    /// This location (by name).
    Named(Box<str>),
    /// The limits and the access of the location that it is in.
    Access,
    /// Whoever answers.
    Content,
    /// It is answered.
    Answer(Answer),
}

impl<'l> Serving<'_, '_, 'l> {
    /// Serves the request to its end. `answer`: it is known already.
    pub(super) async fn run(&mut self, answer: Option<Answer>) -> Result<(), Error> {
        self.settle_terms();
        if answer.is_some() {
            // What could not be understood says nothing about what follows it.
            self.exchange.close_after(CloseReason::LocalAskedClose);
        }
        let mut step = answer.map_or(Step::Server, Step::Answer);
        self.find_real_address();
        loop {
            step = match step {
                Step::Server => match self.rewrite(&self.request.server.rewrite) {
                    Ended::With(answer) => Step::Answer(answer),
                    Ended::Here | Ended::Elsewhere => Step::Locate,
                },
                Step::Locate => self.locate(),
                Step::Named(name) => self.enter_named(&name),
                Step::Access => match self.check_limits().await? {
                    Some(answer) => Step::Answer(answer),
                    None => self.check_access(),
                },
                Step::Content => match self.content().await? {
                    Some(Answer::Again) => match self.move_on() {
                        Ok(()) => Step::Server,
                        Err(answer) => Step::Answer(answer),
                    },
                    Some(answer) => Step::Answer(answer),
                    None => return Ok(()),
                },
                Step::Answer(answer) => {
                    // Whatever page is shown for it.
                    if matches!(answer, Answer::Status(status) if closes(status)) {
                        self.exchange.close_after(CloseReason::LocalAskedClose);
                    }
                    match self.recover(answer) {
                        Ok(step) => step,
                        Err(answer) => return self.reply(answer).await,
                    }
                }
            };
        }
    }

    /// One more move to another location. `Err`: too many.
    fn move_on(&mut self) -> Result<(), Answer> {
        if self.moves >= MOST_MOVES {
            self.complain(
                Level::Error,
                None,
                format_args!("rewrite or internal redirection cycle"),
            );
            return Err(Answer::Status(500));
        }
        self.moves += 1;
        Ok(())
    }

    /// Looks for the location of the path, and carries out its rewrites.
    fn locate(&mut self) -> Step {
        match self.find_location() {
            Ok(location) => self.enter(location),
            Err(answer) => Step::Answer(answer),
        }
    }

    /// Enters a location and carries out its rewrites.
    fn enter(&mut self, location: Option<&'l Location>) -> Step {
        self.request.enter(location);
        self.settle_terms();
        if !self.recovered && self.is_declared_too_large() {
            return Step::Answer(Answer::Status(413));
        }
        let Some(location) = location else {
            return Step::Access;
        };
        match self.rewrite(&location.rewrite) {
            Ended::With(answer) => Step::Answer(answer),
            Ended::Here => Step::Access,
            Ended::Elsewhere => match self.move_on() {
                Ok(()) => Step::Locate,
                Err(answer) => Step::Answer(answer),
            },
        }
    }

    fn enter_named(&mut self, name: &str) -> Step {
        let named = &self.request.server.named_locations;
        let Some((_, location)) = named.iter().find(|(known, _)| **known == *name) else {
            self.complain(
                Level::Error,
                None,
                format_args!("could not find named location \"{name}\""),
            );
            return Step::Answer(Answer::Status(500));
        };
        self.enter(Some(location))
    }

    /// The location of the path.
    fn find_location(&mut self) -> Result<Option<&'l Location>, Answer> {
        let Some(locations) = self.request.live.locations(self.number) else {
            return Ok(None);
        };
        let target = self.exchange.head().target();
        let path = self.request.subject.path(target);
        let mut matched = None;
        let found = locations.find(path, &mut matched);
        if found.location().is_none()
            && let Some(url) = self.with_slash(path, locations)
        {
            return Err(Answer::Redirect { status: 301, url });
        }
        if let Some(place) = matched
            && let Matcher::Regex(pattern) = &place.location.matcher
            && let Some(captures) = Captures::of(pattern, path)
        {
            self.request.keep_captures(pattern, captures);
        }
        let location = found.location();
        let is_hidden = location.is_some_and(|location| location.is_internal);
        if is_hidden && !self.request.subject.is_internal {
            return Err(Answer::Status(404));
        }
        Ok(location)
    }

    /// A path that only lacks the slash at its end to belong to a location that passes on.
    fn with_slash(&self, path: &[u8], locations: &crate::route::Locations) -> Option<Vec<u8>> {
        let mut url = path.to_vec();
        url.push(b'/');
        let found = locations.find(&url, &mut None).location()?;
        let is_it = match &found.matcher {
            Matcher::Prefix(text) | Matcher::PrefixOnly(text) => text.as_bytes() == url,
            Matcher::Exact(_) | Matcher::Regex(_) | Matcher::Named(_) => false,
        };
        if !is_it || !matches!(found.scope.content, Content::Proxy(_)) {
            return None;
        }
        let mut escaped = Vec::new();
        crate::route::append_escaped(&url, &mut escaped);
        let args = self.request.subject.args(self.exchange.head().target());
        if !args.is_empty() {
            escaped.push(b'?');
            escaped.extend_from_slice(args);
        }
        Some(escaped)
    }

    /// `limit_except`, `allow` and `deny`, then `try_files`.
    fn check_access(&mut self) -> Step {
        if let Some(location) = self.request.location
            && let Some(limit) = &location.limit_except
            && !is_listed(&limit.methods.0, self.exchange.head().method().as_str())
        {
            self.request.enter_scope(&limit.scope);
            self.settle_terms();
        }
        let rules = &self.request.scope.settings.access;
        if !crate::access::is_allowed(rules, self.view().remote().map(|(ip, _)| ip)) {
            self.complain(Level::Error, None, format_args!("access forbidden by rule"));
            return Step::Answer(Answer::Status(403));
        }
        self.try_files()
    }

    /// `try_files`: the first path that exists, or what the last one says.
    fn try_files(&mut self) -> Step {
        let Some(files) = &self.request.scope.settings.try_files else {
            return Step::Content;
        };
        for candidate in &files.candidates {
            let uri = self.view().value(&candidate.path);
            let Some(found) = self.try_path(&uri, candidate.is_directory) else {
                continue;
            };
            let mut path = uri;
            if found && !path.ends_with(b"/") {
                path.push(b'/');
            }
            self.request.subject.path = Text::Owned(path);
            self.request.subject.is_as_sent = false;
            return Step::Content;
        }
        match &files.last {
            TryLast::Status(status) => Step::Answer(Answer::Status(*status)),
            TryLast::Named(name) => self.redirect_to_named(name),
            TryLast::Uri(uri) => self.redirect_inside(uri),
        }
    }

    /// Asks whoever answers. `None`: the answer has been sent.
    async fn content(&mut self) -> Result<Option<Answer>, Error> {
        match &self.request.scope.content {
            Content::Proxy(pass) => self.pass(pass).await,
            Content::Static => self.send_file().await,
            Content::StubStatus => self.send_stub_status().await,
        }
    }

    /// `error_page`: where an answer leads instead. `Err`: nowhere.
    fn recover(&mut self, answer: Answer) -> Result<Step, Answer> {
        let Answer::Status(status) = answer else {
            return Err(answer);
        };
        let settings = &self.request.scope.settings;
        let is_closed = self.recovered && !settings.recursive_error_pages;
        let Some(page) = error_page(&settings.error_pages, status).filter(|_| !is_closed) else {
            return Err(answer);
        };
        if self.exchange.is_head_sent() {
            return Err(answer);
        }
        self.recovered = true;
        self.request.sent.status = status;
        self.request.overriding_status = match page.response {
            ErrorResponse::Keep => Some(wire_status(status)),
            ErrorResponse::Status(other) => Some(other),
            ErrorResponse::FromTarget => None,
        };
        let step = match &page.target {
            ErrorTarget::Named(name) => self.redirect_to_named(name),
            ErrorTarget::Uri(uri) => {
                if self.exchange.head().method() != http::Method::HEAD {
                    self.request.subject.becomes_get = true;
                }
                self.redirect_inside(uri)
            }
            ErrorTarget::Redirect(url) => {
                self.request.overriding_status = None;
                let status = match page.response {
                    ErrorResponse::Status(status @ (301 | 302 | 303 | 307 | 308)) => status,
                    _ => 302,
                };
                let url = self.view().value(url);
                return Err(Answer::Redirect { status, url });
            }
        };
        Ok(step)
    }

    /// The request goes on as one for this path, from the rewrites of the server.
    fn redirect_inside(&mut self, uri: &Template) -> Step {
        if let Err(answer) = self.move_on() {
            return Step::Answer(answer);
        }
        let uri = self.view().value(uri);
        let (path, args) = match uri.iter().position(|&byte| byte == b'?') {
            Some(at) => (uri[..at].to_vec(), uri[at + 1..].to_vec()),
            None => (uri, Vec::new()),
        };
        let subject = &mut self.request.subject;
        (subject.path, subject.args) = (Text::Owned(path), Text::Owned(args));
        (subject.is_as_sent, subject.is_internal) = (false, true);
        let server = self.request.server;
        self.request.location = None;
        self.request.enter_scope(&server.scope);
        Step::Server
    }

    /// The request goes on in a named location, as it is.
    fn redirect_to_named(&mut self, name: &str) -> Step {
        if let Err(answer) = self.move_on() {
            return Step::Answer(answer);
        }
        self.request.subject.is_internal = true;
        Step::Named(name.into())
    }
}

/// The page of a status, if it has one.
pub(super) fn error_page(pages: &[ErrorPage], status: u16) -> Option<&ErrorPage> {
    pages.iter().find(|page| page.codes.contains(&status))
}

/// GET includes HEAD.
fn is_listed(methods: &[Box<str>], method: &str) -> bool {
    let is_it = |name: &str| {
        methods
            .iter()
            .any(|listed| listed.eq_ignore_ascii_case(name))
    };
    is_it(method) || (method == "HEAD" && is_it("GET"))
}

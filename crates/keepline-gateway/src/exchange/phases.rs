//! The phases of a request in nginx's order: rewrite of the server, location, rewrite of the
//! location, access, content; and again from the location when something redirects inside.

use keepline::Error;

use super::Serving;
use super::rewrite::Ended;
use crate::answer::Answer;
use crate::config::{Content, Location, Matcher};
use crate::request::Captures;

/// How often rewrites may send a request to another location (nginx: 10).
const MOST_CYCLES: u32 = 10;

impl<'l> Serving<'_, '_, 'l> {
    /// Serves the request to its end. `answer`: it is known already.
    pub(super) async fn run(&mut self, answer: Option<Answer>) -> Result<(), Error> {
        let mut answer = match answer {
            Some(answer) => Some(answer),
            None => self.route(),
        };
        loop {
            let outcome = match answer.take() {
                Some(answer) => answer,
                None => match self.content().await? {
                    None => return Ok(()),
                    Some(answer) => answer,
                },
            };
            match self.recover(outcome) {
                Recovered::Elsewhere(next) => answer = next,
                Recovered::Answer(outcome) => return self.reply(outcome).await,
            }
        }
    }

    /// From the server's rewrites to the location whose content is asked.
    fn route(&mut self) -> Option<Answer> {
        let server = self.request.server;
        match self.rewrite(&server.rewrite) {
            Ended::With(answer) => Some(answer),
            Ended::Here | Ended::Elsewhere => self.locate(),
        }
    }

    /// Looks for the location of the path, and carries out its rewrites.
    pub(super) fn locate(&mut self) -> Option<Answer> {
        for _ in 0..=MOST_CYCLES {
            let location = match self.find_location() {
                Ok(location) => location,
                Err(answer) => return Some(answer),
            };
            match self.enter(location) {
                Ended::Here => return self.check_access(),
                Ended::Elsewhere => {}
                Ended::With(answer) => return Some(answer),
            }
        }
        tracing::error!("rewrite or internal redirection cycle");
        Some(Answer::Status(500))
    }

    /// Enters a location and carries out its rewrites.
    pub(super) fn enter(&mut self, location: Option<&'l Location>) -> Ended {
        self.request.enter(location);
        match location {
            Some(location) => self.rewrite(&location.rewrite),
            None => Ended::Here,
        }
    }

    /// The location of the path, or the redirect to the path with a slash at its end.
    fn find_location(&mut self) -> Result<Option<&'l Location>, Answer> {
        let live = self.request.live;
        let Some(locations) = live.locations(self.server) else {
            return Ok(None);
        };
        let target = self.exchange.head().target();
        let path = self.request.subject.path(target);
        let mut matched = None;
        let found = locations.find(path, &mut matched);
        if let Some(place) = matched
            && let Matcher::Regex(pattern) = &place.location.matcher
            && let Some(captures) = Captures::of(pattern, path)
        {
            self.request.keep_captures(pattern, captures);
        }
        let location = found.location();
        if location.is_some_and(|location| location.is_internal)
            && !self.request.subject.is_internal
        {
            return Err(Answer::Status(404));
        }
        Ok(location)
    }

    /// `limit_except`, `allow` and `deny`.
    fn check_access(&mut self) -> Option<Answer> {
        if let Some(location) = self.request.location
            && let Some(limit) = &location.limit_except
            && !is_listed(&limit.methods.0, self.exchange.head().method().as_str())
        {
            self.request.scope = &limit.scope;
        }
        None
    }

    /// Asks whoever answers. `None`: the answer has been sent.
    async fn content(&mut self) -> Result<Option<Answer>, Error> {
        match &self.request.scope.content {
            Content::Proxy(pass) => self.pass(pass).await,
            Content::Static | Content::StubStatus => Ok(Some(Answer::Status(404))),
        }
    }

    /// `error_page`: where an answer leads instead.
    fn recover(&mut self, outcome: Answer) -> Recovered {
        let _ = &mut *self;
        Recovered::Answer(outcome)
    }
}

/// What `error_page` makes of an answer.
pub(super) enum Recovered {
    /// The request goes on elsewhere, perhaps to this answer.
    Elsewhere(Option<Answer>),
    /// It is this.
    Answer(Answer),
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

//! Cases as text: a configuration, and a conversation with what was observed in it.
//!
//! ```text
//! == a name that says the rule
//!     keepalive_requests 2;
//!     location / { return 200 ok; }
//! c> GET / HTTP/1.1⏎Host: x⏎⏎
//! c< response
//!     200 OK | connection: keep-alive | content-length: 2 | "ok"
//! ```
//!
//! Lines below the name that are indented are the configuration. A line that isn't is a step, and
//! the indented lines below it are what nginx was observed to do. Where keepline does something
//! else, lines with `keepline: ` follow, and `docs/nginx-differences.md` has the reason.
//!
//! | step | meaning |
//! |---|---|
//! | `c> BYTES` | client `c` sends; it connects first if it hasn't; `c2> …` is another one |
//! | `c< response` | reads a response by its framing; `response to HEAD` knows that it has no body |
//! | `c< head`, `c< 5 bytes`, `c< end` | reads that much; `end` tells a FIN from a reset |
//! | `c! connect`, `c! fin`, `c! close`, `c! reset` | the connection is opened, half-closed, closed, reset |
//! | `c! quiet 100ms` | whether nothing comes for so long |
//! | `c! send for 100ms` | whether bytes are taken for so long, or refused by a reset |
//! | `b< request` | the next request at backend `b`, on whichever connection; `head` leaves the body |
//! | `b< connection` | a connection that has not been asked on yet |
//! | `b< 5 bytes`, `b< end`, `b> BYTES`, `b! fin`, … | on the connection of the last request; `b.1< …` on the first |
//! | `b! refuse`, `b! listen` | the port is closed, opened again |
//! | `b! connections` | how many connections the backend has seen |
//! | `dns! 127.0.0.1 127.0.0.9`, `dns! unknown`, `dns! fails`, `dns! silent` | what names resolve to from now on |
//! | `log 2` | waits for so many lines in the access log, and shows them |
//! | `wait 300ms` | only where the rule is about time |
//! | `gateway! HUP`, `gateway< exit` | a signal; the exit status |
//! | `gateway< refusal` | connections are refused from now on |
//!
//! In configurations `@b` is the address of backend `b`, which thereby exists, and `:port-of-b` its port; `@b9` has the
//! port of `@b` on 127.0.0.9. `@dns` is a name server, whose answers hold for a second; at first there is no name.

use std::fmt::Write as _;
use std::time::Duration;

use keepline_testkit::dns::Answer;

use super::text;

/// A file of cases about one thing.
#[derive(Debug)]
pub(crate) struct CaseFile {
    preamble: Vec<String>,
    pub(crate) cases: Vec<Case>,
}

#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// Everything between the name and the first step, as it is written.
    head: Vec<String>,
    items: Vec<Item>,
}

#[derive(Debug)]
enum Item {
    Comment(String),
    Step(Step),
}

#[derive(Debug)]
pub(crate) struct Step {
    line: String,
    pub(crate) action: Action,
    pub(crate) nginx: Vec<String>,
    /// Where it differs.
    pub(crate) keepline: Option<Vec<String>>,
}

#[derive(Debug, Clone)]
pub(crate) enum Action {
    Send(Actor, Vec<u8>),
    Await(Actor, Awaited),
    Act(Actor, Verb),
    Log(usize),
    Wait(Duration),
    Signal(String),
    Resolve(Answer),
    Exit,
    Refusal,
}

#[derive(Debug, Clone)]
pub(crate) struct Actor {
    pub(crate) name: String,
    /// The number of a backend's connection, from 1; without one, that of its last request.
    pub(crate) connection: Option<usize>,
}

impl Actor {
    pub(crate) fn is_backend(&self) -> bool {
        self.name.starts_with('b')
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Awaited {
    Message,
    ResponseToHead,
    Head,
    Bytes(usize),
    Connection,
    End,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Verb {
    Connect,
    Fin,
    Close,
    Reset,
    Quiet(Duration),
    SendFor(Duration),
    Refuse,
    Listen,
    Connections,
}

const INDENT: &str = "    ";
const KEEPLINE: &str = "keepline: ";
/// Stands for an observation without lines.
const NOTHING: &str = "(nothing)";

impl CaseFile {
    pub(crate) fn parse(text: &str) -> Self {
        let mut file = Self {
            preamble: Vec::new(),
            cases: Vec::new(),
        };
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("== ") {
                file.cases.push(Case {
                    name: name.to_owned(),
                    head: Vec::new(),
                    items: Vec::new(),
                });
            } else if let Some(case) = file.cases.last_mut() {
                case.line(line);
            } else {
                file.preamble.push(line.to_owned());
            }
        }
        file
    }

    pub(crate) fn print(&self) -> String {
        let mut text = String::new();
        for line in &self.preamble {
            writeln!(text, "{line}").expect("a string takes all");
        }
        for case in &self.cases {
            case.print(&mut text);
        }
        text
    }
}

impl Case {
    fn line(&mut self, line: &str) {
        let is_comment = line.is_empty() || line.starts_with('#');
        match (line.strip_prefix(INDENT), self.items.last_mut()) {
            (_, None) if is_comment || line.starts_with(INDENT) || line.starts_with("log:") => {
                self.head.push(line.to_owned());
            }
            (Some(seen), Some(Item::Step(step))) => step.observed(seen),
            (Some(_), _) => panic!("{}: what was this seen at? {line}", self.name),
            (None, _) if is_comment => self.items.push(Item::Comment(line.to_owned())),
            (None, _) => self.items.push(Item::Step(Step {
                line: line.to_owned(),
                action: action(line).unwrap_or_else(|| panic!("{}: no step: {line}", self.name)),
                nginx: Vec::new(),
                keepline: None,
            })),
        }
    }

    fn print(&self, text: &mut String) {
        let mut put = |line: &str| writeln!(text, "{line}").expect("a string takes all");
        put(&format!("== {}", self.name));
        self.head.iter().for_each(|line| put(line));
        for item in &self.items {
            let step = match item {
                Item::Comment(line) => {
                    put(line);
                    continue;
                }
                Item::Step(step) => step,
            };
            put(&step.line);
            for seen in &step.nginx {
                put(&format!("{INDENT}{seen}"));
            }
            for seen in step.keepline.iter().flatten() {
                put(&format!("{INDENT}{KEEPLINE}{seen}"));
            }
            if step.keepline.as_ref().is_some_and(Vec::is_empty) {
                put(&format!("{INDENT}{KEEPLINE}{NOTHING}"));
            }
        }
    }

    /// The configuration, as it is written.
    pub(crate) fn conf(&self) -> String {
        let conf = self
            .head
            .iter()
            .filter_map(|line| line.strip_prefix(INDENT));
        conf.fold(String::new(), |conf, line| conf + line + "\n")
    }

    /// What its access log shows besides the usual.
    pub(crate) fn log_format(&self) -> Option<&str> {
        self.head.iter().find_map(|line| line.strip_prefix("log: "))
    }

    pub(crate) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.items.iter().filter_map(|item| match item {
            Item::Step(step) => Some(step),
            Item::Comment(_) => None,
        })
    }

    pub(crate) fn steps_mut(&mut self) -> impl Iterator<Item = &mut Step> {
        self.items.iter_mut().filter_map(|item| match item {
            Item::Step(step) => Some(step),
            Item::Comment(_) => None,
        })
    }

    /// Whether keepline is known to differ from nginx here.
    pub(crate) fn differs(&self) -> bool {
        self.steps().any(|step| step.keepline.is_some())
    }

    /// Whether it can't share its gateway with other cases.
    pub(crate) fn is_alone(&self) -> bool {
        let has_signal = |step: &Step| matches!(step.action, Action::Signal(_) | Action::Exit);
        self.conf().contains("worker_") || self.steps().any(has_signal)
    }
}

impl Step {
    fn observed(&mut self, seen: &str) {
        match seen.strip_prefix(KEEPLINE) {
            None => self.nginx.push(seen.to_owned()),
            Some(NOTHING) => self.keepline = Some(Vec::new()),
            Some(seen) => {
                self.keepline.get_or_insert_default().push(seen.to_owned());
            }
        }
    }

    pub(crate) fn line(&self) -> &str {
        &self.line
    }
}

fn action(line: &str) -> Option<Action> {
    if let Some(count) = line.strip_prefix("log ") {
        return Some(Action::Log(count.parse().ok()?));
    }
    if let Some(time) = line.strip_prefix("wait ") {
        return Some(Action::Wait(duration(time)?));
    }
    if let Some(signal) = line.strip_prefix("gateway! ") {
        return Some(Action::Signal(signal.to_owned()));
    }
    if let Some(answer) = line.strip_prefix("dns! ") {
        return Some(Action::Resolve(match answer {
            "unknown" => Answer::NoSuchName,
            "fails" => Answer::Failure,
            "silent" => Answer::Silence,
            addresses => {
                let addresses = addresses.split(' ').map(str::parse);
                Answer::Addresses(addresses.collect::<Result<_, _>>().ok()?)
            }
        }));
    }
    if line == "gateway< refusal" {
        return Some(Action::Refusal);
    }
    if line == "gateway< exit" {
        return Some(Action::Exit);
    }
    let (who, what) = line.split_once(' ').unwrap_or((line, ""));
    let (who, sign) = who.split_at_checked(who.len().checked_sub(1)?)?;
    let actor = actor(who)?;
    Some(match sign {
        ">" => Action::Send(actor, text::bytes(what)),
        "<" => Action::Await(actor, awaited(what)?),
        "!" => Action::Act(actor, verb(what)?),
        _ => return None,
    })
}

fn actor(text: &str) -> Option<Actor> {
    let (name, connection) = match text.split_once('.') {
        Some((name, number)) => (name, Some(number.parse().ok()?)),
        None => (text, None),
    };
    let is_known = name.starts_with(['b', 'c']) && name[1..].bytes().all(|b| b.is_ascii_digit());
    is_known.then(|| Actor {
        name: name.to_owned(),
        connection,
    })
}

fn awaited(what: &str) -> Option<Awaited> {
    Some(match what {
        "response" | "request" => Awaited::Message,
        "response to HEAD" => Awaited::ResponseToHead,
        "head" => Awaited::Head,
        "connection" => Awaited::Connection,
        "end" => Awaited::End,
        _ => Awaited::Bytes(what.strip_suffix(" bytes")?.parse().ok()?),
    })
}

fn verb(what: &str) -> Option<Verb> {
    Some(match what {
        "connect" => Verb::Connect,
        "fin" => Verb::Fin,
        "close" => Verb::Close,
        "reset" => Verb::Reset,
        "refuse" => Verb::Refuse,
        "listen" => Verb::Listen,
        "connections" => Verb::Connections,
        _ => match what.strip_prefix("quiet ") {
            Some(time) => Verb::Quiet(duration(time)?),
            None => Verb::SendFor(duration(what.strip_prefix("send for ")?)?),
        },
    })
}

fn duration(text: &str) -> Option<Duration> {
    Some(Duration::from_millis(
        text.strip_suffix("ms")?.parse().ok()?,
    ))
}

//! Plays a case: carries out its steps one after the other and writes down what is seen.
//!
//! Nothing here fails: what does not come in time is an observation too.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use keepline_testkit::dns::{Answer, NameServer};
use keepline_testkit::sockets::ReservedPort;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::backend::Backend;
use super::case::{Action, Actor, Awaited, Case, Verb};
use super::conf::{self, Names, Parts};
use super::gateway::Gateway;
use super::message;
use super::text::shown;
use super::wire::Wire;

/// How long something may take that comes.
const PATIENCE: Duration = Duration::from_secs(8);

/// A case with all that it needs, before its gateway runs.
#[derive(Debug)]
pub(crate) struct Stage {
    number: usize,
    gateways: BTreeMap<String, ReservedPort>,
    clients: BTreeMap<String, Wire>,
    backends: BTreeMap<String, Backend>,
    name_server: Option<NameServer>,
    names: Names,
}

impl Stage {
    /// Takes ports and makes the configuration.
    pub(crate) fn set(case: &Case, number: usize) -> (Self, Parts) {
        let mut stage = Self {
            number,
            gateways: BTreeMap::new(),
            clients: BTreeMap::new(),
            backends: BTreeMap::new(),
            name_server: None,
            names: Names::default(),
        };
        let mut addrs = BTreeMap::new();
        for name in conf::actors(case) {
            let addr = if name == "dns" {
                // Hickory and nginx count in whole seconds, and 0 would be asked again at each request.
                let name_server = NameServer::start(1, Answer::NoSuchName);
                stage.name_server.insert(name_server).addr()
            } else if name.starts_with('b') {
                let backend = match (name.as_str(), stage.backends.get("b")) {
                    ("b9", Some(b)) => b.beside([127, 0, 0, 9].into()),
                    _ => Backend::new(),
                };
                let addr = backend.addr();
                stage.backends.insert(name.clone(), backend);
                addr
            } else {
                let port = ReservedPort::new().expect("a port is free");
                let addr = port.addr();
                stage.gateways.insert(name.clone(), port);
                addr
            };
            addrs.insert(name, addr);
        }
        let (parts, names) = conf::parts(case, number, &addrs);
        stage.names = names;
        (stage, parts)
    }

    /// The port that clients connect to.
    pub(crate) fn gateway(&self) -> SocketAddr {
        self.gateways["gateway"].addr()
    }

    /// Plays the case; answers what was seen at each step.
    pub(crate) async fn play(mut self, case: &Case, gateway: &mut Held<'_>) -> Vec<Vec<String>> {
        let mut seen = Vec::new();
        for step in case.steps() {
            let at_step = match timeout(PATIENCE, self.step(&step.action, gateway)).await {
                Ok(seen) => seen,
                Err(_) => self.nothing_came(&step.action),
            };
            seen.push(at_step.lines().map(|line| self.names.shown(line)).collect());
        }
        seen
    }

    async fn step(&mut self, action: &Action, gateway: &mut Held<'_>) -> String {
        match action {
            Action::Send(actor, bytes) => {
                self.send(actor, bytes).await;
                String::new()
            }
            Action::Await(actor, what) => self.awaited(actor, *what).await,
            Action::Act(actor, verb) => self.act(actor, *verb).await,
            Action::Log(count) => loop {
                let log = gateway.get().access_log(self.number);
                if log.lines().count() >= *count {
                    break log;
                }
                sleep(Duration::from_millis(2)).await;
            },
            Action::Wait(duration) => {
                sleep(*duration).await;
                String::new()
            }
            Action::Signal(name) => {
                gateway.get().process.signal(name);
                String::new()
            }
            Action::Resolve(answer) => {
                let name_server = self.name_server.as_ref();
                name_server
                    .expect("the configuration has @dns")
                    .set(answer.clone());
                String::new()
            }
            Action::Exit => gateway.own().exited().await.to_string(),
            // Nginx tells its workers to quit before it closes the port itself.
            Action::Refusal => {
                while TcpStream::connect(self.gateway()).await.is_ok() {
                    sleep(Duration::from_millis(2)).await;
                }
                "refused".to_owned()
            }
        }
    }

    async fn send(&mut self, actor: &Actor, bytes: &[u8]) {
        if actor.is_backend() {
            if let Some((_, wire)) = self.backend(actor).connection(actor.connection) {
                wire.send(bytes).await;
            }
        } else if let Some(wire) = self.client(actor).await {
            wire.send(bytes).await;
        }
    }

    async fn awaited(&mut self, actor: &Actor, what: Awaited) -> String {
        if !actor.is_backend() {
            let Some(wire) = self.client(actor).await else {
                return "refused".to_owned();
            };
            return match what {
                Awaited::Message => message::response(wire, false).await,
                Awaited::ResponseToHead => message::response(wire, true).await,
                Awaited::Head => message::response_head(wire).await,
                Awaited::Bytes(count) => message::exactly(wire, count).await,
                Awaited::End => message::rest(wire).await,
                Awaited::Connection => "connected".to_owned(),
            };
        }
        let backend = self.backend(actor);
        let with_body = match what {
            Awaited::Message => true,
            Awaited::Head | Awaited::ResponseToHead => false,
            Awaited::Connection => return backend.connected().await,
            Awaited::Bytes(_) | Awaited::End => {
                let Some((number, wire)) = backend.connection(actor.connection) else {
                    return "no connection".to_owned();
                };
                let seen = match what {
                    Awaited::Bytes(count) => message::exactly(wire, count).await,
                    _ => message::rest(wire).await,
                };
                return format!("connection {number} | {seen}");
            }
        };
        backend.request(with_body).await
    }

    async fn act(&mut self, actor: &Actor, verb: Verb) -> String {
        match verb {
            Verb::Refuse => self.backend(actor).refuse(),
            Verb::Listen => self.backend(actor).listen(),
            Verb::Connections => return self.backend(actor).count().await.to_string(),
            _ => {
                let wire = if actor.is_backend() {
                    let connection = self.backend(actor).connection(actor.connection);
                    connection.map(|(_, wire)| wire)
                } else {
                    self.client(actor).await
                };
                let Some(wire) = wire else {
                    return "no connection".to_owned();
                };
                match verb {
                    Verb::Fin => wire.fin().await,
                    Verb::Close => wire.close(),
                    Verb::Reset => wire.reset(),
                    Verb::Quiet(duration) => {
                        return match timeout(duration, wire.more()).await {
                            Err(_) => "quiet".to_owned(),
                            Ok(_) => "not quiet".to_owned(),
                        };
                    }
                    Verb::SendFor(duration) => {
                        return match timeout(duration, wire.send_until_refused()).await {
                            Err(_) => "taken".to_owned(),
                            Ok(()) => "refused".to_owned(),
                        };
                    }
                    Verb::Connect | Verb::Refuse | Verb::Listen | Verb::Connections => {}
                }
            }
        }
        String::new()
    }

    fn backend(&mut self, actor: &Actor) -> &mut Backend {
        let backend = self.backends.get_mut(&actor.name);
        backend.unwrap_or_else(|| panic!("no @{} in the configuration", actor.name))
    }

    /// Connects at the first mention; nothing if it is refused.
    async fn client(&mut self, actor: &Actor) -> Option<&mut Wire> {
        if !self.clients.contains_key(&actor.name) {
            let stream = TcpStream::connect(self.gateway()).await.ok()?;
            self.clients.insert(actor.name.clone(), Wire::new(stream));
        }
        self.clients.get_mut(&actor.name)
    }

    fn nothing_came(&mut self, action: &Action) -> String {
        let unread = match action {
            Action::Await(actor, _) if actor.is_backend() => self
                .backend(actor)
                .connection(actor.connection)
                .map(|(_, wire)| shown(&wire.unread)),
            Action::Await(actor, _) => self
                .clients
                .get(&actor.name)
                .map(|wire| shown(&wire.unread)),
            _ => None,
        };
        format!("nothing more; unread: \"{}\"", unread.unwrap_or_default())
    }
}

/// The gateway of a case: its own, or one that it shares.
#[derive(Debug)]
pub(crate) enum Held<'a> {
    Own(&'a mut Gateway),
    Shared(&'a Gateway),
}

impl Held<'_> {
    fn get(&self) -> &Gateway {
        match self {
            Self::Own(gateway) => gateway,
            Self::Shared(gateway) => gateway,
        }
    }

    fn own(&mut self) -> &mut Gateway {
        match self {
            Self::Own(gateway) => gateway,
            Self::Shared(_) => panic!("a case that waits for the exit has its own gateway"),
        }
    }
}

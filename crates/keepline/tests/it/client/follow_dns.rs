//! Connections follow the addresses of their names, and no request fails of it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keepline::client::TransportBuilder;
use keepline::net::{PeerAddr, Resolve, Resolved, Resolving};
use keepline::{CloseReason, OpenReason, Transport};
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::{Gate, until};

#[cfg(feature = "hickory")]
use super::support::opened;
use super::support::{always, answer, exchange, get, ok, stats, text, until_closed, until_idle};

/// What the name server says: addresses, or that it cannot say.
pub(crate) type Said = Result<Vec<IpAddr>, ()>;

/// A name server that can change its mind, and how often it was asked.
#[derive(Clone)]
pub(crate) struct Changing(Arc<Mutex<(Said, usize)>>);

impl Changing {
    pub(crate) fn new(addresses: &[&str]) -> Self {
        Self(Arc::new(Mutex::new((Ok(ips(addresses)), 0))))
    }

    pub(crate) fn set(&self, said: Said) {
        self.0.lock().unwrap().0 = said;
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().1
    }

    /// Waits until it has been asked again.
    pub(crate) async fn asked_again(&self) {
        let before = self.asked();
        until("a further question", || {
            (self.asked() > before).then_some(())
        })
        .await;
    }
}

pub(crate) fn ips(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|x| x.parse().unwrap()).collect()
}

impl Resolve for Changing {
    fn resolve(&self, _: &str) -> Resolving {
        let mut state = self.0.lock().unwrap();
        state.1 += 1;
        let answer = state.0.clone();
        Box::pin(async {
            let addresses = answer.map_err(|()| io::Error::other("no answer today"))?;
            Ok(Resolved {
                addresses,
                // The shortest that is respected is a second.
                valid_for: Some(Duration::ZERO),
            })
        })
    }
}

fn following(resolver: Changing) -> TransportBuilder {
    Transport::builder()
        .no_proxy()
        .resolver(resolver)
        .follow_dns(Duration::from_secs(30))
}

/// Two servers on one port, at 127.0.0.1 and 127.0.0.2, and the URL of their name.
fn two_servers(first: Script, second: Script) -> (Peer, Peer, String) {
    let first = Peer::start(first);
    let port = first.addr().port();
    // Nobody else has a reason to listen on this port of the other address.
    let second = Peer::listen(SocketAddr::from(([127, 0, 0, 2], port)), [second]);
    (first, second, format!("http://app.test:{port}/"))
}

#[tokio::test]
async fn idle_connections_to_an_address_that_is_gone_are_closed() {
    let names = Changing::new(&["127.0.0.1"]);
    let (first, second, url) = two_servers(always(ok("1")), always(ok("2")));
    let transport = following(names.clone()).build().unwrap();
    assert_eq!(exchange(&transport, get(&url)).await.unwrap().0, "1");
    until_idle(&transport, 1).await;
    names.set(Ok(ips(&["127.0.0.2"])));
    until_closed(&transport, CloseReason::DnsChanged, 1).await;
    let (body, info) = exchange(&transport, get(&url)).await.unwrap();
    assert_eq!(
        (body.as_str(), info.open_reason),
        ("2", OpenReason::DnsChanged)
    );
    assert_eq!((first.accepted(), second.accepted()), (1, 1));
}

#[tokio::test]
async fn a_request_in_progress_at_an_address_that_is_gone_is_finished() {
    let gate = Gate::new("the end of the answer");
    let names = Changing::new(&["127.0.0.1"]);
    let slow = Script::new()
        .expect_head()
        .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n1")
        .wait_for(&gate)
        .send("1")
        .hold();
    let (_first, _second, url) = two_servers(slow, always(ok("2")));
    let transport = following(names.clone()).build().unwrap();
    let response = transport.send(get(&url)).await.unwrap();
    names.set(Ok(ips(&["127.0.0.2"])));
    names.asked_again().await;
    // Others go to the new address meanwhile.
    assert_eq!(exchange(&transport, get(&url)).await.unwrap().0, "2");
    assert!(stats(&transport).closed.total() == 0);
    gate.open();
    assert_eq!(text(response.into_body()).await.unwrap(), "11");
    until_closed(&transport, CloseReason::DnsChanged, 1).await;
    assert_eq!(stats(&transport).idle, 1);
}

#[tokio::test]
async fn errors_and_empty_answers_change_nothing() {
    let names = Changing::new(&["127.0.0.1"]);
    let (_first, _second, url) = two_servers(always(ok("1")), always(ok("2")));
    let transport = following(names.clone()).build().unwrap();
    exchange(&transport, get(&url)).await.unwrap();
    for said in [Err(()), Ok(Vec::new())] {
        names.set(said);
        names.asked_again().await;
        names.asked_again().await;
        assert!(exchange(&transport, get(&url)).await.unwrap().1.reused);
    }
    // A further address takes no connection away.
    names.set(Ok(ips(&["127.0.0.2", "127.0.0.1"])));
    names.asked_again().await;
    names.asked_again().await;
    assert_eq!(stats(&transport).closed.total(), 0);
}

/// Two connections at the first address; then there is a second one.
#[tokio::test]
async fn new_connections_go_to_the_address_that_has_the_fewest() {
    let names = Changing::new(&["127.0.0.1"]);
    let hold = || Script::new().expect_head().hold();
    let (first, second, url) = two_servers(hold(), hold());
    let transport = following(names.clone()).build().unwrap();
    let ask = || {
        let (transport, asked) = (transport.clone(), get(&url));
        tokio::spawn(async move { transport.send(asked).await })
    };
    let mut asked = vec![ask()];
    first.connections_accepted(1).await;
    asked.push(ask());
    first.connections_accepted(2).await;
    names.set(Ok(ips(&["127.0.0.1", "127.0.0.2"])));
    for (at_first, at_second) in [(2, 1), (2, 2), (3, 2), (3, 3)] {
        asked.push(ask());
        first.connections_accepted(at_first).await;
        second.connections_accepted(at_second).await;
    }
    assert_eq!((first.accepted(), second.accepted()), (3, 3));
    asked.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn unless_it_is_asked_for_no_name_is_resolved_but_for_a_dial() {
    let names = Changing::new(&["127.0.0.1"]);
    let (_first, _second, url) = two_servers(always(ok("1")), always(ok("2")));
    let transport = Transport::builder()
        .resolver(names.clone())
        .build()
        .unwrap();
    exchange(&transport, get(&url)).await.unwrap();
    names.set(Ok(ips(&["127.0.0.2"])));
    let (_, info) = exchange(&transport, get(&url)).await.unwrap();
    assert!(info.reused);
    assert!(matches!(info.peer, PeerAddr::Tcp(peer) if peer.ip() == ips(&["127.0.0.1"])[0]));
    assert_eq!(names.asked(), 1);
}

/// With the last connection, and with the Transport, the questions end.
#[tokio::test]
async fn a_name_without_connections_is_not_asked_for() {
    let names = Changing::new(&["127.0.0.1"]);
    let once = answer("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    let (_first, _second, url) = two_servers(once.close(), always(ok("2")));
    let transport = following(names.clone()).build().unwrap();
    exchange(&transport, get(&url)).await.unwrap();
    let others = Changing::new(&["127.0.0.1"]);
    let other = following(others.clone()).build().unwrap();
    exchange(&other, get(&url)).await.unwrap();
    // A second passes twice for somebody who is still asked.
    let (_third, _fourth, kept_url) = two_servers(always(ok("1")), always(ok("2")));
    let kept = Changing::new(&["127.0.0.1"]);
    let keeps = following(kept.clone()).build().unwrap();
    exchange(&keeps, get(&kept_url)).await.unwrap();
    drop(other);
    kept.asked_again().await;
    kept.asked_again().await;
    assert_eq!((names.asked(), others.asked()), (1, 1));
}

/// Asks again and again; how often.
#[cfg(feature = "hickory")]
pub(crate) async fn ask_until(stop: Gate, transport: Transport, url: String) -> u64 {
    let mut sum = 0;
    while !stop.is_open() {
        let asked = exchange(&transport, get(&url)).await;
        asked.expect("no request fails");
        sum += 1;
    }
    sum
}

/// The whole of it, with real questions: a name moves while it is asked for all the time.
#[cfg(feature = "hickory")]
#[tokio::test]
async fn a_name_that_moves_under_load_loses_no_request() {
    use std::time::Instant;

    use keepline::net::Hickory;
    use keepline_testkit::dns::{Answer, NameServer};

    let at = |last| Answer::Addresses(vec![[127, 0, 0, last].into()]);
    let names = NameServer::start(1, at(1));
    let (first, second, url) = two_servers(always(ok("1")), always(ok("2")));
    let resolver = Hickory::with_servers(&[names.addr()]).unwrap();
    let transport = Transport::builder()
        .resolver(resolver)
        .follow_dns(Duration::from_secs(30))
        .build()
        .unwrap();
    let stop = Gate::new("stop");
    let workers =
        (0..8).map(|_| tokio::spawn(ask_until(stop.clone(), transport.clone(), url.clone())));
    let workers: Vec<_> = workers.collect();
    until("requests at the first address", || {
        (first.accepted() > 0).then_some(())
    })
    .await;
    let mut left_before = 0;
    for (left, last) in [(&first, 2), (&second, 1)] {
        let moved = Instant::now();
        names.set(at(last));
        until(
            "the end of all connections to the address that is gone",
            || {
                let closed = stats(&transport).closed.total();
                (closed == left_before + left.accepted() as u64).then_some(())
            },
        )
        .await;
        let took = moved.elapsed();
        assert!(took < Duration::from_secs(2), "TTL and a second: {took:?}");
        left_before = stats(&transport).closed.total();
    }
    stop.open();
    let mut requests = 0;
    for worker in workers {
        requests += worker.await.expect("no request fails");
    }
    assert!(requests > 100, "{requests}");
    let closed: Vec<_> = stats(&transport).closed.iter().collect();
    assert!(
        closed
            .iter()
            .all(|(reason, _)| *reason == CloseReason::DnsChanged),
        "{closed:?}"
    );
    let opened = opened(&transport);
    assert!(
        opened.iter().any(|x| x.0 == OpenReason::DnsChanged),
        "{opened:?}"
    );
}

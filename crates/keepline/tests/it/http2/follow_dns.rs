//! Sessions follow the addresses of their names: those at addresses that are gone start no further
//! stream, finish those that are open, and close.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::server::Builder;
use http::Response;
use keepline::{CloseReason, OpenReason, Transport};
use keepline_testkit::{Gate, within};

use super::support::{Server, get, prior, say};
use crate::client::follow_dns::{Changing, ips};
use crate::client::support::{closed, exchange, opened, stats, text, until_closed};

/// Two servers on one port, at 127.0.0.1 and 127.0.0.2, which answer with their number; and the URL
/// of their name. What is asked for as /slow ends when the gate opens.
async fn two_servers(gate: &Gate) -> (Server, Server, String) {
    let serve = |number: &'static str| {
        let gate = gate.clone();
        move |_, mut session: super::support::Session| {
            let gate = gate.clone();
            async move {
                while let Some(Ok((request, respond))) = session.accept().await {
                    if request.uri().path() == "/slow" {
                        tokio::spawn(answer_slowly(respond, gate.clone()));
                    } else {
                        say(respond, number);
                    }
                }
            }
        }
    };
    let first = Server::start(Builder::new(), serve("1")).await;
    let port = first.addr().port();
    // Nobody else has a reason to listen on this port of the other address.
    let at = SocketAddr::from(([127, 0, 0, 2], port));
    let second = Server::start_at(at, Builder::new(), serve("2")).await;
    (first, second, format!("http://app.test:{port}/"))
}

async fn answer_slowly(mut respond: h2::server::SendResponse<Bytes>, gate: Gate) {
    let mut content = respond.send_response(Response::new(()), false).unwrap();
    content
        .send_data(Bytes::from_static(b"slow "), false)
        .unwrap();
    gate.opened().await;
    content.send_data(Bytes::from_static(b"1"), true).unwrap();
}

fn following(names: &Changing) -> Transport {
    let builder = prior().no_proxy().resolver(names.clone());
    let builder = builder.follow_dns(Duration::from_secs(30));
    builder.build().unwrap()
}

#[tokio::test]
async fn a_session_that_rests_at_an_address_that_is_gone_is_closed() {
    let names = Changing::new(&["127.0.0.1"]);
    let (first, second, url) = two_servers(&Gate::new("unused")).await;
    let transport = following(&names);
    assert_eq!(exchange(&transport, get(&url)).await.unwrap().0, "1");
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
async fn streams_in_progress_at_an_address_that_is_gone_are_finished() {
    let gate = Gate::new("the end of the answer");
    let names = Changing::new(&["127.0.0.1"]);
    let (first, second, url) = two_servers(&gate).await;
    let transport = following(&names);
    assert_eq!(exchange(&transport, get(&url)).await.unwrap().0, "1");
    let slow = transport.send(get(&format!("{url}slow"))).await.unwrap();
    names.set(Ok(ips(&["127.0.0.2"])));
    names.asked_again().await;
    names.asked_again().await;
    // Others go to the new address meanwhile, and the old session stays for what it does.
    for _ in 0..3 {
        assert_eq!(exchange(&transport, get(&url)).await.unwrap().0, "2");
    }
    assert_eq!(stats(&transport).closed.total(), 0);
    gate.open();
    assert_eq!(text(slow.into_body()).await.unwrap(), "slow 1");
    until_closed(&transport, CloseReason::DnsChanged, 1).await;
    assert_eq!((first.accepted(), second.accepted()), (1, 1));
    assert_eq!(opened(&transport).len(), 2, "{:?}", opened(&transport));
}

#[tokio::test]
async fn an_address_that_stays_keeps_its_sessions() {
    let names = Changing::new(&["127.0.0.1"]);
    let (first, _second, url) = two_servers(&Gate::new("unused")).await;
    let transport = following(&names);
    exchange(&transport, get(&url)).await.unwrap();
    for said in [Err(()), Ok(ips(&["127.0.0.2", "127.0.0.1"]))] {
        names.set(said);
        within("two questions", async {
            names.asked_again().await;
            names.asked_again().await;
        })
        .await;
        assert!(exchange(&transport, get(&url)).await.unwrap().1.reused);
    }
    assert_eq!(closed(&transport), []);
    assert_eq!(first.accepted(), 1);
}

/// The whole of it, with real questions: a name moves while it is asked for all the time.
#[cfg(feature = "hickory")]
#[tokio::test]
async fn a_name_that_moves_under_load_loses_no_stream() {
    use keepline::net::Hickory;
    use keepline_testkit::dns::{Answer, NameServer};
    use keepline_testkit::until;

    use crate::client::follow_dns::ask_until;

    let at = |last| Answer::Addresses(vec![[127, 0, 0, last].into()]);
    let names = NameServer::start(1, at(1));
    let (first, second, url) = two_servers(&Gate::new("unused")).await;
    let builder = prior().resolver(Hickory::with_servers(&[names.addr()]).unwrap());
    let builder = builder.follow_dns(Duration::from_secs(30));
    let transport = builder.build().unwrap();
    let stop = Gate::new("stop");
    let workers =
        (0..8).map(|_| tokio::spawn(ask_until(stop.clone(), transport.clone(), url.clone())));
    let workers: Vec<_> = workers.collect();
    until("requests at the first address", || {
        (first.accepted() > 0).then_some(())
    })
    .await;
    for (left, last) in [(&first, 2), (&second, 1)] {
        let before = stats(&transport).closed.total();
        names.set(at(last));
        until("the end of the session at the address that is gone", || {
            (stats(&transport).closed.total() > before).then_some(())
        })
        .await;
        assert!(left.accepted() > 0);
    }
    stop.open();
    let mut requests = 0;
    for worker in workers {
        requests += worker.await.expect("no request fails");
    }
    assert!(requests > 100, "{requests}");
    let reasons: Vec<_> = closed(&transport).into_iter().map(|x| x.0).collect();
    assert_eq!(reasons, [CloseReason::DnsChanged]);
}

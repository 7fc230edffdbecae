//! Requests that are dropped wherever they stand: they leave no place in a queue, no dial that is
//! counted, no connection that nobody holds.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use keepline::net::Stream;
use keepline::{CloseReason, Transport};
use keepline_testkit::peer::{Ending, Peer, Script};
use keepline_testkit::sockets::{Sockets, State};
use keepline_testkit::{Gate, until, within};
use tokio::net::TcpStream;

use super::support::{
    always, answer, chunked, closed, exchange, fetch, frame, gated, get, head, ok, request, stats,
    text, until_waiting,
};

/// Polls a future at most so often, whether it is woken or not, then drops it.
async fn polled_at_most<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let polled = future.as_mut().poll(cx).map(Some);
        if polled.is_pending() {
            cx.waker().wake_by_ref();
        }
        polled
    })
    .await
}

#[tokio::test]
async fn dropped_while_it_waits_for_the_head_it_costs_its_connection() {
    let peer = Peer::start_each([Script::new().expect_head().hold(), always(ok("x"))]);
    let transport = Transport::default();
    let sending = tokio::spawn({
        let (transport, asked) = (transport.clone(), get(&peer.url("/")));
        async move { transport.send(asked).await }
    });
    peer.heads_received(0, 1).await;
    sending.abort();
    assert_eq!(peer.connection_closed(0).await, Ending::ClientClosed);
    assert_eq!(closed(&transport), [(CloseReason::Cancelled, 1)]);
    let (_, info) = fetch(&transport, &peer).await.unwrap();
    assert_eq!(info.open_reason, keepline::OpenReason::Failed);
}

/// The connection is back in the pool before the reader has the end: what is dropped then is not
/// the next one's.
#[tokio::test]
async fn dropped_after_the_end_it_costs_nothing() {
    let peer = Peer::start(always(chunked("x")));
    let transport = Transport::default();
    let mut first = head(&transport, &peer).await.into_body();
    while frame(&mut first).await.is_some() {}
    let second = head(&transport, &peer).await;
    drop(first);
    assert_eq!(text(second.into_body()).await.unwrap(), "x");
    assert_eq!((peer.accepted(), stats(&transport).idle), (1, 1));
}

/// Go: CancelRequestWhenSharingConnection.
#[tokio::test]
async fn a_waiter_that_gives_up_does_no_harm_to_the_others() {
    let gate = Gate::new("further dials");
    let peer = Peer::start(always(chunked("x")));
    let (transport, _) = gated(&gate, &peer, 1);
    let busy = transport.send(get("http://a/")).await.unwrap();
    let waiters: Vec<_> = (0..10)
        .map(|_| {
            let transport = transport.clone();
            tokio::spawn(async move { exchange(&transport, get("http://a/")).await.unwrap().0 })
        })
        .collect();
    until_waiting(&transport, 10).await;
    for waiter in waiters.iter().step_by(2) {
        waiter.abort();
    }
    until_waiting(&transport, 5).await;
    text(busy.into_body()).await.unwrap();
    for (number, waiter) in waiters.into_iter().enumerate() {
        let served = within("a waiter", waiter).await;
        assert_eq!(served.is_ok(), number % 2 == 1);
    }
    gate.open();
}

/// Go: TransportPoolCancelRequestWithDisableKeepAlives. Where nothing is kept, nor is what came late.
#[tokio::test]
async fn without_reuse_a_dial_that_outlives_its_request_is_closed() {
    let gate = Gate::new("the dial");
    let peer = Peer::start(always(ok("x")));
    let (opened, addr) = (gate.clone(), peer.addr());
    let builder = Transport::builder().connector(move |_| {
        let gate = opened.clone();
        async move {
            gate.opened().await;
            TcpStream::connect(addr).await.map(Stream::from)
        }
    });
    let transport = builder.max_idle(0).build().unwrap();
    let cancelled = tokio::spawn({
        let transport = transport.clone();
        async move { transport.send(get("http://a/")).await }
    });
    until_waiting(&transport, 1).await;
    cancelled.abort();
    assert!(cancelled.await.is_err());
    gate.open();
    until("the end of its dial", || {
        let now = stats(&transport);
        ((now.dialling, now.open()) == (0, 0)).then_some(())
    })
    .await;
    let ending = within("the end", peer.connection_closed(0)).await;
    assert_eq!(ending, Ending::ClientClosed);
    let (_, info) = exchange(&transport, get("http://a/")).await.unwrap();
    assert!(!info.reused);
    assert_eq!(stats(&transport).idle, 0);
}

/// The dial of a request that was dropped serves the next one.
#[tokio::test]
async fn a_dial_outlives_its_request() {
    let gate = Gate::new("the second dial");
    let peer = Peer::start(always(chunked("x")));
    let (transport, dials) = gated(&gate, &peer, 64);
    let busy = transport.send(get("http://a/")).await.unwrap();
    let cancelled = tokio::spawn({
        let transport = transport.clone();
        async move { transport.send(get("http://a/")).await }
    });
    until_waiting(&transport, 1).await;
    cancelled.abort();
    assert!(cancelled.await.is_err());
    assert_eq!(
        (stats(&transport).waiting, stats(&transport).dialling),
        (0, 1)
    );
    gate.open();
    until("the end of its dial", || {
        (stats(&transport).idle == 1).then_some(())
    })
    .await;
    let (_, info) = exchange(&transport, get("http://a/")).await.unwrap();
    assert_eq!((info.id, info.reused), (2, false));
    assert_eq!(dials.load(Ordering::Relaxed), 2);
    drop(busy);
}

/// A small generator, so that a failure can be repeated: the seed is in the message.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }
}

/// Requests of all kinds, each dropped after a random number of polls, many at once. In the end
/// nothing waits, dials or is busy, the counts add up, and the Transport works.
///
/// 10,000 of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_cancels_leave_nothing_behind() {
    const COUNT: u64 = 10_000;
    let peers = Arc::new([
        Peer::start(always(ok("right"))),
        Peer::start(always(chunked("right"))),
        Peer::start(answer(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nright",
        )),
        Peer::start(answer(ok("right")).close()),
        // A body that never ends within its drain.
        Peer::start(answer("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nright").hold()),
    ]);
    let transport = Transport::builder()
        .max_dials_per_key(2)
        .max_idle_per_key(3)
        .drain(1000, Duration::from_millis(1))
        .build()
        .unwrap();
    let workers: Vec<_> = (1..=20)
        .map(|seed| {
            let (transport, peers) = (transport.clone(), peers.clone());
            tokio::spawn(async move {
                let mut random = Random(seed);
                for _ in 0..COUNT / 20 {
                    let number = random.below(peers.len() as u64) as usize;
                    let url = peers[number].url("/");
                    let asked = match random.below(3) {
                        0 => request("POST", &url, ()),
                        _ => get(&url),
                    };
                    let polls = random.below(60) as usize;
                    let sent = polled_at_most(polls, transport.send(asked)).await;
                    let Some(Ok(response)) = sent else { continue };
                    let read = random.below(20) as usize;
                    let body = response.into_body();
                    // A failure may be a race that a POST lost; a wrong content may not be.
                    if let Some(Ok(content)) = polled_at_most(read, body.bytes(100)).await {
                        assert_eq!(content, "right", "seed {seed}");
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    until("nothing to be left", || {
        let stats = transport.stats();
        (stats.busy + stats.waiting + stats.dialling == 0).then_some(())
    })
    .await;
    stats(&transport);
    assert_eq!(fetch(&transport, &peers[0]).await.unwrap().0, "right");
    within("the end", transport.shutdown()).await;
    let end = stats(&transport);
    assert_eq!((end.open(), end.opened.total()), (0, end.closed.total()));
    for peer in &*peers {
        let to_peer = Sockets::to_port(peer.addr().port());
        to_peer.in_state(State::Established).until(0).await;
    }
}

/// At every single await point of one request, in turn, with the response in pieces.
#[tokio::test]
async fn a_cancel_at_each_step_leaves_nothing_behind() {
    let wire = chunked("right");
    for polls in 0..120 {
        let script = Script::new().expect_head().send_split_each(&wire, 1);
        let peer = Peer::start(Script::new().repeat_forever(script));
        let transport = Transport::default();
        let whole = async {
            let response = transport.send(get(&peer.url("/"))).await.unwrap();
            text(response.into_body()).await.unwrap()
        };
        if let Some(body) = polled_at_most(polls, whole).await {
            assert_eq!(body, "right");
        }
        assert_eq!(
            fetch(&transport, &peer).await.unwrap().0,
            "right",
            "{polls} polls"
        );
        within("the end", transport.shutdown()).await;
        assert_eq!(
            (stats(&transport).open(), stats(&transport).dialling),
            (0, 0)
        );
    }
}

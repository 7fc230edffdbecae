//! The race with a server that closes idle connections (RFC 9112 §9.3.1): requests that are sent
//! within 10 ms of its idle timeout, before and after, and at the same instant in every order.

use std::time::Duration;

use keepline::{Body, Transport};
use tokio::time::sleep;

use super::support::{Far, Pipes, exchange, get, ok, request, stats};

/// The idle timeout of the server.
const IDLE: Duration = Duration::from_secs(5);
const RACES: u64 = 10_000;

/// Numbers that look random, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % below
    }
}

async fn steps(count: u64) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

/// Answers a request, stays idle for its time, then closes, whatever has arrived. Answers how many
/// bytes came after the first request. `reads_last`: it takes in a request before it closes.
async fn close_when_idle(mut far: Far, lag: u64, reads_last: bool) -> usize {
    far.read_head().await;
    far.send(ok("first")).await;
    sleep(IDLE).await;
    steps(lag).await;
    let early = if reads_last {
        let mut none = std::pin::pin!(far.read_head());
        let polled = polled_once(&mut none).await;
        polled.map_or(0, |head| head.len())
    } else {
        0
    };
    far.half_close().await;
    let (rest, _) = far.read_to_end().await;
    early + rest.len()
}

/// What a future has now, if anything.
async fn polled_once<F: Future>(future: &mut std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match future.as_mut().poll(cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

/// A Transport with one connection, and when its server closes that.
async fn raced(
    random: &mut Random,
) -> (Transport, Pipes, tokio::task::JoinHandle<usize>, Duration) {
    let (builder, mut pipes) = Pipes::new(1 << 12);
    let transport = builder.idle_timeout(None).build().unwrap();
    let first = tokio::spawn({
        let transport = transport.clone();
        async move { exchange(&transport, get("http://a/first")).await.unwrap() }
    });
    let far = pipes.accept().await;
    let server = close_when_idle(far, random.below(6), random.below(2) == 0);
    let server = tokio::spawn(server);
    first.await.unwrap();
    // From 10 ms before to 10 ms after.
    let pause = IDLE - Duration::from_millis(10) + Duration::from_millis(random.below(21));
    (transport, pipes, server, pause)
}

/// Serves all further connections for ever.
fn serve(mut pipes: Pipes) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let mut far = pipes.accept().await;
            let head = far.read_head().await;
            if head.starts_with("POST") {
                far.read_exactly("content".len()).await;
            }
            far.send(ok("second")).await;
            // It stays open: whoever opened it closes it.
            tokio::spawn(async move { far.read_to_end().await });
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_get_never_fails_however_close_it_is_to_the_idle_timeout() {
    let mut random = Random(1);
    let (mut retried, mut unused) = (0, 0);
    for race in 0..RACES {
        let (transport, pipes, server, pause) = raced(&mut random).await;
        let others = serve(pipes);
        sleep(pause).await;
        steps(random.below(6)).await;
        let answer = exchange(&transport, get("http://a/second")).await;
        let (body, info) = answer.unwrap_or_else(|error| panic!("race {race}: {error}"));
        assert_eq!((body.as_str(), info.id), ("second", 2), "race {race}");
        let stats = stats(&transport);
        assert!(stats.retries <= 1 && stats.opened.total() == 2, "{stats:?}");
        retried += stats.retries;
        unused += 1 - stats.retries;
        others.abort();
        drop(transport);
        server.await.unwrap();
    }
    // It was a race: both sides have won it often.
    assert!(
        retried > RACES / 10 && unused > RACES / 10,
        "{retried} retried, {unused} not"
    );
}

/// A POST that cannot be made again fails if any of it was written, and its error says how much:
/// exactly what the server finds.
#[tokio::test(start_paused = true)]
async fn a_post_fails_with_the_truth_about_what_was_written() {
    let mut random = Random(2);
    let (mut failed, mut answered) = (0, 0);
    for race in 0..RACES {
        let (transport, pipes, server, pause) = raced(&mut random).await;
        let others = serve(pipes);
        sleep(pause).await;
        steps(random.below(6)).await;
        let content: Body = match random.below(2) {
            0 => "content".into(),
            _ => Body::new(http_body_util::Full::new(bytes::Bytes::from_static(
                b"content",
            ))),
        };
        let answer = exchange(&transport, request("POST", "http://a/second", content)).await;
        let opened = stats(&transport).opened.total();
        drop(transport);
        let arrived = server.await.unwrap();
        match answer {
            Ok((body, info)) => {
                answered += 1;
                assert_eq!(
                    (body.as_str(), info.id, arrived),
                    ("second", 2, 0),
                    "race {race}"
                );
            }
            Err(error) => {
                failed += 1;
                let info = error.connection().expect("it had one");
                assert!(error.is_closed_early(), "race {race}: {error}");
                assert_eq!(
                    (info.id, info.reused, opened),
                    (1, true, 1),
                    "race {race}: {error}"
                );
                assert_eq!(info.bytes_written, arrived as u64, "race {race}: {error}");
                assert_eq!(info.bytes_read, 0);
            }
        }
        others.abort();
    }
    assert!(
        failed > RACES / 10 && answered > RACES / 10,
        "{failed} failed, {answered} not"
    );
}

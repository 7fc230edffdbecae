//! The load of a round: clients of every kind, each in a task.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::asked::{Asked, Size};
use super::tally::Tally;
use super::wire::{Trouble, Wire};
use super::{rude, typed};
use crate::dice::Dice;

/// A round of the load.
#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) number: u64,
    pub(super) plain: u16,
    pub(super) tls: u16,
    pub(super) ends: Instant,
    pub(super) tally: Arc<Tally>,
}

impl Round {
    /// Plays it to its end; all of its connections are closed then.
    pub(super) async fn play(&self) {
        let mut clients = JoinSet::new();
        for client in 0..4 {
            self.start(&mut clients, client, keep_asking);
            self.start(&mut clients, client + 10, pipeline);
            self.start(&mut clients, client + 20, read_slowly);
            self.start(&mut clients, client + 30, write_slowly);
            self.start(&mut clients, client + 40, half_close);
            self.start(&mut clients, client + 50, rude::leave);
            self.start(&mut clients, client + 60, rude::send_garbage);
            self.start(&mut clients, client + 70, rest);
        }
        clients.spawn(typed::ask(self.clone(), typed::Speaks::Tls));
        clients.spawn(typed::ask(self.clone(), typed::Speaks::Http2OverTls));
        clients.spawn(typed::ask(self.clone(), typed::Speaks::Http2));
        while let Some(ended) = clients.join_next().await {
            ended.expect("no client panics");
        }
    }

    fn start<F>(
        &self,
        clients: &mut JoinSet<()>,
        client: u64,
        behave: impl Fn(Self, Dice) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), Trouble>> + Send,
    {
        let round = self.clone();
        let mut dice = Dice::new(self.number * 1000 + client);
        clients.spawn(async move {
            while round.goes_on() {
                let dice = Dice::new(dice.throw());
                match behave(round.clone(), dice).await {
                    Ok(()) => {}
                    Err(Trouble::Lost(lost)) => {
                        round
                            .tally
                            .note_lost(lost.idle, &format!("HTTP/1.1: {lost}"));
                    }
                    Err(trouble @ (Trouble::Refused | Trouble::Wrong(_))) => {
                        round.tally.note_wrong(format!("{trouble:?}"));
                        // Not as fast as it can.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        });
    }

    pub(super) fn goes_on(&self) -> bool {
        Instant::now() < self.ends
    }

    pub(super) fn check(&self, asked: &Asked, answer: &super::wire::Answer) -> Result<(), Trouble> {
        asked.check(answer).map_err(Trouble::Wrong)?;
        self.tally.right(1);
        Ok(())
    }
}

/// One request after the other, on a connection until that is closed.
async fn keep_asking(round: Round, mut dice: Dice) -> Result<(), Trouble> {
    let mut wire = Wire::connect(round.plain).await?;
    while round.goes_on() {
        let asked = Asked::thrown(&mut dice, Size::Any);
        wire.send(&asked.bytes(&mut dice)).await;
        let answer = wire.answer().await?;
        round.check(&asked, &answer)?;
        if answer.says_close {
            return wire.ended().await;
        }
    }
    Ok(())
}

/// Batches of requests.
async fn pipeline(round: Round, mut dice: Dice) -> Result<(), Trouble> {
    let mut wire = Wire::connect(round.plain).await?;
    while round.goes_on() {
        let batch: Vec<_> = (0..2 + dice.below(15))
            .map(|_| Asked::thrown(&mut dice, Size::Small))
            .collect();
        let bytes: Vec<_> = batch
            .iter()
            .flat_map(|asked| asked.bytes(&mut dice))
            .collect();
        wire.send(&bytes).await;
        for asked in &batch {
            let answer = wire.answer().await?;
            round.check(asked, &answer)?;
            if answer.says_close {
                return wire.ended().await;
            }
        }
    }
    Ok(())
}

/// Large answers that are read in small pieces, with a pause before each.
async fn read_slowly(round: Round, mut dice: Dice) -> Result<(), Trouble> {
    let mut wire = Wire::connect(round.plain).await?;
    wire.pace = Some((Duration::from_millis(2), 16 * 1024));
    let asked = Asked::lines(20_000 + dice.below(40_000), "slow".to_owned());
    wire.send(&asked.bytes(&mut dice)).await;
    let answer = wire.answer().await?;
    round.check(&asked, &answer)
}

/// Requests that come in small pieces, with a pause before each.
async fn write_slowly(round: Round, mut dice: Dice) -> Result<(), Trouble> {
    let mut wire = Wire::connect(round.plain).await?;
    let asked = Asked::thrown(&mut dice, Size::Small);
    let bytes = asked.bytes(&mut dice);
    for piece in bytes.chunks(1 + bytes.len() / 40) {
        wire.send(piece).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let answer = wire.answer().await?;
    round.check(&asked, &answer)
}

/// Some requests and a FIN: what came whole is answered.
async fn half_close(round: Round, mut dice: Dice) -> Result<(), Trouble> {
    let mut wire = Wire::connect(round.plain).await?;
    let batch = [(); 3].map(|()| Asked::thrown(&mut dice, Size::Small));
    let bytes: Vec<_> = batch
        .iter()
        .flat_map(|asked| asked.bytes(&mut dice))
        .collect();
    wire.send(&bytes).await;
    let _ = wire.stream.shutdown().await;
    for asked in &batch {
        let answer = wire.answer().await?;
        round.check(asked, &answer)?;
    }
    wire.ended().await
}

/// One request, and then nothing until the server closes.
async fn rest(round: Round, mut dice: Dice) -> Result<(), Trouble> {
    let mut wire = Wire::connect(round.plain).await?;
    let asked = Asked::thrown(&mut dice, Size::Small);
    wire.send(&asked.bytes(&mut dice)).await;
    let answer = wire.answer().await?;
    round.check(&asked, &answer)?;
    tokio::select! {
        ended = wire.ended() => ended,
        () = tokio::time::sleep_until(round.ends) => Ok(()),
    }
}

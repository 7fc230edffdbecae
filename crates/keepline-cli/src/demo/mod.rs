//! `keepline demo`.
use crate::failure::{Stop, Verdict};
use crate::output::Screen;

/// demo
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Verdict, Stop> {
    let _ = (args, screen);
    Ok(Verdict::AllWell)
}

//! What the programs of the bench share, so that they differ only in what is measured: the
//! command line, the body that is served and checked, and the tally of a load.

mod answer;
mod dials;
mod load;
mod serve;
mod tally;

pub use answer::{ExpectedBody, HELLO, body, last_response, response};
pub use dials::{CountDials, Dials};
pub use load::{Amount, Load, origin};
pub use serve::Serve;
pub use tally::{Recorder, Summary};

//! Where a request belongs: path, virtual server, location. Pure functions over the configuration.

mod locations;
mod map;
mod names;
mod path;

pub(crate) use locations::Locations;
pub(crate) use map::MapRows;
pub(crate) use names::Names;
pub(crate) use path::{InvalidTarget, TargetParts, Text, append_escaped, parse_target};

//! A reverse proxy that reads nginx.conf, with one pool of upstream connections for all workers.
//!
//! Being built: nothing is public yet.

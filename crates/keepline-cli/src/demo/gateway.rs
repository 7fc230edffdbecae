//! The demo's gateway: the one of `keepline proxy`, between the client and the origin.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use keepline_gateway::Gateway as Running;
use keepline_gateway::conf::Document;
use keepline_gateway::config::{Config, ListenAddress};
use keepline_gateway::process::Options;

use super::place::Place;
use crate::failure::Failure;

/// Behind one of these paths the connections to the origin are kept, behind the other they are not: nginx keeps those of
/// `upstream` blocks alone.
pub(crate) const KEPT: &str = "/kept/";
pub(crate) const NOT_KEPT: &str = "/not-kept/";

/// A gateway in threads of this process; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Gateway {
    running: Option<Running>,
    place: Place,
}

/// What it runs, with the address of the origin for `@`.
const CONFIGURATION: &str = "
daemon off;
error_log stderr crit;
events {}
http {
    access_log off;
    upstream origin {
        server @;
        keepalive 8;
    }
    server {
        listen 127.0.0.1:1;
        location /kept/     { proxy_pass http://origin/; }
        location /not-kept/ { proxy_pass http://@/; }
    }
}
";

impl Gateway {
    pub(crate) fn start(origin: &Place) -> Result<Self, Failure> {
        let text = CONFIGURATION.replace('@', &origin.address.to_string());
        let document = Document::of_text(&text, &Options::default().paths());
        let document = document.map_err(|errors| failed(&errors))?;
        let mut config = document.into_config();
        listen_anywhere(&mut config);
        let running = Running::start(&config).map_err(|error| failed(&error))?;
        let address = running.addresses().first().copied();
        let address = address.ok_or_else(|| Failure::new("the demo's gateway has no address"))?;
        Ok(Self {
            running: Some(running),
            place: Place {
                address,
                trust: None,
            },
        })
    }

    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }
}

/// Whatever port is free: the language has no notation for that.
fn listen_anywhere(config: &mut Config) {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    for server in config.http.iter_mut().flat_map(|http| &mut http.servers) {
        for listen in &mut Arc::make_mut(server).listen {
            listen.address = ListenAddress::Inet(any_port);
        }
    }
}

fn failed(error: &impl std::fmt::Display) -> Failure {
    Failure::new(format!("the gateway of the demo: {error}"))
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
            // What it says is of no use to anybody any more.
            let _ = running.join();
        }
    }
}

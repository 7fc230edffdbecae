//! The table of states: every triple, the fixed point of the couplings, and the page about both.

use std::fmt::Write as _;

use super::generated::assert_page;
use crate::state::{Coupling, EventKind, Pair, Role, State, next, settle};

use EventKind as E;
use State as S;

/// Every transition there is; what is not here is a protocol error.
const TRANSITIONS: [(Role, State, EventKind, State); 18] = [
    (Role::Client, S::Idle, E::Request, S::SendBody),
    (Role::Client, S::Idle, E::Close, S::Closed),
    (Role::Client, S::SendBody, E::Data, S::SendBody),
    (Role::Client, S::SendBody, E::End, S::Done),
    (Role::Client, S::Done, E::Close, S::Closed),
    (Role::Client, S::MustClose, E::Close, S::Closed),
    (Role::Client, S::Closed, E::Close, S::Closed),
    (Role::Server, S::Idle, E::RequestSeen, S::SendResponse),
    (Role::Server, S::Idle, E::Response, S::SendBody),
    (Role::Server, S::Idle, E::Close, S::Closed),
    (Role::Server, S::SendResponse, E::Interim, S::SendResponse),
    (Role::Server, S::SendResponse, E::Response, S::SendBody),
    (Role::Server, S::SendResponse, E::Switch, S::Switched),
    (Role::Server, S::SendBody, E::Data, S::SendBody),
    (Role::Server, S::SendBody, E::End, S::Done),
    (Role::Server, S::Done, E::Close, S::Closed),
    (Role::Server, S::MustClose, E::Close, S::Closed),
    (Role::Server, S::Closed, E::Close, S::Closed),
];

const COUPLINGS: [Coupling; 4] = [
    coupling(false, false),
    coupling(true, false),
    coupling(false, true),
    coupling(true, true),
];

const fn coupling(closing: bool, switch_asked: bool) -> Coupling {
    Coupling {
        closing,
        switch_asked,
    }
}

fn pairs() -> impl Iterator<Item = Pair> {
    State::ALL
        .into_iter()
        .flat_map(|client| State::ALL.map(|server| Pair { client, server }))
}

#[test]
fn every_triple_is_in_the_table_or_an_error() {
    let mut checked = 0;
    for role in Role::ALL {
        for state in State::ALL {
            for event in EventKind::ALL {
                let expected = TRANSITIONS
                    .iter()
                    .find(|row| (row.0, row.1, row.2) == (role, state, event))
                    .map(|row| row.3);
                assert_eq!(
                    next(role, state, event),
                    expected,
                    "{role:?} {state:?} {event:?}"
                );
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 2 * 9 * 8);
}

#[test]
fn settling_reaches_a_fixed_point_for_all_pairs_and_couplings() {
    for pair in pairs() {
        for coupling in COUPLINGS {
            let once = settle(pair, coupling);
            assert_eq!(settle(once, coupling), once, "{pair:?} {coupling:?}");
        }
    }
}

#[test]
fn settling_never_interrupts_a_message_nor_brings_a_closed_side_back() {
    let stays = [
        S::SendResponse,
        S::SendBody,
        S::MustClose,
        S::Closed,
        S::Switched,
        S::Error,
    ];
    for pair in pairs() {
        for coupling in COUPLINGS {
            let settled = settle(pair, coupling);
            for (before, after) in [(pair.client, settled.client), (pair.server, settled.server)] {
                if stays.contains(&before) {
                    assert_eq!(before, after, "{pair:?} {coupling:?}");
                }
            }
        }
    }
}

#[test]
fn couplings_do_what_they_are_for() {
    let none = coupling(false, false);
    let closing = coupling(true, false);
    let switch = coupling(false, true);
    for (client, server, coupling, expected) in [
        // A persistent exchange that is over waits for the next.
        (S::Done, S::Done, none, (S::Done, S::Done)),
        (S::Done, S::Done, closing, (S::MustClose, S::MustClose)),
        (S::Done, S::SendBody, closing, (S::MustClose, S::SendBody)),
        (S::SendBody, S::Done, closing, (S::SendBody, S::MustClose)),
        // A last request may still be sent, saying so.
        (S::Idle, S::Idle, closing, (S::Idle, S::Idle)),
        (
            S::Idle,
            S::SendResponse,
            closing,
            (S::Idle, S::SendResponse),
        ),
        // … but not after the answer that said "close" has begun.
        (S::Idle, S::SendBody, closing, (S::MustClose, S::SendBody)),
        (S::Idle, S::Done, closing, (S::MustClose, S::MustClose)),
        // The peer is gone.
        (S::Idle, S::Closed, none, (S::MustClose, S::Closed)),
        (S::Done, S::Error, none, (S::MustClose, S::Error)),
        (S::MightSwitch, S::Closed, switch, (S::MustClose, S::Closed)),
        (S::Closed, S::Idle, none, (S::Closed, S::MustClose)),
        (S::Closed, S::Done, none, (S::Closed, S::MustClose)),
        (
            S::Closed,
            S::SendResponse,
            none,
            (S::Closed, S::SendResponse),
        ),
        // A malformed request is answered before the connection is closed.
        (S::Error, S::Idle, closing, (S::Error, S::Idle)),
        (S::Error, S::Done, closing, (S::Error, S::MustClose)),
        // Switching.
        (
            S::Done,
            S::SendResponse,
            switch,
            (S::MightSwitch, S::SendResponse),
        ),
        (
            S::MightSwitch,
            S::Switched,
            switch,
            (S::Switched, S::Switched),
        ),
        (S::MightSwitch, S::SendBody, none, (S::Done, S::SendBody)),
        (
            S::MightSwitch,
            S::Done,
            closing,
            (S::MustClose, S::MustClose),
        ),
    ] {
        let settled = settle(Pair { client, server }, coupling);
        assert_eq!(
            (settled.client, settled.server),
            expected,
            "{client:?} {server:?} {coupling:?}"
        );
    }
}

#[test]
fn the_page_about_states_is_up_to_date() {
    assert_page("connection-states.md", &page());
}

fn page() -> String {
    let mut page = String::from(
        "# The states of a connection

<!-- Written by a test from `keepline_proto::state`. To change it, change the code, then run
     KEEPLINE_BLESS=1 cargo test -p keepline-proto -->

Each side of a connection is in one state. [`state.rs`](../crates/keepline-proto/src/state.rs) has
the reasons; this page has the whole table. It is the same for both roles: what a client sends is
what a server receives.
",
    );
    for role in Role::ALL {
        diagram(&mut page, role);
        transitions(&mut page, role);
    }
    couplings(&mut page);
    page
}

fn diagram(page: &mut String, role: Role) {
    let _ = write!(
        page,
        "\n## {role:?}\n\n```mermaid\nstateDiagram-v2\n    [*] --> Idle\n"
    );
    for state in State::ALL {
        for event in EventKind::ALL {
            if let Some(after) = next(role, state, event) {
                let _ = writeln!(page, "    {state:?} --> {after:?}: {event:?}");
            }
        }
    }
    page.push_str("```\n");
}

fn transitions(page: &mut String, role: Role) {
    page.push_str("\nState after an event; an empty cell is a protocol error.\n\n| |");
    for event in EventKind::ALL {
        let _ = write!(page, " {event:?} |");
    }
    page.push_str("\n|---|");
    page.push_str(&"---|".repeat(EventKind::ALL.len()));
    for state in State::ALL {
        let _ = write!(page, "\n| **{state:?}** |");
        for event in EventKind::ALL {
            match next(role, state, event) {
                Some(after) => {
                    let _ = write!(page, " {after:?} |");
                }
                None => page.push_str(" |"),
            }
        }
    }
    page.push('\n');
}

fn couplings(page: &mut String) {
    page.push_str(
        "
## Couplings

After each event these are applied until nothing changes. *Closing*: the connection is known to
carry no further exchange. *Switch asked*: the request asked for another protocol (Upgrade or
CONNECT) and has not been answered. Pairs that are not listed stay as they are.

| client | server | when | client becomes | server becomes |
|---|---|---|---|---|
",
    );
    for pair in pairs() {
        let mut outcomes: Vec<(Pair, Vec<usize>)> = Vec::new();
        for (index, coupling) in COUPLINGS.into_iter().enumerate() {
            let settled = settle(pair, coupling);
            match outcomes.iter_mut().find(|known| known.0 == settled) {
                Some(known) => known.1.push(index),
                None => outcomes.push((settled, vec![index])),
            }
        }
        for (settled, when) in outcomes {
            if settled != pair {
                let _ = writeln!(
                    page,
                    "| {:?} | {:?} | {} | {} | {} |",
                    pair.client,
                    pair.server,
                    condition(&when),
                    change(pair.client, settled.client),
                    change(pair.server, settled.server),
                );
            }
        }
    }
}

fn change(before: State, after: State) -> String {
    if before == after {
        String::new()
    } else {
        format!("{after:?}")
    }
}

/// In words, for which of [`COUPLINGS`] this happens.
fn condition(when: &[usize]) -> &'static str {
    match when {
        [0, 1, 2, 3] => "always",
        [1, 3] => "closing",
        [2, 3] => "switch asked",
        [0, 1] => "no switch asked",
        [0, 2] => "not closing",
        [1] => "closing, no switch asked",
        [2] => "switch asked, not closing",
        [1, 2, 3] => "closing or switch asked",
        [3] => "closing and switch asked",
        _ => unreachable!("{when:?}"),
    }
}

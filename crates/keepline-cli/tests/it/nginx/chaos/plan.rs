//! What each request asks for, and what may come back: all of it follows from the request's token,
//! so that neither side needs to tell the other.

use crate::dice::Dice;

/// What a backend does with a request. Its name is a part of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// None: a length.
    Length,
    /// None: chunks of odd sizes, in odd segments.
    Chunks,
    /// None: the content ends with the connection.
    UntilClose,
    /// None: the last response on the connection, and says so.
    SaysClose,
    /// None: as an HTTP/1.0 server.
    Http10,
    /// None: 103 before the response.
    EarlyHints,
    /// None: an answer without content.
    NoContent,
    /// The connection ends without a word when the request is there.
    CloseUnanswered,
    /// The same by a reset.
    ResetUnanswered,
    /// The connection ends after a response that doesn't say so: just when it is given back.
    CloseAfter,
    /// The same by a reset.
    ResetAfter,
    ResetInContent,
    CloseInContent,
    CloseInChunks,
    CloseInHead,
    /// Another, complete response in the same segment.
    SecondResponse,
    /// The same behind a response without content.
    ContentAfterNone,
    /// More content than the length says.
    TooLong,
    BadChunk,
    LengthAndChunks,
    TwoLengths,
    NoStatusLine,
    /// The response comes before the request's content is read.
    BeforeContent,
    Stall,
}

/// In an order in which each is as good as the next; a stall costs time, and is rare.
const FAULTS: [(Fault, &str); 24] = [
    (Fault::Length, "length"),
    (Fault::Chunks, "chunks"),
    (Fault::UntilClose, "until-close"),
    (Fault::SaysClose, "says-close"),
    (Fault::Http10, "http10"),
    (Fault::EarlyHints, "early-hints"),
    (Fault::NoContent, "no-content"),
    (Fault::CloseUnanswered, "close-unanswered"),
    (Fault::ResetUnanswered, "reset-unanswered"),
    (Fault::CloseAfter, "close-after"),
    (Fault::ResetAfter, "reset-after"),
    (Fault::ResetInContent, "reset-in-content"),
    (Fault::CloseInContent, "close-in-content"),
    (Fault::CloseInChunks, "close-in-chunks"),
    (Fault::CloseInHead, "close-in-head"),
    (Fault::SecondResponse, "second-response"),
    (Fault::ContentAfterNone, "content-after-none"),
    (Fault::TooLong, "too-long"),
    (Fault::BadChunk, "bad-chunk"),
    (Fault::LengthAndChunks, "length-and-chunks"),
    (Fault::TwoLengths, "two-lengths"),
    (Fault::NoStatusLine, "no-status-line"),
    (Fault::BeforeContent, "before-content"),
    (Fault::Stall, "stall"),
];

/// How many of the first are none.
const HARMLESS: usize = 7;

impl Fault {
    pub(super) fn name(self) -> &'static str {
        let found = FAULTS.iter().find(|(fault, _)| *fault == self);
        found.expect("each has a name").1
    }

    pub(super) fn by_name(name: &str) -> Option<Self> {
        let found = FAULTS.iter().find(|(_, known)| *known == name);
        found.map(|(fault, _)| *fault)
    }

    /// Half of the requests meet none, so that there are connections to spoil.
    pub(super) fn thrown(dice: &mut Dice) -> Self {
        match dice.below(200) {
            0 => Self::Stall,
            1..=120 => FAULTS[dice.below(HARMLESS)].0,
            _ => FAULTS[HARMLESS + dice.below(FAULTS.len() - HARMLESS - 1)].0,
        }
    }

    pub(super) fn is_harmless(self) -> bool {
        FAULTS[..HARMLESS].iter().any(|(fault, _)| *fault == self)
    }
}

/// The number of a request, which no other has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token(pub(super) u64);

/// How many bytes a token is written with.
const LENGTH: usize = 17;

impl Token {
    /// So that no token has much in common with the next.
    pub(super) fn text(self) -> String {
        format!("t{:016x}", self.scattered())
    }

    fn scattered(self) -> u64 {
        self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('t').filter(|_| text.len() == LENGTH)?;
        let scattered = u64::from_str_radix(digits, 16).ok()?;
        // The inverse of the odd number above, modulo 2^64.
        Some(Self(scattered.wrapping_mul(0xF1DE_83E1_9937_733D)))
    }

    /// The content of the response: some are larger than any buffer on the way.
    pub(super) fn content(self) -> Vec<u8> {
        let times = match self.scattered() >> 58 {
            0 => 6000,
            1 => 241,
            few => few % 8,
        };
        self.text()
            .repeat(times.try_into().expect("it is small"))
            .into_bytes()
    }

    /// The content of the request.
    pub(super) fn upload(self) -> Vec<u8> {
        let times = match (self.scattered() >> 52) & 63 {
            0 => 3000,
            few => few % 5,
        };
        self.text()
            .repeat(times.try_into().expect("it is small"))
            .into_bytes()
    }
}

#[test]
fn tokens_are_read_as_they_are_written() {
    for number in [0, 1, 77, u64::MAX] {
        assert_eq!(Token::parse(&Token(number).text()), Some(Token(number)));
    }
    assert_eq!(Token::parse("t00"), None);
}

#[test]
fn faults_are_found_by_their_names() {
    for (fault, name) in FAULTS {
        assert_eq!(fault.name(), name);
        assert_eq!(Fault::by_name(name), Some(fault));
    }
}

//! Where a head ends: all that the testkit knows about HTTP.

/// The length of the head at the start of `bytes`, with its empty line.
#[must_use]
pub fn length(bytes: &[u8]) -> Option<usize> {
    const EMPTY_LINE: &[u8] = b"\r\n\r\n";
    bytes
        .windows(EMPTY_LINE.len())
        .position(|window| window == EMPTY_LINE)
        .map(|start| start + EMPTY_LINE.len())
}

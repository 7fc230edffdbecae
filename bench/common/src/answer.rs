//! The one answer that all servers of the bench give, and its check.

/// The text that bodies are made of; by itself the 13-byte answer.
pub const HELLO: &[u8] = b"Hello, World!";

/// A body of `length` bytes: [`HELLO`] over and over, cut to size.
pub fn body(length: usize) -> Vec<u8> {
    HELLO.iter().copied().cycle().take(length).collect()
}

/// A whole HTTP/1.1 response with a body of `length` bytes.
pub fn response(length: usize) -> Vec<u8> {
    response_with("", length)
}

/// The same, as the last one of its connection.
pub fn last_response(length: usize) -> Vec<u8> {
    response_with("Connection: close\r\n", length)
}

fn response_with(field: &str, length: usize) -> Vec<u8> {
    let mut response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n{field}\r\n"
    )
    .into_bytes();
    response.extend(body(length));
    response
}

/// Compares a body with the expected one while it arrives in pieces.
#[derive(Clone, Debug)]
pub struct ExpectedBody {
    whole: std::sync::Arc<[u8]>,
    seen: usize,
}

impl ExpectedBody {
    pub fn of_length(length: usize) -> Self {
        Self {
            whole: body(length).into(),
            seen: 0,
        }
    }

    /// A check of one more body; shares the expected bytes.
    pub fn restarted(&self) -> Self {
        Self {
            whole: self.whole.clone(),
            seen: 0,
        }
    }

    pub fn piece(&mut self, piece: &[u8]) -> Result<(), String> {
        let end = self.seen + piece.len();
        if self.whole.get(self.seen..end) != Some(piece) {
            return Err(format!("wrong body after {} bytes", self.seen));
        }
        self.seen = end;
        Ok(())
    }

    pub fn end(&self) -> Result<(), String> {
        if self.seen == self.whole.len() {
            Ok(())
        } else {
            Err(format!(
                "body of {} bytes, expected {}",
                self.seen,
                self.whole.len()
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_pieces_is_accepted_and_a_wrong_one_refused() {
        let expected = ExpectedBody::of_length(30);
        let sent = body(30);
        let mut whole = expected.restarted();
        sent.chunks(7)
            .try_for_each(|piece| whole.piece(piece))
            .unwrap();
        whole.end().unwrap();

        let mut short = expected.restarted();
        short.piece(&sent[..29]).unwrap();
        assert!(short.end().is_err());
        assert!(short.piece(b"?").is_err());
        assert!(expected.restarted().piece(&body(31)).is_err());
    }
}

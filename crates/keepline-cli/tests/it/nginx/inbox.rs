//! Heads and contents from a stream, for both sides: as literal as can be.

use std::io;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) start: String,
    fields: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value)
    }
}

impl Inbox {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    /// `false` at the end.
    async fn more(&mut self) -> io::Result<bool> {
        Ok(self.stream.read_buf(&mut self.unread).await? > 0)
    }

    /// Nothing if the connection ends before the head does.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        let length = loop {
            let end = self.unread.windows(4).position(|four| four == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None if !self.more().await? => return Ok(None),
                None => {}
            }
        };
        let text = String::from_utf8_lossy(&self.unread[..length]).into_owned();
        self.unread.drain(..length);
        let mut lines = text.lines();
        let start = lines.next().unwrap_or_default().to_owned();
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let fields = lines.filter_map(field).collect();
        Ok(Some(Head { start, fields }))
    }

    /// What is there, without waiting for more.
    pub(crate) fn take_unread(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unread)
    }

    async fn take(&mut self, count: usize, to: &mut Vec<u8>) -> io::Result<bool> {
        while self.unread.len() < count {
            if !self.more().await? {
                to.append(&mut self.unread);
                return Ok(false);
            }
        }
        to.extend(self.unread.drain(..count));
        Ok(true)
    }

    async fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            if !self.more().await? {
                return Ok(None);
            }
        }
    }
}

/// Content that was read, and whether it is all.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_whole: bool,
}

/// The content of a request; nothing if it is cut.
pub(crate) async fn content(
    inbox: &mut Inbox,
    head: &Head,
    until_close: bool,
) -> io::Result<Option<Vec<u8>>> {
    let content = content_or_part(inbox, head, until_close).await?;
    Ok(content.is_whole.then_some(content.bytes))
}

/// As much of the content as there is. A reset is an end like any other.
pub(crate) async fn content_or_part(
    inbox: &mut Inbox,
    head: &Head,
    until_close: bool,
) -> io::Result<Content> {
    let mut content = Content::default();
    let read = read_content(inbox, head, until_close, &mut content.bytes).await;
    content.is_whole = match read {
        Ok(is_whole) => is_whole,
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => false,
        Err(error) => return Err(error),
    };
    Ok(content)
}

async fn read_content(
    inbox: &mut Inbox,
    head: &Head,
    until_close: bool,
    bytes: &mut Vec<u8>,
) -> io::Result<bool> {
    if head.field("transfer-encoding").is_some() {
        return read_chunks(inbox, bytes).await;
    }
    match head
        .field("content-length")
        .and_then(|length| length.parse().ok())
    {
        Some(length) => inbox.take(length, bytes).await,
        None if until_close => {
            while inbox.more().await? {}
            bytes.append(&mut inbox.unread);
            Ok(true)
        }
        None => Ok(true),
    }
}

async fn read_chunks(inbox: &mut Inbox, bytes: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        let Some(line) = inbox.line().await? else {
            return Ok(false);
        };
        let Ok(size) = usize::from_str_radix(&line, 16) else {
            bytes.extend(line.into_bytes());
            return Ok(false);
        };
        if size > 0 && !inbox.take(size, bytes).await? {
            return Ok(false);
        }
        match inbox.line().await? {
            Some(line) if line.is_empty() => {}
            _ => return Ok(false),
        }
        if size == 0 {
            return Ok(true);
        }
    }
}

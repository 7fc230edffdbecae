//! `stub_status`: the connections of the process, in four lines.

use keepline::Error;

use super::Serving;
use super::reply::Ready;
use crate::answer::Answer;

impl Serving<'_, '_, '_> {
    /// Answers with the counts; only GET and HEAD may ask.
    pub(super) async fn send_stub_status(&mut self) -> Result<Option<Answer>, Error> {
        if !matches!(self.method().as_str(), "GET" | "HEAD") {
            return Ok(Some(Answer::Status(405)));
        }
        let clients = self.request.live.clients();
        let text = format!(
            "Active connections: {} \nserver accepts handled requests\n {} {} {} \n\
             Reading: {} Writing: {} Waiting: {} \n",
            clients.active,
            clients.accepted,
            clients.accepted,
            clients.requests,
            clients.reading,
            clients.writing,
            clients.waiting,
        );
        self.request.sent.status = 200;
        let ready = Ready {
            status: 200,
            kind: Some(b"text/plain"),
            location: None,
            content: text.into(),
        };
        self.send_ready(ready).await?;
        Ok(None)
    }
}

//! Static files: where they are, and how they are sent.
//!
//! Files are opened and read as nginx does it, in the worker: what is in the page cache costs no
//! thread, and a slow disk delays the worker.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::time::SystemTime;

use bytes::Bytes;
use http::StatusCode;
use keepline::Error;
use keepline::proto::{BodyLength, Field};

use super::Serving;
use super::conditional::{self, Outcome, Validators};
use crate::answer::Answer;
use crate::config::Level;
use crate::route::{Text, append_escaped};

/// How much of a file is read at a time.
const CHUNK: usize = 64 * 1024;

impl Serving<'_, '_, '_> {
    /// Answers with the file that the path names. `None`: it has been sent.
    pub(super) async fn send_file(&mut self) -> Result<Option<Answer>, Error> {
        if !matches!(self.method().as_str(), "GET" | "HEAD") {
            // nginx knows files to read only; POST among the others is 405 too.
            return Ok(Some(Answer::Status(405)));
        }
        let target = self.exchange.head().target();
        if self.request.subject.path(target).ends_with(b"/") {
            return Ok(Some(match self.index() {
                Ok(()) => Answer::Again,
                Err(answer) => answer,
            }));
        }
        let path = self.filename();
        let (file, found) = match open(&path) {
            Ok(opened) => opened,
            Err(error) => return Ok(Some(self.not_served(&path, &error))),
        };
        if found.is_dir() {
            return Ok(Some(self.to_directory()));
        }
        if !found.is_file() {
            return Ok(Some(Answer::Status(404)));
        }
        self.send_opened(&file, &found).await
    }

    /// Looks for an index file in the directory of the path, and makes it the path.
    fn index(&mut self) -> Result<(), Answer> {
        let indices = &self.request.scope.settings.index;
        for index in indices {
            let name = self.view().value(index);
            let mut path = if name.starts_with(b"/") {
                Vec::new()
            } else {
                self.request
                    .subject
                    .path(self.exchange.head().target())
                    .to_vec()
            };
            path.extend_from_slice(&name);
            if self.try_path(&path, false).is_some() {
                let subject = &mut self.request.subject;
                subject.path = Text::Owned(path);
                (subject.is_as_sent, subject.is_internal) = (false, true);
                return Ok(());
            }
        }
        let path = self.filename();
        if std::fs::metadata(&path).is_ok_and(|found| found.is_dir()) {
            self.complain(
                Level::Error,
                None,
                format_args!("directory index of \"{}\" is forbidden", path.display()),
            );
            return Err(Answer::Status(403));
        }
        let error = io::Error::from_raw_os_error(2);
        Err(self.not_served(&path, &error))
    }

    /// What exists below root or alias under this path: `true` is a directory. `None` if it is not
    /// what is looked for.
    pub(super) fn try_path(&self, path: &[u8], wants_directory: bool) -> Option<bool> {
        let mut name = Vec::new();
        let settings = &self.request.scope.settings;
        match &settings.alias {
            Some(alias) => {
                self.view().append(alias, &mut name);
                let matched = self.request.matched_length();
                name.extend_from_slice(path.get(matched..).unwrap_or_default());
            }
            None => {
                self.view().append(&settings.root, &mut name);
                name.extend_from_slice(path);
            }
        }
        let found = std::fs::metadata(PathBuf::from(std::ffi::OsString::from_vec(name))).ok()?;
        (found.is_dir() == wants_directory).then_some(wants_directory)
    }

    fn filename(&self) -> PathBuf {
        let mut name = Vec::new();
        self.view().append_filename(&mut name);
        PathBuf::from(std::ffi::OsString::from_vec(name))
    }

    /// The redirect to the directory's own path.
    fn to_directory(&self) -> Answer {
        let target = self.exchange.head().target();
        let mut url = Vec::new();
        append_escaped(self.request.subject.path(target), &mut url);
        url.push(b'/');
        let args = self.request.subject.args(target);
        if !args.is_empty() {
            url.push(b'?');
            url.extend_from_slice(args);
        }
        Answer::Redirect { status: 301, url }
    }

    /// What is answered for a file that cannot be opened.
    fn not_served(&self, path: &std::path::Path, error: &io::Error) -> Answer {
        let status = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => 404,
            io::ErrorKind::PermissionDenied => 403,
            _ if error.raw_os_error() == Some(36) => 404,
            _ => 500,
        };
        if status != 404 || self.request.scope.settings.log_not_found {
            let code = error.raw_os_error().unwrap_or(0);
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            self.complain(
                Level::Error,
                None,
                format_args!("open() \"{}\" failed ({code}: {text})", path.display()),
            );
        }
        Answer::Status(status)
    }

    /// Sends a file that is open: all of it, a range, or only that it has not changed.
    async fn send_opened(
        &mut self,
        file: &File,
        found: &Metadata,
    ) -> Result<Option<Answer>, Error> {
        let modified = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let settings = &self.request.scope.settings;
        let seconds = u64::try_from(found.mtime()).unwrap_or(0);
        let etag = format!("\"{seconds:x}-{:x}\"", found.len());
        let validators = Validators {
            etag: settings.etag.then_some(&*etag),
            modified: seconds,
            length: found.len(),
        };
        let is_plain = self.request.overriding_status.is_none();
        let outcome = if is_plain {
            conditional::decide(self.exchange.head().fields(), validators)
        } else {
            Outcome::Whole
        };
        let (status, start, length) = match outcome {
            Outcome::Whole => (200, 0, found.len()),
            Outcome::Part { start, end } => (206, start, end - start),
            Outcome::NotModified => (304, 0, 0),
            Outcome::Failed => return Ok(Some(Answer::Status(412))),
            Outcome::NotSatisfiable => return Ok(Some(Answer::Status(416))),
        };
        let status = self.request.overriding_status.unwrap_or(status);
        self.send_file_head(status, start, length, modified, &etag, found.len())?;
        if self.exchange.head().method() != http::Method::HEAD && length > 0 {
            self.send_content(file, start, length).await?;
        }
        self.exchange.send_end(None)?;
        self.request.sent.is_complete = true;
        Ok(None)
    }

    fn send_file_head(
        &mut self,
        status: u16,
        start: u64,
        length: u64,
        modified: SystemTime,
        etag: &str,
        whole: u64,
    ) -> Result<(), Error> {
        self.exchange.abandon_content();
        let settings = &self.request.scope.settings;
        let target = self.exchange.head().target();
        let kind = media_type(self.request.subject.path(target), settings);
        let date = httpdate::fmt_http_date(modified);
        let range = format!(
            "bytes {start}-{}/{whole}",
            (start + length).saturating_sub(1)
        );
        let added = self.added(status, Some(modified));
        let has_type = status != 304;
        let fields = [Field::new(b"Server", self.server_field().as_bytes())?]
            .into_iter()
            .chain(has_type.then_some(Field::new(b"Content-Type", kind.as_bytes())?))
            .chain([Field::new(b"Last-Modified", date.as_bytes())?])
            .chain(
                settings
                    .etag
                    .then_some(Field::new(b"ETag", etag.as_bytes())?),
            )
            .chain((status == 206).then_some(Field::new(b"Content-Range", range.as_bytes())?))
            .chain((status == 200).then_some(Field::new(b"Accept-Ranges", b"bytes")?))
            .chain(added.fields());
        let body = BodyLength::Known(length);
        self.request.sent.status = status;
        self.request
            .sent
            .record(self.request.plan, fields.clone(), body);
        let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self.exchange.send_head(code, fields, body)
    }

    async fn send_content(&mut self, file: &File, start: u64, length: u64) -> Result<(), Error> {
        let mut sent = 0;
        while sent < length {
            self.pace().await?;
            self.exchange.ready().await?;
            let size = usize::try_from(length - sent).unwrap_or(CHUNK).min(CHUNK);
            let mut chunk = vec![0; size];
            // A file that has become shorter cuts the answer short, and the client sees it.
            file.read_exact_at(&mut chunk, start + sent)?;
            sent += size as u64;
            self.request.sent.content += size as u64;
            self.exchange.send_piece(Bytes::from(chunk))?;
        }
        Ok(())
    }
}

fn open(path: &std::path::Path) -> io::Result<(File, Metadata)> {
    // A pipe would block the worker until somebody writes to it.
    let found = std::fs::metadata(path)?;
    if !found.is_file() && !found.is_dir() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let file = File::open(path)?;
    let found = file.metadata()?;
    Ok((file, found))
}

/// The media type of the extension.
fn media_type<'s>(path: &[u8], settings: &'s crate::config::Settings) -> &'s str {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let extension = name.iter().rposition(|&byte| byte == b'.');
    let extension = extension.and_then(|dot| std::str::from_utf8(&name[dot + 1..]).ok());
    let kind = extension.and_then(|extension| {
        let folded = extension.to_ascii_lowercase();
        settings.types.0.get(&*folded)
    });
    kind.map_or(&*settings.default_type, |kind| kind)
}

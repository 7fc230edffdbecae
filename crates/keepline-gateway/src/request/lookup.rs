//! The values of variables that are named after a field, an argument or a cookie.

use keepline::proto::Fields;

use super::append::{append_number, append_some};
use super::evaluate::View;
use super::fields::is_field;

impl View<'_> {
    /// The first field of the request with this name, in the spelling of variables.
    pub(super) fn field(&self, name: &str) -> Option<&[u8]> {
        first(self.head.fields(), name)
    }

    /// All values of a field, as nginx joins them.
    pub(super) fn joined(&self, name: &str, out: &mut Vec<u8>) -> bool {
        let separator: &[u8] = if name == "cookie" { b"; " } else { b", " };
        let fields = self.head.fields().iter();
        let values = fields.filter(|field| is_field(field.name(), name));
        append_joined(values.map(|field| field.value()), separator, out)
    }

    pub(super) fn argument(&self, name: &str) -> Option<&[u8]> {
        let args = self.request.subject.args(self.head.target());
        let mut pairs = args.split(|&byte| byte == b'&');
        pairs.find_map(|pair| value_of(pair, name))
    }

    pub(super) fn cookie(&self, name: &str) -> Option<&[u8]> {
        let fields = self.head.fields().iter();
        fields
            .filter(|field| field.is("cookie"))
            .flat_map(|field| field.value().split(|&byte| byte == b';'))
            .find_map(|pair| value_of(pair.trim_ascii(), name))
    }

    pub(super) fn upstream_cookie(&self, name: &str) -> Option<&[u8]> {
        let mut fields = self.request.answer.as_ref()?.fields().iter();
        fields.find_map(|field| {
            let pair = field.is("set-cookie").then(|| field.value())?;
            let pair = pair.split(|&byte| byte == b';').next()?;
            value_of(pair.trim_ascii(), name)
        })
    }

    /// The user name of Basic credentials, which may be wrong: nobody has checked them.
    pub(super) fn remote_user(&self) -> Option<Vec<u8>> {
        let value = self.field("authorization")?;
        let (scheme, encoded) = value.split_at_checked(6)?;
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return None;
        }
        let decoded = super::base64::decode(encoded.trim_ascii())?;
        let end = decoded.iter().position(|&byte| byte == b':')?;
        Some(decoded[..end].to_vec())
    }

    /// What the connection was told of its future.
    fn sent_connection(&self) -> &'static [u8] {
        match &self.request.sent {
            sent if sent.status == 101 => b"upgrade",
            sent if sent.is_kept => b"keep-alive",
            _ => b"close",
        }
    }

    /// What an answer has been sent with, as nginx joins the values of a field.
    pub(super) fn sent(&self, name: &str, out: &mut Vec<u8>) -> bool {
        let sent = &self.request.sent;
        match name {
            "connection" if sent.status != 0 => {
                return append_some(Some(self.sent_connection()), out);
            }
            "keep_alive" if sent.is_kept => {
                let plan = self.request.plan;
                let Some(seconds) = plan.and_then(|plan| plan.terms.told_idle_seconds) else {
                    return false;
                };
                out.extend_from_slice(b"timeout=");
                append_number(seconds, out);
                return true;
            }
            _ => {}
        }
        let fields = self.request.sent.fields.iter();
        let values = fields.filter(|(field, _)| is_field(field, name));
        append_joined(values.map(|(_, value)| &value[..]), b", ", out)
    }
}

/// The value of the first field with this name, in the spelling of variables.
pub(super) fn first<'f>(fields: &'f Fields, name: &str) -> Option<&'f [u8]> {
    let mut fields = fields.iter();
    let field = fields.find(|field| is_field(field.name(), name))?;
    Some(field.value())
}

/// The value of `name=value`, if it has this name.
fn value_of<'p>(pair: &'p [u8], name: &str) -> Option<&'p [u8]> {
    let equals = pair.iter().position(|&byte| byte == b'=')?;
    let is_it = pair[..equals].eq_ignore_ascii_case(name.as_bytes());
    is_it.then(|| &pair[equals + 1..])
}

fn append_joined<'v>(
    values: impl Iterator<Item = &'v [u8]>,
    separator: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    let mut is_first = true;
    for value in values {
        if !std::mem::take(&mut is_first) {
            out.extend_from_slice(separator);
        }
        out.extend_from_slice(value);
    }
    !is_first
}

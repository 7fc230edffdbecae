//! Fields of an upstream's answer whose values are rewritten for the client: `proxy_redirect` and
//! `proxy_cookie_*`.

use keepline::proto::{Field, ResponseHead};

use super::Serving;
use crate::config::{CookieFlags, CookieRewrite, Redirect, Template, TemplateRule};
use crate::request::{Captures, View};

/// The new values, by the places of their fields in the head. Most answers have none.
#[derive(Debug, Default)]
pub(super) struct Rewritten(Vec<(usize, Vec<u8>)>);

impl Rewritten {
    /// The field in this place, as it goes on.
    pub(super) fn field<'a>(&'a self, place: usize, field: Field<'a>) -> Field<'a> {
        let found = self.0.iter().find(|(known, _)| *known == place);
        // What cannot be a value is not written over one that is.
        let new = found.and_then(|(_, value)| Field::new(field.name(), value).ok());
        new.unwrap_or(field)
    }
}

impl Serving<'_, '_, '_> {
    /// What the scope has rewritten of an answer.
    pub(super) fn rewritten(&self, head: &ResponseHead) -> Rewritten {
        let proxy = &self.request.scope.proxy;
        let has_cookies = !proxy.cookie_domains.is_empty()
            || !proxy.cookie_paths.is_empty()
            || !proxy.cookie_flags.is_empty();
        let mut rewritten = Rewritten::default();
        if proxy.redirects.is_empty() && !has_cookies {
            return rewritten;
        }
        let view = self.view();
        for (place, field) in head.fields().iter().enumerate() {
            let new = if field.is("location") {
                redirect(&proxy.redirects, field.value(), view).map(|url| self.absolute(url))
            } else if field.is("refresh") {
                refresh(&proxy.redirects, field.value(), view)
            } else if has_cookies && field.is("set-cookie") {
                let rules = (
                    &*proxy.cookie_domains,
                    &*proxy.cookie_paths,
                    &*proxy.cookie_flags,
                );
                cookie(rules, field.value(), view)
            } else {
                None
            };
            rewritten.0.extend(new.map(|value| (place, value)));
        }
        rewritten
    }
}

/// By the first rule that fits. A text is replaced where the value begins with it, an expression
/// replaces the whole.
fn redirect(rules: &[Redirect], value: &[u8], view: View<'_>) -> Option<Vec<u8>> {
    rules
        .iter()
        .find_map(|rule| replaced(&rule.from, &rule.to, value, view))
}

/// `5; url=http://…`: what stands behind `url=`.
fn refresh(rules: &[Redirect], value: &[u8], view: View<'_>) -> Option<Vec<u8>> {
    let folded = value.to_ascii_lowercase();
    let at = memchr::memmem::find(&folded, b"url=")? + 4;
    let url = redirect(rules, &value[at..], view)?;
    Some([&value[..at], &url].concat())
}

fn replaced(from: &TemplateRule, to: &Template, value: &[u8], view: View<'_>) -> Option<Vec<u8>> {
    match from {
        TemplateRule::Text(text) => {
            let rest = value.strip_prefix(&*view.value(text))?;
            let mut new = view.value(to);
            new.extend_from_slice(rest);
            Some(new)
        }
        TemplateRule::Regex(pattern) => {
            let captures = Captures::of(pattern, value)?;
            let mut new = Vec::new();
            view.append_with(to, pattern, &captures, &mut new);
            Some(new)
        }
    }
}

/// An attribute of a cookie, the first being its name and value.
struct Attribute {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

type CookieRules<'a> = (&'a [CookieRewrite], &'a [CookieRewrite], &'a [CookieFlags]);

fn cookie(rules: CookieRules<'_>, value: &[u8], view: View<'_>) -> Option<Vec<u8>> {
    let (domains, paths, flags) = rules;
    let mut attributes: Vec<_> = value.split(|byte| *byte == b';').map(attribute).collect();
    let (name, rest) = attributes.split_first_mut()?;
    let mut is_changed = false;
    for attribute in rest.iter_mut() {
        let Some(value) = &mut attribute.value else {
            continue;
        };
        let new = if attribute.key.eq_ignore_ascii_case(b"domain") {
            domains.iter().find_map(|rule| domain(rule, value, view))
        } else if attribute.key.eq_ignore_ascii_case(b"path") {
            let path = |rule: &CookieRewrite| replaced(&rule.from, &rule.to, value, view);
            paths.iter().find_map(path)
        } else {
            None
        };
        if let Some(new) = new {
            *value = new;
            is_changed = true;
        }
    }
    let flags = flags
        .iter()
        .find(|flags| is_named(&flags.cookie, &name.key, view));
    if let Some(flags) = flags {
        set_flags(flags, &mut attributes);
        is_changed = true;
    }
    is_changed.then(|| written(&attributes))
}

fn attribute(text: &[u8]) -> Attribute {
    let text = text.trim_ascii();
    match memchr::memchr(b'=', text) {
        Some(at) => Attribute {
            key: text[..at].trim_ascii_end().to_vec(),
            value: Some(text[at + 1..].trim_ascii_start().to_vec()),
        },
        None => Attribute {
            key: text.to_vec(),
            value: None,
        },
    }
}

fn written(attributes: &[Attribute]) -> Vec<u8> {
    let mut out = Vec::new();
    for Attribute { key, value } in attributes {
        if !out.is_empty() {
            out.extend_from_slice(b"; ");
        }
        out.extend_from_slice(key);
        if let Some(value) = value {
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
    out
}

/// The whole domain, ignoring case and a dot at its begin.
fn domain(rule: &CookieRewrite, value: &[u8], view: View<'_>) -> Option<Vec<u8>> {
    let TemplateRule::Text(text) = &rule.from else {
        return replaced(&rule.from, &rule.to, value, view);
    };
    let bare = |domain: &[u8]| domain.strip_prefix(b".").unwrap_or(domain).to_vec();
    let is_same = bare(&view.value(text)).eq_ignore_ascii_case(&bare(value));
    is_same.then(|| view.value(&rule.to))
}

fn is_named(rule: &TemplateRule, name: &[u8], view: View<'_>) -> bool {
    match rule {
        TemplateRule::Text(text) => view.value(text).eq_ignore_ascii_case(name),
        TemplateRule::Regex(pattern) => pattern.is_match(name),
    }
}

fn set_flags(flags: &CookieFlags, attributes: &mut Vec<Attribute>) {
    let mut set = |name: &str, value: Option<&str>, is_set: bool| {
        let is_it = |attribute: &Attribute| attribute.key.eq_ignore_ascii_case(name.as_bytes());
        let known = attributes.iter().skip(1).position(is_it).map(|at| at + 1);
        let new = is_set.then(|| Attribute {
            key: name.into(),
            value: value.map(|value| value.as_bytes().to_vec()),
        });
        match (known, new) {
            (Some(at), Some(new)) if value.is_some() => attributes[at] = new,
            (Some(_), Some(_)) | (None, None) => {}
            (Some(at), None) => {
                attributes.remove(at);
            }
            (None, Some(new)) => attributes.push(new),
        }
    };
    if let Some(is_set) = flags.secure {
        set("Secure", None, is_set);
    }
    if let Some(is_set) = flags.http_only {
        set("HttpOnly", None, is_set);
    }
    if let Some(value) = &flags.same_site {
        set("SameSite", Some(value), !value.is_empty());
    }
}

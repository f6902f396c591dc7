//! The same bytes always: fixed bodies, in each coding, and redirections.

use http1::coding::{Accepted, Coding};
use http1::{Method, Request, Status, etag};

use crate::coding::{best, chosen, offers};
use crate::config::{Compress, RouteConfig};
use crate::fault::Fault;
use crate::fields::{Fields, is_field_value, is_token};
use crate::head::{HeadTemplate, HeadTooLong};
use crate::response::TEXT;
use crate::store::{Body, EntryId, StoreBuilder};

/// A fixed body in its variants.
#[derive(Debug)]
pub(crate) struct Fixed {
    variants: Box<[Variant]>,
    /// Codings of the variants, in their order; identity is one of them.
    offers: Box<[Coding]>,
}

#[derive(Debug)]
struct Variant {
    whole: EntryId,
    /// As in the ETag field, quotes included; the 304 is the response after `whole`.
    tag: Option<Box<str>>,
}

/// A fixed body that was checked, before its variants are made.
#[derive(Debug)]
pub(crate) struct Draft<'b> {
    status: Status,
    media_type: &'b str,
    body: &'b [u8],
    etag: Option<&'b str>,
    offers: Box<[Coding]>,
}

impl<'b> Draft<'b> {
    /// Checks a fixed route.
    pub(crate) fn check(
        plan: &RouteConfig,
        status: Status,
        media_type: &'b str,
        body: &'b [u8],
        etag: Option<&'b str>,
    ) -> Result<Self, Fault> {
        check_status(status)?;
        check_content(status, media_type, body)?;
        check_tag(status, etag)?;
        Ok(Self { status, media_type, body, etag, offers: offers(codings(plan)?)? })
    }

    /// Codes the body and plans the responses.
    pub(crate) fn plan(
        self,
        fields: &Fields,
        store: &mut StoreBuilder<'_>,
    ) -> Result<Fixed, HeadTooLong> {
        let Self { status, media_type, body, etag, offers } = self;
        let mut coded: Vec<_> = offers.iter().map(|&coding| (coding, best(coding, body))).collect();
        coded.retain(|(coding, bytes)| *coding == Coding::Identity || bytes.len() < body.len());
        let offers = coded.iter().map(|(coding, _)| *coding).collect();
        let vary = (coded.len() > 1).then_some("Accept-Encoding");
        let mut variants = Vec::new();
        for (coding, bytes) in coded {
            let tag = etag.map(|tag| format!("\"{tag}{}\"", tag_ending(coding)));
            let head =
                |status| HeadTemplate::new(status).maybe("ETag", tag.as_ref()).maybe("Vary", vary);
            let whole = head(status)
                .maybe("Content-Type", Some(media_type).filter(|_| has_content(status)))
                .maybe("Content-Encoding", (coding != Coding::Identity).then_some(coding.name()))
                .fields(fields);
            let whole = match has_content(status) {
                true => whole.field("Content-Length", bytes.len()),
                false => whole,
            };
            let whole = store.add(whole, Body::Own(bytes.into()))?;
            if tag.is_some() {
                let not_modified = head(Status::S304).fields(fields);
                let not_modified = store.add(not_modified, Body::Empty)?;
                assert_eq!(not_modified, whole.plus(1));
            }
            variants.push(Variant { whole, tag: tag.map(Into::into) });
        }
        Ok(Fixed { variants: variants.into(), offers })
    }
}

impl Fixed {
    /// The response to a request.
    pub(crate) fn serve(&self, request: &Request<'_>) -> EntryId {
        let variant = match &*self.variants {
            [only] => only,
            variants => {
                let accepted = Accepted::from_values(request.fields("accept-encoding"));
                let coding = chosen(accepted, &self.offers);
                let at = self.offers.iter().position(|&offer| offer == coding);
                &variants[at.expect("identity is offered")]
            }
        };
        //= RFC 9110 13.1.2: for GET and HEAD a match is answered 304.
        let is_read = matches!(request.method(), Method::Get | Method::Head);
        match &variant.tag {
            Some(tag) if is_read && holds(request, tag) => variant.whole.plus(1),
            _ => variant.whole,
        }
    }
}

/// Checks a redirection.
pub(crate) fn check_redirect(status: Status, location: &str) -> Result<(), Fault> {
    if !matches!(status, Status::S301 | Status::S302 | Status::S303 | Status::S307 | Status::S308) {
        let fix = "write 301, 302, 303, 307 or 308";
        let code = status.code().to_string();
        return Err(Fault::new("status", code, "this is no redirection", fix));
    }
    //= RFC 3986 2: a reference is visible ASCII without these.
    let is_foreign = |b: u8| !b.is_ascii_graphic() || b"\"<>\\^`{|}".contains(&b);
    if location.is_empty() || location.bytes().any(is_foreign) {
        let fix = "write a URL or a path, escaped: /new/place%20a";
        return Err(Fault::new("to", location, "this is no reference", fix));
    }
    Ok(())
}

/// Plans a redirection: where to, and a short text that says so.
pub(crate) fn plan_redirect(
    fields: &Fields,
    status: Status,
    location: &str,
    store: &mut StoreBuilder<'_>,
) -> Result<EntryId, HeadTooLong> {
    let text = format!("{} {}: {location}\n", status.code(), status.reason());
    let head = HeadTemplate::new(status)
        .field("Location", location)
        .field("Content-Type", TEXT)
        .fields(fields)
        .field("Content-Length", text.len());
    store.add(head, Body::Own(text.into_bytes().into()))
}

fn holds(request: &Request<'_>, tag: &str) -> bool {
    request.field("if-none-match").is_some()
        && etag::any_weak(request.fields("if-none-match"), tag.as_bytes())
}

/// Statuses that say no more than themselves.
fn check_status(status: Status) -> Result<(), Fault> {
    let (problem, fix) = match status {
        Status::S206 | Status::S304 | Status::S416 => {
            ("this answers a condition or a range", "write 200; etag and files see to conditions")
        }
        Status::S405 => ("the server says this itself", "write the methods there are"),
        _ if status.class() == 3 => ("this is a redirection", "write kind = \"redirect\""),
        _ => return Ok(()),
    };
    Err(Fault::new("status", status.code().to_string(), problem, fix))
}

fn check_content(status: Status, media_type: &str, body: &[u8]) -> Result<(), Fault> {
    if !has_content(status) && !body.is_empty() {
        let problem = "an answer of this status has no body";
        return Err(Fault::new("status", "204", problem, "leave the body out, or write 200"));
    }
    if has_content(status) && !is_media_type(media_type) {
        let fix = "write TYPE/SUBTYPE, such as text/plain; charset=utf-8";
        return Err(Fault::new("type", media_type, "this is no media type", fix));
    }
    Ok(())
}

fn check_tag(status: Status, etag: Option<&str>) -> Result<(), Fault> {
    let Some(tag) = etag else { return Ok(()) };
    if status != Status::S200 {
        let problem = "only answers of status 200 have an entity-tag here";
        return Err(Fault::new("etag", tag, problem, "leave it out, or let the status be 200"));
    }
    //= RFC 9110 8.8.3: etagc, of which we take the visible ASCII.
    if !tag.bytes().all(|b| b.is_ascii_graphic() && b != b'"') {
        let fix = "write visible ASCII, without the quotes around it";
        return Err(Fault::new("etag", tag, "this is no entity-tag", fix));
    }
    Ok(())
}

fn has_content(status: Status) -> bool {
    status != Status::S204
}

/// RFC 9110 8.3.1, parameters unchecked.
fn is_media_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let is_essence = essence.split_once('/').is_some_and(|(a, b)| is_token(a) && is_token(b));
    is_essence && is_field_value(text)
}

/// The codings of a body that is made once.
fn codings(plan: &RouteConfig) -> Result<&[Coding], Fault> {
    match &plan.compress {
        Compress::Off => Ok(&[]),
        Compress::Precomputed(codings) => Ok(codings),
        Compress::PerRequest(_) => {
            let problem = "the body is the same for every request";
            Err(Fault::new("compress", "per-request", problem, "write precomputed"))
        }
    }
}

/// What tells the tags of two codings apart (RFC 9110 8.8.3.3).
pub(crate) fn tag_ending(coding: Coding) -> &'static str {
    match coding {
        Coding::Identity => "",
        Coding::Gzip => "-gzip",
        Coding::Br => "-br",
    }
}

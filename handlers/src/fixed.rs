//! The same octets always: fixed bodies, in each coding, and redirections.

use http1::coding::{Accepted, Coding};
use http1::{Method, Request, Status, etag};

use crate::answers::TEXT;
use crate::blueprint::{Compress, RoutePlan};
use crate::coding::{best, chosen, offers};
use crate::error::PlanError;
use crate::fields::{Fields, is_field_value, is_token};
use crate::head::HeadPlan;
use crate::planner::RouteContext;
use crate::query::fault::Fault;
use crate::store::{Body, EntryId, StorePlan};

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
    /// As in the ETag field, quotes included; the 304 is the answer after `whole`.
    tag: Option<Box<str>>,
}

impl Fixed {
    /// Checks a fixed route and plans its answers.
    pub(crate) fn plan(
        cx: &RouteContext<'_>,
        status: Status,
        media_type: &str,
        body: &[u8],
        etag: Option<&str>,
        store: &mut StorePlan<'_>,
    ) -> Result<Self, PlanError> {
        check(status, media_type, body, etag)?;
        let mut coded: Vec<_> =
            offers(codings(cx.plan)?)?.iter().map(|&coding| (coding, best(coding, body))).collect();
        coded.retain(|(coding, octets)| *coding == Coding::Identity || octets.len() < body.len());
        let offers = coded.iter().map(|(coding, _)| *coding).collect();
        let vary = (coded.len() > 1).then_some("Accept-Encoding");
        let mut variants = Vec::new();
        for (coding, octets) in coded {
            let tag = etag.map(|tag| format!("\"{tag}{}\"", tag_ending(coding)));
            let head =
                |status| HeadPlan::new(status).maybe("ETag", tag.as_ref()).maybe("Vary", vary);
            let whole = head(status)
                .maybe("Content-Type", Some(media_type).filter(|_| has_content(status)))
                .maybe("Content-Encoding", (coding != Coding::Identity).then_some(coding.name()))
                .fields(cx.fields);
            let whole = match has_content(status) {
                true => whole.field("Content-Length", octets.len()),
                false => whole,
            };
            let whole = store.add(whole, Body::Own(octets.into()))?;
            if tag.is_some() {
                let not_modified = head(Status::S304).fields(cx.fields);
                let not_modified = store.add(not_modified, Body::Empty)?;
                assert_eq!(not_modified, whole.plus(1));
            }
            variants.push(Variant { whole, tag: tag.map(Into::into) });
        }
        Ok(Self { variants: variants.into(), offers })
    }

    /// The answer to a request.
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

/// A redirection: where to, and a short text that says so.
pub(crate) fn plan_redirect(
    fields: &Fields,
    status: Status,
    location: &str,
    store: &mut StorePlan<'_>,
) -> Result<EntryId, PlanError> {
    if !matches!(status, Status::S301 | Status::S302 | Status::S303 | Status::S307 | Status::S308) {
        let fix = "write 301, 302, 303, 307 or 308";
        let code = status.code().to_string();
        return Err(Fault::new("status", code, "this is no redirection", fix).into());
    }
    //= RFC 3986 2: a reference is visible ASCII without these.
    let is_foreign = |b: u8| !b.is_ascii_graphic() || b"\"<>\\^`{|}".contains(&b);
    if location.is_empty() || location.bytes().any(is_foreign) {
        let fix = "write a URL or a path, escaped: /new/place%20a";
        return Err(Fault::new("location", location, "this is no reference", fix).into());
    }
    let text = format!("{} {}: {location}\n", status.code(), status.reason());
    let head = HeadPlan::new(status)
        .field("Location", location)
        .field("Content-Type", TEXT)
        .fields(fields)
        .field("Content-Length", text.len());
    Ok(store.add(head, Body::Own(text.into_bytes().into()))?)
}

fn holds(request: &Request<'_>, tag: &str) -> bool {
    request.field("if-none-match").is_some()
        && etag::any_weak(request.fields("if-none-match"), tag.as_bytes())
}

fn check(status: Status, media_type: &str, body: &[u8], etag: Option<&str>) -> Result<(), Fault> {
    if matches!(status, Status::S206 | Status::S304) {
        let fix = "write 200; conditions are answered where there is an etag";
        let code = status.code().to_string();
        return Err(Fault::new("status", code, "this answers a condition or a range", fix));
    }
    if !has_content(status) {
        if !body.is_empty() {
            let problem = "an answer of this status has no body";
            return Err(Fault::new("status", "204", problem, "leave the body out, or write 200"));
        }
    } else if !is_media_type(media_type) {
        let fix = "write TYPE/SUBTYPE, such as text/plain; charset=utf-8";
        return Err(Fault::new("type", media_type, "this is no media type", fix));
    }
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
fn codings(plan: &RoutePlan) -> Result<&[Coding], Fault> {
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

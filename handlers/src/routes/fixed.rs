//! The same bytes always, in each coding.

use http1::coding::Coding;
use http1::{HeadAction, Method, Request, Status, etag};

use crate::build_progress::Cancelled;
use crate::coding::{best, offers, tag_ending};
use crate::config::FixedConfig;
use crate::error::{RouteErrorKind, SettingError};
use crate::fields::{is_field_value, is_token};
use crate::head::HeadTemplate;
use crate::methods::Methods;
use crate::response::Response;
use crate::route::{KindInfo, RouteContext, RouteHandler, RouteRequest};
use crate::store::{Body, EntryId, StoreBuilder};
use crate::traffic::RouteKind;
use crate::work::Work;

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

impl RouteHandler for Fixed {
    type Config = FixedConfig;

    fn info(config: &FixedConfig) -> KindInfo<'_> {
        let own_fields = config.etag.iter().map(|_| "etag").collect();
        KindInfo { own_fields, ..KindInfo::new("this kind", Methods::ANY, RouteKind::Fixed) }
    }

    fn compile<'c>(
        config: &'c FixedConfig,
        route: &mut RouteContext<'c, '_>,
        store: &mut StoreBuilder<'c>,
    ) -> Result<Self, RouteErrorKind> {
        let &FixedConfig { status, ref media_type, ref body, ref etag } = config;
        check_status(status)?;
        check_content(status, media_type, body)?;
        check_tag(status, etag.as_deref())?;
        let offers = offers(route.precomputed("the body is the same for every request")?)?;
        let made = |&coding| Ok((coding, best(coding, body, route.progress)?));
        let made = offers.iter().map(made).collect::<Result<_, Cancelled>>();
        let mut coded: Vec<_> = made?;
        route.progress.has_made(body.len());
        coded.retain(|(coding, bytes)| *coding == Coding::Identity || bytes.len() < body.len());
        let offers = coded.iter().map(|(coding, _)| *coding).collect();
        let vary = (coded.len() > 1).then_some("Accept-Encoding");
        let mut variants = Vec::new();
        for (coding, bytes) in coded {
            let tag = etag.as_ref().map(|tag| format!("\"{tag}{}\"", tag_ending(coding)));
            let head =
                |status| HeadTemplate::new(status).maybe("ETag", tag.as_ref()).maybe("Vary", vary);
            let whole = head(status)
                .maybe("Content-Type", Some(media_type).filter(|_| has_content(status)))
                .maybe("Content-Encoding", (coding != Coding::Identity).then_some(coding.name()))
                .fields(route.fields)
                .maybe("Content-Length", has_content(status).then_some(bytes.len()));
            let whole = store.add(whole, Body::Own(bytes.into()))?;
            if tag.is_some() {
                let not_modified = head(Status::S304).fields(route.fields);
                let not_modified = store.add(not_modified, Body::Empty)?;
                assert_eq!(not_modified, whole.plus(1));
            }
            variants.push(Variant { whole, tag: tag.map(Into::into) });
        }
        Ok(Self { variants: variants.into(), offers })
    }

    #[inline]
    fn serve(&self, request: &RouteRequest<'_>) -> HeadAction<Work, Response> {
        let variant = match &*self.variants {
            [only] => only,
            variants => {
                let coding = request.coding(&self.offers);
                let at = self.offers.iter().position(|&offer| offer == coding);
                &variants[at.expect("identity is offered")]
            }
        };
        let request = request.request;
        //= RFC 9110 13.1.2: for GET and HEAD a match is answered 304.
        let is_read = matches!(request.method(), Method::Get | Method::Head);
        HeadAction::Respond(Response::stored(match &variant.tag {
            Some(tag) if is_read && holds(request, tag) => variant.whole.plus(1),
            _ => variant.whole,
        }))
    }
}

fn holds(request: &Request<'_>, tag: &str) -> bool {
    request.field("if-none-match").is_some()
        && etag::any_weak(request.fields("if-none-match"), tag.as_bytes())
}

/// Statuses that say no more than themselves.
fn check_status(status: Status) -> Result<(), SettingError> {
    let (problem, fix) = match status {
        Status::S206 | Status::S304 | Status::S416 => {
            ("this answers a condition or a range", "write 200; etag and files see to conditions")
        }
        Status::S405 => ("the server says this itself", "write the methods there are"),
        _ if status.class() == 3 => ("this is a redirection", "write kind = \"redirect\""),
        _ => return Ok(()),
    };
    Err(SettingError::new("status", status.code().to_string(), problem, fix))
}

fn check_content(status: Status, media_type: &str, body: &[u8]) -> Result<(), SettingError> {
    if !has_content(status) && !body.is_empty() {
        let problem = "a response of this status has no body";
        return Err(SettingError::new(
            "status",
            "204",
            problem,
            "leave the body out, or write 200",
        ));
    }
    if has_content(status) && !is_media_type(media_type) {
        let fix = "write TYPE/SUBTYPE, such as text/plain; charset=utf-8";
        return Err(SettingError::new("type", media_type, "this is no media type", fix));
    }
    Ok(())
}

fn check_tag(status: Status, etag: Option<&str>) -> Result<(), SettingError> {
    let Some(tag) = etag else { return Ok(()) };
    if status != Status::S200 {
        let problem = "only responses of status 200 have an entity-tag here";
        let fix = "leave it out, or let the status be 200";
        return Err(SettingError::new("etag", tag, problem, fix));
    }
    //= RFC 9110 8.8.3: etagc, of which we take the visible ASCII.
    if !tag.bytes().all(|b| b.is_ascii_graphic() && b != b'"') {
        let fix = "write visible ASCII, without the quotes around it";
        return Err(SettingError::new("etag", tag, "this is no entity-tag", fix));
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

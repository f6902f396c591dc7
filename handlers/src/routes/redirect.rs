//! Redirections: where to, and a short text that says so.

use http1::{HeadAction, Status};

use crate::config::RedirectConfig;
use crate::error::{RouteErrorKind, SettingError};
use crate::head::HeadTemplate;
use crate::methods::Methods;
use crate::response::{Response, TEXT};
use crate::route::{KindInfo, RouteContext, RouteHandler, RouteRequest};
use crate::store::{Body, EntryId, StoreBuilder};
use crate::traffic::RouteKind;
use crate::work::Work;

/// A redirection.
#[derive(Debug)]
pub(crate) struct Redirect(EntryId);

impl RouteHandler for Redirect {
    type Config = RedirectConfig;

    fn info(_: &RedirectConfig) -> KindInfo<'_> {
        let info = KindInfo::new("this kind", Methods::ANY, RouteKind::Redirect);
        KindInfo { own_fields: vec!["location"], ..info }
    }

    fn compile<'c>(
        config: &'c RedirectConfig,
        route: &mut RouteContext<'c, '_>,
        store: &mut StoreBuilder<'c>,
    ) -> Result<Self, RouteErrorKind> {
        route.refuse_compression()?;
        check(config)?;
        let RedirectConfig { status, location } = config;
        let text = format!("{} {}: {location}\n", status.code(), status.reason());
        let head = HeadTemplate::new(*status)
            .field("Location", location)
            .field("Content-Type", TEXT)
            .fields(route.fields)
            .field("Content-Length", text.len());
        Ok(Self(store.add(head, Body::Own(text.into_bytes().into()))?))
    }

    #[inline]
    fn serve(&self, _: &RouteRequest<'_>) -> HeadAction<Work, Response> {
        HeadAction::Respond(Response::stored(self.0))
    }
}

fn check(RedirectConfig { status, location }: &RedirectConfig) -> Result<(), SettingError> {
    if !matches!(status, Status::S301 | Status::S302 | Status::S303 | Status::S307 | Status::S308) {
        let fix = "write 301, 302, 303, 307 or 308";
        let code = status.code().to_string();
        return Err(SettingError::new("status", code, "this is no redirection", fix));
    }
    //= RFC 3986 2: a reference is visible ASCII without these.
    let is_foreign = |b: u8| !b.is_ascii_graphic() || b"\"<>\\^`{|}".contains(&b);
    if location.is_empty() || location.bytes().any(is_foreign) {
        let fix = "write a URL or a path, escaped: /new/place%20a";
        return Err(SettingError::new("to", location, "this is no reference", fix));
    }
    Ok(())
}

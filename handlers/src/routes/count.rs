//! How many bytes of body came.

use http1::{HeadAction, Method};

use crate::error::RouteErrorKind;
use crate::methods::Methods;
use crate::response::Response;
use crate::route::{KindInfo, RouteContext, RouteHandler, RouteRequest};
use crate::store::{EntryId, StoreBuilder};
use crate::traffic::RouteKind;
use crate::work::{BodyState, Work};

use super::sum::number_head;

/// A route that counts.
#[derive(Debug)]
pub(crate) struct Count {
    /// Open at its length.
    head: EntryId,
}

impl RouteHandler for Count {
    type Config = ();

    fn info((): &()) -> KindInfo<'_> {
        let methods = Methods::POST.with(Method::Put).with(Method::Patch);
        KindInfo::new("a count of the body", methods, RouteKind::Count)
    }

    fn compile<'c>(
        (): &'c (),
        route: &mut RouteContext<'c, '_>,
        store: &mut StoreBuilder<'c>,
    ) -> Result<Self, RouteErrorKind> {
        route.refuse_compression()?;
        Ok(Self { head: number_head(route, store)? })
    }

    #[inline]
    fn serve(&self, _: &RouteRequest<'_>) -> HeadAction<Work, Response> {
        HeadAction::ReadBody(Work(BodyState::Count { head: self.head, bytes: 0 }))
    }
}

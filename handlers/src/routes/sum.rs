//! The sum of the integers of the query and, for POST, of the body.

use http1::{HeadAction, Method, Status};

use crate::error::RouteErrorKind;
use crate::head::HeadTemplate;
use crate::integer::{Integer, query_sum};
use crate::methods::Methods;
use crate::response::{Content, Response, TEXT};
use crate::route::{KindInfo, RouteContext, RouteHandler, RouteRequest};
use crate::store::{Body, EntryId, StoreBuilder};
use crate::traffic::RouteKind;
use crate::work::{BodyState, Work};

/// A route of sums.
#[derive(Debug)]
pub(crate) struct Sum {
    /// Open at its length.
    head: EntryId,
}

impl RouteHandler for Sum {
    type Config = ();

    fn info((): &()) -> KindInfo<'_> {
        KindInfo::new("a sum", Methods::GET.union(Methods::POST), RouteKind::Sum)
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
    fn serve(&self, request: &RouteRequest<'_>) -> HeadAction<Work, Response> {
        let (head, sum) = (self.head, query_sum(request.query));
        match request.request.method() {
            Method::Post => {
                let body = Integer::default();
                HeadAction::ReadBody(Work(BodyState::Sum { head, query: sum, body }))
            }
            _ => HeadAction::Respond(Response(Content::Number { head, value: sum })),
        }
    }
}

/// The head of a number, open at its length.
pub(super) fn number_head(
    route: &RouteContext<'_, '_>,
    store: &mut StoreBuilder<'_>,
) -> Result<EntryId, RouteErrorKind> {
    let head = HeadTemplate::new(Status::S200).field("Content-Type", TEXT).fields(route.fields);
    Ok(store.add(head.open_length(), Body::Empty)?)
}

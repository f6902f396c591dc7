//! The kinds of routes, one file or folder each. A new kind is a module, its variant of
//! [`Kind`](crate::config::Kind), and a line of [`kinds`].

mod count;
mod dataset;
mod files;
mod fixed;
pub mod query;
mod redirect;
mod sum;

use http1::HeadAction;

use crate::config::{Kind, RouteConfig};
use crate::error::RouteErrorKind;
use crate::response::Response;
use crate::route::{KindInfo, RouteContext, RouteHandler, RouteRequest};
use crate::store::StoreBuilder;
use crate::work::Work;
use count::Count;
pub(crate) use dataset::Dataset;
use files::Files;
use fixed::Fixed;
use query::Query;
use redirect::Redirect;
use sum::Sum;

/// One line a kind: its name, what it is compiled to, and where its configuration is.
macro_rules! kinds {
    ($($kind:ident($handler:ty): $pattern:pat => $config:expr,)*) => {
        /// A compiled route of any kind.
        #[derive(Debug)]
        pub(crate) enum Handler {
            $($kind($handler),)*
        }

        impl Handler {
            pub(crate) fn info(config: &RouteConfig) -> KindInfo<'_> {
                match &config.kind {
                    $($pattern => <$handler>::info($config),)*
                }
            }

            pub(crate) fn compile<'c>(
                route: &mut RouteContext<'c, '_>,
                store: &mut StoreBuilder<'c>,
            ) -> Result<Self, RouteErrorKind> {
                match &route.config.kind {
                    $($pattern => <$handler>::compile($config, route, store).map(Self::$kind),)*
                }
            }

            #[inline]
            pub(crate) fn serve(&self, request: &RouteRequest<'_>) -> HeadAction<Work, Response> {
                match self {
                    $(Self::$kind(handler) => handler.serve(request),)*
                }
            }
        }
    };
}

kinds! {
    Fixed(Fixed): Kind::Fixed(config) => config,
    Files(Files): Kind::Files(config) => config,
    Redirect(Redirect): Kind::Redirect(config) => config,
    Dataset(Box<Dataset>): Kind::Dataset(config) => config,
    Sum(Sum): Kind::Sum => &(),
    Count(Count): Kind::Count => &(),
    Query(Box<Query>): Kind::Query(config) => config,
}

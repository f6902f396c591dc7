//! The first items of a JSON array with computed fields, for one request.
//!
//! Plain bodies are rendered from the constant text of the items. Coded bodies are made when the site
//! is built, for every count and the multipliers that are asked for in practice; all others for each
//! request, off the data path. A body that no request changes is stored whole.

mod formula;
mod parameters;
mod read;
mod rows;
mod stored;
mod unit;

use std::cell::Cell;

use http1::coding::{Accepted, Coding};
use http1::{HeadAction, Status};

use crate::build_progress::BuildProgress;
use crate::coding::{self, chosen, offers};
use crate::config::{Compress, DatasetConfig};
use crate::error::{RouteErrorKind, SettingError};
use crate::fields::Fields;
use crate::head::HeadTemplate;
use crate::methods::Methods;
use crate::response::{Content, Cursor, RenderedResponse, Response, Values};
use crate::route::{KindInfo, RouteContext, RouteHandler, RouteRequest};
use crate::store::{Body, EntryId, StoreBuilder};
use crate::traffic::RouteKind;
use crate::values::template::{self, Hole, Piece};
use crate::work::Work;
use formula::Computed;
use parameters::Parameters;
use rows::{Rows, Sink, Whole, Window};
use stored::{Axis, Stored};

/// A data set as responses.
#[derive(Debug)]
pub(crate) struct Dataset {
    rows: Rows,
    len: usize,
    template: template::Body,
    parameters: Parameters,
    /// Codings of the responses, identity among them, in the order of preference.
    offers: Box<[Coding]>,
    stored: Stored,
    /// Open head of a rendered body, and the constant text of the items.
    rendered: EntryId,
    /// Extra fields, `Vary` among them.
    fields: Fields,
}

impl RouteHandler for Box<Dataset> {
    type Config = DatasetConfig;

    fn info(config: &DatasetConfig) -> KindInfo<'_> {
        let info = KindInfo::new("a data set", Methods::GET, RouteKind::Dataset);
        KindInfo { parameters: Some(&config.parameters), ..info }
    }

    fn compile<'c>(
        config: &'c DatasetConfig,
        route: &mut RouteContext<'c, '_>,
        store: &mut StoreBuilder<'c>,
    ) -> Result<Self, RouteErrorKind> {
        let computed = Computed::read(config)?;
        let items = read::read(&config.items, &computed)?;
        if Rows::len_max(&items, &computed) > BODY_LEN_MAX {
            let found = format!("more than {BODY_LEN_MAX} bytes of them");
            return Err(read::not_items(&config.items.name, &found));
        }
        let (rows, text) = Rows::plan(&items, &computed);
        let parameters = Parameters::compile(route, config, items.len())?;
        let template = body(config, parameters.count())?;
        check_use(config, &computed, &template, parameters.count())?;
        let (codings, per_request) = match &route.config.compress {
            Compress::Off => (&[][..], false),
            Compress::Precomputed(codings) => (codings.as_slice(), false),
            Compress::PerRequest(codings) => (codings.as_slice(), true),
        };
        let offers = offers(codings)?;
        let mut fields = route.fields.clone();
        if offers.len() > 1 {
            fields.push("Vary", "Accept-Encoding");
        }
        let is_constant = parameters.is_empty();
        let is_made = |&coding: &Coding| match coding {
            Coding::Identity => is_constant,
            _ => !per_request,
        };
        let codings: Box<[Coding]> = offers.iter().copied().filter(is_made).collect();
        let (stored, rendered) = (Stored::default(), EntryId::default());
        let len = items.len();
        let mut dataset =
            Dataset { rows, len, template, parameters, offers, stored, rendered, fields };
        if !codings.is_empty() {
            let axes = Axis::all(config, dataset.parameters.count(), len)?;
            dataset.check_size(&axes)?;
            let first = dataset.add_stored((&axes, &codings), &text, store, route.progress)?;
            dataset.stored = Stored::new(axes, codings, first);
        }
        let head = json_head(Coding::Identity, &dataset.fields).open_length();
        dataset.rendered = store.add(head, Body::Own(text.into()))?;
        route.progress.has_made(config.items.value.len());
        Ok(Self::new(dataset))
    }

    fn serve(&self, request: &RouteRequest<'_>) -> HeadAction<Work, Response> {
        let values = match self.parameters.read(request.captures(), request.query) {
            Ok(values) => values,
            Err(status) => return request.refuse(status),
        };
        let coding = request.coding(&self.offers);
        if let Some(id) = self.stored.find(values, coding) {
            return HeadAction::Respond(Response::stored(id));
        }
        if coding != Coding::Identity {
            return request.offload();
        }
        let len = u32::try_from(self.body_len(values)).expect("within BODY_LEN_MAX and a template");
        let (route, cursor) = (request.route, Cell::default());
        HeadAction::Respond(Response(Content::Rows { route, len, values, cursor }))
    }
}

impl Dataset {
    fn check_size(&self, axes: &[Axis]) -> Result<(), SettingError> {
        let all = stored::every(axes);
        let bytes: usize = all.iter().map(|&values| self.body_len(values)).sum();
        if bytes > STORED_LEN_MAX {
            let problem = format!("{} bodies of {bytes} bytes together are too many", all.len());
            let fix = "narrow the bounds of the count, or write per-request";
            return Err(SettingError::new("compress", "precomputed", problem, fix));
        }
        Ok(())
    }

    /// The entry that rendered bodies go with: their open head, and the text of the items.
    pub(crate) fn rendered(&self) -> EntryId {
        self.rendered
    }

    /// Writes what fits of a rendered body of `len` bytes, from offset `at`; returns how much. `text`
    /// is that of the items; `cursor` begins as its default, and makes parts in order cost what is
    /// written.
    pub(crate) fn render(
        &self,
        text: &[u8],
        values: Values,
        len: u32,
        cursor: &Cell<Cursor>,
        at: usize,
        out: &mut [u8],
    ) -> usize {
        if at == 0 && out.len() >= len as usize {
            let mut whole = Whole::new(out);
            self.write(text, values, &mut whole);
            whole.len()
        } else {
            let mut place = Some(cursor.get()).filter(|place| place.at as usize <= at);
            let place = place.get_or_insert_default();
            let mut window = Window::new(at, place.at, out);
            self.write_part(text, values, place, &mut window);
            cursor.set(*place);
            window.len()
        }
    }

    /// Writes the part of a body from `place` on that the window shows, and moves `place` towards its end.
    fn write_part(&self, text: &[u8], values: Values, place: &mut Cursor, window: &mut Window<'_>) {
        let count = self.items(values);
        if place.cuts == 0 {
            write_pieces(&self.template.before, count, values, window);
        }
        if self.template.rows {
            if place.cuts == 0 {
                window.put(OPEN);
            }
            self.rows.write_part(text, count, &values, place, window);
            window.put(CLOSE);
        }
        write_pieces(&self.template.after, count, values, window);
    }

    /// The values of a request whose parameters were read before.
    pub(crate) fn values<'p>(
        &self,
        captures: impl Iterator<Item = &'p [u8]>,
        query: &[u8],
    ) -> Values {
        self.parameters.read(captures, query).expect("a core has read them once")
    }

    /// Renders and codes the body of a request that was offloaded.
    pub(crate) fn compress(
        &self,
        text: &[u8],
        values: Values,
        accepted: Accepted,
    ) -> RenderedResponse {
        let body = self.to_vec(text, values);
        let coding = chosen(accepted, &self.offers);
        let coded = coding::compress(coding, &body);
        RenderedResponse::new(Status::S200, JSON, self.fields.iter(), coding, coded)
    }

    fn to_vec(&self, text: &[u8], values: Values) -> Vec<u8> {
        let mut body = vec![0; self.body_len(values)];
        self.write(text, values, &mut Whole::new(&mut body));
        body
    }

    fn items(&self, values: Values) -> usize {
        let asked = self.parameters.count().map(|at| values.0[at]);
        asked.map_or(self.len, |count| usize::try_from(count).expect("within its bounds"))
    }

    fn body_len(&self, values: Values) -> usize {
        let count = self.items(values);
        let side = |pieces: &[Piece<Hole>]| -> usize {
            let piece = |piece: &Piece<Hole>| match piece {
                Piece::Literal(bytes) => bytes.len(),
                Piece::Hole(Hole::Count) => itoa::Buffer::new().format(count).len(),
                Piece::Hole(Hole::Parameter(at)) => itoa::Buffer::new().format(values.0[*at]).len(),
            };
            pieces.iter().map(piece).sum()
        };
        let rows = match self.template.rows {
            true => OPEN.len() + self.rows.len(count, &values) + CLOSE.len(),
            false => 0,
        };
        side(&self.template.before) + rows + side(&self.template.after)
    }

    fn write(&self, text: &[u8], values: Values, sink: &mut impl Sink) {
        let count = self.items(values);
        write_pieces(&self.template.before, count, values, sink);
        if self.template.rows {
            sink.put(OPEN);
            self.rows.write(text, count, &values, sink);
            sink.put(CLOSE);
        }
        write_pieces(&self.template.after, count, values, sink);
    }

    /// Makes the bodies for all values on the axes, in these codings; returns the first.
    fn add_stored(
        &self,
        (axes, codings): (&[Axis], &[Coding]),
        text: &[u8],
        store: &mut StoreBuilder<'_>,
        progress: &BuildProgress,
    ) -> Result<EntryId, RouteErrorKind> {
        let mut first = None;
        for values in stored::every(axes) {
            let body = self.to_vec(text, values);
            for &coding in codings {
                let coded = match coding {
                    Coding::Identity => body.clone(),
                    _ if axes.is_empty() => coding::best(coding, &body, progress)?,
                    _ => coding::quick(coding, &body, progress)?,
                };
                let head = json_head(coding, &self.fields).field("Content-Length", coded.len());
                let id = store.add(head, Body::Own(coded.into()))?;
                first = first.or(Some(id));
            }
        }
        Ok(first.expect("some values, and some codings"))
    }
}

fn write_pieces(pieces: &[Piece<Hole>], count: usize, values: Values, sink: &mut impl Sink) {
    for piece in pieces {
        match piece {
            Piece::Literal(bytes) => sink.put(bytes),
            Piece::Hole(Hole::Count) => sink.put(itoa::Buffer::new().format(count).as_bytes()),
            Piece::Hole(Hole::Parameter(at)) => {
                sink.put(itoa::Buffer::new().format(values.0[*at]).as_bytes());
            }
        }
    }
}

/// The template of the body. Its `count` is the number of items, also if a parameter is called so.
fn body(config: &DatasetConfig, count: Option<usize>) -> Result<template::Body, SettingError> {
    let is_hidden = |at: usize| Some(at) == count && config.parameters[at].name == "count";
    let shown: Vec<usize> = (0..config.parameters.len()).filter(|&at| !is_hidden(at)).collect();
    let names: Vec<&str> = shown.iter().map(|&at| config.parameters[at].name.as_str()).collect();
    let mut body =
        template::Body::compile(&config.body, &names).map_err(|error| error.under("body"))?;
    for piece in body.before.iter_mut().chain(&mut body.after) {
        if let Piece::Hole(Hole::Parameter(at)) = piece {
            *at = shown[*at];
        }
    }
    Ok(body)
}

fn check_use(
    config: &DatasetConfig,
    computed: &[Computed],
    template: &template::Body,
    count: Option<usize>,
) -> Result<(), SettingError> {
    for (at, parameter) in config.parameters.iter().enumerate() {
        let is_factor = computed.iter().any(|field| field.factor == Some(at));
        if !is_factor && count != Some(at) && !template.uses(at) {
            let key = format!("parameters.{}", parameter.name);
            let fix = "multiply by it, write it into the body, count by it, or leave it out";
            return Err(SettingError::new(key, &parameter.name, "nothing depends on it", fix));
        }
    }
    Ok(())
}

fn json_head(coding: Coding, fields: &Fields) -> HeadTemplate {
    HeadTemplate::new(Status::S200)
        .field("Content-Type", JSON)
        .maybe("Content-Encoding", (coding != Coding::Identity).then_some(coding.name()))
        .fields(fields)
}

const OPEN: &[u8] = b"[";
const CLOSE: &[u8] = b"]";
const JSON: &str = "application/json";

/// Rows of one body: lengths of bodies have 32 bits, and the template takes its share.
const BODY_LEN_MAX: usize = 2 * 1024 * 1024 * 1024;

/// Bodies made when the site is built, of one route and before they are coded, in bytes: about two
/// seconds of a start.
const STORED_LEN_MAX: usize = 64 * 1024 * 1024;

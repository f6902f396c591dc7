//! Methods of a route.

use handlers::Methods;
use http1::Method;

use super::kinds::KindName;
use super::table::{Field, Table};
use crate::config::diagnostics::Reported;

/// Key `methods`.
pub(super) fn read(table: &Table<'_>, kind: Option<KindName>) -> Result<Methods, Reported> {
    let Some(field) = table.field("methods") else {
        return Ok(kind.map_or(Methods::GET, KindName::default_methods));
    };
    let mut methods = Methods::NONE;
    let mut result = Ok(());
    for item in field.list()? {
        match read_one(&item) {
            Ok(method) if methods.has(method) => {
                result = Err(item.refuse("is there twice", "take one out"));
            }
            Ok(method) => methods = methods.with(method),
            Err(reported) => result = Err(reported),
        }
    }
    result?;
    if methods.is_empty() {
        return Err(field.refuse("no method", "write methods = [\"GET\"], or leave it out"));
    }
    Ok(methods)
}

fn read_one(item: &Field<'_>) -> Result<Method, Reported> {
    let text = item.text()?;
    match Method::from_name(text.as_bytes()) {
        Some(Method::Head) => Err(item.refuse("comes with GET", "write \"GET\"")),
        Some(Method::Options) => Err(item.refuse("is answered everywhere", "leave it out")),
        Some(method) => Ok(method),
        None => {
            let upper = text.to_ascii_uppercase();
            let fix = match Method::from_name(upper.as_bytes()) {
                Some(_) => format!("did you mean {upper:?}?"),
                None => "there are GET, POST, PUT, DELETE and PATCH".into(),
            };
            Err(item.refuse("no method that is answered", fix))
        }
    }
}

/// Their names, as an operator writes them.
pub(crate) fn names(methods: Methods) -> String {
    let written = methods.iter().filter(|method| *method != Method::Head);
    written.map(Method::name).collect::<Vec<_>>().join(",")
}

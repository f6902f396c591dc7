//! A computed field: its name, and the product that makes it.

use crate::config::DatasetConfig;
use crate::error::SettingError;

/// A field that is added to each item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Computed {
    /// Its key.
    pub(crate) name: String,
    /// Keys of the item whose numbers are multiplied.
    pub(crate) keys: Vec<String>,
    /// The parameter that the product is multiplied by, by its index.
    pub(crate) factor: Option<usize>,
}

impl Computed {
    /// Reads the computed fields of a data set. A name that a parameter has is the parameter; any
    /// other is a key of the item.
    pub(crate) fn read(config: &DatasetConfig) -> Result<Vec<Self>, SettingError> {
        let mut fields: Vec<Self> = Vec::new();
        for (name, formula) in &config.computed {
            let error = |problem: &str, fix: &str| {
                Err(SettingError::new(format!("computed.{name}"), formula, problem, fix))
            };
            if fields.iter().any(|field| field.name == *name) {
                return error("the field is computed twice", "leave one out");
            }
            let mut field = Self { name: name.clone(), keys: Vec::new(), factor: None };
            for term in formula.split('*').map(str::trim) {
                if term.is_empty() || term.contains(is_foreign) || is_number(term) {
                    return error(PROBLEM, FIX);
                }
                match config.parameters.iter().position(|parameter| parameter.name == term) {
                    None => field.keys.push(term.into()),
                    Some(_) if field.factor.is_some() => {
                        return error("two parameters are multiplied", "multiply by one of them");
                    }
                    found => field.factor = found,
                }
            }
            fields.push(field);
        }
        Ok(fields)
    }
}

fn is_foreign(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "+/()[]{}\"'%^,;=<>".contains(c)
}

fn is_number(term: &str) -> bool {
    term.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.')
}

const PROBLEM: &str = "this is no product of names";
const FIX: &str =
    "write keys of the items and at most one parameter, with * between them: price * quantity * m";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Outside, Parameter, Source, ValueKind};
    use crate::source::Named;

    fn read(computed: &[(&str, &str)]) -> Result<Vec<Computed>, SettingError> {
        let parameter = |name: &str| Parameter {
            name: name.into(),
            from: Source::Query,
            kind: ValueKind::Integer,
            default: None,
            bounds: None,
            outside: Outside::Refuse,
        };
        Computed::read(&DatasetConfig {
            items: Named { name: "d".into(), value: Vec::new() },
            computed: computed.iter().map(|&(name, of)| (name.into(), of.into())).collect(),
            count: None,
            parameters: vec![parameter("m"), parameter("k")],
            body: String::new(),
        })
    }

    #[test]
    fn products_are_read() {
        let fields = read(&[("total", "price*quantity * k"), ("unit-price", " unit-cost ")]);
        let field = |name: &str, keys: &[&str], factor| Computed {
            name: name.into(),
            keys: keys.iter().map(|&key| key.into()).collect(),
            factor,
        };
        let want = [
            field("total", &["price", "quantity"], Some(1)),
            field("unit-price", &["unit-cost"], None),
        ];
        assert_eq!(fields.expect("sound"), want);
    }

    #[test]
    fn what_is_no_product_is_refused() {
        for formula in [
            "",
            "price *",
            "* price",
            "price ** m",
            "price + m",
            "price * 2",
            "(price)",
            "a b",
            "-1",
        ] {
            let error = read(&[("total", formula)]).expect_err(formula);
            assert_eq!((&*error.key, &*error.value), ("computed.total", formula));
            assert_eq!(error.problem, PROBLEM, "{formula}");
        }
        let error = read(&[("total", "m * price * k")]).expect_err("two parameters");
        assert_eq!(error.problem, "two parameters are multiplied");
        let error = read(&[("a", "price"), ("a", "price")]).expect_err("twice");
        assert_eq!(error.problem, "the field is computed twice");
    }
}

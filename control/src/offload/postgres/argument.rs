//! Values of a request as parameters of a statement.
//!
//! Integers, reals and booleans go in the binary format of the parameter's type. Everything else goes
//! as text, which the server reads as it reads a literal of that type: uuid, date, numeric, enums. What
//! it cannot read is an error of its class 22: bad data, and the client's.
//!
//! A number is exact as an integer or a numeric, the latter with the decimals it was written with, and
//! the nearest real as a real. For any other type it is text, and the same text for equal values.

use std::error::Error;
use std::fmt::Display;

use bytes::BytesMut;
use handlers::config::Value;
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type, to_sql_checked};

/// One value on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Argument<'v>(pub(super) &'v Value);

impl<'v> Argument<'v> {
    /// What is wrong with the value for a parameter of type `ty`: the end of a sentence about it.
    pub(super) fn problem(self, ty: &Type) -> Option<String> {
        match self.0 {
            Value::Integer(value) => match *base(ty) {
                Type::INT2 => beyond::<i16>(*value, i16::MIN, i16::MAX),
                Type::INT4 => beyond::<i32>(*value, i32::MIN, i32::MAX),
                _ => None,
            },
            Value::Number(value) if is_integer(base(ty)) => match value.to_i64() {
                Some(value) => Argument(&Value::Integer(value)).problem(ty),
                None => Some(format!("expected an integer within 64 bits, found {value}")),
            },
            Value::Number(value) if *base(ty) == Type::FLOAT4 && value.to_f32().is_infinite() => {
                Some(format!("expected a number within 32 bits, found {value}"))
            }
            _ => None,
        }
    }

    /// How it is sent for a parameter of type `ty`. Where [`problem`](Self::problem) has something to
    /// say, as text: the server refuses it.
    fn sent(self, ty: &Type) -> Sent<'v> {
        match (self.0, base(ty)) {
            (Value::Null, _) => Sent::Null,
            (Value::Integer(value), ty) => integer(*value, ty),
            (Value::Number(value), ty) if is_integer(ty) => match value.to_i64() {
                Some(value) => integer(value, ty),
                None => Sent::Text(value.as_str()),
            },
            (Value::Number(value), &Type::FLOAT8) => Sent::binary(value.to_f64().to_be_bytes()),
            (Value::Number(value), &Type::FLOAT4) if value.to_f32().is_finite() => {
                Sent::binary(value.to_f32().to_be_bytes())
            }
            (Value::Number(value), &Type::NUMERIC | &Type::FLOAT4) => Sent::Text(value.as_str()),
            (Value::Number(value), _) => Sent::Spelt(value.canonical()),
            (Value::Boolean(value), &Type::BOOL) => Sent::binary([u8::from(*value)]),
            (Value::Boolean(value), _) => Sent::Spelt(value.to_string()),
            (Value::Text(text) | Value::Json(text), _) => Sent::Text(text),
        }
    }
}

impl ToSql for Argument<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self.sent(ty) {
            Sent::Null => return Ok(IsNull::Yes),
            Sent::Binary { bytes, len } => out.extend_from_slice(&bytes[..len]),
            Sent::Text(text) => out.extend_from_slice(text.as_bytes()),
            Sent::Spelt(value) => out.extend_from_slice(value.as_bytes()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, ty: &Type) -> Format {
        match self.sent(ty) {
            Sent::Null | Sent::Binary { .. } => Format::Binary,
            Sent::Text(_) | Sent::Spelt(_) => Format::Text,
        }
    }

    to_sql_checked!();
}

/// A value in the format it is sent in.
enum Sent<'v> {
    Null,
    Binary { bytes: [u8; 8], len: usize },
    Text(&'v str),
    Spelt(String),
}

impl Sent<'_> {
    fn binary<const N: usize>(bytes: [u8; N]) -> Self {
        let mut room = [0; 8];
        room[..N].copy_from_slice(&bytes);
        Self::Binary { bytes: room, len: N }
    }
}

/// As wide as the parameter; as text where it does not fit, or for another type.
fn integer(value: i64, ty: &Type) -> Sent<'static> {
    let narrow = match *ty {
        Type::INT2 => i16::try_from(value).ok().map(|value| Sent::binary(value.to_be_bytes())),
        Type::INT4 => i32::try_from(value).ok().map(|value| Sent::binary(value.to_be_bytes())),
        Type::INT8 => Some(Sent::binary(value.to_be_bytes())),
        _ => None,
    };
    narrow.unwrap_or_else(|| Sent::Spelt(value.to_string()))
}

fn beyond<N: TryFrom<i64> + Display>(value: i64, least: N, greatest: N) -> Option<String> {
    let problem = || format!("expected {least} to {greatest}, found {value}");
    N::try_from(value).is_err().then(problem)
}

fn is_integer(ty: &Type) -> bool {
    matches!(*ty, Type::INT2 | Type::INT4 | Type::INT8)
}

/// The type below any domains.
fn base(ty: &Type) -> &Type {
    match ty.kind() {
        Kind::Domain(inner) => base(inner),
        _ => ty,
    }
}

#[cfg(test)]
mod tests {
    use handlers::config::Decimal;

    use super::*;

    fn number(text: &str) -> Value {
        Value::Number(Decimal::parse(text).expect("a number"))
    }

    fn sent(value: &Value, ty: &Type) -> (bool, Option<Vec<u8>>) {
        let mut out = BytesMut::new();
        let argument = Argument(value);
        let null = argument.to_sql_checked(ty, &mut out).expect("is written");
        let binary = matches!(argument.encode_format(ty), Format::Binary);
        (binary, matches!(null, IsNull::No).then(|| out.to_vec()))
    }

    fn binary(bytes: &[u8]) -> (bool, Option<Vec<u8>>) {
        (true, Some(bytes.to_vec()))
    }

    fn text(text: &str) -> (bool, Option<Vec<u8>>) {
        (false, Some(text.as_bytes().to_vec()))
    }

    #[test]
    fn integers_take_the_width_of_their_parameter() {
        let value = Value::Integer(-2);
        assert_eq!(sent(&value, &Type::INT2), binary(&[0xff, 0xfe]));
        assert_eq!(sent(&value, &Type::INT4), binary(&[0xff, 0xff, 0xff, 0xfe]));
        assert_eq!(sent(&value, &Type::INT8), binary(&(-2_i64).to_be_bytes()));
        assert_eq!(sent(&value, &Type::NUMERIC), text("-2"));
        assert_eq!(sent(&value, &Type::FLOAT8), text("-2"));
        assert_eq!(sent(&value, &Type::TEXT), text("-2"));
    }

    #[test]
    fn what_does_not_fit_is_told_and_never_cut() {
        let large = Value::Integer(3_000_000_000);
        let problem = Argument(&large).problem(&Type::INT4);
        assert_eq!(
            problem.as_deref(),
            Some("expected -2147483648 to 2147483647, found 3000000000")
        );
        assert_eq!(sent(&large, &Type::INT4), text("3000000000"));
        assert_eq!(Argument(&large).problem(&Type::INT8), None);
        assert!(Argument(&Value::Integer(40_000)).problem(&Type::INT2).is_some());
        assert!(Argument(&number("1.5")).problem(&Type::INT4).is_some());
        assert_eq!(Argument(&number("1.5")).problem(&Type::FLOAT8), None);
        let problem = |text, ty| Argument(&number(text)).problem(&ty);
        assert_eq!(problem("-3.00", Type::INT2), None);
        assert_eq!(
            problem("3e9", Type::INT4).as_deref(),
            Some("expected -2147483648 to 2147483647, found 3000000000")
        );
        assert_eq!(
            problem("9223372036854775808", Type::INT8).as_deref(),
            Some("expected an integer within 64 bits, found 9223372036854775808")
        );
        assert!(problem("1e39", Type::FLOAT4).is_some());
        assert_eq!(sent(&number("1e39"), &Type::FLOAT4), text("1e39"));
        assert_eq!(problem("1e39", Type::FLOAT8), None);
        assert_eq!(problem("0.10000000000000000000001", Type::NUMERIC), None);
        let domain = Type::new("age".into(), 70_000, Kind::Domain(Type::INT2), "public".into());
        assert!(Argument(&large).problem(&domain).is_some());
    }

    #[test]
    fn numbers_are_exact_wherever_their_parameter_is() {
        let long = number("9007199254740993.000000000000000010");
        assert_eq!(sent(&long, &Type::NUMERIC), text("9007199254740993.000000000000000010"));
        let domain = Type::new("price".into(), 70_000, Kind::Domain(Type::NUMERIC), "p".into());
        assert_eq!(sent(&long, &domain), text("9007199254740993.000000000000000010"));
        let whole = number("9007199254740993.0");
        assert_eq!(sent(&whole, &Type::INT8), binary(&9_007_199_254_740_993_i64.to_be_bytes()));
        assert_eq!(sent(&number("1e3"), &Type::INT2), binary(&1000_i16.to_be_bytes()));
        assert_eq!(sent(&number("0.1"), &Type::FLOAT8), binary(&0.1_f64.to_be_bytes()));
        assert_eq!(sent(&number("0.1"), &Type::FLOAT4), binary(&0.1_f32.to_be_bytes()));
        for spelt in ["1.5", "1.50", "15e-1", "+01.5"] {
            assert_eq!(sent(&number(spelt), &Type::TEXT), text("1.5"));
        }
    }

    #[test]
    fn other_values_go_as_the_server_can_read_them() {
        assert_eq!(sent(&Value::Null, &Type::INT4), (true, None));
        assert_eq!(sent(&Value::Boolean(true), &Type::BOOL), binary(&[1]));
        assert_eq!(sent(&Value::Boolean(true), &Type::TEXT), text("true"));
        assert_eq!(sent(&Value::Text("2024-02-29".into()), &Type::DATE), text("2024-02-29"));
        assert_eq!(sent(&Value::Json("[1]".into()), &Type::JSONB), text("[1]"));
    }
}

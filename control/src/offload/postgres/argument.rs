//! Values of a request as parameters of a statement.
//!
//! Integers, reals and booleans go in the binary format of the parameter's type. Everything else goes
//! as text, which the server reads as it reads a literal of that type: uuid, date, numeric, enums. What
//! it cannot read is an error of its class 22: bad data, and the client's.

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
        match *self.0 {
            Value::Integer(value) => match *base(ty) {
                Type::INT2 => beyond::<i16>(value, i16::MIN, i16::MAX),
                Type::INT4 => beyond::<i32>(value, i32::MIN, i32::MAX),
                _ => None,
            },
            Value::Number(value) if is_integer(base(ty)) => {
                Some(format!("expected an integer, found {value}"))
            }
            _ => None,
        }
    }

    /// How it is sent for a parameter of type `ty`. Where [`problem`](Self::problem) has something to
    /// say, as text: the server refuses it.
    fn sent(self, ty: &Type) -> Sent<'v> {
        match (self.0, base(ty)) {
            (Value::Null, _) => Sent::Null,
            (Value::Integer(value), &Type::INT2) => narrow(value, |n: i16| n.to_be_bytes()),
            (Value::Integer(value), &Type::INT4) => narrow(value, |n: i32| n.to_be_bytes()),
            (Value::Integer(value), &Type::INT8) => Sent::binary(value.to_be_bytes()),
            (Value::Number(value), &Type::FLOAT8) => Sent::binary(value.to_be_bytes()),
            (Value::Boolean(value), &Type::BOOL) => Sent::binary([u8::from(*value)]),
            (Value::Text(text) | Value::Json(text), _) => Sent::Text(text),
            (Value::Integer(value), _) => Sent::Spelt(value),
            (Value::Number(value), _) => Sent::Spelt(value),
            (Value::Boolean(value), _) => Sent::Spelt(value),
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
            Sent::Spelt(value) => out.extend_from_slice(value.to_string().as_bytes()),
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
    Spelt(&'v dyn Display),
}

impl Sent<'_> {
    fn binary<const N: usize>(bytes: [u8; N]) -> Self {
        let mut room = [0; 8];
        room[..N].copy_from_slice(&bytes);
        Self::Binary { bytes: room, len: N }
    }
}

/// As a smaller integer where it fits.
fn narrow<N: TryFrom<i64>, const LEN: usize>(
    value: &i64,
    bytes: impl FnOnce(N) -> [u8; LEN],
) -> Sent<'_> {
    N::try_from(*value).map_or(Sent::Spelt(value), |number| Sent::binary(bytes(number)))
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
    use super::*;

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
        assert!(Argument(&Value::Number(1.5)).problem(&Type::INT4).is_some());
        assert_eq!(Argument(&Value::Number(1.5)).problem(&Type::FLOAT8), None);
        let domain = Type::new("age".into(), 70_000, Kind::Domain(Type::INT2), "public".into());
        assert!(Argument(&large).problem(&domain).is_some());
    }

    #[test]
    fn other_values_go_as_the_server_can_read_them() {
        assert_eq!(sent(&Value::Null, &Type::INT4), (true, None));
        assert_eq!(sent(&Value::Number(0.5), &Type::FLOAT8), binary(&0.5_f64.to_be_bytes()));
        assert_eq!(sent(&Value::Number(0.5), &Type::NUMERIC), text("0.5"));
        assert_eq!(sent(&Value::Boolean(true), &Type::BOOL), binary(&[1]));
        assert_eq!(sent(&Value::Boolean(true), &Type::TEXT), text("true"));
        assert_eq!(sent(&Value::Text("2024-02-29".into()), &Type::DATE), text("2024-02-29"));
        assert_eq!(sent(&Value::Json("[1]".into()), &Type::JSONB), text("[1]"));
    }
}

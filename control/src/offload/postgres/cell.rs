//! Columns of PostgreSQL as JSON: from the bytes of the binary format straight into the body.
//!
//! Which columns a row template may use is decided when the statement is prepared ([`Kind::of`]);
//! what a single value cannot do (a boolean of 2, text that is no JSON) is found as it is written. An
//! infinity and NaN are null.

use std::error::Error;
use std::io::Write;

use handlers::query::json::{
    write_bool, write_f64, write_i64, write_json, write_null, write_number, write_str,
};
use handlers::query::{ColumnConversion, ColumnError, Row};
use tokio_postgres::types::{FromSql, Kind as Shape, Type};

use super::calendar;
use crate::offload::counters::Counters;

/// A type that has a JSON representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    Uuid,
    Json,
    Jsonb,
    Date,
    Timestamp,
    Instant,
}

impl Kind {
    /// What a column of this type is written as.
    ///
    /// # Errors
    /// It has no JSON representation, or not this one: what to write into the statement instead of the column,
    /// with `{}` where the column stands.
    pub(super) fn of(ty: &Type, conversion: ColumnConversion) -> Result<Self, &'static str> {
        let kind = match *ty {
            Type::BOOL => Self::Bool,
            Type::INT2 => Self::Int2,
            Type::INT4 => Self::Int4,
            Type::INT8 => Self::Int8,
            Type::FLOAT4 => Self::Float4,
            Type::FLOAT8 => Self::Float8,
            Type::NUMERIC => Self::Numeric,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => Self::Text,
            Type::UUID => Self::Uuid,
            Type::JSON => Self::Json,
            Type::JSONB => Self::Jsonb,
            Type::DATE => Self::Date,
            Type::TIMESTAMP => Self::Timestamp,
            Type::TIMESTAMPTZ => Self::Instant,
            Type::BYTEA => return Err("encode({}, 'base64')"),
            _ => match ty.kind() {
                Shape::Domain(inner) => Self::of(inner, conversion)?,
                Shape::Enum(_) => Self::Text,
                Shape::Array(_) | Shape::Composite(_) | Shape::Range(_) => {
                    return Err("to_json({})");
                }
                _ => return Err("{}::text"),
            },
        };
        let number = matches!(
            kind,
            Self::Int2 | Self::Int4 | Self::Int8 | Self::Float4 | Self::Float8 | Self::Numeric
        );
        match conversion {
            ColumnConversion::Plain | ColumnConversion::Text => Ok(kind),
            ColumnConversion::Bool => match kind {
                Self::Bool | Self::Int2 | Self::Int4 | Self::Int8 => Ok(kind),
                _ => Err("{}::boolean"),
            },
            ColumnConversion::Json => match kind {
                Self::Json | Self::Jsonb | Self::Text => Ok(kind),
                _ => Err("to_json({})"),
            },
            ColumnConversion::Number if number || kind == Self::Text => Ok(kind),
            ColumnConversion::Number => Err("{}::numeric"),
        }
    }

    /// Whether a value is no infinity and not NaN, which JSON has no notation for. (The infinities of
    /// dates have one: a text.)
    fn is_finite(self, raw: &[u8]) -> Result<bool, ColumnError> {
        Ok(match self {
            Self::Float4 => f32::from_be_bytes(bytes(raw)?).is_finite(),
            Self::Float8 => f64::from_be_bytes(bytes(raw)?).is_finite(),
            Self::Numeric => match raw {
                [_, _, _, _, sign, ..] => sign & NUMERIC_SPECIAL != NUMERIC_SPECIAL,
                _ => return Err(short()),
            },
            _ => true,
        })
    }

    /// Writes a value that is not NULL, and finite.
    fn write(
        self,
        raw: &[u8],
        conversion: ColumnConversion,
        out: &mut Vec<u8>,
    ) -> Result<(), ColumnError> {
        match conversion {
            ColumnConversion::Plain => self.write_plain(raw, out),
            ColumnConversion::Text => self.write_text(raw, out),
            ColumnConversion::Bool => self.write_bool(raw, out),
            ColumnConversion::Json if self == Self::Text => write_json(text(raw)?, out),
            ColumnConversion::Number if self == Self::Text => write_number(text(raw)?, out),
            ColumnConversion::Json | ColumnConversion::Number => self.write_plain(raw, out),
        }
    }

    fn write_plain(self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), ColumnError> {
        match self {
            Self::Bool => write_bool(raw != [0], out),
            Self::Int2 => write_i64(i16::from_be_bytes(bytes(raw)?).into(), out),
            Self::Int4 => write_i64(i32::from_be_bytes(bytes(raw)?).into(), out),
            Self::Int8 => write_i64(i64::from_be_bytes(bytes(raw)?), out),
            Self::Float4 => return write_f32(f32::from_be_bytes(bytes(raw)?), out),
            Self::Float8 => return write_f64(f64::from_be_bytes(bytes(raw)?), out),
            Self::Numeric => return write_numeric(raw, out),
            Self::Text => write_str(text(raw)?, out),
            Self::Uuid => write_uuid(bytes(raw)?, out),
            // The server has checked it when it was stored.
            Self::Json => out.extend_from_slice(raw),
            Self::Jsonb => out.extend_from_slice(jsonb(raw)?),
            Self::Date => calendar::write_date(i32::from_be_bytes(bytes(raw)?), out),
            Self::Timestamp => {
                calendar::write_timestamp(i64::from_be_bytes(bytes(raw)?), "", out);
            }
            Self::Instant => {
                calendar::write_timestamp(i64::from_be_bytes(bytes(raw)?), calendar::UTC, out);
            }
        }
        Ok(())
    }

    fn write_text(self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), ColumnError> {
        match self {
            Self::Text | Self::Uuid | Self::Date | Self::Timestamp | Self::Instant => {
                self.write_plain(raw, out)?;
            }
            Self::Json => write_str(text(raw)?, out),
            Self::Jsonb => write_str(text(jsonb(raw)?)?, out),
            Self::Bool
            | Self::Int2
            | Self::Int4
            | Self::Int8
            | Self::Float4
            | Self::Float8
            | Self::Numeric => {
                out.push(b'"');
                self.write_plain(raw, out)?;
                out.push(b'"');
            }
        }
        Ok(())
    }

    fn write_bool(self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), ColumnError> {
        // Of a boolean the one byte, of an integer the last of several: all others are 0.
        let Some((last, others)) = raw.split_last() else { return Err(short()) };
        if *last > 1 || others.iter().any(|byte| *byte != 0) {
            return Err(ColumnError::new("expected true, false, 1 or 0, found another integer"));
        }
        write_bool(*last == 1, out);
        Ok(())
    }
}

/// Where a column of a row template stands in the rows of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Index in the row.
    pub(super) index: usize,
    /// How it is written.
    pub(super) kind: Kind,
}

/// One row with the places of its columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cells<'r> {
    /// The row.
    pub(super) row: &'r tokio_postgres::Row,
    /// By index of the column in the template.
    pub(super) places: &'r [Place],
    /// Counts infinities and NaN.
    pub(super) counters: &'r Counters,
}

impl Row for Cells<'_> {
    fn write(
        &self,
        column: usize,
        conversion: ColumnConversion,
        out: &mut Vec<u8>,
    ) -> Result<(), ColumnError> {
        let Place { index, kind } = self.places[column];
        let raw: Option<Raw<'_>> =
            self.row.try_get(index).map_err(|error| ColumnError::new(error.to_string()))?;
        match raw {
            Some(Raw(raw)) if kind.is_finite(raw)? => kind.write(raw, conversion, out),
            Some(_) => {
                self.counters.cells_not_finite.up();
                write_null(out);
                Ok(())
            }
            None => {
                write_null(out);
                Ok(())
            }
        }
    }
}

/// The bytes of a value, whatever its type.
struct Raw<'r>(&'r [u8]);

impl<'r> FromSql<'r> for Raw<'r> {
    fn from_sql(_: &Type, raw: &'r [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn bytes<const N: usize>(raw: &[u8]) -> Result<[u8; N], ColumnError> {
    raw.try_into().map_err(|_| short())
}

fn short() -> ColumnError {
    ColumnError::new("the value has another length than its type")
}

fn text(raw: &[u8]) -> Result<&str, ColumnError> {
    str::from_utf8(raw).map_err(|_| ColumnError::new("expected UTF-8, found other bytes"))
}

fn jsonb(raw: &[u8]) -> Result<&[u8], ColumnError> {
    match raw {
        [1, json @ ..] => Ok(json),
        _ => Err(ColumnError::new("jsonb of an unknown version")),
    }
}

/// The digits that tell it from other numbers of 32 bits; as a number of 64 bits it would have more.
fn write_f32(value: f32, out: &mut Vec<u8>) -> Result<(), ColumnError> {
    let digits = value.to_string();
    write_f64(digits.parse().expect("digits of a number"), out)
}

fn write_uuid(bytes: [u8; 16], out: &mut Vec<u8>) {
    let id = u128::from_be_bytes(bytes);
    let group = |shift: u32, digits: u32| (id >> shift) & ((1 << (4 * digits)) - 1);
    write!(
        out,
        "\"{:08x}-{:04x}-{:04x}-{:04x}-{:012x}\"",
        group(96, 8),
        group(80, 4),
        group(64, 4),
        group(48, 4),
        group(0, 12)
    )
    .expect("a Vec takes everything");
}

/// Four header fields of two bytes (groups, weight of the first group, sign, decimals shown), then
/// groups of four decimal digits.
fn write_numeric(raw: &[u8], out: &mut Vec<u8>) -> Result<(), ColumnError> {
    let mut fields = raw.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]]));
    let mut field = || fields.next().ok_or_else(short);
    let (len, weight, sign, decimals) = (field()?, field()?, field()?, field()?);
    match sign {
        NUMERIC_POSITIVE => {}
        NUMERIC_NEGATIVE => out.push(b'-'),
        _ => return Err(ColumnError::new("numeric of an unknown sign")),
    }
    let groups: Vec<i16> = fields.collect();
    if usize::try_from(len) != Ok(groups.len()) {
        return Err(short());
    }
    // The group that counts 10,000 to the power of `power`; those not sent are zero.
    let group = |power: i32| {
        let index = usize::try_from(i32::from(weight) - power).ok();
        index.and_then(|index| groups.get(index)).copied().unwrap_or(0)
    };
    if weight < 0 {
        out.push(b'0');
    } else {
        write!(out, "{}", group(weight.into())).expect("a Vec takes everything");
        for power in (0..i32::from(weight)).rev() {
            write!(out, "{:04}", group(power)).expect("a Vec takes everything");
        }
    }
    if decimals > 0 {
        out.push(b'.');
        let end = out.len() + usize::try_from(decimals).expect("positive");
        let mut power = -1;
        while out.len() < end {
            write!(out, "{:04}", group(power)).expect("a Vec takes everything");
            power -= 1;
        }
        out.truncate(end);
    }
    Ok(())
}

const NUMERIC_POSITIVE: i16 = 0;
const NUMERIC_NEGATIVE: i16 = 0x4000;
/// The bits of the sign's first byte that NaN (0xC000), infinity (0xD000) and minus infinity (0xF000)
/// have.
const NUMERIC_SPECIAL: u8 = 0xC0;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(kind: Kind, conversion: ColumnConversion, raw: &[u8]) -> Result<String, String> {
        let mut out = Vec::new();
        kind.write(raw, conversion, &mut out).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(out).expect("text"))
    }

    fn plain(kind: Kind, raw: &[u8]) -> String {
        written(kind, ColumnConversion::Plain, raw).expect("is written")
    }

    fn numeric(fields: &[i16]) -> Vec<u8> {
        fields.iter().flat_map(|field| field.to_be_bytes()).collect()
    }

    #[test]
    fn numbers_keep_every_digit() {
        assert_eq!(plain(Kind::Int2, &(-5_i16).to_be_bytes()), "-5");
        assert_eq!(plain(Kind::Int4, &i32::MIN.to_be_bytes()), "-2147483648");
        assert_eq!(plain(Kind::Int8, &i64::MAX.to_be_bytes()), "9223372036854775807");
        assert_eq!(plain(Kind::Float8, &0.1_f64.to_be_bytes()), "0.1");
        assert_eq!(plain(Kind::Float4, &0.1_f32.to_be_bytes()), "0.1");
        for (fields, text) in [
            (&[0, 0, 0, 0][..], "0"),
            (&[0, 0, 0, 2], "0.00"),
            (&[1, 0, 0, 0, 7], "7"),
            (&[2, 0, 0x4000, 2, 12, 5000], "-12.50"),
            (&[1, 1, 0, 0, 3], "30000"),
            (&[2, 1, 0, 1, 1, 20], "10020.0"),
            (&[1, -1, 0, 4, 5], "0.0005"),
            (&[1, -2, 0, 7, 1200], "0.0000120"),
            (&[2, 0, 0, 6, 1, 2], "1.000200"),
        ] {
            assert_eq!(plain(Kind::Numeric, &numeric(fields)), text, "{fields:?}");
        }
    }

    #[test]
    fn infinities_and_nan_are_not_finite() {
        let special = |sign: u16| [0_u16, 0, sign, 0x20].map(u16::to_be_bytes).concat();
        for sign in [0xC000, 0xD000, 0xF000] {
            assert_eq!(Kind::Numeric.is_finite(&special(sign)), Ok(false), "{sign:x}");
        }
        for sign in [0, 0x4000] {
            assert_eq!(Kind::Numeric.is_finite(&special(sign)), Ok(true), "{sign:x}");
        }
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Kind::Float8.is_finite(&value.to_be_bytes()), Ok(false), "{value}");
            #[expect(clippy::cast_possible_truncation, reason = "they are the same in 32 bits")]
            let narrow = (value as f32).to_be_bytes();
            assert_eq!(Kind::Float4.is_finite(&narrow), Ok(false), "{value}");
        }
        assert_eq!(Kind::Float8.is_finite(&f64::MAX.to_be_bytes()), Ok(true));
        assert_eq!(Kind::Date.is_finite(&i32::MAX.to_be_bytes()), Ok(true));
        assert!(Kind::Float8.is_finite(&[0; 4]).is_err());
        assert!(Kind::Numeric.is_finite(&[0; 4]).is_err());
    }

    #[test]
    fn what_is_no_value_of_its_type_is_an_error() {
        let strange = [0_u16, 0, 0x8000, 0].map(u16::to_be_bytes).concat();
        assert!(written(Kind::Numeric, ColumnConversion::Plain, &strange).is_err());
        assert!(written(Kind::Float8, ColumnConversion::Plain, &f64::NAN.to_be_bytes()).is_err());
        assert!(
            written(Kind::Float4, ColumnConversion::Plain, &f32::INFINITY.to_be_bytes()).is_err()
        );
        assert!(written(Kind::Text, ColumnConversion::Plain, b"\xff").is_err());
        assert!(written(Kind::Int4, ColumnConversion::Plain, &[1, 2]).is_err());
        assert!(
            written(Kind::Numeric, ColumnConversion::Plain, &numeric(&[3, 0, 0, 0, 1])).is_err()
        );
        assert!(written(Kind::Jsonb, ColumnConversion::Plain, b"\x02{}").is_err());
    }

    #[test]
    fn texts_are_quoted_and_json_is_not() {
        assert_eq!(plain(Kind::Text, "a\"ü".as_bytes()), r#""a\"ü""#);
        assert_eq!(plain(Kind::Json, b"[1, 2]"), "[1, 2]");
        assert_eq!(plain(Kind::Jsonb, b"\x01[1, 2]"), "[1, 2]");
        assert_eq!(
            plain(Kind::Uuid, &0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128.to_be_bytes()),
            "\"00112233-4455-6677-8899-aabbccddeeff\""
        );
        assert_eq!(plain(Kind::Bool, &[1]), "true");
        assert_eq!(plain(Kind::Bool, &[0]), "false");
        assert_eq!(plain(Kind::Date, &59_i32.to_be_bytes()), "\"2000-02-29\"");
        assert_eq!(plain(Kind::Timestamp, &0_i64.to_be_bytes()), "\"2000-01-01T00:00:00\"");
        assert_eq!(plain(Kind::Instant, &0_i64.to_be_bytes()), "\"2000-01-01T00:00:00+00:00\"");
    }

    #[test]
    fn forms_say_how_a_value_is_written() {
        use ColumnConversion::{Bool, Json, Number, Text};
        let one = 1_i32.to_be_bytes();
        assert_eq!(written(Kind::Int4, Bool, &one).as_deref(), Ok("true"));
        assert_eq!(written(Kind::Int8, Bool, &0_i64.to_be_bytes()).as_deref(), Ok("false"));
        assert_eq!(written(Kind::Bool, Bool, &[1]).as_deref(), Ok("true"));
        assert!(written(Kind::Int4, Bool, &256_i32.to_be_bytes()).is_err());
        assert!(written(Kind::Int4, Bool, &2_i32.to_be_bytes()).is_err());
        assert_eq!(written(Kind::Int4, Text, &one).as_deref(), Ok("\"1\""));
        assert_eq!(written(Kind::Jsonb, Text, b"\x01[\"a\"]").as_deref(), Ok(r#""[\"a\"]""#));
        assert_eq!(written(Kind::Date, Text, &[0; 4]).as_deref(), Ok("\"2000-01-01\""));
        assert_eq!(written(Kind::Text, Json, b"[\"a\"]").as_deref(), Ok("[\"a\"]"));
        assert!(written(Kind::Text, Json, b"[\"a\"").is_err());
        assert_eq!(written(Kind::Text, Number, b"1.50").as_deref(), Ok("1.50"));
        assert_eq!(written(Kind::Int4, Number, &one).as_deref(), Ok("1"));
    }

    #[test]
    fn a_type_without_a_json_form_says_what_to_write() {
        use ColumnConversion::{Bool, Json, Number, Plain, Text};
        for (ty, conversion, found) in [
            (Type::INT4, Plain, Ok(Kind::Int4)),
            (Type::VARCHAR, Text, Ok(Kind::Text)),
            (Type::BYTEA, Plain, Err("encode({}, 'base64')")),
            (Type::INT4_ARRAY, Plain, Err("to_json({})")),
            (Type::INT4_RANGE, Plain, Err("to_json({})")),
            (Type::INTERVAL, Plain, Err("{}::text")),
            (Type::TEXT, Bool, Err("{}::boolean")),
            (Type::INT4, Json, Err("to_json({})")),
            (Type::UUID, Number, Err("{}::numeric")),
            (Type::NUMERIC, Number, Ok(Kind::Numeric)),
        ] {
            assert_eq!(Kind::of(&ty, conversion), found, "{ty} {conversion:?}");
        }
    }
}

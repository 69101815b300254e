//! What types fit together, as far as the schema tells them. ANY fits everything: the value decides
//! when the row is there.

use crate::model::value::{DataType, Value};

use super::logical::BinaryOp;

/// Whether this may hold a number.
pub(super) fn may_be_number(ty: &DataType) -> bool {
    matches!(ty, DataType::Bigint | DataType::Float | DataType::Any)
}

/// Whether this may hold a text.
pub(super) fn may_be_text(ty: &DataType) -> bool {
    matches!(ty, DataType::String | DataType::Any)
}

/// Whether this may hold a truth value.
pub(super) fn may_be_boolean(ty: &DataType) -> bool {
    matches!(ty, DataType::Boolean | DataType::Any)
}

/// Whether some value of the one has an order to some value of the other.
pub(super) fn comparable(a: &DataType, b: &DataType) -> bool {
    match (a, b) {
        (DataType::Any, _) | (_, DataType::Any) => true,
        (DataType::Bigint | DataType::Float, DataType::Bigint | DataType::Float) => true,
        (DataType::Array(a), DataType::Array(b)) => comparable(a, b),
        (DataType::Struct(_), DataType::Struct(_)) => true,
        _ => a == b,
    }
}

/// The type that holds values of both.
pub(super) fn common(a: &DataType, b: &DataType) -> DataType {
    match (a, b) {
        _ if a == b => a.clone(),
        (DataType::Bigint | DataType::Float, DataType::Bigint | DataType::Float) => DataType::Float,
        _ => DataType::Any,
    }
}

/// What `+` and `-` give where one side is a time: times have a distance in milliseconds, and can be
/// moved by such. `None` where neither side is one, or they do not fit.
pub(super) fn of_time(op: BinaryOp, a: &DataType, b: &DataType) -> Option<DataType> {
    match (op, a, b) {
        (BinaryOp::Sub, DataType::Datetime, DataType::Datetime) => Some(DataType::Bigint),
        (BinaryOp::Sub, DataType::Datetime, DataType::Any)
        | (BinaryOp::Sub, DataType::Any, DataType::Datetime) => Some(DataType::Any),
        (BinaryOp::Add, DataType::Datetime, DataType::Any)
        | (BinaryOp::Add, DataType::Any | DataType::Bigint | DataType::Float, DataType::Datetime)
        | (BinaryOp::Add | BinaryOp::Sub, DataType::Datetime, DataType::Bigint | DataType::Float) => {
            Some(DataType::Datetime)
        }
        _ => None,
    }
}

/// The type of a literal; NULL is of every type.
pub(super) fn of_value(value: &Value) -> DataType {
    match value {
        Value::Null => DataType::Any,
        Value::Bool(_) => DataType::Boolean,
        Value::Int(_) => DataType::Bigint,
        Value::Float(_) => DataType::Float,
        Value::Str(_) => DataType::String,
        Value::Time(_) => DataType::Datetime,
        Value::Bytes(_) => DataType::Bytea,
        Value::Array(_) => DataType::Array(Box::new(DataType::Any)),
        Value::Struct(_) => DataType::Any,
    }
}

impl BinaryOp {
    /// Whether it compares.
    pub(super) fn compares(self) -> bool {
        matches!(self, Self::Eq | Self::Ne | Self::Lt | Self::Le | Self::Gt | Self::Ge)
    }

    /// As SQL writes it.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "<>",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::IntDiv => "DIV",
            Self::Rem => "%",
            Self::Concat => "||",
        }
    }
}

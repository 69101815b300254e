//! Calls of scalar functions: arity and types of the arguments, and constants compiled.

use crate::model::coerce;
use crate::model::diagnostic::Place;
use crate::model::stream::TimeUnit;
use crate::model::value::{DataType, Value};

use super::bind::{Binder, Clause, Typed, nothing};
use super::function::{Compiled, Function, Gives, Meaning, Object, Param, Signature, span_micros};
use super::logical::{BinaryOp, Expr};
use super::report::Problem;
use super::syntax::Call;
use super::typing;

/// An array of this.
fn array(of: DataType) -> DataType {
    DataType::Array(Box::new(of))
}

impl Binder<'_> {
    /// A call of the function with this signature.
    pub(super) fn scalar(
        &mut self,
        signature: &Signature,
        call: &Call,
        place: Place,
        clause: Clause,
    ) -> Typed {
        let mut args: Vec<Typed> = call.args.iter().map(|arg| self.bind(arg, clause)).collect();
        let given = args.len();
        if given < signature.least || signature.most().is_some_and(|most| given > most) {
            let message = format!("`{}` takes {}, found {given}", signature.name, takes(signature));
            return self.problem(Problem::new("wrong-arguments", place, message));
        }
        if !self.in_pairs(signature, call, place) {
            return nothing();
        }
        let places: Vec<Place> = call.args.iter().map(|arg| arg.place).collect();
        let mut fixed = Vec::new();
        let mut constant = vec![false; given];
        let mut alike = false;
        for (i, arg) in args.iter().enumerate() {
            let param = signature.param(i);
            alike |= param == Param::Alike;
            match self.argument(signature, param, arg, places[i]) {
                Argument::Row => {}
                Argument::Fixed(compiled) => {
                    fixed.push(compiled);
                    constant[i] = true;
                }
                Argument::Wrong => constant[i] = true,
            }
        }
        let common = if alike {
            self.alike(&mut args, &places)
        } else {
            let types = args.iter().map(|arg| arg.ty.clone());
            types.reduce(|a, b| typing::common(&a, &b)).unwrap_or(DataType::Any)
        };
        let ty = result(signature.gives, args.first().map_or(&DataType::Any, |arg| &arg.ty), common);
        let rest = args.into_iter().zip(constant).filter(|(_, fixed)| !fixed).map(|(arg, _)| arg.expr);
        Typed { expr: planned(signature.meaning, fixed, rest.collect()), ty }
    }

    /// `object_construct` takes names and values in turn, which no count of parameters says.
    fn in_pairs(&mut self, signature: &Signature, call: &Call, place: Place) -> bool {
        let paired = signature.meaning == Meaning::Call(Function::Object(Object::Construct));
        if paired && !call.args.len().is_multiple_of(2) {
            let message = format!("`{}` takes a name and a value in turn", signature.name);
            self.problem(Problem::new("wrong-arguments", place, message));
            return false;
        }
        true
    }

    /// Checks one argument.
    fn argument(&mut self, signature: &Signature, param: Param, arg: &Typed, place: Place) -> Argument {
        let what = format!("`{}`", signature.name);
        let fits = |fits: fn(&DataType) -> bool| arg.ty == DataType::Any || fits(&arg.ty);
        let kind = match param {
            Param::Number => {
                self.number(arg, place, &what);
                return Argument::Row;
            }
            Param::Text => {
                self.text(arg, place, &what);
                return Argument::Row;
            }
            Param::Any | Param::Alike => return Argument::Row,
            Param::Moment => return self.moment(arg, place, &what),
            Param::Span => return self.span(arg, place, &what),
            Param::Bytes => (fits(|ty| matches!(ty, DataType::String | DataType::Bytea)), "STRING or BYTEA"),
            Param::Array => (fits(|ty| matches!(ty, DataType::Array(_))), "an ARRAY"),
            Param::Object => (fits(|ty| matches!(ty, DataType::Struct(_))), "an object"),
            Param::Names => {
                (fits(|ty| matches!(ty, DataType::String | DataType::Array(_))), "STRING or an ARRAY")
            }
            _ => return self.fixed(signature, param, arg, place),
        };
        if let (false, takes) = kind {
            let message = format!("{what} takes {takes}, this is {}", arg.ty);
            self.problem(Problem::new("wrong-type", place, message));
        }
        Argument::Row
    }

    /// An argument that is worked out here, and so is written out in the call.
    fn fixed(&mut self, signature: &Signature, param: Param, arg: &Typed, place: Place) -> Argument {
        let Expr::Const(Value::Str(text)) = &arg.expr else {
            let what = match param {
                Param::Pattern => "the regular expression",
                Param::Path => "the path",
                Param::Format | Param::Reading => "the format",
                Param::Zone => "the time zone",
                Param::Encoding => "the encoding",
                Param::Compression => "the method",
                Param::Locale => "the locale",
                _ => "the name of the function",
            };
            let message =
                format!("{what} of `{}` is a text in quotes, the same for all rows", signature.name);
            self.problem(Problem::new("not-constant", place, message));
            return Argument::Wrong;
        };
        match Compiled::new(param, text, place) {
            Ok(Some(compiled)) => Argument::Fixed(compiled),
            Ok(None) => Argument::Row,
            Err(problem) => {
                self.problem(problem);
                Argument::Wrong
            }
        }
    }

    /// A time, or what CAST reads as one.
    fn moment(&mut self, arg: &Typed, place: Place, what: &str) -> Argument {
        let problem = match (&arg.ty, &arg.expr) {
            (DataType::String, Expr::Const(value @ Value::Str(text)))
                if coerce::timestamp(value, TimeUnit::Auto).is_none() =>
            {
                let problem = Problem::new("bad-datetime", place, format!("'{text}' is no time"));
                problem.hint("write it as '2026-01-31T12:00:00Z'")
            }
            (
                DataType::Datetime | DataType::String | DataType::Bigint | DataType::Float | DataType::Any,
                _,
            ) => return Argument::Row,
            (ty, _) => Problem::new("wrong-type", place, format!("{what} takes DATETIME, this is {ty}")),
        };
        self.problem(problem);
        Argument::Row
    }

    /// A span; a constant one is checked.
    fn span(&mut self, arg: &Typed, place: Place, what: &str) -> Argument {
        match &arg.expr {
            Expr::Const(Value::Str(text)) if span_micros(text).is_none() => {
                let problem = Problem::new("bad-duration", place, format!("'{text}' is no duration"));
                self.problem(problem.hint("write a number and a unit, as in '1h30m' or '-250ms'"));
            }
            _ => {
                self.text(arg, place, what);
            }
        }
        Argument::Row
    }
}

/// What became of an argument.
enum Argument {
    /// It is known only with the row.
    Row,
    /// It is worked out.
    Fixed(Compiled),
    /// It should have been, and is wrong.
    Wrong,
}

/// How many arguments, in words.
fn takes(signature: &Signature) -> String {
    let least = signature.least;
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    match signature.most() {
        Some(0) => "no arguments".to_owned(),
        Some(most) if most == least => format!("{most} argument{}", plural(most)),
        Some(1) => "at most 1 argument".to_owned(),
        Some(most) => format!("{least} to {most} arguments"),
        None => format!("at least {least} argument{}", plural(least)),
    }
}

fn result(gives: Gives, first: &DataType, common: DataType) -> DataType {
    match gives {
        Gives::Bigint => DataType::Bigint,
        Gives::Float => DataType::Float,
        Gives::Text => DataType::String,
        Gives::Boolean => DataType::Boolean,
        Gives::Datetime => DataType::Datetime,
        Gives::Bytea => DataType::Bytea,
        Gives::Any => DataType::Any,
        Gives::Array => array(DataType::Any),
        Gives::Texts => array(DataType::String),
        Gives::Integers => array(DataType::Bigint),
        Gives::First => first.clone(),
        Gives::Element => match first {
            DataType::Array(of) => of.as_ref().clone(),
            _ => DataType::Any,
        },
        Gives::Common => common,
        Gives::ArrayOfFirst => array(first.clone()),
        Gives::ArrayOfCommon => array(common),
    }
}

fn planned(meaning: Meaning, fixed: Vec<Compiled>, mut args: Vec<Expr>) -> Expr {
    let mut last = || Box::new(args.pop().unwrap_or(Expr::Const(Value::Null)));
    match meaning {
        Meaning::Call(function) if fixed.is_empty() => Expr::Call(function, args),
        Meaning::Call(function) => Expr::Prepared(function, fixed.into(), args),
        Meaning::IsNull => Expr::IsNull(last()),
        Meaning::Remainder => {
            let divisor = last();
            Expr::Binary(BinaryOp::Rem, last(), divisor)
        }
        Meaning::Element => {
            let index = last();
            Expr::Element(last(), index)
        }
    }
}

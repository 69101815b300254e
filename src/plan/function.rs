//! The scalar functions: names, arity and types. `engine` gives them their meaning.

/// A scalar function. NULL in gives NULL out unless its line says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// `abs(x)`
    Abs,
    /// `ceil(x)`, also `ceiling`
    Ceil,
    /// `floor(x)`
    Floor,
    /// `round(x)`, `round(x, digits)`: half away from zero
    Round,
    /// `sqrt(x)`: negative is NULL
    Sqrt,
    /// `power(x, y)`, also `pow`
    Power,
    /// `exp(x)`
    Exp,
    /// `ln(x)`: not positive is NULL
    Ln,
    /// `log(x)`: base 10; `log(base, x)`
    Log,
    /// `sign(x)`
    Sign,
    /// `mod(x, y)`: as `%`
    Mod,
    /// `greatest(a, …)`: NULLs are skipped
    Greatest,
    /// `least(a, …)`: NULLs are skipped
    Least,
    /// `coalesce(a, …)`: the first that is not NULL
    Coalesce,
    /// `nullif(a, b)`: NULL where equal, else a
    NullIf,
    /// `concat(a, …)`: NULLs are skipped, as in eKuiper
    Concat,
    /// `lower(s)`
    Lower,
    /// `upper(s)`
    Upper,
    /// `length(s)`: in characters
    Length,
    /// `trim(s)`
    Trim,
    /// `ltrim(s)`
    Ltrim,
    /// `rtrim(s)`
    Rtrim,
    /// `substring(s, start, end)`: characters from 0, end exclusive and optional
    Substring,
    /// `startswith(s, prefix)`
    StartsWith,
    /// `endswith(s, suffix)`
    EndsWith,
    /// `indexof(s, part)`: from 0, -1 where absent
    IndexOf,
    /// `replace(s, from, to)`
    Replace,
}

/// What a function takes in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Param {
    /// BIGINT or FLOAT.
    Number,
    /// STRING.
    Text,
    /// Anything.
    Any,
    /// Anything that compares with the other arguments.
    Alike,
}

/// What a function gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    /// BIGINT.
    Bigint,
    /// FLOAT.
    Float,
    /// STRING.
    Text,
    /// BOOLEAN.
    Boolean,
    /// The type of its first argument.
    First,
    /// The type that all arguments have.
    Common,
}

/// Name, function, parameters, how many of them are needed, whether the last repeats, result.
type Entry = (&'static str, Function, &'static [Param], usize, bool, Gives);

use Function as F;
use Param::{Alike, Any, Number, Text};

const TABLE: &[Entry] = &[
    ("abs", F::Abs, &[Number], 1, false, Gives::First),
    ("ceil", F::Ceil, &[Number], 1, false, Gives::First),
    ("ceiling", F::Ceil, &[Number], 1, false, Gives::First),
    ("floor", F::Floor, &[Number], 1, false, Gives::First),
    ("round", F::Round, &[Number, Number], 1, false, Gives::First),
    ("sqrt", F::Sqrt, &[Number], 1, false, Gives::Float),
    ("power", F::Power, &[Number, Number], 2, false, Gives::Float),
    ("pow", F::Power, &[Number, Number], 2, false, Gives::Float),
    ("exp", F::Exp, &[Number], 1, false, Gives::Float),
    ("ln", F::Ln, &[Number], 1, false, Gives::Float),
    ("log", F::Log, &[Number, Number], 1, false, Gives::Float),
    ("sign", F::Sign, &[Number], 1, false, Gives::Bigint),
    ("mod", F::Mod, &[Number, Number], 2, false, Gives::Common),
    ("greatest", F::Greatest, &[Alike], 1, true, Gives::Common),
    ("least", F::Least, &[Alike], 1, true, Gives::Common),
    ("coalesce", F::Coalesce, &[Alike], 1, true, Gives::Common),
    ("nullif", F::NullIf, &[Alike, Alike], 2, false, Gives::First),
    ("concat", F::Concat, &[Any], 1, true, Gives::Text),
    ("lower", F::Lower, &[Text], 1, false, Gives::Text),
    ("upper", F::Upper, &[Text], 1, false, Gives::Text),
    ("length", F::Length, &[Text], 1, false, Gives::Bigint),
    ("trim", F::Trim, &[Text], 1, false, Gives::Text),
    ("ltrim", F::Ltrim, &[Text], 1, false, Gives::Text),
    ("rtrim", F::Rtrim, &[Text], 1, false, Gives::Text),
    ("substring", F::Substring, &[Text, Number, Number], 2, false, Gives::Text),
    ("startswith", F::StartsWith, &[Text, Text], 2, false, Gives::Boolean),
    ("endswith", F::EndsWith, &[Text, Text], 2, false, Gives::Boolean),
    ("indexof", F::IndexOf, &[Text, Text], 2, false, Gives::Bigint),
    ("replace", F::Replace, &[Text, Text, Text], 3, false, Gives::Text),
];

/// Functions of the language that this version does not have.
const LATER: &[&str] = &[
    "lag",
    "latest",
    "changed_col",
    "had_changed",
    "acc_avg",
    "acc_count",
    "acc_max",
    "acc_min",
    "acc_sum",
    "meta",
    "mqtt",
    "collect",
    "deduplicate",
    "last_value",
    "merge_agg",
    "percentile",
    "percentile_cont",
    "percentile_disc",
    "stddev",
    "stddevs",
    "var",
    "vars",
    "now",
    "current_timestamp",
    "event_time",
    "tstamp",
    "rule_id",
    "regexp_matches",
    "regexp_replace",
    "regexp_substr",
    "split_value",
    "lpad",
    "rpad",
    "numbytes",
    "chr",
    "format_time",
    "parse_time",
    "date_diff",
    "json_path_query",
    "json_path_query_first",
    "json_path_exists",
    "cardinality",
    "array_contains",
    "md5",
    "sha1",
    "sha256",
    "rand",
    "newuuid",
    "isnull",
    "row_number",
    "unnest",
];

/// One scalar function as the planner sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signature {
    /// Which.
    pub(super) function: Function,
    /// What it takes.
    params: &'static [Param],
    /// How many arguments it needs.
    pub(super) least: usize,
    /// How many it takes; `None` for any number.
    pub(super) most: Option<usize>,
    /// What it gives.
    pub(super) gives: Gives,
}

impl Signature {
    /// The function of this name, in any case.
    pub(super) fn named(name: &str) -> Option<Self> {
        let entry = TABLE.iter().find(|entry| entry.0.eq_ignore_ascii_case(name))?;
        let (_, function, params, least, repeats, gives) = *entry;
        Some(Self { function, params, least, most: (!repeats).then_some(params.len()), gives })
    }

    /// What it takes in the n-th place.
    pub(super) fn param(&self, n: usize) -> Param {
        self.params.get(n).or(self.params.last()).copied().unwrap_or(Any)
    }
}

/// The names of all scalar functions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|entry| entry.0)
}

/// Whether the language has this function, but not this version.
pub(super) fn comes_later(name: &str) -> bool {
    LATER.iter().any(|later| later.eq_ignore_ascii_case(name))
}

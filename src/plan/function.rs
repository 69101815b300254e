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

//! Expressions, by precedence: OR, AND, NOT, comparison, `||`, `+ -`, `* / % DIV`, unary minus,
//! then `.`, `->` and `[ ]`. Chains of AND and OR stay flat however long they are.

use super::Parser;
use crate::model::diagnostic::Place;
use crate::model::value::{DataType, Value};
use crate::plan::logical::BinaryOp;
use crate::plan::report::Problem;
use crate::plan::syntax::{Call, Kind as NodeKind, Name, Node, Over, Path};
use crate::plan::token::{Kind, Token};

/// Words that cannot stand for a column unless quoted.
const RESERVED: &[&str] = &[
    "SELECT", "FROM", "WHERE", "GROUP", "HAVING", "AND", "OR", "NOT", "IN", "BETWEEN", "LIKE", "IS", "WHEN",
    "THEN", "ELSE", "END", "AS", "BY",
];

impl Parser<'_> {
    pub(super) fn expr(&mut self) -> Result<Node, Problem> {
        self.nested(Self::or)
    }

    fn or(&mut self) -> Result<Node, Problem> {
        self.chain("OR", Self::and, NodeKind::Or)
    }

    fn and(&mut self) -> Result<Node, Problem> {
        self.chain("AND", Self::not, NodeKind::And)
    }

    fn chain(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Result<Node, Problem>,
        kind: fn(Vec<Node>) -> NodeKind,
    ) -> Result<Node, Problem> {
        let first = part(self)?;
        if !self.peek().is_word(word) {
            return Ok(first);
        }
        let start = first.place;
        let mut list = vec![first];
        while self.take_word(word) {
            list.push(part(self)?);
        }
        let place = start.through(self.last().place);
        self.node(kind(list), place)
    }

    fn not(&mut self) -> Result<Node, Problem> {
        if !self.peek().is_word("NOT") {
            return self.comparison();
        }
        let start = self.next().place;
        let of = self.nested(Self::not)?;
        let place = start.through(self.last().place);
        self.node(NodeKind::Not(Box::new(of)), place)
    }

    fn comparison(&mut self) -> Result<Node, Problem> {
        let mut left = self.concat()?;
        // In parentheses a comparison may be compared like any other truth value.
        let (mut bare, mut joined) = (false, false);
        loop {
            let op = match &self.peek().kind {
                Kind::Symbol("=") => BinaryOp::Eq,
                Kind::Symbol("<>") => BinaryOp::Ne,
                Kind::Symbol("<") => BinaryOp::Lt,
                Kind::Symbol("<=") => BinaryOp::Le,
                Kind::Symbol(">") => BinaryOp::Gt,
                Kind::Symbol(">=") => BinaryOp::Ge,
                Kind::Symbol("==") => return Err(self.expected("")),
                Kind::Word(_) => match self.predicate(left)? {
                    Ok(node) => {
                        left = node;
                        bare = false;
                        continue;
                    }
                    Err(unchanged) => return Ok(unchanged),
                },
                _ => return Ok(left),
            };
            let at = self.next().place;
            let right = self.concat()?;
            if bare {
                let problem = Problem::new("syntax", at, "a comparison cannot be compared again");
                return Err(match right.kind {
                    // To whom the sign means OR, this was one comparison or the other.
                    NodeKind::Binary(BinaryOp::Concat, ..) => problem.hint("write OR; `||` joins texts"),
                    _ if joined => problem.hint("write OR; `||` joins texts"),
                    _ => problem.hint("write `a < b AND b < c`"),
                });
            }
            joined = matches!(right.kind, NodeKind::Binary(BinaryOp::Concat, ..));
            left = self.binary(op, left, right)?;
            bare = true;
        }
    }

    /// `IS …`, `[NOT] IN`, `[NOT] BETWEEN`, `[NOT] LIKE`, or the operand back.
    fn predicate(&mut self, left: Node) -> Result<Result<Node, Node>, Problem> {
        let start = left.place;
        if self.take_word("IS") {
            let negated = self.take_word("NOT");
            let kind = if self.take_word("NULL") {
                NodeKind::IsNull(Box::new(left))
            } else if self.take_word("TRUE") {
                NodeKind::IsBool(Box::new(left), true)
            } else if self.take_word("FALSE") {
                NodeKind::IsBool(Box::new(left), false)
            } else {
                return Err(self.expected("NULL, TRUE or FALSE after IS"));
            };
            return self.negate(kind, start, negated).map(Ok);
        }
        let negated = self.peek().is_word("NOT");
        let word = if negated { self.ahead(1) } else { self.peek() };
        let known = ["IN", "BETWEEN", "LIKE"].into_iter().find(|w| word.is_word(w));
        let Some(known) = known else {
            return Ok(Err(left));
        };
        if negated {
            self.next();
        }
        self.next();
        let left = Box::new(left);
        let kind = match known {
            "IN" if !self.peek().is("(") => NodeKind::InArray(left, Box::new(self.concat()?)),
            "IN" => {
                self.expect("(")?;
                let mut list = vec![self.expr()?];
                while self.take(",") {
                    list.push(self.expr()?);
                }
                self.expect(")")?;
                NodeKind::In(left, list)
            }
            "BETWEEN" => {
                let low = self.concat()?;
                self.expect_word("AND")?;
                let high = self.concat()?;
                NodeKind::Between(left, Box::new(low), Box::new(high))
            }
            _ => {
                let pattern = self.concat()?;
                let escape = if self.take_word("ESCAPE") { Some(self.escape()?) } else { None };
                NodeKind::Like(left, Box::new(pattern), escape)
            }
        };
        self.negate(kind, start, negated).map(Ok)
    }

    fn negate(&mut self, kind: NodeKind, start: Place, negated: bool) -> Result<Node, Problem> {
        let place = start.through(self.last().place);
        let node = self.node(kind, place)?;
        if negated { self.node(NodeKind::Not(Box::new(node)), place) } else { Ok(node) }
    }

    fn escape(&mut self) -> Result<char, Problem> {
        let token = self.peek().clone();
        if let Kind::Text(text) = &token.kind {
            let mut chars = text.chars();
            if let (Some(c), None) = (chars.next(), chars.next()) {
                self.next();
                return Ok(c);
            }
        }
        Err(self.expected("one character in quotes after ESCAPE"))
    }

    fn concat(&mut self) -> Result<Node, Problem> {
        let mut left = self.sum()?;
        while self.take("||") {
            let right = self.sum()?;
            left = self.binary(BinaryOp::Concat, left, right)?;
        }
        Ok(left)
    }

    fn sum(&mut self) -> Result<Node, Problem> {
        let mut left = self.product()?;
        loop {
            let op = match self.peek().kind {
                Kind::Symbol("+") => BinaryOp::Add,
                Kind::Symbol("-") => BinaryOp::Sub,
                _ => return Ok(left),
            };
            self.next();
            let right = self.product()?;
            left = self.binary(op, left, right)?;
        }
    }

    fn product(&mut self) -> Result<Node, Problem> {
        let mut left = self.signed()?;
        loop {
            let op = match &self.peek().kind {
                Kind::Symbol("*") => BinaryOp::Mul,
                Kind::Symbol("/") => BinaryOp::Div,
                Kind::Symbol("%") => BinaryOp::Rem,
                Kind::Word(word) if word.eq_ignore_ascii_case("DIV") => BinaryOp::IntDiv,
                _ => return Ok(left),
            };
            self.next();
            let right = self.signed()?;
            left = self.binary(op, left, right)?;
        }
    }

    fn binary(&mut self, op: BinaryOp, left: Node, right: Node) -> Result<Node, Problem> {
        let place = left.place.through(self.last().place);
        self.node(NodeKind::Binary(op, Box::new(left), Box::new(right)), place)
    }

    fn signed(&mut self) -> Result<Node, Problem> {
        if self.take("+") {
            return self.nested(Self::signed);
        }
        if !self.peek().is("-") {
            return self.postfix();
        }
        let start = self.next().place;
        if let Kind::Number(digits) = self.peek().kind.clone() {
            let place = start.through(self.next().place);
            let value = self.number(&digits, place, true)?;
            return self.node(NodeKind::Const(value), place);
        }
        let of = self.nested(Self::signed)?;
        let place = start.through(self.last().place);
        self.node(NodeKind::Neg(Box::new(of)), place)
    }

    fn postfix(&mut self) -> Result<Node, Problem> {
        let mut node = self.primary()?;
        loop {
            let dot = self.peek().is(".");
            if dot || self.peek().is("->") {
                self.next();
                let member = if let Kind::Text(text) = self.peek().kind.clone() {
                    Name { text, place: self.next().place }
                } else {
                    self.name("a member's name")?
                };
                let place = node.place.through(member.place);
                node = self.member(node, member, dot, place)?;
            } else if self.take("[") {
                node = self.subscript(node)?;
            } else {
                return Ok(node);
            }
        }
    }

    /// `[0]`, `[1:3]`, `[:3]`, `[1:]`, behind the bracket.
    fn subscript(&mut self, of: Node) -> Result<Node, Problem> {
        let start = of.place;
        let of = Box::new(of);
        let first = if self.peek().is(":") { None } else { Some(Box::new(self.expr()?)) };
        let kind = match first {
            Some(index) if !self.peek().is(":") => NodeKind::Element(of, index),
            from => {
                self.expect(":")?;
                let to = if self.peek().is("]") { None } else { Some(Box::new(self.expr()?)) };
                NodeKind::Slice(of, from, to)
            }
        };
        let end = self.expect("]")?;
        self.node(kind, start.through(end))
    }

    fn member(&mut self, node: Node, member: Name, dot: bool, place: Place) -> Result<Node, Problem> {
        match node.kind {
            NodeKind::Path(mut path) => {
                if path.names.len() >= self.limits.depth {
                    return Err(self.too_deep(place));
                }
                if dot && path.dotted == path.names.len() {
                    path.dotted += 1;
                }
                path.names.push(member);
                self.node(NodeKind::Path(path), place)
            }
            _ => self.node(NodeKind::Member(Box::new(node), member), place),
        }
    }

    fn primary(&mut self) -> Result<Node, Problem> {
        let token = self.peek().clone();
        match &token.kind {
            Kind::Number(digits) => {
                self.next();
                let value = self.number(digits, token.place, false)?;
                self.node(NodeKind::Const(value), token.place)
            }
            Kind::Text(text) => {
                self.next();
                self.node(NodeKind::Const(Value::str(text)), token.place)
            }
            Kind::Symbol("(") => {
                self.next();
                let mut node = self.expr()?;
                let end = self.expect(")")?;
                node.place = token.place.through(end);
                Ok(node)
            }
            Kind::Word(word) => self.word(word, &token),
            Kind::Quoted(_) => self.column(),
            _ => Err(self.expected("an expression")),
        }
    }

    fn word(&mut self, word: &str, token: &Token) -> Result<Node, Problem> {
        let upper = word.to_uppercase();
        let literal = match upper.as_str() {
            "TRUE" => Some(Value::Bool(true)),
            "FALSE" => Some(Value::Bool(false)),
            "NULL" => Some(Value::Null),
            _ => None,
        };
        if let Some(value) = literal {
            self.next();
            return self.node(NodeKind::Const(value), token.place);
        }
        if upper == "CASE" {
            return self.nested(Self::case);
        }
        if upper == "SELECT" {
            return Err(subquery(token.place));
        }
        if RESERVED.contains(&upper.as_str()) {
            return Err(self.expected("an expression"));
        }
        if !self.ahead(1).is("(") {
            return self.column();
        }
        match upper.as_str() {
            "CAST" => self.cast(),
            "EXISTS" => Err(subquery(token.place)),
            _ => self.call(),
        }
    }

    fn column(&mut self) -> Result<Node, Problem> {
        let quoted = self.text[self.peek().bytes.clone()].starts_with('"');
        let name = self.name("a column")?;
        let place = name.place;
        self.node(NodeKind::Path(Path { quoted, ..Path::of(name) }), place)
    }

    fn cast(&mut self) -> Result<Node, Problem> {
        let start = self.next().place;
        self.expect("(")?;
        let of = self.expr()?;
        // eKuiper's way of writing it has the type in quotes.
        let ty = if self.take(",") {
            self.quoted_type()?
        } else {
            self.expect_word("AS")?;
            self.data_type()?
        };
        let end = self.expect(")")?;
        self.node(NodeKind::Cast(Box::new(of), ty), start.through(end))
    }

    fn quoted_type(&mut self) -> Result<DataType, Problem> {
        let token = self.peek().clone();
        let (Kind::Text(name) | Kind::Quoted(name)) = &token.kind else {
            return Err(self.expected("a type in quotes").hint("write CAST(a AS BIGINT)"));
        };
        self.next();
        super::data_type(name, self.limits).map_err(|problem| Problem { place: token.place, ..problem })
    }

    fn case(&mut self) -> Result<Node, Problem> {
        let start = self.next().place;
        let operand = if self.peek().is_word("WHEN") { None } else { Some(Box::new(self.expr()?)) };
        let mut branches = Vec::new();
        while self.take_word("WHEN") {
            let when = self.expr()?;
            self.expect_word("THEN")?;
            branches.push((when, self.expr()?));
        }
        if branches.is_empty() {
            return Err(self.expected("WHEN"));
        }
        let otherwise = if self.take_word("ELSE") { Some(Box::new(self.expr()?)) } else { None };
        let end = self.expect_word("END")?;
        self.node(NodeKind::Case { operand, branches, otherwise }, start.through(end))
    }

    fn call(&mut self) -> Result<Node, Problem> {
        let name = self.name("a function")?;
        let start = name.place;
        self.expect("(")?;
        // Its arguments become columns, which are named by their texts.
        let named = name.text.eq_ignore_ascii_case("changed_cols");
        let mut call = Call {
            name,
            star: false,
            distinct: false,
            args: Vec::new(),
            texts: Vec::new(),
            filter: None,
            over: None,
        };
        if self.peek().is("*") && self.ahead(1).is(")") {
            self.next();
            call.star = true;
        } else if !self.peek().is(")") {
            call.distinct = self.take_word("DISTINCT");
            loop {
                let first = self.at;
                call.args.push(self.argument()?);
                if named {
                    call.texts.push(self.slice(first));
                }
                if !self.take(",") {
                    break;
                }
            }
        }
        if !self.peek().is(")") {
            let problem = self.expected("`,` or `)`");
            return Err(if super::select::is_window(&call.name.text) {
                problem.hint("write the unit, a comma and a number: TUMBLINGWINDOW(ss, 10)")
            } else {
                problem
            });
        }
        self.next();
        self.behind_call(&mut call)?;
        let place = start.through(self.last().place);
        self.node(NodeKind::Call(Box::new(call)), place)
    }

    /// `FILTER (…)` and `OVER (…)`, in any order.
    fn behind_call(&mut self, call: &mut Call) -> Result<(), Problem> {
        loop {
            let open = self.ahead(1).is("(");
            if call.filter.is_none() && open && self.peek().is_word("FILTER") {
                self.next();
                self.next();
                self.expect_word("WHERE")?;
                call.filter = Some(self.expr()?);
                self.expect(")")?;
            } else if call.over.is_none() && self.peek().is_word("OVER") {
                self.next();
                call.over = Some(self.over()?);
            } else {
                return Ok(());
            }
        }
    }

    /// An expression, or `*`.
    fn argument(&mut self) -> Result<Node, Problem> {
        let alone = self.peek().is("*") && (self.ahead(1).is(",") || self.ahead(1).is(")"));
        if !alone {
            return self.expr();
        }
        let place = self.next().place;
        self.node(NodeKind::Star, place)
    }

    /// `(PARTITION BY a, … WHEN c)`, behind OVER.
    fn over(&mut self) -> Result<Over, Problem> {
        self.expect("(")?;
        let mut over = Over::default();
        if self.take_word("PARTITION") {
            self.expect_word("BY")?;
            over.partition.push(self.expr()?);
            while self.take(",") {
                over.partition.push(self.expr()?);
            }
        }
        if self.peek().is_word("ORDER") {
            let message = "rows come in the order of their time; OVER takes no ORDER BY";
            return Err(Problem::new("unsupported", self.peek().place, message));
        }
        if self.take_word("WHEN") {
            over.when = Some(self.expr()?);
        }
        if !self.peek().is(")") {
            return Err(self.expected("PARTITION BY …, WHEN … or `)`"));
        }
        self.next();
        Ok(over)
    }
}

/// The problem of a query where an expression, a stream or a table should be.
pub(super) fn subquery(place: Place) -> Problem {
    let problem = Problem::new("unsupported", place, "queries inside a query are not supported");
    problem.hint("join a stream or a table, or write a rule of its own")
}

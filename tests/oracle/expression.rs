//! Random expressions of a wanted type.

use crate::generate::{Leaves, Writer, constant, op};
use crate::query::Expr;
use crate::value::{Ty, Val};

impl Writer<'_> {
    /// An expression of this type, at most so deep.
    pub(crate) fn expr(&mut self, ty: Ty, depth: u32, leaves: &Leaves) -> Expr {
        let fitting: Leaves = leaves.iter().filter(|(of, _)| *of == ty).cloned().collect();
        if depth == 0 || self.one_in(4) {
            return match (fitting.is_empty(), self.one_in(5)) {
                (true, _) | (_, true) if ty != Ty::Bool => Expr::Const(constant(self.rng, ty)),
                (false, _) => self.pick(&fitting).1,
                _ => self.comparison(0, leaves),
            };
        }
        match ty {
            Ty::Bool => self.boolean(depth - 1, leaves),
            Ty::Int => self.integer(depth - 1, leaves),
            Ty::Float => self.float(depth - 1, leaves),
            Ty::Text | Ty::Time | Ty::List => self.text(depth - 1, leaves),
        }
    }

    /// A type that some leaf has, so that nothing is compared with itself only.
    fn some_type(&mut self, leaves: &Leaves) -> Ty {
        let types: Vec<Ty> =
            leaves.iter().map(|(ty, _)| *ty).filter(|ty| !matches!(ty, Ty::Time | Ty::List)).collect();
        if types.is_empty() { Ty::Int } else { self.pick(&types) }
    }

    fn comparison(&mut self, depth: u32, leaves: &Leaves) -> Expr {
        let ty = match self.some_type(leaves) {
            Ty::Bool => Ty::Int,
            ty => ty,
        };
        let fitting: Leaves = leaves.iter().filter(|(of, _)| *of == ty).cloned().collect();
        let a = if fitting.is_empty() { self.expr(ty, depth, leaves) } else { self.pick(&fitting).1 };
        let b = match (ty, self.one_in(4)) {
            (Ty::Int, true) => self.expr(Ty::Float, depth, leaves),
            (Ty::Float, true) => self.expr(Ty::Int, depth, leaves),
            _ => self.expr(ty, depth, leaves),
        };
        // Equality of computed floats would hang on their last digit.
        let exact = ty != Ty::Float || matches!((&a, &b), (Expr::Col(..), Expr::Const(_) | Expr::Col(..)));
        let operators = if exact { &["=", "<>", "<", "<=", ">", ">="][..] } else { &["<", ">="][..] };
        let operator = self.pick(operators);
        op(operator, a, b)
    }

    fn boolean(&mut self, depth: u32, leaves: &Leaves) -> Expr {
        match self.rng.u8(..10) {
            0 => op("AND", self.expr(Ty::Bool, depth, leaves), self.expr(Ty::Bool, depth, leaves)),
            1 => op("OR", self.expr(Ty::Bool, depth, leaves), self.expr(Ty::Bool, depth, leaves)),
            2 => Expr::Not(Box::new(self.expr(Ty::Bool, depth, leaves))),
            3 => {
                let ty = self.some_type(leaves);
                Expr::Is(Box::new(self.expr(ty, depth, leaves)), "NULL", self.rng.bool())
            }
            4 => {
                let what = self.pick(&["TRUE", "FALSE"]);
                Expr::Is(Box::new(self.expr(Ty::Bool, depth, leaves)), what, self.rng.bool())
            }
            5 => {
                let a = self.expr(Ty::Int, depth, leaves);
                let list = (0..self.rng.usize(1..4)).map(|_| self.expr(Ty::Int, 0, leaves)).collect();
                Expr::In(Box::new(a), list, self.rng.bool())
            }
            6 => {
                let [a, b, c] = [0; 3].map(|_| Box::new(self.expr(Ty::Int, depth, leaves)));
                Expr::Between(a, b, c, self.rng.bool())
            }
            _ => self.comparison(depth, leaves),
        }
    }

    fn integer(&mut self, depth: u32, leaves: &Leaves) -> Expr {
        match self.rng.u8(..9) {
            0..4 => {
                let operator = self.pick(&["+", "-", "*", "%", "DIV"]);
                op(operator, self.expr(Ty::Int, depth, leaves), self.expr(Ty::Int, depth, leaves))
            }
            4 => Expr::Neg(Box::new(self.expr(Ty::Int, depth, leaves))),
            5 => Expr::Call("length", vec![self.expr(Ty::Text, depth, leaves)]),
            6 => self.case(Ty::Int, depth, leaves),
            _ => self.call(Ty::Int, depth, leaves),
        }
    }

    fn float(&mut self, depth: u32, leaves: &Leaves) -> Expr {
        match self.rng.u8(..7) {
            0..3 => {
                let operator = self.pick(&["+", "-", "*"]);
                let other = self.pick(&[Ty::Int, Ty::Float]);
                op(operator, self.expr(Ty::Float, depth, leaves), self.expr(other, depth, leaves))
            }
            3 => {
                let by = self.pick(&[2, 4, 0]);
                op("/", self.expr(Ty::Int, depth, leaves), Expr::Const(Val::Int(by)))
            }
            4 => self.case(Ty::Float, depth, leaves),
            _ => self.call(Ty::Float, depth, leaves),
        }
    }

    fn text(&mut self, depth: u32, leaves: &Leaves) -> Expr {
        match self.rng.u8(..4) {
            0 => op("||", self.expr(Ty::Text, depth, leaves), self.expr(Ty::Text, depth, leaves)),
            1 => Expr::Call("upper", vec![self.expr(Ty::Text, depth, leaves)]),
            2 => self.case(Ty::Text, depth, leaves),
            _ => self.call(Ty::Text, depth, leaves),
        }
    }

    fn case(&mut self, ty: Ty, depth: u32, leaves: &Leaves) -> Expr {
        let branch = (self.expr(Ty::Bool, depth, leaves), self.expr(ty, depth, leaves));
        let otherwise = self.rng.bool().then(|| Box::new(self.expr(ty, depth, leaves)));
        Expr::Case(vec![branch], otherwise)
    }

    fn call(&mut self, ty: Ty, depth: u32, leaves: &Leaves) -> Expr {
        let numbers = ["abs", "coalesce", "nullif", "greatest", "least"];
        let function = self.pick(if ty == Ty::Text { &numbers[1..] } else { &numbers[..] });
        let many = if function == "abs" { 1 } else { 2 };
        Expr::Call(function, (0..many).map(|_| self.expr(ty, depth, leaves)).collect())
    }
}

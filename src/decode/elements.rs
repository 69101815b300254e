//! A message's wanted values, element by element, as either reader of JSON leaves them. Used again for
//! each message.

use super::part::Part;
use super::texts::Texts;
use crate::model::cast;
use crate::model::fit::{self, Misfit};
use crate::model::stream::Field;
use crate::model::value::Value;

/// How many values keep their memory for the next message.
const KEPT: usize = 4_096;

/// The values.
#[derive(Debug, Default)]
pub(super) struct Elements {
    /// How many places an element has.
    pub(super) width: usize,
    /// What the scanner found.
    pub(super) parts: Vec<Part>,
    /// What serde_json found, where the scanner gave up; `None` where the message does not have it.
    pub(super) values: Vec<Option<Value>>,
    /// For each element whether it is an object.
    pub(super) objects: Vec<bool>,
    /// Whether the message is an array; else it is its only element.
    pub(super) array: bool,
    /// Whether the scanner read it.
    pub(super) scanned: bool,
}

impl Elements {
    /// Without elements, for this many places in each.
    pub(super) fn reset(&mut self, width: usize) {
        self.parts.clear();
        self.values.clear();
        self.objects.clear();
        if self.parts.capacity().max(self.values.capacity()).max(self.objects.capacity()) > KEPT {
            self.parts.shrink_to(KEPT);
            self.values.shrink_to(KEPT);
            self.objects.shrink_to(KEPT);
        }
        (self.width, self.array, self.scanned) = (width, false, false);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether this one is an object.
    pub(super) fn is_object(&self, element: usize) -> bool {
        self.objects.get(element).is_some_and(|object| *object)
    }

    /// Puts the value of a column at a place of an element in its slot. Says no where the element does not
    /// have it.
    #[inline]
    pub(super) fn fit(
        &self,
        at: (usize, usize),
        field: &Field,
        strict: bool,
        payload: &str,
        texts: &mut Texts,
        slot: &mut Value,
    ) -> Result<bool, Misfit> {
        let (element, place) = at;
        let place = element * self.width + place;
        if self.scanned {
            let Some(part) = self.parts.get(place) else { return Ok(false) };
            return part.fit(field, strict, payload, texts, slot);
        }
        let Some(Some(value)) = self.values.get(place) else { return Ok(false) };
        *slot = match strict {
            true => fit::fit(value, &field.ty, field.unit)?,
            false => cast::cast(value, &field.ty, field.unit),
        };
        Ok(true)
    }
}

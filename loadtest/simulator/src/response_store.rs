//! The responses that a resource remembers. Bounded: the oldest is forgotten first.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::answer::{Answer, Unary};
use crate::errors::{Refusal, response_not_found};
use crate::route::Verb;
use crate::stats::Usage;

const RESPONSES_MAX: usize = 10_000;

#[derive(Default)]
pub(crate) struct ResponseStore {
    bodies: HashMap<String, Bytes>,
    order: VecDeque<String>,
}

impl ResponseStore {
    pub(crate) fn insert(&mut self, id: String, body: Bytes) {
        if self.order.len() == RESPONSES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.bodies.remove(&oldest);
        }
        self.order.push_back(id.clone());
        self.bodies.insert(id, body);
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        self.bodies.contains_key(id)
    }

    /// # Errors
    /// 404 for an id that this resource did not make or does not know any more.
    pub(crate) fn serve(&mut self, id: &str, verb: Verb) -> Result<Answer, Refusal> {
        let body = self
            .bodies
            .get(id)
            .cloned()
            .ok_or_else(|| response_not_found(id))?;
        let body = match verb {
            Verb::Read | Verb::Cancel => body,
            Verb::InputItems => Bytes::from_static(
                br#"{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}"#,
            ),
            Verb::Delete => {
                self.bodies.remove(id);
                self.order.retain(|kept| kept != id);
                format!(r#"{{"id":"{id}","object":"response","deleted":true}}"#).into()
            }
        };
        Ok(Unary::json(body, Usage::default()))
    }
}

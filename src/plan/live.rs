//! The document that a write is put onto, as each version on the way sees it.

use http::HeaderMap;

use super::exchange::Exchange;
use super::fault::Fault;
use super::message::{self, Envelope, Source};
use super::route::Params;
use super::scratch::Scratch;
use super::{Limits, Unplaced};

impl Exchange<'_> {
    /// The live document as each hop's target version sees it, nearest the service last.
    pub(super) fn bases(
        &self,
        live: &[u8],
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        let limits = Limits { unplaced: Unplaced::Drop, ..limits };
        let mut bases = vec![None; self.hops.len()];
        let mut base = Some(live.to_vec());
        for (index, hop) in self.hops.iter().enumerate().rev() {
            if let Some(slot) = bases.get_mut(index) {
                slot.clone_from(&base);
            }
            if index > 0
                && let (Some(text), Some(message)) = (&base, &hop.route.request)
            {
                let headers = HeaderMap::new();
                let params = Params::new();
                let source = Source { params: &params, query: None, headers: &headers, status: None, body: Some(text) };
                let (from, _) = message.parts(hop.direction.reverse());
                let envelope = if message.general {
                    message::pack_whole(&source, None, None)?
                } else {
                    Envelope::pack(from, &source)?
                };
                let mut out = Vec::new();
                let (direction, text) = (hop.direction.reverse(), &envelope.text);
                hop.step.translate_within(message.of, direction, text, hop.alone(), &mut out, scratch, limits)?;
                base = message::unpack(&out)?.body.map(<[u8]>::to_vec);
            }
        }
        Ok(bases)
    }
}

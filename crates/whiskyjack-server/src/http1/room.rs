//! Room for the next piece of a response, where its reader is slower than its application.

use super::{Connection, Pace, Workspace};
use crate::overflow::{self, PATIENCE};
use crate::transport::Interest;
use std::io;
use std::time::Instant;

impl Connection {
    /// Waits until the peer has taken enough; for a slow one only until its bytes are in a file, so that it holds no thread.
    /// Errors: the peer has left, or takes too little for the limits of writing.
    pub(super) fn wait_for_room(&mut self, workspace: &Workspace<'_>) -> io::Result<()> {
        let Connection { output, transport, .. } = self;
        let config = workspace.config;
        let low_water = config.high_water / 2;
        let pace = Pace { since: Instant::now(), base: output.sent_so_far() };
        let patience = pace.since + PATIENCE;
        let mut is_patient = true;
        let mut may_spill = config.response_spool > 0;
        while output.held() > low_water {
            if output.flush(transport)? || output.held() <= low_water {
                break;
            }
            let now = Instant::now();
            let sent = output.sent_so_far();
            if let Some(taking) = output.taking(now) {
                is_patient = false;
                if Pace::is_broken(taking, now, sent, config.write_timeout, config.write_rate) {
                    return Err(not_taken());
                }
            }
            if may_spill && !is_patient {
                let spilled = workspace.call.wait(|| output.spill(config.response_spool));
                overflow::tell(now, &spilled);
                may_spill = matches!(spilled, Ok(true));
                continue;
            }
            let until = pace.deadline(now, sent, config.write_timeout, config.write_rate);
            let until = match may_spill {
                true => Some(until.map_or(patience, |until| until.min(patience))),
                false => until,
            };
            let timeout = until.map(|until| until.saturating_duration_since(now));
            let is_ready = workspace.call.wait(|| transport.wait(Interest::Write, timeout))?;
            if !is_ready && !may_spill {
                return Err(not_taken());
            }
            is_patient = is_ready && Instant::now() < patience;
        }
        Ok(())
    }
}

fn not_taken() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client does not take its response")
}

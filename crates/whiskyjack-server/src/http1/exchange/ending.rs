//! How a request's exchange ends once the application has returned, and what follows it on the connection.

use super::{Http1Exchange, Response};
use crate::call::Expired;
use crate::exchange::{Exchange, Failure};
use crate::http1::{Body, Next, State, defaults};
use crate::spool::Spool;
use std::mem;
use std::time::Instant;
use whiskyjack_proto::framing::ResponseFraming;
use whiskyjack_proto::write::{self, Asked};

impl Http1Exchange<'_, '_> {
    /// The application has returned: ends the response and says what follows.
    pub(super) fn finish(mut self, result: Result<(), Failure>) -> State {
        if let Response::HandedOver = self.response {
            return self.take_back();
        }
        if result.is_err() {
            self.follow();
        }
        let next = match result {
            Ok(()) => self.end(),
            Err(Failure::Disconnected(error)) => {
                log::debug!(
                    "{:?} left before its response was complete: {error}",
                    self.connection.origin.peer
                );
                self.connection.output.clear();
                Next::Abort
            }
            Err(Failure::Application) => self.fail(),
        };
        match self.workspace.call.end() {
            None => {}
            Some((expired, called)) => {
                self.tell_of_return(called);
                match expired {
                    Expired::Late => {}
                    // The monitor has answered and recorded it.
                    Expired::Answered => {
                        return self.connection.flushing(self.workspace, Next::Linger);
                    }
                    Expired::Aborted => {
                        self.connection.forget_gathered(self.workspace);
                        return State::Closed;
                    }
                }
            }
        }
        let (status, bytes) = match self.response {
            Response::None | Response::HandedOver => (0, 0),
            Response::Begun { status, bytes, .. } | Response::Broken { status, bytes } => {
                (status, bytes)
            }
        };
        self.connection.record(
            self.workspace,
            true,
            status,
            bytes,
            self.request.begun,
            self.queued,
        );
        self.connection.flushing(self.workspace, next)
    }

    /// The application is done with the connection, which serves no other request.
    fn take_back(self) -> State {
        let state = self.connection.take_back();
        self.workspace.call.end();
        self.connection.record(self.workspace, true, 101, 0, self.request.begun, self.queued);
        state
    }

    /// The deadline has passed during the call, and now its thread is back.
    fn tell_of_return(&self, called: Instant) {
        let head = &self.connection.head;
        log::warn!(
            "{} {}: came back after {:.1} s, past its deadline; its thread is free again",
            head.method().escape_ascii(),
            head.target().escape_ascii(),
            called.elapsed().as_secs_f64()
        );
    }

    pub(super) fn end(&mut self) -> Next {
        if let Response::Begun { ended: false, .. } = self.response
            && self.put(&&[][..], true).is_err()
        {
            return Next::Abort;
        }
        let Response::Begun { plan, .. } = self.response else {
            return self.fail();
        };
        if self.missing() > 0 {
            // Never padded: the peer must see that something is missing.
            return Next::Close;
        }
        self.after_response(plan.persistent)
    }

    /// What follows a whole response, after which the connection is `persistent` or not.
    fn after_response(&mut self, persistent: bool) -> Next {
        match mem::replace(&mut self.body, Body::Collected(Spool::new())) {
            Body::Streaming { decoder, decoded, invite: false, done: false, failed: false } => {
                self.connection.input.consume(decoded.0 + decoded.1);
                let drain = self.workspace.config.drain;
                if persistent && decoder.remaining().is_none_or(|left| left <= drain) {
                    Next::Discard(decoder)
                } else {
                    Next::Linger
                }
            }
            Body::Streaming { done: false, .. } => Next::Linger,
            Body::Streaming { decoded, .. } => {
                self.connection.input.consume(decoded.0 + decoded.1);
                self.after_whole_request(persistent)
            }
            Body::Collected(_) => self.after_whole_request(persistent),
        }
    }

    /// Whether the connection may serve another request after this one, whatever the response makes of it.
    pub(super) fn is_persistent(&self) -> bool {
        // Where `invite` still stands, the peer was not told to go on and may never send its body.
        let is_body_uncertain = matches!(
            self.body,
            Body::Streaming { invite: true, .. } | Body::Streaming { failed: true, .. }
        );
        self.request.persistent && !self.workspace.is_closing() && !is_body_uncertain
    }

    fn after_whole_request(&self, persistent: bool) -> Next {
        if persistent {
            Next::Request
        } else if self.request.intent.persistent || !self.connection.input.is_empty() {
            // The peer didn't ask for this close and may have sent more.
            Next::Linger
        } else {
            Next::Close
        }
    }

    /// The application's fault: 500 where nothing has been sent, else an end that the peer can't take for a good one.
    fn fail(&mut self) -> Next {
        match &mut self.response {
            Response::None | Response::Begun { sent: false, .. } => {
                if self.workspace.call.claim(500, true).is_err() {
                    return Next::Abort;
                }
                let asked = Asked::of(&self.connection.head, self.is_persistent());
                let mut bytes = Vec::new();
                let fields = defaults(self.workspace.config, &mut self.workspace.date);
                let body = write::refusal(&mut bytes, 500, asked, fields) as u64;
                self.response = Response::Broken { status: 500, bytes: body };
                self.connection.regain(self.workspace);
                match self.connection.output.send_bytes(&self.connection.transport, &bytes) {
                    Ok(()) => self.after_response(asked.persistent),
                    Err(_) => Next::Abort,
                }
            }
            Response::Begun { plan, .. } => match plan.framing {
                // A clean end would look like a complete response.
                ResponseFraming::Close => Next::Abort,
                ResponseFraming::None | ResponseFraming::Length(_) | ResponseFraming::Chunked => {
                    Next::Close
                }
            },
            Response::Broken { .. } | Response::HandedOver => Next::Abort,
        }
    }
}

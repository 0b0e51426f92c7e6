//! How the supervisor stands, in a few words for people, and for the service manager when they change.

use super::{Ending, Supervisor};

impl Supervisor<'_> {
    /// Tells the service manager what has changed.
    pub(super) fn tell(&mut self) {
        if self.ending == Ending::NotYet && !self.fleet.is_starting() && !self.fleet.is_reloading()
        {
            let status = self.standing();
            self.notifier.status(&status);
        }
    }

    /// Tells the service manager that what there is serves, be it as it was before a reload.
    pub(super) fn tell_ready(&mut self, is_new: bool) {
        let standing = self.standing();
        let note = if is_new { "" } else { "the last reload failed; " };
        self.notifier.ready(note, &standing);
    }

    /// For people, in a few words.
    fn standing(&self) -> String {
        let (serving, wanted) = (self.fleet.serving(), self.fleet.wanted());
        let application = self.serves.as_ref().map_or("", |(application, _)| application);
        format!("{serving} of {wanted} workers serve {application}")
    }
}

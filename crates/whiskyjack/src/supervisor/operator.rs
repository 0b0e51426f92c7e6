//! What the operator asks of the supervisor, by signals and over the control socket.

use super::channel::{self, Order};
use super::control::{Answer, Wish, answer};
use super::upgrade::{Heir, News};
use super::{Ending, Supervisor, rules, workers};
use crate::board::Standing;
use crate::credentials;
use crate::development;
use crate::logs;
use crate::settings::Settings;
use rustix::process::Signal;
use serde_json::{Value, json};
use signal_hook::consts::{
    SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH,
};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long what is under way may take after a first Ctrl-C.
const QUICK: Duration = Duration::from_secs(3);

impl Supervisor<'_> {
    pub(super) fn signalled(&mut self, signal: i32) {
        match signal {
            SIGTERM => self.stop(false),
            SIGINT => self.stop(true),
            SIGQUIT => self.cut(),
            SIGHUP => self.reload(),
            SIGUSR1 => self.order(Order::Reopen),
            SIGUSR2 => self.upgrade(),
            SIGTTIN => self.resize(self.fleet.wanted() + 1),
            SIGTTOU => self.resize(self.fleet.wanted().saturating_sub(1).max(1)),
            // A terminal sends it whenever its window changes.
            SIGWINCH if !is_at_terminal() => self.resize(0),
            _ => {}
        }
    }

    /// Ends once what is under way is done. A Ctrl-C means it sooner, and a second one at once.
    fn stop(&mut self, is_interrupt: bool) {
        let now = Instant::now();
        if self.fleet.is_starting() {
            return self.end(Ending::Graceful(None));
        }
        let quick = now + QUICK.min(self.settings.graceful_timeout);
        match (self.ending, is_interrupt) {
            (Ending::NotYet, false) if !self.settings.drain_delay.is_zero() => {
                log::info!(
                    "telling clients to close their connections, for {:?}; Ctrl-C stops at once",
                    self.settings.drain_delay
                );
                self.order(Order::Announce);
                self.notifier.stopping();
                self.ending = Ending::Announced(now + self.settings.drain_delay);
            }
            (Ending::NotYet | Ending::Announced(_), true) => {
                log::info!("finishing what is under way; Ctrl-C stops at once");
                self.end(Ending::Graceful(Some(quick)));
            }
            (Ending::NotYet, false) => {
                log::info!("finishing what is under way; Ctrl-C stops at once");
                self.end(Ending::Graceful(None));
            }
            (Ending::Graceful(_), true) => self.cut(),
            // Some senders of SIGTERM send several.
            (Ending::Announced(_) | Ending::Graceful(_) | Ending::Cut, _) => {}
        }
    }

    pub(super) fn end(&mut self, ending: Ending) {
        self.ending = ending;
        self.notifier.stopping();
        self.fleet.end();
        // What still comes is for the workers' last look at the queue, and then for nobody.
        self.sockets.clear();
        // Each must know that nobody goes on before the first one leaves its queue to the others.
        for process in
            self.processes.values().filter(|process| process.slot.standing() == Standing::Serving)
        {
            process.slot.stand(Standing::Draining);
        }
    }

    /// Ends at once.
    pub(super) fn cut(&mut self) {
        if self.ending != Ending::Cut {
            self.end(Ending::Cut);
            let now = Instant::now();
            for process in self.processes.values_mut() {
                process.end(Signal::QUIT, now);
            }
        }
    }

    fn resize(&mut self, workers: usize) {
        if !self.fleet.is_ending() && workers != self.fleet.wanted() {
            log::info!("workers: {workers}, not {}", self.fleet.wanted());
            self.fleet.want(workers);
        }
    }

    pub(super) fn order(&self, order: Order) {
        let born =
            self.processes.values().map(|process| (process.number, process.channel.stream()));
        for (number, channel) in born.chain(self.nursery.channels()) {
            if let Err(error) = channel::send(channel, &order) {
                log::debug!("cannot tell worker {number} to {order:?}: {error}");
            }
        }
    }

    /// Reads the settings again, and has workers with new code take over.
    pub(super) fn reload(&mut self) {
        if self.ending != Ending::NotYet || self.fleet.is_starting() {
            return;
        }
        self.notifier.reloading();
        let resolved = self.sources.resolve().map_err(|error| error.to_string());
        let settings = resolved.and_then(|resolved| {
            development::adapt(resolved.settings).map_err(|conflict| conflict.to_string())
        });
        match settings {
            Ok(settings) => {
                if let Err(error) = self.renew(&settings) {
                    return self.reloaded(&Err(error.to_string()));
                }
                self.adopt(settings);
                log::info!("reloading: one worker with the new code comes first");
                self.fleet.want(workers(&self.settings));
                self.fleet.reload();
            }
            Err(why) => self.reloaded(&Err(why)),
        }
    }

    /// Reads what the new workers encrypt with.
    fn renew(&mut self, settings: &Settings) -> Result<(), credentials::Error> {
        let is_as_before = settings.certfile == self.settings.certfile
            && settings.keyfile == self.settings.keyfile;
        match credentials::read(settings) {
            Ok(tls) => self.tls = tls,
            // The key was root's to read, and this is no longer root.
            Err(error) if error.is_forbidden() && is_as_before && self.tls.is_some() => {
                log::warn!(
                    "{error}; the workers go on with the certificate that was read at the start: let the group of --user read \
                     the key, or restart as root to take a renewed one"
                );
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes new settings over, but for those that only a new supervisor can.
    fn adopt(&mut self, settings: Settings) {
        let kept = [
            ("bind", self.settings.bind != settings.bind),
            ("chdir", self.settings.chdir != settings.chdir),
            ("control", self.settings.control != settings.control),
            ("debug", self.settings.debug != settings.debug),
            ("group", self.settings.group != settings.group),
            ("pid", self.settings.pid != settings.pid),
            ("reload", self.settings.reload != settings.reload),
            ("umask", self.settings.umask != settings.umask),
            ("user", self.settings.user != settings.user),
        ];
        for (name, _) in kept.iter().filter(|(_, is_changed)| *is_changed) {
            log::warn!("the new value of {name} needs a restart, or an upgrade by SIGUSR2");
        }
        self.settings = Settings {
            bind: self.settings.bind.clone(),
            chdir: self.settings.chdir.clone(),
            control: self.settings.control.clone(),
            debug: self.settings.debug,
            reload: self.settings.reload,
            pid: self.settings.pid.clone(),
            ..settings
        };
        self.fleet.rule(rules(&self.settings));
        logs::start(self.settings.log_level);
    }

    /// Starts a supervisor from what is installed now. It takes over once it serves; until then all stays as it is.
    fn upgrade(&mut self) {
        if self.ending != Ending::NotYet || self.fleet.is_starting() || self.heir.is_some() {
            return;
        }
        if std::process::id() == 1 {
            // Its end would be that of the container.
            return log::error!("process 1 cannot be replaced: replace the container");
        }
        let mut sockets: Vec<_> = self
            .binds
            .iter()
            .zip(&self.sockets)
            .map(|(bind, socket)| (bind.clone(), socket.as_fd()))
            .collect();
        if let (Some(path), Some(control)) = (&self.settings.control, &self.control) {
            sockets.push((format!("unix:{}", path.display()), control.listener().as_fd()));
        }
        match Heir::start(self.py, &self.sources.directory, &sockets, self.notifier.variables()) {
            Ok(heir) => {
                log::info!("upgrading: the new supervisor has pid {}", heir.pid);
                self.heir = Some(heir);
            }
            Err(why) => log::error!("the upgrade failed, what served goes on serving: {why}"),
        }
    }

    /// Hears what the heir and the operator have to say.
    pub(super) fn attend(&mut self) {
        match self.heir.as_mut().map(|heir| (heir.pid, heir.news())) {
            Some((pid, News::Serves)) => {
                log::info!(
                    "the supervisor with pid {pid} serves: finishing what is under way here"
                );
                self.heir = None;
                self.notifier.hand_on(pid);
                self.traces.leave();
                if !self.fleet.is_ending() {
                    self.end(Ending::Graceful(None));
                }
                self.control = None;
            }
            Some((pid, News::Failed)) => {
                self.heir = None;
                log::error!(
                    "the upgrade failed, what served goes on serving: see what pid {pid} has said"
                );
            }
            Some((_, News::None)) | None => {}
        }
        let Some(control) = &mut self.control else { return };
        for (wish, channel) in control.take() {
            match wish {
                Wish::Status => {
                    let status = self.status();
                    answer(&channel, &Answer::Status(status));
                }
                Wish::Reload if self.ending != Ending::NotYet => {
                    answer(&channel, &Answer::Failed("the server is about to end".to_owned()));
                }
                Wish::Reload if self.fleet.is_starting() => {
                    answer(&channel, &Answer::Failed("the server has not started yet".to_owned()));
                }
                Wish::Reload => {
                    if let Some(control) = &mut self.control {
                        control.wait_for_reload(channel);
                    }
                    self.reload();
                }
                Wish::Stop => {
                    answer(&channel, &Answer::Done);
                    if let Some(control) = &mut self.control {
                        control.wait_for_end(channel);
                    }
                    self.stop(false);
                }
            }
        }
    }

    fn status(&mut self) -> Value {
        let now = Instant::now();
        // Workers that rest have not been looked at for long.
        self.processes.values_mut().for_each(super::Process::examine);
        let seconds = |since: Instant| now.saturating_duration_since(since).as_secs_f64();
        let worker = |process: &super::Process| {
            let in_flight = process.slot.in_flight(now);
            let in_flight: Vec<Value> = in_flight
                .iter()
                .map(|flight| json!({ "request": flight.request, "age": flight.age.as_secs_f64() }))
                .collect();
            json!({
                "worker": process.number,
                "pid": process.pid,
                "standing": match process.slot.standing() {
                    Standing::Vacant => "gone",
                    Standing::Booting if process.stalled => "stalled",
                    Standing::Booting => "booting",
                    Standing::Serving => "serving",
                    Standing::Draining => "draining",
                },
                "generation": self.fleet.generation(process.number),
                "age": seconds(process.born),
                "requests": process.slot.requests(),
                "connections": process.slot.connections(),
                "rss": process.rss,
                "in-flight": in_flight,
            })
        };
        let deaths = self.deaths.iter().map(super::Certificate::as_json);
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "age": seconds(self.born),
            "application": self.serves.as_ref().map(|(application, _)| application),
            "addresses": self.sockets.iter().map(crate::sockets::url).collect::<Vec<_>>(),
            "wanted": self.fleet.wanted(),
            "reloading": self.fleet.is_reloading(),
            "ending": self.fleet.is_ending(),
            "loaders": self.nursery.status(),
            "workers": self.processes.values().map(worker).collect::<Vec<_>>(),
            "deaths": deaths.collect::<Vec<_>>(),
        })
    }
}

fn is_at_terminal() -> bool {
    io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal()
}

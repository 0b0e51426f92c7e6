//! The supervisor: holds the listening sockets, forks workers, and sees that there are as many as there should be.
//! One thread, one wait. What to do next is `fleet`'s to say; this room does it.

pub mod certificate;
pub mod cgroup;
mod changes;
pub mod channel;
pub mod control;
pub mod duty;
pub mod fleet;
mod heart;
pub mod loader;
mod look;
mod nursery;
mod operator;
pub mod order;
pub mod pidfile;
pub mod process;
mod standing;
mod traces;
pub mod upgrade;
pub mod wakeup;

use self::certificate::{Cause, Certificate};
use self::cgroup::Cgroup;
use self::changes::Changes;
use self::channel::{Channel, Report};
use self::control::Control;
use self::duty::Duty;
use self::fleet::{Act, Fleet, Rules};
use self::nursery::Nursery;
use self::process::Process;
use self::traces::Traces;
use self::upgrade::{Heir, Inheritance};
use self::wakeup::{Forked, Wakeup};
use crate::access_log::AccessLog;
use crate::banner::Banner;
use crate::board::{Board, Standing};
use crate::credentials;
use crate::engine;
use crate::identity;
use crate::notify::Notifier;
use crate::settings::Settings;
use crate::signals;
use crate::sockets::{self, Bind, SocketFiles};
use crate::sources::Sources;
use crate::title;
use crate::values::{Permissions, Workers, absolute};
use crate::worker::{self, Birth, Error};
use pyo3::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, WaitOptions, wait};
use socket2::Socket;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};
use whiskyjack_server::tls::Tls;

/// What a process is when the supervisor's work in it is over.
#[derive(Debug)]
pub enum Outcome {
    /// the supervisor, which has ended with this exit code
    Ended(i32),
    /// a worker, whose life begins
    Worker(Box<Birth>),
    /// a loader, whose life begins
    Loader(Box<loader::Start>),
}

/// What the supervisor goes by.
#[derive(Debug)]
pub struct Plan {
    /// as they are now
    pub settings: Settings,
    /// where they came from, to read them again
    pub sources: Sources,
}

/// What a worker's own end of a timeout may take until the supervisor's comes.
const GRACE: Duration = Duration::from_secs(3);

/// Deaths that are remembered.
const REMEMBERED: usize = 32;

/// Supervises until the end that a signal asks for. Returns in the workers too.
pub fn serve(py: Python<'_>, plan: Plan) -> Result<Outcome, Error> {
    let python = |error| Error::python(py, &error);
    let wakeup = Wakeup::take_over(py).map_err(python)?;
    let inheritance = Inheritance::take(py).map_err(python)?;
    let notifier = Notifier::take(py).map_err(python)?;
    let traces = Traces::default();
    let supervised = Supervisor::new(py, plan, wakeup, inheritance, &traces);
    let supervised = supervised.map(|supervisor| Supervisor { notifier, ..supervisor });
    let supervised = supervised.and_then(Supervisor::run);
    if matches!(supervised, Err(_) | Ok(Outcome::Ended(_))) {
        traces.remove();
    }
    supervised
}

struct Supervisor<'py> {
    py: Python<'py>,
    settings: Settings,
    sources: Sources,
    sockets: Vec<Socket>,
    /// what the workers encrypt with
    tls: Option<Tls>,
    /// as what each was asked for
    binds: Vec<String>,
    /// of the sockets, where there is a predecessor that they are still of
    files: Vec<SocketFiles>,
    traces: Traces,
    inheritance: Option<Inheritance>,
    heir: Option<Heir>,
    control: Option<Control>,
    notifier: Notifier,
    born: Instant,
    wakeup: Wakeup,
    board: Board,
    cgroup: Cgroup,
    fleet: Fleet,
    processes: BTreeMap<usize, Process>,
    nursery: Nursery,
    deaths: VecDeque<Certificate>,
    ending: Ending,
    exit_code: i32,
    /// why the first start failed
    failed: Option<String>,
    /// when the clock's work was done last
    looked: Instant,
    touched: BTreeMap<PathBuf, Option<SystemTime>>,
    changes: Changes,
    /// what the workers that serve say they are
    serves: Option<(String, String)>,
}

/// How the end is meant, and how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    NotYet,
    /// connections are still taken, until then
    Announced(Instant),
    /// what is under way is finished; where it was a Ctrl-C, until then
    Graceful(Option<Instant>),
    /// at once
    Cut,
}

impl<'py> Supervisor<'py> {
    fn new(
        py: Python<'py>,
        plan: Plan,
        wakeup: Wakeup,
        mut inheritance: Option<Inheritance>,
        traces: &Traces,
    ) -> Result<Supervisor<'py>, Error> {
        let Plan { settings, sources } = plan;
        let mut handed_on = match &mut inheritance {
            Some(inheritance) => std::mem::take(&mut inheritance.sockets),
            None => Vec::new(),
        };
        let tls = credentials::read(&settings).map_err(Error::Credentials)?;
        let options = worker::socket_options(&settings);
        let bound = sockets::bind_or_inherit(&settings.bind, &options, &mut handed_on);
        let bound = bound.map_err(Error::Address)?;
        let mut files = vec![bound.files.clone()];
        if inheritance.is_none() {
            traces.add(&bound.files);
        }
        engine::check_proxies(&settings, &bound.sockets).map_err(Error::Usage)?;
        let control = match &settings.control {
            None => None,
            Some(path) => {
                let path = Bind::Unix(path.clone());
                let options = sockets::Options { mode: Permissions(0o600), owner: None, ..options };
                let made = sockets::bind_or_inherit(&[path], &options, &mut handed_on);
                let made = made.map_err(Error::Address)?;
                if inheritance.is_none() {
                    traces.add(&made.files);
                }
                files.push(made.files);
                let socket = made.sockets.into_iter().next();
                let control = socket.map(Control::over).transpose();
                control.map_err(|error| Error::System("cannot use the control socket", error))?
            }
        };
        // What was handed on and is not asked for any more closes here.
        drop(handed_on);
        if let (Some(path), None) = (&settings.pid, &inheritance) {
            pidfile::write(path, None).map_err(Error::PidFile)?;
            traces.add_pid(absolute(path));
        }
        title::show(&title::of("supervisor", &title::name(&settings)));
        // Before the application, or a file of its own, is touched.
        identity::take_on(&settings).map_err(|error| Error::Usage(error.to_string()))?;
        if let Some(output) = &settings.access_log {
            // Better now and once than later and from every worker.
            let opened = AccessLog::open(output);
            opened.map_err(|error| Error::AccessLog(output.clone(), error))?;
        }
        let system = |error| Error::System("no memory to share with workers", error);
        let board = Board::new(settings.threads.number()).map_err(system)?;
        let fleet = Fleet::new(workers(&settings), rules(&settings));
        let mut supervisor = Supervisor {
            py,
            settings,
            sources,
            sockets: bound.sockets,
            tls,
            binds: bound.binds,
            files,
            traces: traces.clone(),
            inheritance,
            heir: None,
            control,
            notifier: Notifier::default(),
            born: Instant::now(),
            wakeup,
            board,
            cgroup: Cgroup::find(),
            fleet,
            processes: BTreeMap::new(),
            nursery: Nursery::default(),
            deaths: VecDeque::new(),
            ending: Ending::NotYet,
            exit_code: 0,
            failed: None,
            looked: Instant::now(),
            touched: BTreeMap::new(),
            changes: Changes::default(),
            serves: None,
        };
        supervisor.is_touched();
        Ok(supervisor)
    }

    fn run(mut self) -> Result<Outcome, Error> {
        loop {
            if let Some(generation) = self.nursery.bereft()
                && let Some(outcome) = self.reload_killed(generation)
            {
                return Ok(outcome);
            }
            let now = Instant::now();
            let mut is_settled = true;
            for act in self.fleet.step(now) {
                // That nobody is left is said as long as loaders are.
                is_settled &= act == Act::Gone;
                match act {
                    Act::Spawn { number, generation } => match self.spawn(number, generation) {
                        Ok(Spawned::There(outcome)) => return Ok(outcome),
                        Ok(Spawned::Here) => {}
                        Err(error) => self.not_spawned(number, &error),
                    },
                    Act::Drain { number, why } => self.drain(number, &why),
                    Act::Kill { number, why } => self.kill(number, why),
                    Act::Up => self.up(),
                    Act::Reloaded(result) => self.reloaded(&result),
                    Act::Gone if !self.nursery.is_empty() => self.nursery.dismiss(Instant::now()),
                    Act::Gone => {
                        return match (self.failed, self.serves) {
                            (Some(why), _) => Err(Error::Boot(why)),
                            (None, None) => Err(Error::Interrupted),
                            (None, Some(_)) => Ok(Outcome::Ended(self.exit_code)),
                        };
                    }
                }
            }
            self.tell();
            // What was done may ask for more, of which no clock and no descriptor would tell.
            if is_settled {
                self.wait(now);
            }
            for signal in self.wakeup.take() {
                self.signalled(signal);
            }
            self.listen();
            self.attend_loaders();
            self.attend();
            self.reap();
            self.look();
            if self.ending == Ending::Cut {
                self.exit_code = signals::INTERRUPTED;
            }
        }
    }

    /// Waits for a signal, a message or the next moment at which something is due, or was since the fleet's step at `stepped`. The only wait.
    fn wait(&mut self, stepped: Instant) {
        let now = Instant::now();
        let ending = match self.ending {
            Ending::Announced(at) | Ending::Graceful(Some(at)) => Some(at),
            _ => None,
        };
        let look = self.next_look();
        let kills = self.processes.values_mut().filter_map(|process| process.kill_if_due(now));
        let beat = self.notifier.beat(now);
        let kills = kills.chain(self.nursery.kill_if_due(now));
        let due = kills.chain(ending).chain(beat).chain(look).chain(self.fleet.next_look(stepped));
        let timeout = due.min().map(|due| due.saturating_duration_since(now));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut fds: Vec<PollFd<'_>> = vec![PollFd::new(&self.wakeup, PollFlags::IN)];
        let channels = self.processes.values().filter(|process| !process.channel.is_ended());
        fds.extend(channels.map(|process| PollFd::new(&process.channel, PollFlags::IN)));
        fds.extend(self.nursery.sources());
        fds.extend(self.heir.iter().map(|heir| PollFd::new(heir, PollFlags::IN)));
        if let Some(control) = &self.control {
            fds.push(PollFd::new(control.listener(), PollFlags::IN));
            fds.extend(control.sources().map(|asking| PollFd::new(asking, PollFlags::IN)));
        }
        // An interruption is what the wakeup line tells of, and no other error can come of descriptors that are open.
        let _ = self.py.detach(|| poll(&mut fds, timeout.as_ref()));
    }

    fn spawn(&mut self, number: usize, generation: u64) -> Result<Spawned, Error> {
        if self.settings.preload {
            return self.spawn_by_loader(number, generation);
        }
        let system = |error| Error::System("cannot fork a worker", error);
        let slot = self.board.slot(number);
        slot.clear();
        let (channel, theirs) = Channel::pair().map_err(system)?;
        match self.wakeup.fork(self.py).map_err(|error| Error::python(self.py, &error))? {
            Forked::Parent(pid) => {
                log::debug!("worker {number} (pid {pid}) boots, generation {generation}");
                let kills = self.cgroup.memory_kills();
                self.processes.insert(number, Process::new(number, pid, channel, slot, kills));
                Ok(Spawned::Here)
            }
            // The others' channels are the supervisor's, and go with it: with an end in here, they would not end with it.
            Forked::Child => {
                let part = format!("worker {number}");
                title::show(&title::of(&part, &title::name(&self.settings)));
                let siblings = self.fleet.wanted() > 1;
                Ok(Spawned::There(Outcome::Worker(Box::new(Birth {
                    settings: self.settings.clone(),
                    sockets: std::mem::take(&mut self.sockets),
                    loaded: None,
                    tls: self.tls.take(),
                    duty: Duty::new(slot, theirs, siblings),
                }))))
            }
        }
    }

    fn not_spawned(&mut self, number: usize, error: &Error) {
        log::error!("{error}");
        self.board.slot(number).stand(Standing::Vacant);
        self.lost(number, &error.to_string());
    }

    fn drain(&mut self, number: usize, why: &str) {
        if let Some(process) = self.processes.get_mut(&number) {
            log::info!("worker {number} (pid {}) drains: {why}", process.pid);
            process.drain(Instant::now());
        }
    }

    fn kill(&mut self, number: usize, why: &'static str) {
        self.nursery.give_up(number, why, Instant::now());
        if let Some(process) = self.processes.get_mut(&number) {
            if !self.fleet.is_ending() {
                log::warn!("worker {number} (pid {}) is ended: {why}", process.pid);
            }
            process.failure.get_or_insert_with(|| why.to_owned());
            let is_booting = process.slot.standing() == Standing::Booting && !process.stalled;
            // An import is interrupted as by Ctrl-C; whoever serves cuts off what it has.
            process.end(if is_booting { Signal::TERM } else { Signal::QUIT }, Instant::now());
        }
    }

    /// All that were asked for serve, for the first time.
    fn up(&mut self) {
        let (application, python) = self.serves.clone().unwrap_or_default();
        let urls = sockets::urls(&self.sockets, self.tls.is_some());
        let threads = self.settings.threads.number();
        let workers = Some(self.fleet.wanted());
        Banner { urls, application, workers, threads, python }.show();
        self.tell_ready(true);
        let predecessor = self.inheritance.as_ref().map(|inheritance| inheritance.pid);
        if let Some(mut inheritance) = self.inheritance.take() {
            log::info!("taking over from the supervisor with pid {}", inheritance.pid);
            for files in std::mem::take(&mut self.files) {
                self.traces.add(&files);
            }
            if let Some(path) = &self.settings.pid {
                match pidfile::write(path, predecessor) {
                    Ok(()) => self.traces.add_pid(absolute(path)),
                    Err(error) => log::error!("{error}"),
                }
            }
            inheritance.serves();
        }
        self.catch_up();
    }

    fn reloaded(&mut self, result: &Result<(), String>) {
        match result {
            Ok(()) => log::info!("reloaded: {} workers serve the new code", self.fleet.serving()),
            Err(why) => {
                log::error!("the reload failed, what served goes on serving: {why}");
                self.release();
            }
        }
        self.tell_ready(result.is_ok());
        if let Some(control) = &mut self.control {
            control.reloaded(result);
        }
        self.catch_up();
    }

    /// Reads what the workers tell.
    fn listen(&mut self) {
        let numbers: Vec<usize> = self.processes.keys().copied().collect();
        for number in numbers {
            let reports = self.processes.get_mut(&number).map(|process| process.channel.take());
            for report in reports.into_iter().flatten() {
                self.reported(number, report);
            }
        }
    }

    fn reported(&mut self, number: usize, report: Report) {
        let now = Instant::now();
        let Some(process) = self.processes.get_mut(&number) else { return };
        match report {
            Report::Ready { application, python } => {
                let took = now.saturating_duration_since(process.born);
                if !self.fleet.is_starting() {
                    log::info!("worker {number} (pid {}) serves, after {took:.1?}", process.pid);
                }
                // Who was told to end before it was ready ends as it was told.
                process.ready = !process.asked;
                process.examine();
                self.serves = Some((application, python));
                self.fleet.ready(number, now);
            }
            Report::Failed { why } => process.failure = Some(why),
            Report::Born { .. } => {}
            Report::Draining => {
                if !process.asked {
                    log::info!("worker {number} (pid {}) was told to end", process.pid);
                    process.asked = true;
                }
                self.fleet.drains(number, now);
            }
            Report::Changed { changes } => self.changed(changes),
            Report::Replace { why } => self.replace(number, why),
            // The next look will be a while: what it would find now is worth knowing should the worker die.
            Report::Rests => process.examine(),
            // When to look is asked of the board in any case.
            Report::Stirs => {}
        }
    }

    fn replace(&mut self, number: usize, why: String) {
        let pid = self.processes.get(&number).map_or(0, |process| process.pid);
        let line = format!("worker {number} (pid {pid}) is replaced: {why}");
        if self.fleet.replace(number, why) {
            log::info!("{line}");
        }
    }

    /// Takes note of every process that has ended.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let (pid, cause) = (pid.as_raw_nonzero().get(), process::cause(status));
            // As process 1 of a container we are everybody's heir.
            if !self.loader_died(pid, cause)
                && let Some(number) = self.number_of(pid)
            {
                self.died(number, cause);
            }
        }
        while let Some(number) = self.vanished() {
            self.died(number, Cause::Unknown);
        }
    }

    /// Which worker the process is, where it is one.
    fn number_of(&mut self, pid: i32) -> Option<usize> {
        let number = |processes: &BTreeMap<usize, Process>| {
            processes.values().find(|process| process.pid == pid).map(|found| found.number)
        };
        number(&self.processes).or_else(|| {
            // It may have said that it was born, and not been heard.
            self.attend_births();
            number(&self.processes)
        })
    }

    fn died(&mut self, number: usize, cause: Cause) {
        let reports = self.processes.get_mut(&number).map(|process| process.channel.take());
        for report in reports.into_iter().flatten() {
            self.reported(number, report);
        }
        let Some(process) = self.processes.remove(&number) else { return };
        let certificate = process.certify(cause, self.cgroup.memory_kills(), Instant::now());
        process.slot.stand(Standing::Vacant);
        let is_well = matches!(cause, Cause::Exit(0) | Cause::Unknown);
        let is_clean = process.asked && (is_well || !process.ready);
        self.exit_code = self.exit_code.max(i32::from(self.fleet.is_ending() && !is_clean));
        // The failure of a first start, or of a reload's trial, is told where that is, and once.
        let is_told_there = self.fleet.is_starting() || self.failed.is_some();
        if is_clean || is_told_there || self.fleet.is_trial(number) {
            log::debug!("{certificate}");
        } else if let Some(why) = &process.failure {
            log::error!("worker {number} (pid {}) failed: {why}", process.pid);
        } else if process.asked || cause == Cause::Exit(0) {
            log::warn!("{certificate}");
        } else {
            log::error!("{certificate}");
        }
        let why = process.failure.unwrap_or_else(|| certificate.to_string());
        if !is_clean {
            self.deaths.push_back(certificate);
            if self.deaths.len() > REMEMBERED {
                self.deaths.pop_front();
            }
        }
        self.lost(number, &why);
    }

    fn lost(&mut self, number: usize, why: &str) {
        if self.fleet.is_starting() && !self.fleet.is_ending() {
            self.failed = Some(why.to_owned());
            self.end(Ending::Graceful(None));
        }
        if self.fleet.is_trial(number)
            && let Some(generation) = self.fleet.generation(number)
        {
            // The next trial is of what there is on the disk by then.
            self.nursery.reject(generation);
        }
        for act in self.fleet.gone(number, why, Instant::now()) {
            if let Act::Reloaded(result) = act {
                self.reloaded(&result);
            }
        }
    }
}

/// What a fork leaves behind.
enum Spawned {
    /// this is the supervisor still
    Here,
    /// this is what was forked
    There(Outcome),
}

fn workers(settings: &Settings) -> usize {
    match settings.workers {
        Workers::Auto => cgroup::processors(),
        Workers::Count(count) => count.max(1),
    }
}

fn rules(settings: &Settings) -> Rules {
    Rules {
        boot_timeout: settings.boot_timeout + GRACE,
        drain_timeout: settings.graceful_timeout + signals::LAST_WORDS + GRACE,
    }
}

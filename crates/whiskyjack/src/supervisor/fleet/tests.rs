//! The fleet under stories, and under everything that can happen in any order.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

const RULES: Rules =
    Rules { boot_timeout: Duration::from_secs(60), drain_timeout: Duration::from_secs(30) };

/// A fleet, the clock, and the processes that its acts would have made.
struct Play {
    fleet: Fleet,
    now: Instant,
    /// by number: what the process is at
    booting: BTreeMap<usize, u64>,
    serving: BTreeMap<usize, u64>,
    draining: BTreeMap<usize, u64>,
    /// the most that were ever wanted: those that boot when fewer are go on
    most: usize,
    reloads: Vec<Result<(), String>>,
    up: bool,
    gone: bool,
}

impl Play {
    fn new(wanted: usize) -> Play {
        let mut play = Play {
            fleet: Fleet::new(wanted, RULES),
            now: Instant::now(),
            booting: BTreeMap::new(),
            serving: BTreeMap::new(),
            draining: BTreeMap::new(),
            most: wanted,
            reloads: Vec::new(),
            up: false,
            gone: false,
        };
        play.step();
        play
    }

    /// One that has come up.
    fn up(wanted: usize) -> Play {
        let mut play = Play::new(wanted);
        play.boot_all();
        assert!(play.up);
        play
    }

    fn step(&mut self) {
        let wanted = self.fleet.wanted();
        self.most = self.most.max(wanted);
        for act in self.fleet.step(self.now) {
            match act {
                Act::Spawn { number, generation } => {
                    assert!(!self.is_taken(number), "number {number} has a process");
                    self.booting.insert(number, generation);
                    assert!(self.booting.len() <= self.most + 1, "no flood of workers that boot");
                }
                Act::Drain { number, .. } => {
                    let generation = self.serving.remove(&number).expect("who drains has served");
                    self.draining.insert(number, generation);
                    assert!(
                        self.fleet.is_ending() || self.serving.len() >= wanted,
                        "{} serve, {wanted} are wanted",
                        self.serving.len()
                    );
                }
                Act::Kill { number, .. } => {
                    assert!(self.is_taken(number));
                    if let Some(generation) = self.booting.remove(&number) {
                        self.draining.insert(number, generation);
                    }
                }
                Act::Reloaded(result) => self.reloads.push(result),
                Act::Up => self.up = true,
                Act::Gone => self.gone = true,
            }
        }
    }

    fn is_taken(&self, number: usize) -> bool {
        [&self.booting, &self.serving, &self.draining].iter().any(|all| all.contains_key(&number))
    }

    fn boot(&mut self, nth: usize) {
        if let Some(&number) = self.booting.keys().nth(nth % self.booting.len().max(1)) {
            let generation = self.booting.remove(&number).expect("it boots");
            self.serving.insert(number, generation);
            self.fleet.ready(number, self.now);
            self.step();
        }
    }

    /// Everything that boots becomes ready, and everything that drains ends, until nothing does.
    fn boot_all(&mut self) {
        for _ in 0..10_000 {
            if self.booting.is_empty() && self.draining.is_empty() {
                return;
            }
            self.boot(0);
            self.end(0);
        }
        panic!("it comes to no rest");
    }

    fn die(&mut self, of: fn(&mut Play) -> &mut BTreeMap<usize, u64>, nth: usize, why: &str) {
        let all = of(self);
        if let Some(&number) = all.keys().nth(nth % all.len().max(1)) {
            all.remove(&number);
            for act in self.fleet.gone(number, why, self.now) {
                match act {
                    Act::Reloaded(result) => self.reloads.push(result),
                    other => panic!("a death leads to {other:?}"),
                }
            }
            self.step();
        }
    }

    fn end(&mut self, nth: usize) {
        self.die(|play| &mut play.draining, nth, "drained");
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.step();
    }

    fn generations(&self) -> Vec<u64> {
        self.serving.values().copied().collect()
    }
}

#[test]
fn a_start_forks_all_at_once_and_says_when_they_serve() {
    let mut play = Play::new(3);
    assert_eq!(play.booting.len(), 3);
    play.boot(0);
    play.boot(0);
    assert!(!play.up);
    play.boot(0);
    assert!(play.up);
}

#[test]
fn a_reload_boots_one_first_and_then_rolls_one_by_one() {
    let mut play = Play::up(3);
    play.fleet.reload();
    play.step();
    assert_eq!((play.booting.len(), play.serving.len()), (1, 3));
    play.boot(0);
    assert_eq!((play.booting.len(), play.serving.len(), play.draining.len()), (1, 3, 1));
    play.boot_all();
    assert_eq!(play.generations(), [2, 2, 2]);
    assert_eq!(play.reloads, [Ok(())]);
}

#[test]
fn a_trial_that_fails_ends_the_reload_and_nothing_else() {
    let mut play = Play::up(2);
    play.fleet.reload();
    play.step();
    play.die(|play| &mut play.booting, 0, "SyntaxError");
    assert_eq!(play.reloads, [Err("SyntaxError".to_owned())]);
    assert_eq!((play.generations(), play.booting.len()), (vec![1, 1], 0));
    play.pass(Duration::from_secs(600));
    assert_eq!((play.generations(), play.booting.len()), (vec![1, 1], 0));
    play.fleet.reload();
    play.step();
    play.boot_all();
    assert_eq!(play.generations(), [2, 2]);
}

#[test]
fn a_reload_while_one_is_tried_tries_again() {
    let mut play = Play::up(1);
    play.fleet.reload();
    play.step();
    play.fleet.reload();
    play.step();
    assert_eq!((play.booting.len(), play.draining.len()), (0, 1), "the first is killed");
    play.boot_all();
    assert_eq!(play.reloads.last(), Some(&Ok(())));
    assert_eq!(play.serving.len(), 1);
}

#[test]
fn who_dies_is_replaced_at_once_and_then_after_pauses_that_grow() {
    let mut play = Play::up(1);
    play.die(|play| &mut play.serving, 0, "killed");
    assert_eq!(play.booting.len(), 1, "the first at once");
    for pause in [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
        play.die(|play| &mut play.booting, 0, "ImportError");
        play.pass(Duration::from_millis(pause - 1));
        assert_eq!(play.booting.len(), 0, "{pause}");
        play.pass(Duration::from_millis(1));
        assert_eq!(play.booting.len(), 1, "{pause}");
    }
    play.boot(0);
    play.pass(HEALTHY);
    play.die(|play| &mut play.serving, 0, "killed");
    assert_eq!(play.booting.len(), 1, "a healthy minute makes up for it");
}

#[test]
fn who_is_to_be_replaced_serves_until_another_does() {
    let mut play = Play::up(2);
    assert!(play.fleet.replace(0, "it is old".to_owned()));
    assert!(!play.fleet.replace(0, "twice".to_owned()));
    play.step();
    assert_eq!((play.booting.len(), play.serving.len()), (1, 2));
    play.boot(0);
    assert_eq!(play.serving.len(), 2);
    assert!(play.draining.contains_key(&0));
}

#[test]
fn there_can_be_more_and_fewer() {
    let mut play = Play::up(2);
    play.fleet.want(4);
    play.step();
    assert_eq!(play.booting.len(), 2);
    play.boot_all();
    play.fleet.want(1);
    play.step();
    assert_eq!((play.serving.len(), play.draining.len()), (1, 3));
    play.fleet.want(0);
    play.step();
    assert_eq!(play.serving.len(), 0);
}

#[test]
fn who_takes_too_long_is_killed() {
    let mut play = Play::up(1);
    play.fleet.reload();
    play.step();
    let number = *play.booting.keys().next().expect("the trial");
    let due = play.fleet.next_look(play.now).expect("a deadline");
    assert_eq!(due, play.now + RULES.boot_timeout);
    let acts = play.fleet.step(due);
    assert!(matches!(acts[..], [Act::Kill { number: killed, .. }] if killed == number), "{acts:?}");
    play.booting.remove(&number);
    play.boot_all();
}

#[test]
fn the_end_drains_who_serves_kills_who_boots_and_is_told() {
    let mut play = Play::up(2);
    play.fleet.want(3);
    play.step();
    play.fleet.end();
    let acts = play.fleet.step(play.now);
    let drains = acts.iter().filter(|act| matches!(act, Act::Drain { .. })).count();
    let kills = acts.iter().filter(|act| matches!(act, Act::Kill { .. })).count();
    assert_eq!((drains, kills), (2, 1));
    for number in 0..3 {
        assert!(!play.gone);
        play.fleet.gone(number, "", play.now);
        play.step();
    }
    assert!(play.gone);
}

#[derive(Clone, Debug)]
enum Event {
    Boot(usize),
    BootFails(usize),
    Dies(usize),
    Ends(usize),
    Reload,
    Replace(usize),
    Want(usize),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..8_usize).prop_map(Event::Boot),
        1 => (0..8_usize).prop_map(Event::BootFails),
        1 => (0..8_usize).prop_map(Event::Dies),
        4 => (0..8_usize).prop_map(Event::Ends),
        1 => Just(Event::Reload),
        1 => (0..12_usize).prop_map(Event::Replace),
        1 => (1..5_usize).prop_map(Event::Want),
        3 => (0..20_000_u64).prop_map(Event::Pass),
    ]
}

proptest! {
    /// Each step checks that nothing that was asked for takes a worker away that is needed (see `Play::step`); and when
    /// nothing goes wrong any more, all is as it should be in the end.
    #[test]
    fn whatever_happens_enough_go_on_serving_and_it_comes_to_rest(
        wanted in 1..5_usize,
        events in vec(event(), 0..120),
    ) {
        let mut play = Play::up(wanted);
        for event in events {
            let before = play.serving.len().min(play.fleet.wanted());
            let is_death = matches!(event, Event::Dies(_) | Event::Want(_));
            match event {
                Event::Boot(nth) => play.boot(nth),
                Event::BootFails(nth) => play.die(|play| &mut play.booting, nth, "failed"),
                Event::Dies(nth) => play.die(|play| &mut play.serving, nth, "died"),
                Event::Ends(nth) => play.end(nth),
                Event::Reload => {
                    play.fleet.reload();
                    play.step();
                }
                Event::Replace(number) => {
                    play.fleet.replace(number, "asked for".to_owned());
                    play.step();
                }
                Event::Want(workers) => {
                    play.fleet.want(workers);
                    play.step();
                }
                Event::Pass(milliseconds) => play.pass(Duration::from_millis(milliseconds)),
            }
            prop_assert!(is_death || play.serving.len() >= before);
            prop_assert!(play.serving.len() <= play.most + 1);
        }
        for _ in 0..50 {
            play.pass(LONGEST_PAUSE);
            play.boot_all();
        }
        prop_assert_eq!(play.serving.len(), play.fleet.wanted());
        prop_assert!(!play.fleet.is_reloading());
        let generation = play.fleet.generation;
        prop_assert!(play.generations().iter().all(|found| *found == generation));
    }
}

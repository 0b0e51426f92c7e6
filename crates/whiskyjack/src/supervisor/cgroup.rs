//! What the control group of this process tells: kills for want of memory, and how much of the processors is ours.
//! Knows versions 1 and 2, and that there may be neither.

use std::fs;
use std::path::{Path, PathBuf};

/// The control group of this process.
#[derive(Clone, Debug, Default)]
pub struct Cgroup {
    memory_events: Vec<PathBuf>,
    cpu: Vec<PathBuf>,
}

impl Cgroup {
    /// Finds it.
    pub fn find() -> Cgroup {
        let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Cgroup::at(Path::new("/sys/fs/cgroup"), &membership)
    }

    /// A container often sees its own group at the root, whatever the membership says, so both are asked, the nearer first.
    fn at(root: &Path, membership: &str) -> Cgroup {
        let mut found = Cgroup::default();
        for line in membership.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
            let path = path.trim_start_matches('/');
            let has = |name| controllers.split(',').any(|controller| controller == name);
            if controllers.is_empty() {
                // version 2
                for directory in [root.join(path), root.to_owned()] {
                    found.memory_events.push(directory.join("memory.events"));
                    found.cpu.push(directory.join("cpu.max"));
                }
            }
            if has("memory") {
                for directory in [root.join("memory").join(path), root.join("memory")] {
                    found.memory_events.push(directory.join("memory.oom_control"));
                }
            }
            if has("cpu") {
                for directory in [root.join("cpu").join(path), root.join("cpu")] {
                    found.cpu.push(directory.join("cpu.cfs_quota_us"));
                }
            }
        }
        found
    }

    /// How many processes of the group the kernel has killed for want of memory; `None` where nobody counts.
    pub fn memory_kills(&self) -> Option<u64> {
        self.memory_events.iter().find_map(|path| {
            let text = fs::read_to_string(path).ok()?;
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
        })
    }

    /// How many processors' time the group may use, rounded up; `None` where it may use all.
    pub fn processors(&self) -> Option<usize> {
        self.cpu.iter().find_map(|path| {
            let text = fs::read_to_string(path).ok()?;
            let mut words = text.split_whitespace();
            let quota: u64 = words.next()?.parse().ok()?;
            let period: u64 = match words.next() {
                Some(period) => period.parse().ok()?,
                None => {
                    let period = path.with_file_name("cpu.cfs_period_us");
                    fs::read_to_string(period).ok()?.trim().parse().ok()?
                }
            };
            (period > 0).then(|| usize::try_from(quota.div_ceil(period)).unwrap_or(usize::MAX))
        })
    }
}

/// The processors that this process may use: those of its affinity, as far as its group's share goes.
pub fn processors() -> usize {
    let affinity = std::thread::available_parallelism().map_or(1, usize::from);
    Cgroup::find().processors().map_or(affinity, |share| affinity.min(share.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with files, that goes away with the test.
    struct Root(PathBuf);

    impl Root {
        fn new(name: &str, files: &[(&str, &str)]) -> Root {
            let root =
                std::env::temp_dir().join(format!("wj-cgroup-{name}-{}", std::process::id()));
            for (path, text) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
                fs::write(path, text).expect("a file");
            }
            Root(root)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn version_2_tells_kills_and_share() {
        let events = "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\noom_group_kill 0\n";
        let files = [("a/b/memory.events", events), ("a/b/cpu.max", "150000 100000\n")];
        let root = Root::new("two", &files);
        let cgroup = Cgroup::at(&root.0, "0::/a/b\n");
        assert_eq!(cgroup.memory_kills(), Some(4));
        assert_eq!(cgroup.processors(), Some(2));
    }

    #[test]
    fn a_container_finds_its_group_at_the_root() {
        let files = [("memory.events", "oom_kill 7\n"), ("cpu.max", "max 100000\n")];
        let root = Root::new("root", &files);
        let cgroup = Cgroup::at(&root.0, "0::/system.slice/x.scope\n");
        assert_eq!((cgroup.memory_kills(), cgroup.processors()), (Some(7), None));
    }

    #[test]
    fn version_1_tells_kills_and_share() {
        let files = [
            ("memory/x/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
            ("cpu/x/cpu.cfs_quota_us", "50000\n"),
            ("cpu/x/cpu.cfs_period_us", "100000\n"),
        ];
        let root = Root::new("one", &files);
        let cgroup = Cgroup::at(&root.0, "4:memory:/x\n3:cpu,cpuacct:/x\n0::/\n");
        assert_eq!((cgroup.memory_kills(), cgroup.processors()), (Some(2), Some(1)));
        fs::write(root.0.join("cpu/x/cpu.cfs_quota_us"), "-1\n").expect("a file");
        assert_eq!(cgroup.processors(), None);
    }

    #[test]
    fn without_a_group_nothing_is_known() {
        let cgroup = Cgroup::at(Path::new("/nowhere"), "");
        assert_eq!((cgroup.memory_kills(), cgroup.processors()), (None, None));
    }
}

//! Network namespaces of a test: nothing of them touches the machine's own network, and all of them go with the test.

use std::process::{Command, Output};

pub struct Namespaces {
    name: String,
    places: &'static [&'static str],
}

impl Namespaces {
    /// One for each place, without IPv6. `None` where they cannot be made: not Linux's root, or no `ip`.
    pub fn new(test: &str, places: &'static [&'static str]) -> Option<Self> {
        let all = Self { name: format!("twocan-{test}-{}", std::process::id()), places };
        if !places.iter().all(|place| ip(&["netns", "add", &all.name(place)])) {
            return None;
        }
        for place in places {
            all.write(place, "net/ipv6/conf/all/disable_ipv6", "1");
            all.ip(place, "link set lo up");
        }
        Some(all)
    }

    pub fn name(&self, place: &str) -> String {
        format!("{}-{place}", self.name)
    }

    /// A program in one of the places.
    pub fn command(&self, place: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(place), program]);
        command
    }

    pub fn ip(&self, place: &str, arguments: &str) {
        let name = self.name(place);
        let all: Vec<&str> = ["-n", &name].into_iter().chain(arguments.split(' ')).collect();
        assert!(ip(&all), "ip {arguments}");
    }

    pub fn write(&self, place: &str, setting: &str, value: &str) {
        let script = format!("echo {value} > /proc/sys/{setting}");
        let Output { status, .. } = self.command(place, "sh").args(["-c", &script]).output().unwrap();
        assert!(status.success(), "{setting}");
    }

    /// A cable between two places, with an address at each end; none where there is only a dash.
    pub fn join(&self, one: &str, device: &str, address: &str, other: &str, end: &str, other_address: &str) {
        let there = self.name(other);
        self.ip(one, &format!("link add {device} type veth peer name {end} netns {there}"));
        for (place, device, address) in [(one, device, address), (other, end, other_address)] {
            if address != "-" {
                self.ip(place, &format!("addr add {address} dev {device}"));
            }
            self.ip(place, &format!("link set {device} up"));
        }
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for place in self.places {
            ip(&["netns", "del", &self.name(place)]);
        }
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
}

//! Two computers and a router between them, as network namespaces: nothing of it touches the machine's own network,
//! and all of it goes with the test.
//!
//! ```text
//!   a: wifi 10.99.1.2 ---\
//!      cable 10.99.3.2 ---  router  --- eth 10.99.2.2 :b
//! ```

use std::process::{Command, Output};

pub struct Lab {
    name: String,
}

impl Lab {
    /// `None` where namespaces cannot be made: not Linux's root, or no `ip`.
    pub fn new(test: &str) -> Option<Self> {
        let lab = Self { name: format!("twocan-{test}-{}", std::process::id()) };
        if !["a", "b", "r"].iter().all(|place| ip(&["netns", "add", &lab.namespace(place)])) {
            return None;
        }
        for place in ["a", "b", "r"] {
            lab.write(place, "net/ipv6/conf/all/disable_ipv6", "1");
            lab.ip(place, "link set lo up");
        }
        for (place, device, net) in [("a", "wifi", 1), ("a", "cable", 3), ("b", "eth", 2)] {
            let (end, router) = (format!("{place}{device}"), lab.namespace("r"));
            lab.ip(place, &format!("link add {device} type veth peer name {end} netns {router}"));
            lab.ip("r", &format!("addr add 10.99.{net}.1/24 dev {end}"));
            lab.ip("r", &format!("link set {end} up"));
            lab.ip(place, &format!("link set {device} up"));
        }
        lab.join("a", "wifi", 1);
        lab.join("b", "eth", 2);
        lab.forward(true);
        Some(lab)
    }

    pub fn namespace(&self, place: &str) -> String {
        format!("{}-{place}", self.name)
    }

    /// Gives a computer its address in this network, and the way out.
    pub fn join(&self, place: &str, device: &str, net: u8) {
        self.ip(place, &format!("addr add 10.99.{net}.2/24 dev {device}"));
        self.ip(place, &format!("route add default via 10.99.{net}.1"));
    }

    /// The address is gone, and the device with it.
    pub fn leave(&self, place: &str, device: &str, net: u8) {
        self.ip(place, &format!("addr del 10.99.{net}.2/24 dev {device}"));
        self.ip(place, &format!("link set {device} down"));
    }

    pub fn up(&self, place: &str, device: &str) {
        self.ip(place, &format!("link set {device} up"));
    }

    /// Whether the router passes anything on.
    pub fn forward(&self, forward: bool) {
        self.write("r", "net/ipv4/ip_forward", if forward { "1" } else { "0" });
    }

    /// A program on one of the computers.
    pub fn command(&self, place: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(place), program]);
        command
    }

    fn ip(&self, place: &str, arguments: &str) {
        let namespace = self.namespace(place);
        let all: Vec<&str> = ["-n", &namespace].into_iter().chain(arguments.split(' ')).collect();
        assert!(ip(&all), "ip {arguments}");
    }

    fn write(&self, place: &str, setting: &str, value: &str) {
        let script = format!("echo {value} > /proc/sys/{setting}");
        let Output { status, .. } = self.command(place, "sh").args(["-c", &script]).output().unwrap();
        assert!(status.success(), "{setting}");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for place in ["a", "b", "r"] {
            ip(&["netns", "del", &self.namespace(place)]);
        }
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
}

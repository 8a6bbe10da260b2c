//! Two computers and a router between them, as network namespaces: nothing of it touches the machine's own network,
//! and all of it goes with the test.
//!
//! ```text
//!   a: wifi 10.99.1.2 ---\
//!      cable 10.99.3.2 ---  router  --- eth 10.99.2.2 :b
//! ```

#[path = "../support/namespaces.rs"]
mod namespaces;

use namespaces::Namespaces;
use std::process::Command;

pub struct Lab(Namespaces);

impl Lab {
    /// `None` where namespaces cannot be made: not Linux's root, or no `ip`.
    pub fn new(test: &str) -> Option<Self> {
        let lab = Self(Namespaces::new(test, &["a", "b", "r"])?);
        for (place, device, net) in [("a", "wifi", 1), ("a", "cable", 3), ("b", "eth", 2)] {
            lab.0.join(place, device, "-", "r", &format!("{place}{device}"), &format!("10.99.{net}.1/24"));
        }
        lab.join("a", "wifi", 1);
        lab.join("b", "eth", 2);
        lab.forward(true);
        Some(lab)
    }

    /// Gives a computer its address in this network, and the way out.
    pub fn join(&self, place: &str, device: &str, net: u8) {
        self.0.ip(place, &format!("addr add 10.99.{net}.2/24 dev {device}"));
        self.0.ip(place, &format!("route add default via 10.99.{net}.1"));
    }

    /// The address is gone, and the device with it.
    pub fn leave(&self, place: &str, device: &str, net: u8) {
        self.0.ip(place, &format!("addr del 10.99.{net}.2/24 dev {device}"));
        self.0.ip(place, &format!("link set {device} down"));
    }

    pub fn up(&self, place: &str, device: &str) {
        self.0.ip(place, &format!("link set {device} up"));
    }

    /// Whether the router passes anything on.
    pub fn forward(&self, forward: bool) {
        self.0.write("r", "net/ipv4/ip_forward", if forward { "1" } else { "0" });
    }

    /// A program in one of the places.
    pub fn command(&self, place: &str, program: &str) -> Command {
        self.0.command(place, program)
    }
}

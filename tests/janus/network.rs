//! A network for a server and those who call it. Janus offers no addresses of the loopback interface for media, so there
//! is another one.

#[path = "../support/namespaces.rs"]
mod namespaces;

use crate::support::skip;
use namespaces::Namespaces;

const INSIDE: &str = "TWOCAN_TEST_IN_NAMESPACE";

/// Runs this test in a network of its own; `true`: it is running there now.
pub fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let Some(network) = Namespaces::new("janus", &["here", "there"]) else {
        skip("the tests of rooms need root and `ip netns`");
        return false;
    };
    network.join("here", "eth0", "192.168.78.2/24", "there", "eth0", "192.168.78.1/24");
    network.ip("here", "route add default via 192.168.78.1");
    let own = std::env::current_exe().unwrap();
    let mut again = network.command("here", own.to_str().unwrap());
    again.args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    assert!(again.status().unwrap().success(), "in the namespace");
    false
}

//! The clock of the benches that have no process of their own: processor time of one thread, so that other load on
//! the machine counts little.

use cpu_time::ThreadTime;

/// Times `step` and prints its mean cost. A name as argument of the bench runs only what contains it.
pub fn bench(name: &str, repeats: u32, mut step: impl FnMut()) {
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if only.is_some_and(|only| !name.contains(&only)) {
        return;
    }
    step(); // warms up caches and pools
    let start = ThreadTime::now();
    (0..repeats).for_each(|_| step());
    let each = (start.elapsed() / repeats).as_secs_f64();
    if each < 1e-4 {
        println!("{name:<44} {:>9.3} us", each * 1e6);
    } else {
        println!("{name:<44} {:>9.3} ms", each * 1e3);
    }
}

//! The 256 words, and four of them as a value. In the order of the alphabet: a byte is a place in the list.
//!
//! Chosen to be told apart over a bad line, in the manner of the PGP word list: short, concrete, no two that sound
//! alike, none that is rude. The list never changes: both sides must have the same one, and the browser page has a copy.

use std::fmt;

/// Four words out of 256: 32 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Words(pub(super) [u8; Self::COUNT]);

impl Words {
    pub const COUNT: usize = 4;

    pub fn list(self) -> [&'static str; Self::COUNT] {
        self.0.map(|byte| WORDS[usize::from(byte)])
    }

    /// The words as a line.
    pub fn line(self) -> String {
        self.list().join(" ")
    }
}

/// They are for the two people only.
impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[rustfmt::skip]
const WORDS: [&str; 256] = [
    "acorn", "album", "amber", "anchor", "angel", "apple", "arrow", "atlas", "autumn", "avocado", "badge",
    "bakery", "balcony", "bamboo", "banjo", "barrel", "basket", "beaver", "biscuit", "bishop", "blizzard",
    "bonfire", "bottle", "bread", "bronze", "brook", "bubble", "butter", "cabin", "cactus", "camel", "candle",
    "canyon", "captain", "carpet", "cashew", "cello", "cherry", "chimney", "chipmunk", "circus", "clock",
    "clover", "cobra", "coffee", "cotton", "cousin", "cricket", "crystal", "cupcake", "curtain", "cyclone",
    "daisy", "dancer", "dentist", "desert", "diamond", "doctor", "dolphin", "donkey", "dragon", "drum", "eagle",
    "earring", "echo", "eclipse", "elbow", "elephant", "engine", "envelope", "fabric", "feather", "fence",
    "fiddle", "finger", "flame", "forest", "fossil", "fountain", "fox", "fridge", "fungus", "furnace", "galaxy",
    "garlic", "ghost", "giant", "giraffe", "glacier", "goblin", "gorilla", "granite", "grape", "guitar",
    "hamster", "harbor", "harvest", "helmet", "hickory", "horizon", "hydrant", "iceberg", "igloo", "indigo",
    "insect", "island", "ivory", "jaguar", "jasmine", "jewel", "jigsaw", "jungle", "juniper", "kangaroo",
    "kayak", "ketchup", "kitten", "kiwi", "koala", "ladder", "lagoon", "lantern", "lava", "lemon", "leopard",
    "lettuce", "library", "lilac", "lobster", "lunch", "magnet", "magpie", "mammoth", "marathon", "marble",
    "mattress", "meadow", "mermaid", "meteor", "midnight", "mirror", "muffin", "museum", "mushroom", "mustard",
    "napkin", "nectar", "needle", "nephew", "nickel", "novel", "nutmeg", "oasis", "oatmeal", "ocean", "octopus",
    "olive", "onion", "opera", "orange", "orbit", "ostrich", "palace", "panda", "papaya", "peanut", "pelican",
    "penguin", "pepper", "pharmacy", "pickle", "pigeon", "pilot", "pocket", "poncho", "popcorn", "potato",
    "prairie", "puzzle", "pyramid", "quartz", "queen", "quilt", "rabbit", "radar", "raven", "ribbon", "robot",
    "rooster", "rubber", "ruby", "salad", "salmon", "sausage", "scissors", "shampoo", "shelf", "silver",
    "skate", "snail", "snorkel", "socks", "spider", "sponge", "spoon", "squash", "squirrel", "stamp", "storm",
    "sugar", "sunset", "swan", "syrup", "tadpole", "teapot", "temple", "tennis", "thimble", "thunder", "toast",
    "toboggan", "tornado", "tractor", "trapeze", "trumpet", "tugboat", "tulip", "tunnel", "turkey", "twig",
    "umbrella", "unicorn", "vacuum", "valley", "vanilla", "village", "violin", "volcano", "voyage", "vulture",
    "waffle", "walnut", "waltz", "wardrobe", "wasp", "water", "wheat", "whistle", "willow", "wizard", "wolf",
    "wombat", "wrench", "yacht", "zigzag", "zodiac",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Edit distance (Levenshtein).
    fn distance(a: &str, b: &str) -> usize {
        let mut row: Vec<usize> = (0..=b.len()).collect();
        for (i, x) in a.bytes().enumerate() {
            let mut corner = std::mem::replace(&mut row[0], i + 1);
            for (j, y) in b.bytes().enumerate() {
                let change = corner + usize::from(x != y);
                corner = row[j + 1];
                row[j + 1] = change.min(row[j] + 1).min(corner + 1);
            }
        }
        row[b.len()]
    }

    #[test]
    fn the_words_are_plain_and_short_and_in_order() {
        assert!(WORDS.is_sorted() && WORDS.iter().collect::<HashSet<_>>().len() == 256);
        for word in WORDS {
            assert!((4..=8).contains(&word.len()) || matches!(word, "fox"), "{word}");
            assert!(word.bytes().all(|byte| byte.is_ascii_lowercase()), "{word}");
        }
    }

    #[test]
    fn no_two_words_are_nearly_the_same() {
        for (at, one) in WORDS.iter().enumerate() {
            for other in &WORDS[at + 1..] {
                let least = if one.len().min(other.len()) >= 7 { 2 } else { 3 };
                assert!(distance(one, other) >= least, "{one} {other}");
            }
        }
    }

    /// The page has the same list: its checksum must not change.
    #[test]
    fn the_list_is_fixed() {
        assert_eq!(crc32fast::hash(WORDS.join(" ").as_bytes()), CHECKSUM);
        assert_eq!(Words([0, 1, 254, 255]).line(), "acorn album zigzag zodiac");
        assert_eq!(format!("{:?}", Words([0; 4])), "[redacted]");
    }

    const CHECKSUM: u32 = 0xc56e_b597;

    #[test]
    fn the_page_for_browsers_has_the_same_list() {
        let page = include_str!("../../../assets/web/index.html");
        let (_, list) = page.split_once("const WORDS = `").expect("the page has a list");
        let (list, _) = list.split_once('`').expect("the list ends");
        assert!(list.split_whitespace().eq(WORDS));
    }
}

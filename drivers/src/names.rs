//! Names for sandboxes that were given none: two words that are easy to read and to type.

const MOODS: [&str; 48] = [
    "agile", "amber", "bold", "brave", "bright", "brisk", "calm", "candid", "clear", "clever",
    "cool", "cosy", "crisp", "daring", "deft", "eager", "early", "fair", "fleet", "fresh",
    "gentle", "glad", "golden", "grand", "happy", "honest", "jolly", "keen", "kind", "lively",
    "lucid", "lucky", "mellow", "merry", "mild", "neat", "noble", "proud", "quick", "quiet",
    "rapid", "silver", "smart", "steady", "sunny", "tidy", "vivid", "warm",
];
const ANIMALS: [&str; 48] = [
    "badger", "beaver", "bison", "bream", "camel", "cobra", "condor", "coyote", "crane", "cricket",
    "dingo", "dolphin", "eagle", "falcon", "ferret", "finch", "gecko", "gibbon", "heron", "hornet",
    "ibex", "jackal", "jaguar", "koala", "lemur", "llama", "lynx", "marmot", "marten", "moose",
    "narwhal", "ocelot", "osprey", "otter", "panda", "pelican", "puffin", "quail", "raven",
    "robin", "salmon", "seal", "stork", "tapir", "toucan", "walrus", "weasel", "wombat",
];

/// A name that is hardly ever taken, and less so with every try.
pub fn random_name(try_number: usize) -> String {
    let [a, b, c, d, ..] = uuid::Uuid::new_v4().into_bytes();
    let pick = |words: &[&'static str], byte: u8| {
        words.get(usize::from(byte) % words.len()).copied().unwrap_or("sandbox")
    };
    let name = format!("{}-{}", pick(&MOODS, a), pick(&ANIMALS, b));
    if try_number == 0 { name } else { format!("{name}-{}", u16::from_le_bytes([c, d])) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_that_a_sandbox_may_have() {
        for number in 0..200 {
            let name = random_name(number);
            assert!(sandbox::state::is_name(&name), "{name}");
        }
    }
}

use super::*;

#[test]
fn stand_ins_are_told_from_values() {
    for stand_in in [
        "${DB_PASSWORD}",
        "<your-key>",
        "process.env.TOKEN",
        "{{ token }}",
        "%s",
        "changeme",
        "xxxxxx",
        "****",
        "$password",
        "None",
    ] {
        assert!(placeholder(stand_in), "{stand_in}");
    }
    for value in ["hunter2", "s3cr3t!", "correct horse", "K7gNU3sdo4OL0wNh"] {
        assert!(!placeholder(value), "{value}");
    }
}

#[test]
fn words_are_told_from_drawn_characters() {
    for words in ["applicationController", "node_modules/react", "getAuthorizationHeader"] {
        assert!(is_wordy(words), "{words}");
    }
    for drawn in ["x7Kq9zLpW2vB", "9f86d081884c7d65", "qzxjkvwbpq"] {
        assert!(!is_wordy(drawn), "{drawn}");
    }
}

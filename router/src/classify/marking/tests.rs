use super::{
    STARTERS, alone, codeword, is_ordinary, is_starter, keyed, licence, phrases::OPENINGS,
};
use crate::{classify::Classifier, wire::Part};

fn marks(text: &str) -> Vec<(String, String)> {
    let found = Classifier::new(Vec::new()).unwrap().scan(text, Part::Prose);
    let marks = found.iter().filter(|one| one.label.family() == "marking");
    marks
        .map(|one| (one.label.as_str().to_owned(), text.get(one.span.clone()).unwrap().to_owned()))
        .collect()
}

#[test]
fn a_line_with_any_opening_is_read() {
    assert!(STARTERS.is_sound());
    for (opening, _) in OPENINGS {
        assert!(is_starter(opening.as_bytes()), "{opening}");
    }
}

#[test]
fn markings_of_documents_are_found() {
    for (text, label, value) in [
        (
            "# CONFIDENTIAL - INTERNAL USE ONLY\nfn main() {}",
            "marking/confidential",
            "CONFIDENTIAL - INTERNAL USE ONLY",
        ),
        ("Strictly Confidential\n\nPlan", "marking/confidential", "Strictly Confidential"),
        ("/* Company Confidential */", "marking/confidential", "Company Confidential"),
        ("** ATTORNEY-CLIENT PRIVILEGED", "marking/privileged", "ATTORNEY-CLIENT PRIVILEGED"),
        (
            "Privileged & Confidential - Attorney Work Product",
            "marking/privileged",
            "Privileged & Confidential - Attorney Work Product",
        ),
        ("TLP:RED\nnotes", "marking/tlp-red", "TLP:RED"),
        ("<!-- TLP:AMBER+STRICT -->", "marking/tlp-amber", "TLP:AMBER+STRICT"),
        ("// SECRET//NOFORN\nx", "marking/secret", "SECRET//NOFORN"),
        ("TOP SECRET//SI//NOFORN", "marking/secret", "TOP SECRET//SI//NOFORN"),
        (
            "UNCLASSIFIED//FOR OFFICIAL USE ONLY",
            "marking/official",
            "UNCLASSIFIED//FOR OFFICIAL USE ONLY",
        ),
        ("Classification: Restricted", "marking/restricted", "Classification: Restricted"),
        (
            "X-Sensitivity: Company-Confidential",
            "marking/confidential",
            "X-Sensitivity: Company-Confidential",
        ),
        ("INTERNAL ONLY", "marking/internal", "INTERNAL ONLY"),
        ("For internal use only.", "marking/internal", "For internal use only"),
        ("Do not distribute", "marking/internal", "Do not distribute"),
        (
            "# Trade secret of Initech; do not distribute",
            "marking/proprietary",
            "Trade secret of Initech; do not distribute",
        ),
        ("Page 3 of 9 | CONFIDENTIAL", "marking/confidential", "CONFIDENTIAL"),
        ("Nur für den internen Gebrauch", "marking/internal", "Nur für den internen Gebrauch"),
        ("Streng vertraulich", "marking/confidential", "Streng vertraulich"),
        (
            "Copyright (c) 2024 Initech. Unauthorized copying is strictly prohibited.",
            "marking/proprietary",
            "Copyright (c) 2024 Initech. Unauthorized copying is strictly prohibited",
        ),
    ] {
        assert_eq!(marks(text), [(label.to_owned(), value.to_owned())], "{text:?}");
    }
}

#[test]
fn prose_code_and_public_licences_are_no_markings() {
    for text in [
        "The review process is not confidential; all comments are public.",
        "internal class Program { internal static void Main() {} }",
        "let app = ConfidentialClientApplication::new(config); // MSAL",
        "OAuth 2.0 confidential clients vs public clients",
        "Confidential clients are able to keep a secret.",
        "#[serde(rename = \"proprietary\")] Proprietary,",
        "The restricted API surface is documented in chapter 4.",
        "SECRET=abc",
        "SECRET_KEY_BASE",
        "## Internal",
        "private:",
        "secret: String,",
        "Restricted Boltzmann machines are models",
        "Copyright (c) 2024 The Authors. Licensed under the Apache License, Version 2.0.",
        "Proprietary software is not free.",
        "TLP:CLEAR",
        "const LEVELS = [PUBLIC, INTERNAL, CONFIDENTIAL];",
        "internal use of this function is deprecated",
        "Not for production use",
    ] {
        assert_eq!(marks(text), [], "{text:?}");
    }
}

#[test]
fn an_ordinary_line_is_nothing_to_the_rules_that_it_skips() {
    let words = [
        "classification",
        "security",
        "level",
        "x-sensitivity",
        "data",
        "copyright",
        "all",
        "rights",
        "unauthorised",
        "copying",
        "may",
        "not",
        "be",
        "copied",
        "tlp:red",
        "internal",
        "secret",
        "client",
        "confidential",
        "for",
        "this",
        "file",
        "= 5",
        ": restricted",
        "()",
    ];
    let mut ordinary = 0;
    for code in 0..words.len().pow(3) {
        let three = [code, code / words.len(), code / words.len().pow(2)];
        let head = three.map(|at| words[at % words.len()]).join(" ");
        if is_ordinary(&head) {
            ordinary += 1;
            let found = keyed(&head, &head).or_else(|| licence(&head, &head));
            let found = found.or_else(|| alone(&head, &head, head.len()));
            assert!(found.is_none() && codeword(&head).is_none(), "{head}");
        }
    }
    assert!(ordinary > 1000, "{ordinary}");
}

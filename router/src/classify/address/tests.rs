use crate::{classify::Classifier, wire::Part};

fn places(text: &str) -> Vec<String> {
    let all = Classifier::new(Vec::new()).unwrap().scan(text, Part::Prose);
    let kept =
        all.iter().filter(|one| matches!(one.label.as_str(), "pii/address" | "pii/location"));
    kept.map(|one| text.get(one.span.clone()).unwrap().to_owned()).collect()
}

#[test]
fn addresses_are_found_with_their_towns() {
    for (text, expected) in [
        (
            "He lives at 1234 Elm Street, Springfield, IL 62704.",
            "1234 Elm Street, Springfield, IL 62704",
        ),
        ("to 96 Hexham Road, NN14 0WT ISHAM\nthen", "96 Hexham Road, NN14 0WT ISHAM"),
        ("New address is Motzstr. 49 in Aspisheim. My", "Motzstr. 49 in Aspisheim"),
        (
            "- Home: Aspernstrasse 93, SCHLAGLES 3830\n- Position: Nurse",
            "Aspernstrasse 93, SCHLAGLES 3830",
        ),
        ("an 26 rue Ernest Renan, CHERBOURG 50100", "26 rue Ernest Renan, CHERBOURG 50100"),
        ("ul. Karpacka 69, 85-164 Bydgoszcz\nPlease transfer", "ul. Karpacka 69, 85-164 Bydgoszcz"),
        ("P.O. Box 286, 3924 Ikerasassuaq\n", "P.O. Box 286, 3924 Ikerasassuaq"),
        ("in Via Roma 7 bei", "Via Roma 7"),
        ("Koskikatu 83, Espoo", "Koskikatu 83, Espoo"),
        ("the flat in D\u{f3}zsa Gy\u{f6}rgy utca 7", "D\u{f3}zsa Gy\u{f6}rgy utca 7"),
        ("{\"street\":\"799 Main Rd\"}", "799 Main Rd"),
        ("{\"city\":\"Stanger\"}", "Stanger"),
        ("\"postalCode\": \"01545\"", "01545"),
        ("end. Rua das Flores, 123 no Porto", "Rua das Flores, 123"),
        ("地址：北京市朝阳区建国路88号，", "北京市朝阳区建国路88号"),
        ("I'm originally from Norway", "Norway"),
        ("we moved to New York last year", "New York"),
    ] {
        assert_eq!(places(text), [expected], "{text:?}");
    }
}

#[test]
fn code_and_machines_have_no_address() {
    for text in [
        "bind address: 0.0.0.0:8080",
        "email address is bob@mail.de",
        "let state = \"Running\"; city: String, zip: Vec<u8>",
        "Page 3 of 12, Chapter 7 Section 2",
        "Step 2: Install Node 18 Lane",
        "remote_addr: 10.0.0.1 port 54321",
        "the string 12 during 5 Committee 3",
        "HTTP 404 Not Found on Station 7",
        "addr = 0x7ffe 0010 Road",
        "Error 500 in module Paris::Cache",
        "What is the capital of France?",
        "const ZIP = '00000';",
        "as RFC 4122 says in ISO 27001",
    ] {
        assert_eq!(places(text), Vec::<String>::new(), "{text:?}");
    }
}

#[test]
fn a_row_of_numbers_before_a_street_hides_nothing() {
    for count in [0, 1, 20, 40] {
        let text = format!("{}then 12 Elm Street, Springfield", "123 ".repeat(count));
        assert_eq!(places(&text), ["12 Elm Street, Springfield"], "{count}");
    }
}

use crate::classify::{Classifier, Finding};
use crate::wire::Part;

fn names(text: &str) -> Vec<String> {
    let found = Classifier::new(Vec::new()).unwrap().scan(text, Part::Prose);
    let person = |one: &&Finding| one.label.as_str() == "pii/person";
    found.iter().filter(person).map(|one| text.get(one.span.clone()).unwrap().to_owned()).collect()
}

#[test]
fn names_are_found_by_the_words_or_by_what_stands_around() {
    let cases: &[(&str, &[&str])] = &[
        ("Please ask Emily Johnson about it.", &["Emily Johnson"]),
        ("It was Karin M. Beike who called.", &["Karin M. Beike"]),
        ("a letter from Ludwig van Beethoven to her", &["Ludwig van Beethoven"]),
        ("Mrs. Qwertel flew home.", &["Qwertel"]),
        ("Dr. Xu Wqing will see you", &["Xu Wqing"]),
        ("name: Zsolt Lang\nemail: z.lang@mail.hu\n", &["Zsolt Lang"]),
        ("{\"first_name\": \"Qazim\", \"last_name\": \"Prvulek\"}", &["Qazim", "Prvulek"]),
        ("id,full_name,phone\n1,Tamsel Wrobik,+12025550143\n", &["Tamsel Wrobik"]),
        ("My name is Yarlan and I", &["Yarlan"]),
        ("my name is hubert", &["hubert"]),
        ("Thanks,\nAnita\n", &["Anita"]),
        ("<Wilmot Krantz> wilmot.krantz@post.org", &["Wilmot Krantz"]),
        (
            "Ivana Petrovi\u{107} and Bj\u{f6}rk Gu\u{f0}mundsd\u{f3}ttir",
            &["Ivana Petrovi\u{107}", "Bj\u{f6}rk Gu\u{f0}mundsd\u{f3}ttir"],
        ),
        ("NM1*IL*1*Abrahamsson*Nea****MI*X~", &["Abrahamsson", "Nea"]),
        ("account holder Rogelio Patrick.", &["Rogelio Patrick"]),
        ("The case of James Law was closed", &["James Law"]),
        ("Patient Name: SMITH, JOHN   Age: 45", &["SMITH", "JOHN"]),
        ("<FirstName>Tomasz</FirstName>", &["Tomasz"]),
        ("氏名: 山田太郎 様", &["山田太郎"]),
        ("She\u{2014}\u{201c}Emily Johnson\u{201d}\u{2014}left", &["Emily Johnson"]),
    ];
    for (text, expected) in cases {
        assert_eq!(&names(text), expected, "{text:?}");
    }
}

#[test]
fn code_headings_firms_streets_and_places_are_no_names() {
    for text in [
        "fn from(from: HoverOptions) -> Self",
        "let alice = new ConfidentialClientApplication(Martin::new());",
        "font-family: 'Helvetica Neue', Arial;",
        "We live near San Diego and Fort Collins.",
        "the Martin Luther King Street in town",
        "Johnson Controls Inc reported",
        "- name: Install Rust Toolchain",
        "\"name\": \"React Native Paper\"",
        "Getting Started With Visual Studio Code",
        "Capitalized Words Like Wisdom And Discipline",
        "POSTGRES_USER CREATEROLE\n\tEOSQL\n",
        "12 Jana Nerudy 894",
        "import { Robert } from './robert';",
    ] {
        assert_eq!(names(text), Vec::<String>::new(), "{text:?}");
    }
}

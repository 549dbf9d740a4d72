use crate::{classify::Classifier, wire::Part};

/// Labels and values of what is found in `text`, names and places left out.
fn found(text: &str) -> Vec<(String, String)> {
    let all = Classifier::new(Vec::new()).unwrap().scan(text, Part::Prose);
    let kept = all
        .iter()
        .filter(|one| !matches!(one.label.as_str(), "pii/person" | "pii/location" | "pii/address"));
    kept.map(|one| (one.label.as_str().to_owned(), text.get(one.span.clone()).unwrap().to_owned()))
        .collect()
}

fn check(text: &str, label: &str, value: &str) {
    assert_eq!(found(text), [(label.to_owned(), value.to_owned())], "{text:?}");
}

#[test]
fn numbers_of_governments_are_found_by_cue_column_or_form() {
    for (text, label, value) in [
        ("His social security number is 588-46-6702", "us-ssn", "588-46-6702"),
        ("{\"ssn\": \"672239842\"}", "us-ssn", "672239842"),
        ("call about 588-46-6702 today", "us-ssn", "588-46-6702"),
        ("ITIN: 962-70-2384", "us-itin", "962-70-2384"),
        ("National Insurance: RZ 07 91 98 D", "gb-nino", "RZ 07 91 98 D"),
        ("NINO ZS498796B", "gb-nino", "ZS498796B"),
        ("My Aadhaar is 3349 7690 5794", "in-aadhaar", "3349 7690 5794"),
        ("Permanent Account Number is OFBFV0622M", "in-pan", "OFBFV0622M"),
        ("NRIC: S7897058H", "sg-nric", "S7897058H"),
        ("Tax File Number: 556 650 122", "au-tfn", "556 650 122"),
        ("ABN 51 824 753 556", "au-abn", "51 824 753 556"),
        ("DNI: 67871391R", "es-nif", "67871391R"),
        ("NIE Z8797922J", "es-nie", "Z8797922J"),
        ("codice fiscale: VBCFFT67B55H104F", "it-fiscal-code", "VBCFFT67B55H104F"),
        ("PESEL: 72111248370", "pl-pesel", "72111248370"),
        ("henkilötunnus 131052-308T", "fi-hetu", "131052-308T"),
        ("주민등록번호: 750101-1234568", "kr-rrn", "750101-1234568"),
        ("Social Insurance Number is 396 347 114", "ca-sin", "396 347 114"),
        ("Steuerliche Identifikationsnummer: 18973865426", "de-tax-id", "18973865426"),
        ("Personalausweis L01X00T471", "de-id-card", "L01X00T471"),
        ("Rentenversicherungsnummer 15 070649 C 103", "de-social-security", "15 070649 C 103"),
        ("personnummer: 811218-9876", "se-personnummer", "811218-9876"),
        ("CPF 529.982.247-25", "br-cpf", "529.982.247-25"),
        ("empresa 11.222.333/0001-81 ltda", "br-cnpj", "11.222.333/0001-81"),
        ("BSN: 111222333", "nl-bsn", "111222333"),
        ("numéro de sécurité sociale est 186014019978146", "fr-nir", "186014019978146"),
        ("我的身份证号是 44030519640419783X。", "cn-id", "44030519640419783X"),
        ("AHV 756.9217.0769.85", "ch-ahv", "756.9217.0769.85"),
        ("kimlik no: 10000000146", "tr-tckn", "10000000146"),
        ("CURP: HEGG560427MVZRRL04", "mx-curp", "HEGG560427MVZRRL04"),
        ("passport no: C5062FLLM", "passport", "C5062FLLM"),
        ("\"passportNumber\": \"X30320329X\"", "passport", "X30320329X"),
        ("driver license no: H564960927910", "driver-license", "H564960927910"),
        ("My driver's license number is 6940579", "driver-license", "6940579"),
        ("USt-IdNr DE 123456788 ist", "tax-id", "DE 123456788"),
        ("id,dept,PESEL\n7,ops,86041069646\n", "pl-pesel", "86041069646"),
    ] {
        check(text, &format!("pii/government-id/{label}"), value);
    }
}

#[test]
fn cards_accounts_and_coins_are_found() {
    for (text, label, value) in [
        ("My card 4652943034623769885 expires", "card", "4652943034623769885"),
        ("paid with 5104-2420-2817-7949 today", "card", "5104-2420-2817-7949"),
        ("pan=5541 7684 4278 5702 ip=", "card", "5541 7684 4278 5702"),
        ("amex 3716-216912-01085", "card", "3716-216912-01085"),
        (
            "card: ５１０４ ２４２０ ２８１７ ７９４９",
            "card",
            "５１０４ ２４２０ ２８１７ ７９４９",
        ),
        ("IBAN CH3459062W7G7JDOUNGSE", "iban", "CH3459062W7G7JDOUNGSE"),
        (
            "to PL85 3729 8769 4153 9009 1650 3966 please",
            "iban",
            "PL85 3729 8769 4153 9009 1650 3966",
        ),
        ("BIC AKRIDEBFXXX", "bic", "AKRIDEBFXXX"),
        ("\"swift\": \"MCIEUSM6\"", "bic", "MCIEUSM6"),
        ("routing number 128679041", "routing", "128679041"),
        ("account number 955541831439", "account", "955541831439"),
        (
            "send to 17vXVUyeZhxg1TkroQyrzg4Jefjgkktvw4 now",
            "crypto",
            "17vXVUyeZhxg1TkroQyrzg4Jefjgkktvw4",
        ),
        (
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "crypto",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        ),
        (
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "crypto",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        ),
    ] {
        check(text, &format!("payment/{label}"), value);
    }
}

#[test]
fn numbers_of_patients_and_prescribers_are_found() {
    for (text, label, value) in [
        ("MRN: H29852467", "mrn", "H29852467"),
        ("Medical Record Number 00482913", "mrn", "00482913"),
        ("NPI 2426511517", "npi", "2426511517"),
        ("DEA FA7076373", "dea", "FA7076373"),
        ("NHS no.: 751 784 9255", "nhs", "751 784 9255"),
        ("MI*2VT6J50XV48~", "mbi", "2VT6J50XV48"),
        ("Medicare card 2123 45670 1", "au-medicare", "2123 45670 1"),
        ("Diagnosis: E11.9 (diabetes)", "diagnosis", "E11.9"),
    ] {
        check(text, &format!("health/{label}"), value);
    }
}

#[test]
fn ways_to_reach_a_person_are_found() {
    for (text, label, value) in [
        ("write to anna.b@mail.de.", "email", "anna.b@mail.de"),
        ("mailto:x_y+z@sub.firm.co.uk?subject=", "email", "x_y+z@sub.firm.co.uk"),
        ("call +1 202 980 7509", "phone", "+1 202 980 7509"),
        ("Desk: +41 (0)96 471 07 95", "phone", "+41 (0)96 471 07 95"),
        ("(415) 305-9309", "phone", "(415) 305-9309"),
        ("646.424.2191 or", "phone", "646.424.2191"),
        ("Fax: 345-899-3560x4587", "phone", "345-899-3560x4587"),
        ("mobile: \"07165 213439\"", "phone", "07165 213439"),
        ("call me on 9472 7916?", "phone", "9472 7916"),
        ("messages to 0688 872 49 99", "phone", "0688 872 49 99"),
        ("Tél. 01.84.17.61.18", "phone", "01.84.17.61.18"),
        ("DOB: 04/07/1965", "birth-date", "04/07/1965"),
        ("geboren am 5. März 1980 in", "birth-date", "5. März 1980"),
        ("\"birthDate\": \"2006-05-18\"", "birth-date", "2006-05-18"),
        ("login from 64.29.189.66 failed", "ip", "64.29.189.66"),
        ("peer 2a02:8071:b82:5e0::1f4c connected", "ip", "2a02:8071:b82:5e0::1f4c"),
        ("dev 3c:22:fb:9a:10:4e up", "mac", "3c:22:fb:9a:10:4e"),
    ] {
        check(text, &format!("pii/{label}"), value);
    }
}

#[test]
fn numbers_of_machines_are_nothing() {
    for text in [
        "lat=123.135311697999 lon=41.843430513033 batch=2221 1699 2413 3587",
        "{\"event_id\":\"24a33e2d-c201-4ab9-ae00-37228dc82467\",\"snowflake\":847794647626230700,\"ts\":1512493602935}",
        "order 3776 947363 48514 shipped, tracking 662760477517, slot 368553846",
        "Reference: ISBN 978-8-24-449840-1, see also part number 437-00-4890",
        "| a | 1556113760678161 | 4161543977 |",
        "batch reference GB52ZFDG30218550696006 is an internal ledger key, build 6.29.18.4554",
        "arn:aws:lambda:us-east-1:201454616759:function:ingest",
        "00000000  e3 5a f5 82 05 ab 7a 66 53 ee 80 ac 99 0a cd 8b",
        "2025/01/02 span=01VZRY7NBR6NHRASBQG0AA7JQ8 dur=7354343932ns",
        "Part number: 555-123-4567-A",
        "version 1.2.3.4 of 10.0.0.1:8080 and 127.0.0.1",
        "urn:oid:2.16.840.1.113883.4.3.25",
        "commit 1b2f004835f92c481526e7da012a13 at 2024-03-01T12:33:11.123Z",
        "https://example.com/@user/profile and user@localhost and a@b",
        "git@github.com:owner/repo.git",
        "icon@2x.png, react@18.2.0, [a-z]+@[a-z]+",
        "00:00:00:00:00:00 ff:ff:ff:ff:ff:ff 12:30:45",
        "1234567890123456 4444444444444444",
        "sha512-F0TtQGh/jn6vW7Q8Qa1LwQ3DXJ4HDrtCbZJzbh8YTRW37+G6dDNMuHVJBqoO",
        "Apache License, Version 2.0, January 2004, port 54321",
    ] {
        assert_eq!(found(text), [], "{text:?}");
    }
}

#[test]
fn published_examples_are_marked_as_such() {
    for text in [
        "4242 4242 4242 4242",
        "ssn 123-45-6789",
        "078-05-1120",
        "mail bob@example.com",
        "call (202) 555-0143",
        "from 203.0.113.10 port",
    ] {
        let all = Classifier::new(Vec::new()).unwrap().scan(text, Part::Prose);
        assert!(!all.is_empty() && all.iter().all(|one| one.example), "{text:?}: {all:?}");
    }
}

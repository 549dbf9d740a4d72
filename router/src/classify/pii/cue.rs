//! The words that say what a value is, in the languages whose identifiers we know, and a quick test for them.

/// What a word near a value hints at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Cue {
    // first halves of pairs: see `PAIRS`
    Social,
    Security,
    Insurance,
    National,
    Permanent,
    Medical,
    Record,
    Health,
    Sort,
    Code,
    Driver,
    Given,
    Family,
    Place,
    Member,
    Sender,
    File,
    // identifiers of people
    Ssn,
    Itin,
    Nino,
    Aadhaar,
    Pan,
    Nric,
    Tfn,
    Abn,
    Acn,
    Nif,
    Nie,
    Fiscal,
    Pesel,
    Hetu,
    Rrn,
    Sin,
    TaxDe,
    SocialDe,
    CardDe,
    PersonalSe,
    Thai,
    Tckn,
    Rsa,
    Cpf,
    Cnpj,
    Bsn,
    Nir,
    IdCn,
    Nin,
    Cpr,
    Fnr,
    Nrn,
    TaxPt,
    Ahv,
    Curp,
    Pps,
    Ein,
    Passport,
    License,
    Identity,
    Tax,
    Voter,
    // reaching and paying people
    Phone,
    Email,
    Card,
    Iban,
    Bic,
    Account,
    Routing,
    Wallet,
    // health
    Mrn,
    Npi,
    Dea,
    Nhs,
    Mbi,
    Plan,
    Diagnosis,
    // life
    Birth,
    Street,
    City,
    Region,
    Zip,
    Name,
    Patient,
    Owner,
    Geo,
    // evidence against
    Order,
    Build,
}

/// Cue words in lower case, sorted; at least two bytes long.
const WORDS: &[(&str, Cue)] = &[
    ("aadhaar", Cue::Aadhaar),
    ("aadhar", Cue::Aadhaar),
    ("aba", Cue::Routing),
    ("abn", Cue::Abn),
    ("account", Cue::Account),
    ("accountnumber", Cue::Account),
    ("acct", Cue::Account),
    ("acn", Cue::Acn),
    ("acount", Cue::Account),
    ("addr", Cue::Street),
    ("address", Cue::Street),
    ("addressline", Cue::Street),
    ("adhaar", Cue::Aadhaar),
    ("adres", Cue::Street),
    ("adresa", Cue::Street),
    ("adress", Cue::Street),
    ("adresse", Cue::Street),
    ("ahv", Cue::Ahv),
    ("allergies", Cue::Diagnosis),
    ("amex", Cue::Card),
    ("anschrift", Cue::Street),
    ("apellido", Cue::Family),
    ("apellidos", Cue::Family),
    ("assignee", Cue::Owner),
    ("attn", Cue::Owner),
    ("ausweis", Cue::CardDe),
    ("ausweisnummer", Cue::CardDe),
    ("author", Cue::Owner),
    ("avs", Cue::Ahv),
    ("bankleitzahl", Cue::Routing),
    ("beneficiary", Cue::Owner),
    ("bic", Cue::Bic),
    ("birth", Cue::Birth),
    ("birthdate", Cue::Birth),
    ("birthday", Cue::Birth),
    ("bitcoin", Cue::Wallet),
    ("bleno", Cue::Place),
    ("blz", Cue::Routing),
    ("born", Cue::Birth),
    ("bsn", Cue::Bsn),
    ("btc", Cue::Wallet),
    ("build", Cue::Build),
    ("burgerservicenummer", Cue::Bsn),
    ("buyer", Cue::Owner),
    ("call", Cue::Phone),
    ("caller", Cue::Owner),
    ("card", Cue::Card),
    ("cardholder", Cue::Owner),
    ("cardnumber", Cue::Card),
    ("carte", Cue::Card),
    ("cc", Cue::Card),
    ("cedula", Cue::Identity),
    ("cell", Cue::Phone),
    ("cellphone", Cue::Phone),
    ("celular", Cue::Phone),
    ("checking", Cue::Account),
    ("checksum", Cue::Build),
    ("city", Cue::City),
    ("ciudad", Cue::City),
    ("clabe", Cue::Account),
    ("claimant", Cue::Owner),
    ("client", Cue::Owner),
    ("cnp", Cue::Identity),
    ("cnpj", Cue::Cnpj),
    ("code", Cue::Code),
    ("codice", Cue::Code),
    ("commit", Cue::Build),
    ("compte", Cue::Account),
    ("conto", Cue::Account),
    ("contribuinte", Cue::TaxPt),
    ("coordinates", Cue::Geo),
    ("cpf", Cue::Cpf),
    ("cpr", Cue::Cpr),
    ("credit", Cue::Card),
    ("cuenta", Cue::Account),
    ("curp", Cue::Curp),
    ("customer", Cue::Owner),
    ("dea", Cue::Dea),
    ("debit", Cue::Card),
    ("desk", Cue::Phone),
    ("diagnosed", Cue::Diagnosis),
    ("diagnoses", Cue::Diagnosis),
    ("diagnosis", Cue::Diagnosis),
    ("dial", Cue::Phone),
    ("discover", Cue::Card),
    ("dl", Cue::License),
    ("dln", Cue::License),
    ("dni", Cue::Nif),
    ("dob", Cue::Birth),
    ("domicilio", Cue::Street),
    ("driver", Cue::Driver),
    ("drivers", Cue::Driver),
    ("driving", Cue::Driver),
    ("dx", Cue::Diagnosis),
    ("ein", Cue::Ein),
    ("email", Cue::Email),
    ("emergency", Cue::Owner),
    ("employee", Cue::Owner),
    ("eth", Cue::Wallet),
    ("ethereum", Cue::Wallet),
    ("familienname", Cue::Family),
    ("family", Cue::Family),
    ("fax", Cue::Phone),
    ("field", Cue::Build),
    ("file", Cue::File),
    ("first", Cue::Given),
    ("firstname", Cue::Given),
    ("fiscal", Cue::Fiscal),
    ("fiscale", Cue::Fiscal),
    ("forename", Cue::Given),
    ("from", Cue::Sender),
    ("fullname", Cue::Name),
    ("född", Cue::Birth),
    ("födelsedatum", Cue::Birth),
    ("fødselsdato", Cue::Birth),
    ("fødselsnummer", Cue::Fnr),
    ("født", Cue::Birth),
    ("führerschein", Cue::License),
    ("führerscheinnummer", Cue::License),
    ("geb", Cue::Birth),
    ("geboortedatum", Cue::Birth),
    ("geboren", Cue::Birth),
    ("geburtsdatum", Cue::Birth),
    ("geburtstag", Cue::Birth),
    ("gender", Cue::Patient),
    ("given", Cue::Given),
    ("givenname", Cue::Given),
    ("gps", Cue::Geo),
    ("gstin", Cue::Tax),
    ("guest", Cue::Owner),
    ("handy", Cue::Phone),
    ("handynummer", Cue::Phone),
    ("health", Cue::Health),
    ("henkilotunnus", Cue::Hetu),
    ("henkilötunnus", Cue::Hetu),
    ("hetu", Cue::Hetu),
    ("hic", Cue::Mbi),
    ("hicn", Cue::Mbi),
    ("holder", Cue::Owner),
    ("home", Cue::Place),
    ("hospital", Cue::Medical),
    ("iban", Cue::Iban),
    ("icd", Cue::Diagnosis),
    ("id", Cue::Code),
    ("ident", Cue::Identity),
    ("identification", Cue::Identity),
    ("identifikationsnummer", Cue::TaxDe),
    ("identity", Cue::Identity),
    ("idnr", Cue::TaxDe),
    ("idnummer", Cue::Identity),
    ("imei", Cue::Build),
    ("indirizzo", Cue::Street),
    ("insee", Cue::Nir),
    ("insurance", Cue::Insurance),
    ("insured", Cue::Owner),
    ("invoice", Cue::Order),
    ("isbn", Cue::Order),
    ("itin", Cue::Itin),
    ("jmbg", Cue::Identity),
    ("kartennummer", Cue::Card),
    ("kennitala", Cue::Identity),
    ("kimlik", Cue::Tckn),
    ("konto", Cue::Account),
    ("kontoinhaber", Cue::Owner),
    ("kontonummer", Cue::Account),
    ("kreditkarte", Cue::Card),
    ("kunde", Cue::Owner),
    ("last", Cue::Family),
    ("lastname", Cue::Family),
    ("lat", Cue::Geo),
    ("latitude", Cue::Geo),
    ("lic", Cue::License),
    ("licence", Cue::License),
    ("license", Cue::License),
    ("licenseno", Cue::License),
    ("line", Cue::Place),
    ("lives", Cue::Place),
    ("lng", Cue::Geo),
    ("lon", Cue::Geo),
    ("longitude", Cue::Geo),
    ("maiden", Cue::Owner),
    ("mailto", Cue::Email),
    ("mastercard", Cue::Card),
    ("mbi", Cue::Mbi),
    ("medical", Cue::Medical),
    ("medicare", Cue::Mbi),
    ("member", Cue::Member),
    ("mob", Cue::Phone),
    ("mobil", Cue::Phone),
    ("mobile", Cue::Phone),
    ("mobilnummer", Cue::Phone),
    ("moved", Cue::Place),
    ("mr", Cue::Code),
    ("mrn", Cue::Mrn),
    ("msisdn", Cue::Phone),
    ("móvil", Cue::Phone),
    ("nachname", Cue::Family),
    ("nacimiento", Cue::Birth),
    ("naissance", Cue::Birth),
    ("name", Cue::Name),
    ("namn", Cue::Name),
    ("nascimento", Cue::Birth),
    ("nascita", Cue::Birth),
    ("national", Cue::National),
    ("nationale", Cue::National),
    ("nhs", Cue::Nhs),
    ("nie", Cue::Nie),
    ("nif", Cue::Nif),
    ("nin", Cue::Nin),
    ("nino", Cue::Nino),
    ("nir", Cue::Nir),
    ("nom", Cue::Name),
    ("nombre", Cue::Name),
    ("nome", Cue::Name),
    ("npi", Cue::Npi),
    ("nric", Cue::Nric),
    ("número", Cue::Code),
    ("order", Cue::Order),
    ("owner", Cue::Owner),
    ("pan", Cue::Pan),
    ("part", Cue::Order),
    ("pasaporte", Cue::Passport),
    ("passaporte", Cue::Passport),
    ("passaporto", Cue::Passport),
    ("passenger", Cue::Owner),
    ("passeport", Cue::Passport),
    ("passnummer", Cue::Passport),
    ("passport", Cue::Passport),
    ("passportnumber", Cue::Passport),
    ("patient", Cue::Patient),
    ("payee", Cue::Owner),
    ("permanent", Cue::Permanent),
    ("person", Cue::Owner),
    ("personalausweis", Cue::CardDe),
    ("personalausweisnummer", Cue::CardDe),
    ("personnummer", Cue::PersonalSe),
    ("pesel", Cue::Pesel),
    ("phone", Cue::Phone),
    ("phonenumber", Cue::Phone),
    ("physician", Cue::Owner),
    ("plan", Cue::Plan),
    ("plz", Cue::Zip),
    ("policy", Cue::Plan),
    ("postal", Cue::Zip),
    ("postcode", Cue::Zip),
    ("postleitzahl", Cue::Zip),
    ("pps", Cue::Pps),
    ("ppsn", Cue::Pps),
    ("prescriber", Cue::Owner),
    ("provider", Cue::Owner),
    ("prénom", Cue::Given),
    ("recipient", Cue::Owner),
    ("record", Cue::Record),
    ("ref", Cue::Order),
    ("reference", Cue::Order),
    ("region", Cue::Region),
    ("rentenversicherungsnummer", Cue::SocialDe),
    ("resident", Cue::Rrn),
    ("revision", Cue::Build),
    ("rijbewijs", Cue::License),
    ("routing", Cue::Routing),
    ("rrn", Cue::Rrn),
    ("rtn", Cue::Routing),
    ("savings", Cue::Account),
    ("secu", Cue::Nir),
    ("security", Cue::Security),
    ("sender", Cue::Owner),
    ("sequence", Cue::Order),
    ("serial", Cue::Order),
    ("sin", Cue::Sin),
    ("sku", Cue::Order),
    ("sms", Cue::Phone),
    ("snn", Cue::Ssn),
    ("social", Cue::Social),
    ("sociale", Cue::Social),
    ("sofinummer", Cue::Bsn),
    ("sort", Cue::Sort),
    ("sortcode", Cue::Routing),
    ("sozialversicherungsnummer", Cue::SocialDe),
    ("ssn", Cue::Ssn),
    ("state", Cue::Region),
    ("steuer", Cue::TaxDe),
    ("steuerid", Cue::TaxDe),
    ("steuerliche", Cue::TaxDe),
    ("steuernummer", Cue::TaxDe),
    ("strasse", Cue::Street),
    ("straße", Cue::Street),
    ("street", Cue::Street),
    ("streetaddress", Cue::Street),
    ("subscriber", Cue::Plan),
    ("surname", Cue::Family),
    ("svnr", Cue::SocialDe),
    ("swift", Cue::Bic),
    ("sécurité", Cue::Security),
    ("tarjeta", Cue::Card),
    ("tax", Cue::Tax),
    ("taxpayer", Cue::Itin),
    ("tckn", Cue::Tckn),
    ("tel", Cue::Phone),
    ("telecom", Cue::Phone),
    ("telefon", Cue::Phone),
    ("telefone", Cue::Phone),
    ("telefonnummer", Cue::Phone),
    ("telefono", Cue::Phone),
    ("telefoon", Cue::Phone),
    ("telephone", Cue::Phone),
    ("teléfono", Cue::Phone),
    ("text", Cue::Code),
    ("tfn", Cue::Tfn),
    ("thai", Cue::Thai),
    ("ticket", Cue::Order),
    ("timestamp", Cue::Build),
    ("tin", Cue::Tax),
    ("town", Cue::City),
    ("trace", Cue::Build),
    ("tracking", Cue::Order),
    ("téléphone", Cue::Phone),
    ("uen", Cue::Order),
    ("upc", Cue::Order),
    ("user", Cue::Owner),
    ("ust", Cue::Tax),
    ("ustid", Cue::Tax),
    ("ustidnr", Cue::Tax),
    ("vat", Cue::Tax),
    ("version", Cue::Build),
    ("visa", Cue::Card),
    ("vorname", Cue::Given),
    ("voter", Cue::Voter),
    ("wallet", Cue::Wallet),
    ("whatsapp", Cue::Phone),
    ("wohnhaft", Cue::Place),
    ("wohnort", Cue::City),
    ("zip", Cue::Zip),
    ("zipcode", Cue::Zip),
];

/// Cues in scripts without spaces: found anywhere in a run of letters.
const RUNS: &[(&str, Cue)] = &[
    ("身份证", Cue::IdCn),
    ("身分證", Cue::IdCn),
    ("电话", Cue::Phone),
    ("電話", Cue::Phone),
    ("手机", Cue::Phone),
    ("手機", Cue::Phone),
    ("携帯", Cue::Phone),
    ("주민등록번호", Cue::Rrn),
    ("전화", Cue::Phone),
    ("휴대폰", Cue::Phone),
    ("护照", Cue::Passport),
    ("パスポート", Cue::Passport),
    ("여권", Cue::Passport),
    ("地址", Cue::Street),
    ("住所", Cue::Street),
    ("주소", Cue::Street),
    ("姓名", Cue::Name),
    ("氏名", Cue::Name),
    ("이름", Cue::Name),
    ("出生", Cue::Birth),
    ("生年月日", Cue::Birth),
    ("생년월일", Cue::Birth),
    ("银行", Cue::Account),
    ("口座", Cue::Account),
    ("телефон", Cue::Phone),
    ("паспорт", Cue::Passport),
    ("снилс", Cue::Identity),
    ("инн", Cue::Tax),
    ("адрес", Cue::Street),
    ("имя", Cue::Name),
    ("фио", Cue::Name),
    ("рождения", Cue::Birth),
    ("τηλέφωνο", Cue::Phone),
    ("บัตรประชาชน", Cue::Thai),
    ("هاتف", Cue::Phone),
    ("आधार", Cue::Aadhaar),
];

/// Two words next to each other, and what they mean together.
const PAIRS: &[(Cue, Cue, Cue)] = &[
    (Cue::Social, Cue::Security, Cue::Ssn),
    (Cue::Security, Cue::Social, Cue::Nir),
    (Cue::Social, Cue::Insurance, Cue::Sin),
    (Cue::National, Cue::Insurance, Cue::Nino),
    (Cue::National, Cue::Identity, Cue::Identity),
    (Cue::National, Cue::Code, Cue::Identity),
    (Cue::Identity, Cue::Card, Cue::Identity),
    (Cue::Permanent, Cue::Account, Cue::Pan),
    (Cue::Medical, Cue::Record, Cue::Mrn),
    (Cue::Health, Cue::Record, Cue::Mrn),
    (Cue::Patient, Cue::Code, Cue::Mrn),
    (Cue::Health, Cue::Insurance, Cue::Plan),
    (Cue::Health, Cue::Plan, Cue::Plan),
    (Cue::Member, Cue::Code, Cue::Plan),
    (Cue::Insurance, Cue::Code, Cue::Plan),
    (Cue::Sort, Cue::Code, Cue::Routing),
    (Cue::Tax, Cue::File, Cue::Tfn),
    (Cue::Driver, Cue::License, Cue::License),
    (Cue::Given, Cue::Name, Cue::Given),
    (Cue::Family, Cue::Name, Cue::Family),
    (Cue::Zip, Cue::Code, Cue::Zip),
    (Cue::Tax, Cue::Code, Cue::Tax),
    (Cue::Code, Cue::Fiscal, Cue::Fiscal),
];

/// The meaning of two neighbouring cue words, if they mean more together.
pub(crate) fn pair(first: Cue, second: Cue) -> Option<Cue> {
    PAIRS.iter().find(|(a, b, _)| (*a, *b) == (first, second)).map(|(.., both)| *both)
}

/// Longest cue word in bytes.
const LONGEST: usize = 26;
/// So much of a run of letters is searched for the cues of scripts without spaces.
const RUN_BYTES_MAX: usize = 240;
/// Slots of the hash table, a power of two.
const SLOTS: usize = 4_096;

/// The number of the word in each slot, counted from 1; 0 for none. Words that meet go to the next free slot.
static TABLE: [u16; SLOTS] = table();

/// The slot of a word: made of its first two and last two letters and its length, case ignored.
const fn slot(first: u8, second: u8, third: u8, last: u8, length: usize) -> usize {
    let mixed = (first & 31) as usize
        | ((second & 31) as usize) << 5
        | ((third & 31) as usize) << 10
        | ((last & 31) as usize) << 15
        | length << 20;
    (mixed.wrapping_mul(0x9E37_79B1) >> 13) & (SLOTS - 1)
}

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "runs in the compiler; a wrong index fails the build, and the words are few"
)]
const fn table() -> [u16; SLOTS] {
    let mut table = [0; SLOTS];
    let mut at = 0;
    while at < WORDS.len() {
        let word = WORDS[at].0.as_bytes();
        let mut spot =
            slot(word[0], word[1], word[word.len() - 2], word[word.len() - 1], word.len());
        while table[spot] != 0 {
            spot = (spot + 1) & (SLOTS - 1);
        }
        table[spot] = at as u16 + 1;
        at += 1;
    }
    table
}

/// Whether `word` is worth a look-up: cheap, and never wrong about a cue.
#[inline]
pub(crate) fn may_be(word: &[u8]) -> bool {
    match word {
        [0xC3..=0xFF, ..] => true,
        [_, _] | [_, _, ..] if word.len() <= LONGEST => first_number(word) != 0,
        _ => false,
    }
}

/// The content of the word's slot.
#[inline]
fn first_number(word: &[u8]) -> u16 {
    TABLE.get(home(word)).copied().unwrap_or_default()
}

/// The slot where the search for `word` begins.
#[inline]
fn home(word: &[u8]) -> usize {
    let (Some([first, second]), Some([third, last])) =
        (word.first_chunk::<2>(), word.last_chunk::<2>())
    else {
        return 0;
    };
    slot(*first, *second, *third, *last, word.len())
}

/// What `word` (letters, any case) hints at.
pub(crate) fn find(word: &[u8]) -> Option<Cue> {
    if matches!(word, [0xC3..=0xFF, ..]) {
        let head = word.get(..word.len().min(RUN_BYTES_MAX)).unwrap_or_default();
        let lower = String::from_utf8_lossy(head).to_lowercase();
        return RUNS.iter().find(|(cue, _)| lower.contains(cue)).map(|(_, cue)| *cue);
    }
    let mut spot = home(word);
    loop {
        let number = TABLE.get(spot).copied().filter(|number| *number > 0)?;
        let (cue, meaning) = WORDS.get(usize::from(number) - 1)?;
        if cue.as_bytes().eq_ignore_ascii_case(word) {
            return Some(*meaning);
        }
        spot = (spot + 1) & (SLOTS - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_word_is_found_in_any_case() {
        for pair in WORDS.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} before {}", pair[0].0, pair[1].0);
        }
        for (word, cue) in WORDS {
            for form in [(*word).to_owned(), word.to_ascii_uppercase()] {
                assert!(may_be(form.as_bytes()), "{form}");
                assert_eq!(find(form.as_bytes()), Some(*cue), "{form}");
            }
        }
    }

    #[test]
    fn words_without_spaces_are_found_inside_runs() {
        assert_eq!(find("的身份证号是".as_bytes()), Some(Cue::IdCn));
        assert_eq!(find("ТЕЛЕФОН".as_bytes()), Some(Cue::Phone));
        assert_eq!(find("无".as_bytes()), None);
    }
}

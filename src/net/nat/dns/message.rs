//! Messages of DNS (RFC 1035): what a machine asks, and what is said back. Pure; a server's answers are read by `reply`.
//!
//! A question is written anew before it goes to a server of the host's, so that no byte of a guest reaches that but a
//! name, a type and three flags.

use smoltcp::wire::{DnsFlags, DnsOpcode, DnsPacket, DnsQuestion};

/// Bytes before the question.
const HEADER: usize = 12;

/// What a datagram may have where its asker says nothing (RFC 1035, 2.3.4).
const PLAIN_MAX: usize = 512;

/// What we say that a datagram to us may have: what is not cut on its way (RFC 9715).
const OUR_MAX: u16 = 1232;

/// Longest name (RFC 1035, 2.3.4).
const NAME_MAX: usize = 255;

/// Type of the record that is none but says what an asker can do (RFC 6891).
const OPT: u16 = 41;

/// That a name is blocked, in words for who asks (RFC 8914: extended error 15).
const BLOCKED_CODE: u16 = 15;
const BLOCKED_WORDS: &[u8] = b"not in `allow` of the machine's `network`";

/// How a question was answered (RFC 1035, 4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// It cannot be read.
    BadForm = 1,
    /// No server answered.
    NoServer = 2,
    /// There is no such name.
    NoName = 3,
    /// Such questions are not answered.
    NotKnown = 4,
}

/// A question of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) id: u16,
    /// In lower case, without the dot at the end; what no host name has is a `?`.
    pub(super) name: String,
    /// Name, type and class as they were written, without pointers.
    pub(super) question: Vec<u8>,
    /// Of the flags those that go on: recursion desired, authentic data, checking disabled.
    flags: u16,
    /// What its asker can do beyond the first form: length of a datagram, and whether it wants signatures.
    extended: Option<(u16, bool)>,
}

/// Reads a question. What is none is answered with the code, or not at all.
pub(super) fn read_query(bytes: &[u8]) -> Result<Query, Option<Vec<u8>>> {
    let packet = DnsPacket::new_checked(bytes).map_err(|_| None)?;
    if packet.flags().contains(DnsFlags::RESPONSE) {
        return Err(None);
    }
    let id = packet.transaction_id();
    let refuse = |code| Some(header(id, 0, code, 0).to_vec());
    if packet.opcode() != DnsOpcode::Query {
        return Err(refuse(Code::NotKnown));
    }
    let (rest, question) = match DnsQuestion::parse(packet.payload()) {
        Ok(parsed) if packet.question_count() == 1 => parsed,
        _ => return Err(refuse(Code::BadForm)),
    };
    let labels: Result<Vec<&[u8]>, _> = packet.parse_name(question.name).collect();
    let labels = labels.map_err(|_| refuse(Code::BadForm))?;
    let mut wire: Vec<u8> = Vec::new();
    for label in &labels {
        wire.push(u8::try_from(label.len()).map_err(|_| refuse(Code::BadForm))?);
        wire.extend(*label);
    }
    wire.push(0);
    if wire.len() > NAME_MAX {
        return Err(refuse(Code::BadForm));
    }
    wire.extend(u16::from(question.type_).to_be_bytes());
    wire.extend(1_u16.to_be_bytes());
    let flags = packet.flags().bits() & KEPT_FLAGS;
    Ok(Query { id, name: show(&labels), question: wire, flags, extended: read_extended(&packet, rest) })
}

const KEPT_FLAGS: u16 = 0x0130;

/// A name as it is compared and told.
pub(super) fn show(labels: &[&[u8]]) -> String {
    let letter = |byte: &u8| match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => char::from(*byte),
        b'A'..=b'Z' => char::from(byte.to_ascii_lowercase()),
        _ => '?',
    };
    let names: Vec<String> = labels.iter().map(|label| label.iter().map(letter).collect()).collect();
    names.join(".")
}

/// The record of the asker's abilities, which stands first and alone in what nearly all askers write.
fn read_extended(packet: &DnsPacket<&[u8]>, rest: &[u8]) -> Option<(u16, bool)> {
    let is_alone = packet.answer_record_count() == 0 && packet.authority_record_count() == 0;
    let (fields, _) = rest.split_first_chunk::<11>()?;
    let [0, k1, k2, s1, s2, _, _, f1, _, _, _] = *fields else { return None };
    let is_it = is_alone && packet.additional_record_count() > 0 && u16::from_be_bytes([k1, k2]) == OPT;
    is_it.then_some((u16::from_be_bytes([s1, s2]), f1 & 0x80 != 0))
}

fn header(id: u16, flags: u16, code: Code, questions: u16) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..2].copy_from_slice(&id.to_be_bytes());
    // A response, of a server that asks others.
    header[2..4].copy_from_slice(&(0x8080 | flags & 0x0110 | code as u16).to_be_bytes());
    header[4..6].copy_from_slice(&questions.to_be_bytes());
    header
}

impl Query {
    /// The question for a server.
    pub(super) fn forward(&self, id: u16) -> Vec<u8> {
        let mut message = vec![0; HEADER];
        message[..2].copy_from_slice(&id.to_be_bytes());
        message[2..4].copy_from_slice(&self.flags.to_be_bytes());
        message[5] = 1;
        message.extend(&self.question);
        if let Some((_, wants_signatures)) = self.extended {
            message[11] = 1;
            message.extend(extended(wants_signatures, &[]));
        }
        message
    }

    /// An answer without a record.
    pub(super) fn fail(&self, code: Code) -> Vec<u8> {
        let mut message = header(self.id, self.flags, code, 1).to_vec();
        message.extend(&self.question);
        message
    }

    /// The answer to a name that is blocked: there is none, at once and for good, with the reason for who can read it.
    pub(super) fn block(&self) -> Vec<u8> {
        let mut message = self.fail(Code::NoName);
        if let Some((_, wants_signatures)) = self.extended {
            let mut option = BLOCKED_CODE.to_be_bytes().to_vec();
            option.splice(0..0, [0, 15, 0, u8::try_from(2 + BLOCKED_WORDS.len()).unwrap_or_default()]);
            option.extend(BLOCKED_WORDS);
            message[11] = 1;
            message.extend(extended(wants_signatures, &option));
        }
        message
    }

    /// The name without the labels of a service before it (RFC 2782).
    pub(super) fn host(&self) -> &str {
        let mut name = self.name.as_str();
        while let Some((_, rest)) = name.split_once('.').filter(|_| name.starts_with('_')) {
            name = rest;
        }
        name
    }

    /// Whether it asks who has an address.
    pub(super) fn is_backwards(&self) -> bool {
        self.name == "arpa" || self.name.ends_with(".arpa")
    }

    /// The server's answer as the asker may have it in a datagram: where it is too long, only that it is.
    pub(super) fn fit(&self, answer: Vec<u8>) -> Vec<u8> {
        let limit = self.extended.map_or(PLAIN_MAX, |(size, _)| PLAIN_MAX.max(size.into()));
        if answer.len() <= limit {
            return answer;
        }
        let mut message = self.fail(Code::NoName);
        // No error, and truncated.
        message[2] |= 0x02;
        message[3] &= 0xf0;
        message
    }
}

/// The record of abilities, with its options.
fn extended(wants_signatures: bool, options: &[u8]) -> Vec<u8> {
    let mut record = vec![0];
    record.extend(OPT.to_be_bytes());
    record.extend(OUR_MAX.to_be_bytes());
    record.extend([0, 0, if wants_signatures { 0x80 } else { 0 }, 0]);
    record.extend(u16::try_from(options.len()).unwrap_or_default().to_be_bytes());
    record.extend(options);
    record
}

#[cfg(test)]
pub(in crate::net::nat) mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::reply::read_reply;
    use super::*;

    const A: u16 = 1;

    fn wire_name(name: &str) -> Vec<u8> {
        let mut wire: Vec<u8> = Vec::new();
        for label in name.split('.') {
            wire.push(u8::try_from(label.len()).unwrap());
            wire.extend(label.as_bytes());
        }
        wire.push(0);
        wire
    }

    pub(in crate::net::nat) fn ask(id: u16, name: &str, kind: u16, with_extended: bool) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[..2].copy_from_slice(&id.to_be_bytes());
        bytes[2] = 1;
        bytes[5] = 1;
        bytes.extend(wire_name(name));
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        if with_extended {
            bytes[11] = 1;
            bytes.extend(extended(true, &[]));
        }
        bytes
    }

    fn record(name: &str, kind: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = wire_name(name);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 60]);
        bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend(data);
        bytes
    }

    fn answer(question: &[u8], records: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = question.to_vec();
        bytes[2] |= 0x80;
        bytes[7] = u8::try_from(records.len()).unwrap();
        bytes.extend(records.concat());
        bytes
    }

    #[test]
    fn a_question_goes_on_with_its_name_its_type_and_nothing_else_of_the_guest() {
        let query = read_query(&ask(7, "Crates.Example", A, false)).unwrap();
        assert_eq!((query.id, query.name.as_str()), (7, "crates.example"));
        assert_eq!(query.forward(9), ask(9, "Crates.Example", A, false));
        let mut long = ask(7, "a.example", A, true);
        long.extend([0xff; 200]);
        let query = read_query(&long).unwrap();
        assert_eq!(query.forward(7), ask(7, "a.example", A, true));
    }

    #[test]
    fn an_answer_has_the_addresses_of_the_name_and_of_its_other_names_alone() {
        let question = ask(9, "a.example", A, false);
        let query = read_query(&ask(7, "A.example", A, false)).unwrap();
        let records = [
            record("a.example", 5, &wire_name("b.example")),
            record("b.example", 1, &[1, 2, 3, 4]),
            record("elsewhere.example", 1, &[6, 6, 6, 6]),
            record("b.example", 28, &[0x20; 16]),
        ];
        let reply = read_reply(&query, 9, &answer(&question, &records)).unwrap();
        let ttl = Duration::from_secs(60);
        let six = IpAddr::from([0x20_u8; 16]);
        assert_eq!(reply.addresses, [("1.2.3.4".parse().unwrap(), ttl), (six, ttl)]);
        assert_eq!(reply.message[..2], [0, 7]);
    }

    #[test]
    fn what_does_not_answer_the_question_is_no_answer() {
        let query = read_query(&ask(7, "a.example", A, false)).unwrap();
        let read = |id, bytes: &[u8]| read_reply(&query, id, bytes);
        assert!(read(9, &ask(9, "a.example", A, false)).is_none(), "a question");
        assert!(read(9, &answer(&ask(8, "a.example", A, false), &[])).is_none(), "another id");
        assert!(read(9, &answer(&ask(9, "b.example", A, false), &[])).is_none(), "another name");
        assert!(read(9, &answer(&ask(9, "a.example", 28, false), &[])).is_none(), "another type");
        assert!(read(9, &answer(&ask(9, "a.example", A, false), &[])).is_some());
    }

    #[test]
    fn a_blocked_name_is_said_not_to_be_there_and_why() {
        let plain = read_query(&ask(7, "a.example", A, false)).unwrap().block();
        assert_eq!((plain[3] & 0x0f, plain[11]), (3, 0));
        let told = read_query(&ask(7, "a.example", A, true)).unwrap().block();
        assert!(told[11] == 1 && told.ends_with(BLOCKED_WORDS));
        let length = usize::from(told[told.len() - BLOCKED_WORDS.len() - 3]);
        assert_eq!(length, BLOCKED_WORDS.len() + 2);
    }

    #[test]
    fn what_is_too_long_for_a_datagram_is_said_to_be() {
        let query = read_query(&ask(7, "a.example", A, false)).unwrap();
        assert_eq!(query.fit(vec![0; 512]).len(), 512);
        let cut = query.fit(vec![0; 513]);
        assert_eq!((cut[2] & 0x02, cut[3] & 0x0f), (2, 0));
        let query = read_query(&ask(7, "a.example", A, true)).unwrap();
        assert_eq!(query.fit(vec![0; 1232]).len(), 1232);
    }

    #[test]
    fn what_is_no_question_is_refused_or_not_answered() {
        assert_eq!(read_query(&[0; 5]), Err(None));
        let mut other = ask(7, "a.example", A, false);
        other[2] |= 0x80;
        assert_eq!(read_query(&other), Err(None));
        other[2] = 0x10;
        assert_eq!(read_query(&other).unwrap_err().unwrap()[3] & 0x0f, 4);
        let mut two = ask(7, "a.example", A, false);
        two[5] = 2;
        assert_eq!(read_query(&two).unwrap_err().unwrap()[3] & 0x0f, 1);
    }

    #[test]
    fn a_name_with_what_no_host_has_is_no_name_of_a_list() {
        // One label with a dot in it.
        let mut bytes = ask(7, "aXexample", A, false);
        bytes[HEADER + 2] = b'.';
        assert_eq!(read_query(&bytes).unwrap().name, "a?example");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 0_u8..4) {
            let _ = read_query(&bytes);
            let mut bytes = bytes;
            if bytes.len() > 12 {
                bytes[2] = 1;
                bytes[3] = 0;
                bytes[4..12].copy_from_slice(&[0, 1, 0, count, 0, 0, 0, count]);
            }
            if let Ok(query) = read_query(&bytes) {
                prop_assert!(query.name.len() <= NAME_MAX);
                let _ = (query.block(), query.fit(vec![0; 2000]));
                bytes[2] |= 0x80;
                let id = u16::from_be_bytes([bytes[0], bytes[1]]);
                let _ = read_reply(&query, id, &bytes);
                prop_assert!(read_query(&query.forward(1)).is_ok());
            }
        }

        #[test]
        fn hostile_records_behind_a_good_question_do_not_panic(rest in prop::collection::vec(any::<u8>(), 0..300), count: u8) {
            let query = read_query(&ask(7, "a.example", A, false)).unwrap();
            let mut bytes = answer(&ask(7, "a.example", A, false), &[]);
            bytes[7] = count;
            bytes.extend(rest);
            prop_assert!(read_reply(&query, 7, &bytes).is_some());
        }
    }
}

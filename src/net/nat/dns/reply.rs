//! What a server of names answers: whether it does, and which addresses a name has. Pure.
//!
//! Not here: what becomes of it; tests stand with those of the questions (`message`).

use std::net::IpAddr;
use std::time::Duration;

use smoltcp::wire::{DnsFlags, DnsPacket, DnsQuestion, DnsRecord, DnsRecordData};

use super::message::{Query, show};

/// Records of an answer that are looked at.
const RECORDS_MAX: u16 = 256;

/// What a server says that fails, does not know such questions, or refuses (RFC 1035, 4.1.1): others may do better.
const UNWILLING: [u8; 3] = [2, 4, 5];

/// A server's answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// It did not fit into a datagram.
    pub(super) is_cut: bool,
    /// The server says of itself that it cannot or will not answer, which another one may.
    pub(super) is_refusal: bool,
    /// Addresses of the name that was asked for, also behind other names for it, and how long they hold.
    pub(super) addresses: Vec<(IpAddr, Duration)>,
    /// All of it, for the asker.
    pub(super) message: Vec<u8>,
}

/// Reads the answer to a question that was sent on with `id`; `None` for what is none.
pub(super) fn read_reply(query: &Query, id: u16, bytes: &[u8]) -> Option<Reply> {
    let packet = DnsPacket::new_checked(bytes).ok()?;
    let is_answer = packet.flags().contains(DnsFlags::RESPONSE) && packet.transaction_id() == id;
    if !is_answer || packet.question_count() != 1 {
        return None;
    }
    let (mut rest, question) = DnsQuestion::parse(packet.payload()).ok()?;
    let name = |part: &[u8]| -> Option<String> {
        let labels: Result<Vec<&[u8]>, _> = packet.parse_name(part).collect();
        labels.ok().map(|labels| show(&labels))
    };
    let kind = u16::from(question.type_).to_be_bytes();
    if name(question.name)? != query.name || !query.question.ends_with(&[kind[0], kind[1], 0, 1]) {
        return None;
    }
    let mut names = vec![query.name.clone()];
    let mut addresses = Vec::new();
    for _ in 0..packet.answer_record_count().min(RECORDS_MAX) {
        let Ok((after, record)) = DnsRecord::parse(rest) else { break };
        rest = after;
        if !name(record.name).is_some_and(|owner| names.contains(&owner)) {
            continue;
        }
        let ttl = Duration::from_secs(record.ttl.into());
        match record.data {
            DnsRecordData::A(address) => addresses.push((IpAddr::V4(address), ttl)),
            DnsRecordData::Aaaa(address) => addresses.push((IpAddr::V6(address), ttl)),
            DnsRecordData::Cname(other) => names.extend(name(other)),
            DnsRecordData::Other(..) => {}
        }
    }
    let mut message = bytes.to_vec();
    message[..2].copy_from_slice(&query.id.to_be_bytes());
    let is_refusal = UNWILLING.contains(&(message[3] & 0x0f));
    Some(Reply { is_cut: packet.flags().contains(DnsFlags::TRUNCATED), is_refusal, addresses, message })
}

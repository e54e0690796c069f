//! The header of a vsock packet and its numbers (Virtio 1.2, 5.10.6). Bytes and fields only.

/// Length of a header on the wire.
pub(super) const HEADER_BYTES: usize = 44;

/// Largest payload that a packet may have; what Linux sends at most.
pub(super) const PAYLOAD_MAX_BYTES: usize = 64 * 1024;

/// Address of the host.
pub(super) const HOST_CID: u64 = 2;

/// Type of a stream socket, the only one that is served.
pub(super) const TYPE_STREAM: u16 = 1;

/// The sender will receive no more.
pub(super) const SHUTDOWN_RECEIVE: u32 = 1;

/// The sender will send no more.
pub(super) const SHUTDOWN_SEND: u32 = 2;

/// Both of the above.
pub(super) const SHUTDOWN_BOTH: u32 = SHUTDOWN_RECEIVE | SHUTDOWN_SEND;

/// What a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Request,
    Response,
    Reset,
    Shutdown,
    Data,
    CreditUpdate,
    CreditRequest,
    /// A number that no specification knows.
    Unknown(u16),
}

impl From<u16> for Op {
    fn from(number: u16) -> Self {
        match number {
            1 => Self::Request,
            2 => Self::Response,
            3 => Self::Reset,
            4 => Self::Shutdown,
            5 => Self::Data,
            6 => Self::CreditUpdate,
            7 => Self::CreditRequest,
            other => Self::Unknown(other),
        }
    }
}

impl From<Op> for u16 {
    fn from(op: Op) -> Self {
        match op {
            Op::Request => 1,
            Op::Response => 2,
            Op::Reset => 3,
            Op::Shutdown => 4,
            Op::Data => 5,
            Op::CreditUpdate => 6,
            Op::CreditRequest => 7,
            Op::Unknown(other) => other,
        }
    }
}

/// A packet's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) src_cid: u64,
    pub(super) dst_cid: u64,
    pub(super) src_port: u32,
    pub(super) dst_port: u32,
    /// Bytes of payload that follow.
    pub(super) len: u32,
    pub(super) kind: u16,
    pub(super) op: Op,
    pub(super) flags: u32,
    /// Size of the sender's receive buffer.
    pub(super) buf_alloc: u32,
    /// Bytes that the sender took out of its receive buffer so far, modulo 2^32.
    pub(super) fwd_cnt: u32,
}

impl Header {
    /// Reads a header; every value is possible.
    pub(super) fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Self {
        Self {
            src_cid: u64::from_le_bytes(part(bytes, 0)),
            dst_cid: u64::from_le_bytes(part(bytes, 8)),
            src_port: u32::from_le_bytes(part(bytes, 16)),
            dst_port: u32::from_le_bytes(part(bytes, 20)),
            len: u32::from_le_bytes(part(bytes, 24)),
            kind: u16::from_le_bytes(part(bytes, 28)),
            op: u16::from_le_bytes(part(bytes, 30)).into(),
            flags: u32::from_le_bytes(part(bytes, 32)),
            buf_alloc: u32::from_le_bytes(part(bytes, 36)),
            fwd_cnt: u32::from_le_bytes(part(bytes, 40)),
        }
    }

    /// The header as it goes to the guest.
    pub(super) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(&self.src_cid.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.dst_cid.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.src_port.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.dst_port.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.len.to_le_bytes());
        bytes[28..30].copy_from_slice(&self.kind.to_le_bytes());
        bytes[30..32].copy_from_slice(&u16::from(self.op).to_le_bytes());
        bytes[32..36].copy_from_slice(&self.flags.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.buf_alloc.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.fwd_cnt.to_le_bytes());
        bytes
    }

    /// The refusal that answers this packet.
    pub(super) fn reset(&self) -> Self {
        Self {
            src_cid: self.dst_cid,
            dst_cid: self.src_cid,
            src_port: self.dst_port,
            dst_port: self.src_port,
            len: 0,
            kind: self.kind,
            op: Op::Reset,
            flags: 0,
            buf_alloc: 0,
            fwd_cnt: 0,
        }
    }
}

fn part<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&bytes[at..at + N]);
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_survives_the_wire() {
        let header = Header {
            src_cid: 0x0102_0304_0506_0708,
            dst_cid: HOST_CID,
            src_port: 0x1112_1314,
            dst_port: 0x2122_2324,
            len: 5,
            kind: TYPE_STREAM,
            op: Op::Unknown(99),
            flags: SHUTDOWN_BOTH,
            buf_alloc: 0x3132_3334,
            fwd_cnt: u32::MAX,
        };
        let bytes = header.to_bytes();
        assert_eq!(bytes[..2], [8, 7]);
        assert_eq!(bytes[30..32], [99, 0]);
        assert_eq!(Header::from_bytes(&bytes), header);
    }

    #[test]
    fn every_op_keeps_its_number() {
        for number in 0..=u16::MAX {
            assert_eq!(u16::from(Op::from(number)), number);
        }
    }
}

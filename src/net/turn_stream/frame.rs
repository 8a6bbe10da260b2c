//! TURN messages on a stream: they follow each other without anything in between, and say how long they are.
//! ChannelData is padded to four bytes there (RFC 8656, 12.5), STUN always is (RFC 8489, 5). The framing of RFC 4571
//! has no part in it.

const STUN_HEADER: usize = 20;
const CHANNEL_HEADER: usize = 4;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const ALLOCATE_REQUEST: [u8; 2] = [0x00, 0x03];
const ALLOCATE_ERROR: [u8; 2] = [0x01, 0x13];
const USERNAME: u16 = 0x0006;
const ERROR_CODE: u16 = 0x0009;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;
/// What a message's first bytes must hold to know its length.
pub const HEAD: usize = 4;

/// How long a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    pub message: usize,
    /// As it stands on the stream, with its padding.
    pub padded: usize,
}

/// `None`: this is no TURN message, and where the next one begins is anybody's guess.
pub fn length(head: [u8; HEAD]) -> Option<Length> {
    let told = usize::from(u16::from_be_bytes([head[2], head[3]]));
    match head[0] >> 6 {
        0 if told.is_multiple_of(4) => {
            let message = STUN_HEADER + told;
            Some(Length { message, padded: message })
        }
        1 => {
            let message = CHANNEL_HEADER + told;
            Some(Length { message, padded: message.next_multiple_of(4) })
        }
        _ => None,
    }
}

/// Appends a datagram as it stands on the stream; `false`, and nothing, if it is not one whole message.
pub fn write(datagram: &[u8], stream: &mut Vec<u8>) -> bool {
    let Some(length) = datagram.first_chunk().and_then(|head| length(*head)) else { return false };
    // Some pad ChannelData in datagrams too, where it is allowed and not needed.
    if datagram.len() != length.message && datagram.len() != length.padded {
        return false;
    }
    let start = stream.len();
    stream.extend_from_slice(datagram);
    stream.resize(start + length.padded, 0);
    true
}

/// Of a STUN request.
pub type Transaction = [u8; 12];

/// The transaction of a STUN request; `None` for everything else.
pub fn request(datagram: &[u8]) -> Option<Transaction> {
    let header = datagram.first_chunk::<STUN_HEADER>()?;
    // The two bits of the class (RFC 8489, 5) are zero in a request.
    let is_request = header[0] & 0b1100_0001 == 0 && header[1] & 0b0001_0000 == 0;
    (is_request && header[4..8] == MAGIC_COOKIE).then(|| std::array::from_fn(|at| header[8 + at]))
}

/// The answer of a server that has no relay for this request; `None` if that is no Allocate.
///
/// webrtc takes no error for an answer before it was asked for its name: that is asked first.
pub fn refusal(datagram: &[u8]) -> Option<Vec<u8>> {
    let transaction = request(datagram).filter(|_| datagram[..2] == ALLOCATE_REQUEST)?;
    let mut answer = Vec::with_capacity(48);
    answer.extend_from_slice(&ALLOCATE_ERROR);
    answer.extend_from_slice(&[0, 0]);
    answer.extend_from_slice(&MAGIC_COOKIE);
    answer.extend_from_slice(&transaction);
    if has_attribute(datagram, USERNAME) {
        // 486 Allocation Quota Reached.
        push_attribute(&mut answer, ERROR_CODE, &[0, 0, 4, 86]);
    } else {
        // 401 Unauthenticated.
        push_attribute(&mut answer, ERROR_CODE, &[0, 0, 4, 1]);
        push_attribute(&mut answer, REALM, b"none");
        push_attribute(&mut answer, NONCE, b"none");
    }
    let length = (answer.len() - STUN_HEADER) as u16;
    answer[2..4].copy_from_slice(&length.to_be_bytes());
    Some(answer)
}

/// `value` is a multiple of four bytes long.
fn push_attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&(value.len() as u16).to_be_bytes());
    message.extend_from_slice(value);
}

fn has_attribute(message: &[u8], wanted: u16) -> bool {
    let mut rest = message.get(STUN_HEADER..).unwrap_or_default();
    while let Some(head) = rest.first_chunk::<4>() {
        if u16::from_be_bytes([head[0], head[1]]) == wanted {
            return true;
        }
        let length = usize::from(u16::from_be_bytes([head[2], head[3]])).next_multiple_of(4);
        rest = rest.get(4 + length..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An Allocate request with its attributes.
    fn allocate(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = [&ALLOCATE_REQUEST[..], &[0, 0], &MAGIC_COOKIE, &[7; 12]].concat();
        attributes.iter().for_each(|(kind, value)| push_attribute(&mut message, *kind, value));
        let length = (message.len() - STUN_HEADER) as u16;
        message[2..4].copy_from_slice(&length.to_be_bytes());
        message
    }

    #[test]
    fn messages_say_how_long_they_are() {
        for (head, message, padded) in [
            ([0x00, 0x03, 0, 0], 20, 20),
            ([0x01, 0x13, 0, 8], 28, 28),
            ([0x00, 0x01, 0xff, 0xfc], 65552, 65552),
            ([0x40, 0x00, 0, 0], 4, 4),
            ([0x40, 0x00, 0, 1], 5, 8),
            ([0x7f, 0xff, 0xff, 0xff], 65539, 65540),
        ] {
            assert_eq!(length(head), Some(Length { message, padded }), "{head:?}");
        }
        for head in [[0, 1, 0, 3], [0x80, 0, 0, 0], [0xff; 4]] {
            assert_eq!(length(head), None, "{head:?}");
        }
    }

    #[test]
    fn channel_data_is_padded_and_anything_else_stays_off_the_stream() {
        let mut stream = Vec::new();
        assert!(write(&[0x40, 1, 0, 1, 9], &mut stream));
        assert!(write(&[0x40, 1, 0, 1, 9, 0, 0, 0], &mut stream), "padded already");
        assert!(write(&allocate(&[]), &mut stream));
        assert_eq!(stream.len(), 8 + 8 + 20);
        assert_eq!(stream[..8], stream[8..16]);
        let before = stream.clone();
        for bad in [&[][..], &[0x40], &[0x40, 1, 0, 9, 1], &[0x16, 0xfe, 0xfd, 0], &allocate(&[])[..19]] {
            assert!(!write(bad, &mut stream), "{bad:?}");
        }
        assert_eq!(stream, before);
    }

    #[test]
    fn only_an_allocate_is_refused_and_a_name_is_asked_for_first() {
        let first = refusal(&allocate(&[])).unwrap();
        assert_eq!((first.len(), first[20 + 6], first[20 + 7]), (44, 4, 1));
        let second = refusal(&allocate(&[(REALM, b"none"), (USERNAME, b"lab0")])).unwrap();
        assert_eq!((second.len(), second[20 + 6], second[20 + 7]), (28, 4, 86));
        assert_eq!(second[8..20], [7; 12]);
        assert_eq!(refusal(&first), None, "an answer");
        assert_eq!(refusal(&[0x40, 1, 0, 0]), None);
        let mut refresh = allocate(&[]);
        refresh[1] = 4;
        assert!(request(&refresh).is_some() && refusal(&refresh).is_none());
        let cut = allocate(&[(USERNAME, b"lab0")]);
        (0..cut.len()).for_each(|end| drop(refusal(&cut[..end])));
    }
}

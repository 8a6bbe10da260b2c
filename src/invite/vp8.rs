//! The VP8 in our own descriptions: a full code names it behind H264, for programs and browsers that have no H264. A
//! compact code does not, and loses nothing by it: whoever reads one has H264, or puts these lines in by itself.

/// Payload types of VP8 and of its retransmissions.
pub const PAYLOAD_TYPES: (u8, u8) = (96, 97);
const FEEDBACK: [&str; 4] = ["nack", "nack pli", "ccm fir", "transport-cc"];

/// A description of the template with VP8 in it; the same again where there is no place for it.
pub fn add(sdp: &str) -> String {
    let (vp8, repair) = PAYLOAD_TYPES;
    let mut in_video = false;
    let mut text = String::with_capacity(sdp.len() + 512);
    for line in sdp.lines() {
        if line.starts_with("m=") {
            in_video = line.starts_with("m=video ");
        }
        // The formats stand before the header extension.
        if in_video && line.starts_with("a=extmap:") {
            text += &format!("a=rtpmap:{vp8} VP8/90000\r\n");
            text.extend(FEEDBACK.map(|kind| format!("a=rtcp-fb:{vp8} {kind}\r\n")));
            text += &format!("a=rtpmap:{repair} rtx/90000\r\na=fmtp:{repair} apt={vp8}\r\n");
            text.extend(FEEDBACK.map(|kind| format!("a=rtcp-fb:{repair} {kind}\r\n")));
        }
        text += line;
        if line.starts_with("m=video ") {
            text += &format!(" {vp8} {repair}");
        }
        text += "\r\n";
    }
    text
}

//! ICE servers from `Link` fields (RFC 9725, 4.6; RFC 8288): `<turn:host?transport=udp>; rel="ice-server";
//! username="ann"; credential="secret"; credential-type="password"`.

use crate::settings::IceServer;

/// More are not asked in any case.
const MAX_SERVERS: usize = 8;
/// A longer field is not read to its end.
const MAX_FIELD: usize = 8 * 1024;

/// The ICE servers in the `Link` fields of an answer, in their order.
pub fn ice_servers<'a>(fields: impl Iterator<Item = &'a str>) -> Vec<IceServer> {
    let mut servers = Vec::new();
    for field in fields.filter(|field| field.len() <= MAX_FIELD) {
        let mut rest = field;
        while servers.len() < MAX_SERVERS
            && let Some((link, after)) = next_link(rest)
        {
            rest = after;
            if link.is_ice_server() {
                servers.push(IceServer {
                    url: link.target.into(),
                    user: link.parameter("username").unwrap_or_default(),
                    password: link.parameter("credential").unwrap_or_default(),
                });
            }
        }
    }
    servers
}

struct Link<'a> {
    target: &'a str,
    parameters: Vec<(&'a str, String)>,
}

impl Link<'_> {
    fn parameter(&self, name: &str) -> Option<String> {
        let mut found = self.parameters.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.clone())
    }

    fn is_ice_server(&self) -> bool {
        let relations = self.parameter("rel").unwrap_or_default();
        let is_of_ice = ["stun:", "turn:", "turns:"].iter().any(|scheme| {
            self.target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        });
        // Credentials of another kind (OAuth) are of no use here.
        let kind = self.parameter("credential-type").unwrap_or_else(|| "password".into());
        is_of_ice
            && kind == "password"
            && relations.split(' ').any(|rel| rel.eq_ignore_ascii_case("ice-server"))
    }
}

/// The first link of a list, and what follows it.
fn next_link(text: &str) -> Option<(Link<'_>, &str)> {
    let (target, mut rest) = text.split_once('<')?.1.split_once('>')?;
    let mut parameters = Vec::new();
    loop {
        rest = rest.trim_start();
        let Some(after) = rest.strip_prefix(';') else { break };
        let after = after.trim_start();
        let end = after.find(['=', ';', ',']).unwrap_or(after.len());
        let name = after[..end].trim();
        let (value, after) = match after[end..].strip_prefix('=') {
            Some(after) => value(after.trim_start()),
            None => (String::new(), &after[end..]),
        };
        parameters.push((name, value));
        rest = after;
    }
    // Whatever else stands there belongs to nothing.
    let rest = rest.split_once(',').map_or("", |(_, rest)| rest);
    Some((Link { target: target.trim(), parameters }, rest))
}

/// A token or a quoted string, and what follows it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        return (text[..end].trim().into(), &text[end..]);
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            letter => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_the_rfc_writes_them() {
        let fields = [
            r#"<stun:stun.example.net>; rel="ice-server""#,
            r#"<turn:turn.example.net?transport=udp>; rel="ice-server"; username="user"; credential="my\"Password,;"; credential-type="password", <turns:turn.example.net>;rel=ice-server;username=u;credential=p"#,
            r#"<https://example.net/layer>; rel="urn:ietf:params:whep:ext:core:layer", <turn:other>; rel="next""#,
            r#"<turn:oauth.example.net>; rel="ice-server"; credential-type="oauth"; username="x""#,
        ];
        let server = |url: &str, user: &str, password: &str| IceServer {
            url: url.into(),
            user: user.into(),
            password: password.into(),
        };
        assert_eq!(
            ice_servers(fields.into_iter()),
            [
                server("stun:stun.example.net", "", ""),
                server("turn:turn.example.net?transport=udp", "user", "my\"Password,;"),
                server("turns:turn.example.net", "u", "p"),
            ]
        );
    }

    #[test]
    fn whatever_a_server_sends_is_survived_and_limited() {
        for field in ["", "<", "<>", "<stun:x", "<stun:x>;", "<stun:x>;;;=\"", ">;<", "<é>;é=\"é\\", ",,,<,>"]
        {
            assert_eq!(ice_servers([field].into_iter()), [], "{field}");
        }
        let many = r#"<stun:x>;rel="ice-server","#.repeat(100);
        assert_eq!(ice_servers([many.as_str()].into_iter()).len(), MAX_SERVERS);
        let long = r#"<stun:x>;rel="ice-server","#.repeat(10_000);
        assert_eq!(ice_servers([long.as_str()].into_iter()), []);
    }
}

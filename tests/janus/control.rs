//! What whoever runs two servers asks of them, so that a room cascades from one to the other: as the README says it.

use crate::server::Janus;
use crate::support::wait_for;
use serde_json::{Value, json};
use std::time::Duration;
use twocan::net::{SocketEvent, WebSocket};
use twocan::server::Target;
use twocan::units::Redacted;

const PATIENCE: Duration = Duration::from_secs(20);

/// A handle of the room plugin.
struct Control {
    socket: WebSocket,
    session: u64,
    handle: u64,
    transactions: u64,
}

impl Control {
    async fn open(janus: &Janus) -> Self {
        let target = Target { secure: false, host: "127.0.0.1".into(), port: janus.port };
        let url = format!("ws://127.0.0.1:{}/", janus.port);
        let socket = WebSocket::open(&target, &url, "janus-protocol", &[]).await.unwrap();
        let mut control = Self { socket, session: 0, handle: 0, transactions: 0 };
        control.session = control.ask(json!({"janus": "create"})).await["data"]["id"].as_u64().unwrap();
        let attach = json!({"janus": "attach", "plugin": "janus.plugin.videoroom"});
        control.handle = control.ask(attach).await["data"]["id"].as_u64().unwrap();
        control
    }

    async fn ask(&mut self, mut request: Value) -> Value {
        self.transactions += 1;
        let transaction = format!("c{}", self.transactions);
        request["transaction"] = transaction.clone().into();
        for (name, number) in [("session_id", self.session), ("handle_id", self.handle)] {
            if number != 0 {
                request[name] = number.into();
            }
        }
        assert!(self.socket.send(Redacted(request.to_string())));
        loop {
            let Some(SocketEvent::Text(text)) = self.socket.next().await else {
                panic!("the server is gone")
            };
            let answer: Value = serde_json::from_str(&text.0).unwrap();
            if answer["transaction"] == transaction.as_str() {
                return answer;
            }
        }
    }

    /// One of the requests that the plugin answers at once.
    async fn room(&mut self, body: Value) -> Value {
        let mut answer = self.ask(json!({"janus": "message", "body": body})).await;
        let data = answer["plugindata"]["data"].take();
        assert!(data.get("error_code").is_none(), "{body}: {data}");
        data
    }
}

/// The member of this name, who sends to `first`, is in the room of `second` too from now on.
pub fn cascade(first: &Janus, second: &Janus, room: u32, name: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (mut from, mut to) =
        runtime.block_on(async { (Control::open(first).await, Control::open(second).await) });
    let id = wait_for("somebody who sends", PATIENCE, || {
        let list = json!({"request": "listparticipants", "room": room});
        let listed = runtime.block_on(from.room(list));
        let people = listed["participants"].as_array()?;
        people.iter().find(|one| one["display"] == name && one["publisher"] == true)?["id"].as_u64()
    });
    runtime.block_on(async {
        let streams = json!([
            {"type": "audio", "mindex": 0, "mid": "0", "codec": "opus"},
            {"type": "video", "mindex": 1, "mid": "1", "codec": "h264"},
        ]);
        let add =
            json!({"request": "add_remote_publisher", "room": room, "display": name, "streams": streams});
        let added = to.room(add).await;
        let publish = json!({
            "request": "publish_remotely", "room": room, "publisher_id": id, "remote_id": "second",
            "host": "127.0.0.1", "port": added["port"], "rtcp_port": added["rtcp_port"],
        });
        from.room(publish).await;
    });
}

//! A browser driven as a person drives it, over the Chrome DevTools Protocol: pages are opened, things pressed and read,
//! pictures taken. JSON over one WebSocket for each page (RFC 6455), which this file speaks as far as it is needed.

use crate::support::{Running, Scratch, wait_for};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// For a browser that starts on a busy machine, and for one answer of it.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest answer is a picture.
const MAX_MESSAGE: u64 = 64 << 20;

pub struct Browser {
    _running: Running,
    port: u16,
}

impl Browser {
    /// `profile` names a folder of its own, so that two browsers share nothing.
    pub fn start(program: &PathBuf, scratch: &Scratch, profile: &str, more: &[&str]) -> Self {
        let folder = scratch.join(profile);
        let mut command = Command::new(program);
        super::browser_options(&mut command)
            .arg("--remote-debugging-port=0")
            .args(more)
            .arg(format!("--user-data-dir={}", folder.display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(scratch.join("browser.log")).expect("the folder is ours"));
        let running = Running::start(&mut command);
        let port = wait_for("port of the browser", PATIENCE, || {
            let text = fs::read_to_string(folder.join("DevToolsActivePort")).ok()?;
            text.lines().next()?.parse().ok()
        });
        Self { _running: running, port }
    }

    /// Opens an address in a page of this size, which counts as the one in front.
    pub fn open(&self, address: &str, (width, height): (u32, u32), is_phone: bool) -> Page {
        let request = format!("PUT /json/new?about:blank HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", self.port);
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the browser listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is a socket");
        stream.write_all(request.as_bytes()).expect("the browser reads");
        let answer: Value = serde_json::from_slice(&body(&mut stream)).expect("the answer is JSON");
        let target = answer["webSocketDebuggerUrl"].as_str().expect("the page has a socket");
        let path = target.split_once(&format!(":{}", self.port)).expect("it is ours").1;
        let mut page = Page::connect(self.port, path);
        page.call("Runtime.enable", json!({}));
        page.call("Page.enable", json!({}));
        let size = json!({"width": width, "height": height, "deviceScaleFactor": if is_phone { 2 } else { 1 }, "mobile": is_phone});
        page.call("Emulation.setDeviceMetricsOverride", size);
        page.call("Emulation.setFocusEmulationEnabled", json!({"enabled": true}));
        page.call("Page.navigate", json!({"url": address}));
        page.wait("document.readyState === 'complete' && typeof app === 'object'");
        page
    }
}

/// The body of an HTTP answer with a length.
fn body(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the answer is whole");
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.expect("the answer has a length")];
    stream.read_exact(&mut body).expect("the answer is whole");
    body
}

pub struct Page {
    stream: TcpStream,
    calls: u64,
    /// What went wrong in the page's own script.
    pub errors: Vec<String>,
}

impl Page {
    fn connect(port: u16, path: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the browser listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is a socket");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dHdvY2FuIGFuZCBhIHN0cg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("the browser reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("the browser answers");
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "the browser refused the socket");
        Self { stream, calls: 0, errors: Vec::new() }
    }

    /// One call of the protocol; what the page tells meanwhile is looked through for errors.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        self.send(&json!({"id": id, "method": method, "params": parameters}).to_string());
        loop {
            let message: Value = serde_json::from_slice(&self.receive()).expect("messages are JSON");
            if message["id"] == id {
                assert!(message.get("error").is_none(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            if message["method"] == "Runtime.exceptionThrown" {
                self.errors.push(message["params"]["exceptionDetails"].to_string());
            }
        }
    }

    /// The value of an expression in the page, as if a person had just pressed something; promises are waited for.
    pub fn ask(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true});
        let answer = self.call("Runtime.evaluate", parameters);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    pub fn text(&mut self, expression: &str) -> String {
        self.ask(expression).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression, or what it promises, is true.
    pub fn wait(&mut self, expression: &str) {
        let wrapped = format!("(async () => Boolean(await ({expression})))()");
        wait_for(expression, PATIENCE, || (self.ask(&wrapped) == Value::Bool(true)).then_some(()));
    }

    /// Presses what has this id, in its middle, as a pointer does: what lies over it would be pressed instead.
    pub fn press(&mut self, id: &str) {
        self.wait(&format!("document.getElementById('{id}').checkVisibility()"));
        let place = format!(
            "(() => {{ const e = document.getElementById('{id}'); e.scrollIntoView({{block: 'center'}}); \
             const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }})()"
        );
        let place = self.ask(&place);
        for kind in ["mousePressed", "mouseReleased"] {
            let event =
                json!({"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Puts a text into a field as a paste does.
    pub fn fill(&mut self, id: &str, text: &str) {
        self.wait(&format!("document.getElementById('{id}').checkVisibility()"));
        self.ask(&format!("document.getElementById('{id}').focus()"));
        self.call("Input.insertText", json!({"text": text}));
    }

    /// Keeps what the page shows as a picture, where `TWOCAN_LOOK` names a folder for it.
    pub fn look(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("TWOCAN_LOOK") else { return };
        let answer = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let picture =
            STANDARD.decode(answer["data"].as_str().expect("it is a picture")).expect("it is base64");
        fs::create_dir_all(&folder).expect("the folder can be made");
        fs::write(Path::new(&folder).join(format!("{name}.png")), picture)
            .expect("the folder can be written");
    }

    /// A text message; what a client sends is masked (RFC 6455, section 5.3).
    fn send(&mut self, text: &str) {
        const MASK: [u8; 4] = [0x74, 0x77, 0x6f, 0x63];
        let mut frame = vec![0x81];
        match text.len() {
            length @ 0..=125 => frame.push(0x80 | length as u8),
            length @ 126..=0xffff => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&MASK);
        frame.extend(text.bytes().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.stream.write_all(&frame).expect("the browser reads");
    }

    /// The next message, put together from its frames.
    fn receive(&mut self) -> Vec<u8> {
        let mut message = Vec::new();
        loop {
            let [head, length] = self.take::<2>();
            let length = match length & 0x7f {
                126 => u64::from(u16::from_be_bytes(self.take())),
                127 => u64::from_be_bytes(self.take()),
                length => u64::from(length),
            };
            assert!(length <= MAX_MESSAGE, "the message is too long");
            let mut payload = vec![0; length as usize];
            self.stream.read_exact(&mut payload).expect("the browser answers in time");
            // Text, or the rest of one; pings and the like are passed over.
            if head & 0x0f <= 1 {
                message.extend_from_slice(&payload);
                if head & 0x80 != 0 {
                    return message;
                }
            }
        }
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).expect("the browser answers in time");
        bytes
    }
}

//! A Janus of the test's own (Debian's package). Its WebSockets are on the loopback interface only; for media Janus
//! passes that interface by, whatever its settings say, and takes the others.

use crate::certificates::certificates;
use crate::support::{Running, Scratch, find_program, wait_for};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
pub const PIN: &str = "4321";
/// H.264, with a PIN.
pub const GUARDED: u32 = 1234;
/// H.264, open to all.
pub const OPEN: u32 = 1235;
/// Only VP8.
pub const VP8: u32 = 1236;
pub const MISSING: u32 = 9999;

pub struct Janus {
    running: Option<Running>,
    program: PathBuf,
    folder: PathBuf,
    pub port: u16,
    pub tls_port: u16,
    /// Vouches for the server's certificate.
    pub authority: PathBuf,
}

impl Janus {
    /// `None`: it is not installed.
    pub fn start(scratch: &Scratch) -> Option<Self> {
        let program = find_program(&["janus", "/usr/bin/janus"])?;
        let [plugins, transports] = ["plugins", "transports"].map(folder_of);
        let folder = scratch.join("janus");
        std::fs::create_dir_all(&folder).unwrap();
        let (port, tls_port) = (free_port(), free_port());
        let (authority, certificate, key) =
            (folder.join("authority.pem"), folder.join("cert.pem"), folder.join("key.pem"));
        let (ca, signed, signed_key) = certificates();
        std::fs::write(&authority, ca).unwrap();
        std::fs::write(&certificate, signed).unwrap();
        std::fs::write(&key, signed_key).unwrap();
        let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
        write(
            "janus.jcfg",
            format!(
                "general: {{ configs_folder = {folder:?} plugins_folder = {:?} transports_folder = {:?} \
                 debug_level = 3 }}\nmedia: {{ ipv6 = false }}\n\
                 plugins: {{ disable = \"{}\" }}\ntransports: {{ disable = \"{}\" }}\n\
                 loggers: {{ disable = \"libjanus_jsonlog.so\" }}\n",
                plugins.as_deref()?,
                transports.as_deref()?,
                others(plugins.as_deref()?, "libjanus_videoroom.so"),
                others(transports.as_deref()?, "libjanus_websockets.so"),
            ),
        );
        write(
            "janus.transport.websockets.jcfg",
            format!(
                "general: {{ json = \"plain\" ws = true ws_port = {port} ws_ip = \"127.0.0.1\" wss = true \
                 wss_port = {tls_port} wss_ip = \"127.0.0.1\" }}\n\
                 admin: {{ admin_ws = false admin_wss = false }}\n\
                 certificates: {{ cert_pem = {certificate:?} cert_key = {key:?} }}\n"
            ),
        );
        let room = |id: u32, rest: &str| {
            format!("room-{id}: {{ publishers = 12 bitrate = 2000000 audiocodec = \"opus\" {rest} }}\n")
        };
        let h264 = "videocodec = \"h264\" h264_profile = \"42e01f\"";
        let rooms = [
            room(GUARDED, &format!("{h264} pin = \"{PIN}\"")),
            room(OPEN, h264),
            room(VP8, "videocodec = \"vp8\""),
        ];
        write("janus.plugin.videoroom.jcfg", rooms.concat());
        let mut janus = Self { running: None, program, folder, port, tls_port, authority };
        janus.start_again();
        Some(janus)
    }

    pub fn start_again(&mut self) {
        let mut command = Command::new(&self.program);
        command.arg("-F").arg(&self.folder).arg("-C").arg(self.folder.join("janus.jcfg"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.running = Some(Running::start(&mut command));
        for port in [self.port, self.tls_port] {
            wait_for("Janus", PATIENCE, || TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(()));
        }
    }

    pub fn kill(&mut self) {
        self.running = None;
    }

    pub fn address(&self, room: u32) -> String {
        format!("janus:ws://127.0.0.1:{}/{room}", self.port)
    }
}

/// Where the package keeps such parts of Janus.
fn folder_of(kind: &str) -> Option<PathBuf> {
    let libraries = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let roots = libraries.chain([PathBuf::from("/usr/lib"), PathBuf::from("/usr/lib64")]);
    roots.map(|root| root.join("janus").join(kind)).find(|folder| folder.is_dir())
}

/// The names of the parts besides the one that is needed.
fn others(folder: &Path, needed: &str) -> String {
    let names = std::fs::read_dir(folder).unwrap().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let names: Vec<String> = names.filter(|name| name.ends_with(".so") && name != needed).collect();
    names.join(",")
}

fn free_port() -> u16 {
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

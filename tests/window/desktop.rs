//! A desktop of its own for one test: X server, window manager, session bus with accessibility switched on; hands
//! (xdotool), eyes (import), a clipboard (xclip) and a screen reader to work it with. Everything ends with the test.

use crate::support::{Lines, Running, Scratch, find_program, skip, wait_for};
use image::RgbImage;
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

/// Room for two windows side by side.
const SCREEN: &str = "1960x860x24";
const WINDOW: (u32, u32) = (960, 720);
/// For a program of the desktop to start.
const START: Duration = Duration::from_secs(30);
/// For a change to show, on a machine that paints in software and does other work too.
pub const PATIENCE: Duration = Duration::from_secs(30);

const TOOLS: &[&str] =
    &["Xvfb", "openbox", "dbus-daemon", "gdbus", "xdotool", "xclip", "import", "/usr/bin/python3"];
const ACCESSIBILITY_BUS: &[&str] = &[
    "/usr/libexec/at-spi-bus-launcher",
    "/usr/lib/at-spi2-core/at-spi-bus-launcher",
    "/usr/lib/at-spi-bus-launcher",
];

/// Something a window shows, as a screen reader finds it.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
pub struct Item {
    pub role: String,
    pub name: String,
    pub text: String,
    pub x: i32,
    pub y: i32,
    pub width: i32,
    pub height: i32,
}

pub struct Desktop {
    environment: Vec<(String, String)>,
    reader: Option<Mutex<(Running, Lines)>>,
    /// Ended from the last started to the first.
    running: Vec<Running>,
    pub scratch: Scratch,
}

impl Drop for Desktop {
    fn drop(&mut self) {
        self.reader = None;
        // With everything they have started themselves: the accessibility bus has a daemon of its own.
        while let Some(program) = self.running.pop() {
            let group = format!("-{}", program.child.id());
            let _ = Command::new("kill").args(["-TERM", "--", &group]).stderr(Stdio::null()).status();
        }
    }
}

impl Desktop {
    /// `None`, with a loud line, where a tool is missing.
    pub fn start(scratch: Scratch) -> Option<Self> {
        let accessibility_bus = find_program(ACCESSIBILITY_BUS);
        let mut missing: Vec<&str> =
            TOOLS.iter().copied().filter(|tool| find_program(&[tool]).is_none()).collect();
        let python = |code: &str| {
            let mut python = Command::new("/usr/bin/python3");
            python.args(["-c", code]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        if accessibility_bus.is_none() {
            missing.push("at-spi2-core");
        }
        if !python("import pyatspi") {
            missing.push("python3-pyatspi");
        }
        if !missing.is_empty() {
            skip(&format!("no window was opened; missing: {}", missing.join(", ")));
            return None;
        }

        let mut desktop = Self { environment: Vec::new(), reader: None, running: Vec::new(), scratch };
        let run_time = desktop.scratch.join("run");
        fs::create_dir_all(&run_time).expect("the folder is ours");
        desktop.set("XDG_RUNTIME_DIR", run_time.display());
        desktop.set("XDG_CONFIG_HOME", desktop.scratch.join("config").display());
        desktop.set("NO_AT_BRIDGE", 0);

        // It takes a free display and prints which.
        let display = desktop.serve("Xvfb", &["-displayfd", "1", "-screen", "0", SCREEN, "-nolisten", "tcp"]);
        desktop.set("DISPLAY", format!(":{display}"));
        let bus = desktop.serve("dbus-daemon", &["--session", "--nofork", "--print-address=1"]);
        desktop.set("DBUS_SESSION_BUS_ADDRESS", bus);
        // Without a window manager no window has the focus.
        desktop.start_program(Command::new("openbox").arg("--sm-disable"));
        wait_for("window manager", START, || {
            let asked = desktop.command("xdotool").arg("get_num_desktops").stdout(Stdio::null()).status();
            asked.is_ok_and(|status| status.success()).then_some(())
        });
        desktop.start_program(
            Command::new(accessibility_bus.expect("looked for above")).arg("--launch-immediately"),
        );
        wait_for("accessibility bus", START, || desktop.switch_on_accessibility().then_some(()));

        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/window/reader.py");
        let mut command = desktop.command("/usr/bin/python3");
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut reader = Running::start(&mut command);
        let lines = reader.lines();
        desktop.reader = Some(Mutex::new((reader, lines)));
        Some(desktop)
    }

    fn set(&mut self, name: &str, value: impl std::fmt::Display) {
        self.environment.push((name.into(), value.to_string()));
    }

    /// A command that runs on this desktop; what it complains of goes into a log.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        self.settle_in(&mut command);
        command
    }

    fn settle_in(&self, command: &mut Command) {
        let name =
            Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = File::options().create(true).append(true).open(self.scratch.join(&format!("{name}.log")));
        command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env_remove("WAYLAND_DISPLAY")
            .stdin(Stdio::null())
            .stderr(log.expect("the folder is ours"));
    }

    fn start_program(&mut self, command: &mut Command) {
        self.settle_in(command);
        command.process_group(0);
        self.running.push(Running::start(command.stdout(Stdio::null())));
    }

    /// Starts a server and gives the first line it prints: where it is.
    fn serve(&mut self, program: &str, arguments: &[&str]) -> String {
        let mut command = self.command(program);
        command.args(arguments).stdout(Stdio::piped()).process_group(0);
        let mut server = Running::start(&mut command);
        let line = server.lines().next(START);
        self.running.push(server);
        line
    }

    /// Programs build their tree only when somebody reads.
    fn switch_on_accessibility(&self) -> bool {
        let mut command = self.command("gdbus");
        command.args(["call", "--session", "--dest", "org.a11y.Bus", "--object-path", "/org/a11y/bus"]);
        command.args([
            "--method",
            "org.freedesktop.DBus.Properties.Set",
            "org.a11y.Status",
            "IsEnabled",
            "<true>",
        ]);
        command.stdout(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    /// Runs a tool to its end and gives what it prints.
    fn run(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        // xdotool waits for ever for a window that does not come to the front.
        let output = self.command("timeout").arg("20").arg(program).args(arguments).output();
        let output = output.unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        let log = || fs::read_to_string(self.scratch.join("timeout.log")).unwrap_or_default();
        assert!(output.status.success(), "{program} {arguments:?}: {}, {}", output.status, log());
        output.stdout
    }

    /// Starts the program and waits for its window, which it puts at `left`.
    pub fn open(&self, name: &str, arguments: &[&str], left: u32) -> Window<'_> {
        let mut command = self.command(env!("CARGO_BIN_EXE_twocan"));
        let settings = self.scratch.join(&format!("{name}.json"));
        fs::write(&settings, format!(r#"{{"name":"{name}"}}"#)).expect("the folder is ours");
        let log = File::create(self.scratch.join(&format!("{name}.log"))).expect("the folder is ours");
        command.args(arguments).env("TWOCAN_CONFIG", settings).stdout(Stdio::null()).stderr(log);
        let running = Running::start(&mut command);
        let pid = running.child.id().to_string();
        let id = wait_for("window", PATIENCE, || {
            let found =
                self.command("xdotool").args(["search", "--onlyvisible", "--pid", &pid]).output().ok()?;
            String::from_utf8_lossy(&found.stdout).lines().last().map(str::to_owned)
        });
        let (width, height) = (WINDOW.0.to_string(), WINDOW.1.to_string());
        self.run("xdotool", &["windowsize", &id, &width, &height]);
        self.run("xdotool", &["windowmove", &id, &left.to_string(), "30"]);
        Window { desktop: self, running, pid, id, name: name.into() }
    }

    pub fn clipboard(&self) -> String {
        let output = self.command("xclip").args(["-selection", "clipboard", "-out"]).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    }

    pub fn set_clipboard(&self, text: &str) {
        let mut command = self.command("xclip");
        command.args(["-selection", "clipboard", "-in"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().expect("xclip was found");
        std::io::Write::write_all(&mut child.stdin.take().expect("stdin was piped"), text.as_bytes())
            .expect("xclip reads");
        assert!(child.wait().expect("it is our child").success());
        // What is left of it in the background may not have told the X server yet.
        wait_for("text in the clipboard", START, || (self.clipboard() == text).then_some(()));
    }

    /// What is on the screen in that place.
    pub fn picture(&self, item: &Item) -> RgbImage {
        let crop = format!("{}x{}+{}+{}", item.width, item.height, item.x, item.y);
        let png = self.run("import", &["-silent", "-window", "root", "-crop", &crop, "+repage", "png:-"]);
        image::load_from_memory(&png).expect("import wrote a picture").to_rgb8()
    }

    fn read(&self, pid: &str) -> Vec<Item> {
        let mut reader =
            self.reader.as_ref().expect("it was started").lock().expect("no test has panicked here");
        reader.0.type_line(pid);
        let answer: Value = serde_json::from_str(&reader.1.next(PATIENCE)).expect("the reader prints JSON");
        serde_json::from_value(answer).expect("the reader prints items")
    }
}

/// The program's window.
pub struct Window<'a> {
    desktop: &'a Desktop,
    running: Running,
    pid: String,
    id: String,
    name: String,
}

impl Window<'_> {
    /// The first thing shown that `is` accepts.
    pub fn wait_for(&mut self, what: &str, is: impl Fn(&Item) -> bool) -> Item {
        let (desktop, pid, name) = (self.desktop, &self.pid, &self.name);
        let running = &mut self.running;
        let mut last = Vec::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(&format!("{what} in {name}'s window"), PATIENCE, || {
                assert!(!running.has_ended(), "{name}'s window has gone");
                last = desktop.read(pid);
                last.iter().find(|item| is(item)).cloned()
            })
        }));
        found.unwrap_or_else(|panic| {
            let shown = last.iter().filter(|item| !item.name.is_empty() || !item.text.is_empty());
            for item in shown {
                eprintln!("{name} shows a {}: {:?} {:?}", item.role, item.name, item.text);
            }
            std::panic::resume_unwind(panic)
        })
    }

    /// A button by the name that a screen reader says.
    pub fn wait_for_button(&mut self, name: &str) -> Item {
        self.wait_for(name, |item| item.role.contains("button") && item.name == name)
    }

    /// A text that contains these words, wherever it stands.
    pub fn wait_for_words(&mut self, words: &str) -> Item {
        self.wait_for(words, |item| item.name.contains(words) || item.text.contains(words))
    }

    /// Whether these words stand anywhere now.
    pub fn shows(&self, words: &str) -> bool {
        self.desktop.read(&self.pid).iter().any(|item| item.name.contains(words) || item.text.contains(words))
    }

    pub fn activate(&self) {
        self.desktop.run("xdotool", &["windowactivate", "--sync", &self.id]);
    }

    /// Moves the pointer over the window: controls that have gone to rest come back.
    pub fn stir(&self) {
        self.activate();
        self.desktop.run("xdotool", &["mousemove", "--window", &self.id, "300", "300"]);
        self.desktop.run("xdotool", &["mousemove", "--window", &self.id, "310", "310"]);
    }

    /// A real click with the pointer.
    pub fn click(&mut self, name: &str) {
        self.stir();
        let item = self.wait_for_button(name);
        let (x, y) = (item.x + item.width / 2, item.y + item.height / 2);
        self.desktop.run("xdotool", &["mousemove", &x.to_string(), &y.to_string()]);
        self.desktop.run("xdotool", &["click", "1"]);
    }

    pub fn press(&self, keys: &str) {
        self.activate();
        self.desktop.run("xdotool", &["key", keys]);
    }

    /// Closes it as its own button on the frame does, and gives the exit status.
    pub fn close(mut self) -> Option<i32> {
        self.press("alt+F4");
        self.running.wait(PATIENCE).code()
    }
}

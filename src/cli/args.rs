//! The command line: what can be said, and what it means for media and network. Options stand before or after the
//! verb. The command line wins over the settings file, which a later window changes again.

mod group;

pub use group::GroupArgs;

use super::Exit;
use crate::device::{CameraChoice, DeviceKind, MicrophoneChoice, PictureRequest, SpeakerChoice};
use crate::engine::EngineSetup;
use crate::net::nat::is_turn;
use crate::net::{NetConfig, PortMapping, ServerUrl};
use crate::pipeline::MediaSetup;
use crate::server::{RoomAddress, WebAddress};
use crate::settings::{self, IceServer, Settings};
use crate::units::{Bitrate, Redacted, Resolution};
use clap::{Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

const ABOUT: &str = "Video calls with no server of their own: copy a string, paste a string, talk.

Without a verb, the window opens.";

#[derive(Debug, Parser)]
#[command(name = "twocan", version, about = ABOUT, disable_help_subcommand = true, max_term_width = 100)]
pub struct Args {
    #[command(subcommand)]
    pub verb: Option<Verb>,
    #[command(flatten)]
    pub media: MediaArgs,
    #[command(flatten)]
    pub network: NetworkArgs,
    #[command(flatten)]
    pub group: GroupArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Two windows on this machine, already in a call with each other; without a display, the call in the terminal
    Demo {
        /// One of the two windows, started by the demo itself
        #[arg(long, hide = true)]
        window: Option<DemoWindow>,
    },
    /// Print an invite on stdout, read the reply from stdin, stay in the call
    Call {
        /// How many may come in with the invite: one, or many as long as the call lasts
        #[arg(long, value_name = "one|many", hide_possible_values = true)]
        guests: Option<Guests>,
    },
    /// Take an invite, print the reply on stdout, stay in the call
    Answer {
        /// The invite; without it, it is read from stdin
        code: Option<String>,
    },
    /// Serve the page for phones and browsers in this network: print its address on stdout, stay in the call
    Page {
        /// The port to listen on; else 8443, or any that is free
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        port: Option<u16>,
    },
    /// Join a room on a Janus server: send, and receive everybody who is in it
    Room {
        /// janus:wss://host:8989/ROOM or janus:ws://host:8188/ROOM
        address: RoomAddress,
        /// Make the room if there is none
        #[arg(long)]
        create: bool,
        /// The room's PIN is in this file; or in the variable TWOCAN_PIN
        #[arg(long, value_name = "FILE")]
        pin_file: Option<PathBuf>,
        #[command(flatten)]
        token: TokenArgs,
    },
    /// Send camera and microphone to an address that speaks WHIP
    Publish {
        /// https://host/path or http://host/path
        address: WebAddress,
        #[command(flatten)]
        token: TokenArgs,
    },
    /// Play what an address that speaks WHEP sends
    Play {
        /// https://host/path or http://host/path
        address: WebAddress,
        #[command(flatten)]
        token: TokenArgs,
    },
    /// Read any code on stdin and print it again, compact
    Code {
        /// Print base64 of the JSON {type,sdp}
        #[arg(long, conflicts_with = "json")]
        full: bool,
        /// Print readable JSON
        #[arg(long)]
        json: bool,
    },
    /// List cameras, microphones, speakers and screens
    Devices {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Try camera, microphone, speaker, GPU and network, and say what will and will not connect
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// As the settings have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Guests {
    #[default]
    One,
    Many,
}

impl From<Guests> for settings::Guests {
    fn from(guests: Guests) -> Self {
        match guests {
            Guests::One => Self::One,
            Guests::Many => Self::Many,
        }
    }
}

#[derive(Clone, Debug, Default, clap::Args)]
pub struct TokenArgs {
    /// The server's token or secret is in this file; or in the variable TWOCAN_TOKEN
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoWindow {
    First,
    Second,
}

#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Media")]
pub struct MediaArgs {
    /// Camera: a name, an index, `pattern`, `none`, or a .y4m file or pipe
    #[arg(long, global = true, value_name = "NAME|INDEX|pattern|none|FILE.y4m")]
    pub camera: Option<String>,
    /// Microphone: a name, `tone`, `none`, or a .wav file
    #[arg(long, global = true, value_name = "NAME|tone|none|FILE.wav")]
    pub microphone: Option<String>,
    /// Speaker: a name, `none`, or a .wav file to write
    #[arg(long, global = true, value_name = "NAME|none|FILE.wav")]
    pub speaker: Option<String>,
    /// Write the received video to a file or pipe
    #[arg(long, global = true, value_name = "FILE.y4m")]
    pub video_out: Option<PathBuf>,
    /// Size of the picture that is sent, like 1280x720
    #[arg(long, global = true, value_name = "WIDTHxHEIGHT")]
    pub size: Option<Resolution>,
    /// Pictures per second that are sent
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=120))]
    pub fps: Option<u32>,
    /// Most bits per second that are sent, like 2500k or 2.5M
    #[arg(long, global = true, value_name = "RATE")]
    pub max_bitrate: Option<Bitrate>,
}

#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    /// stun:host:port or turn:host:port?transport=udp|tcp|tls, in place of the remembered ones (repeatable)
    #[arg(long, global = true, value_name = "URL", value_parser = ice_url)]
    pub ice_server: Vec<String>,
    /// User of the TURN server; given once it is for all, else one for each in their order
    #[arg(long, global = true, value_name = "NAME")]
    pub ice_user: Vec<String>,
    /// Password of the TURN server, in the same order
    #[arg(long, global = true, value_name = "PASSWORD")]
    pub ice_password: Vec<String>,
    /// Ask no STUN server that --ice-server does not name
    #[arg(long, global = true)]
    pub no_stun: bool,
    /// Use only this address of the machine; 127.0.0.1 only if named (repeatable)
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub bind: Vec<IpAddr>,
    /// Connect through the TURN server only, so that the other side does not see an address of this machine
    #[arg(long, global = true)]
    pub relay_only: bool,
    /// Leave this machine's own addresses out of codes; two people in one network may then not find each other
    #[arg(long, global = true)]
    pub hide_addresses: bool,
    /// Do not ask the router for a port
    #[arg(long, global = true)]
    pub no_port_mapping: bool,
}

#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// The code that is printed: compact, or full (base64 of the JSON {type,sdp})
    #[arg(long, global = true, value_name = "compact|full", hide_possible_values = true)]
    pub format: Option<Format>,
    /// The passphrase of the codes is in this file; or in the variable TWOCAN_PASSPHRASE
    #[arg(long, global = true, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Write statistics, one JSON object a second; `-` is stdout
    #[arg(long, global = true, value_name = "FILE|-")]
    pub stats: Option<PathBuf>,
    /// End the call so many seconds after it connected
    #[arg(long, global = true, value_name = "N", value_parser = seconds)]
    pub seconds: Option<Duration>,
    /// What Twocan logs on stderr: error, warn, info, debug or trace; or directives as in RUST_LOG, for libraries too
    #[arg(long, global = true, value_name = "LEVEL", value_parser = log_filter)]
    pub log: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Compact,
    Full,
}

/// `stun:host:port` and its kin, checked as far as their form goes.
fn ice_url(text: &str) -> Result<String, String> {
    ServerUrl::parse(text).map(|_| text.to_owned()).map_err(str::to_owned)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse::<f64>().ok().filter(|n| *n > 0.0 && *n <= 1e9);
    number.map(Duration::from_secs_f64).ok_or_else(|| "it is not a number of seconds".into())
}

fn log_filter(text: &str) -> Result<String, String> {
    let is_level = matches!(text, "off" | "error" | "warn" | "info" | "debug" | "trace");
    let is_directive = text.contains('=') && tracing_subscriber::EnvFilter::try_new(text).is_ok();
    if is_level || is_directive {
        Ok(text.to_owned())
    } else {
        Err("it is not one of error, warn, info, debug, trace, off".into())
    }
}

impl Args {
    /// Reads the command line. `Err`: all is said (help, version, or what is wrong), the program ends.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Exit> {
        let wrong = |sentence: String| {
            super::console::say(&format!("{sentence} `twocan --help` lists what can be said."));
            Exit::BadInput
        };
        let args = match Self::try_parse_from(arguments) {
            Ok(args) => args,
            Err(error) if error.use_stderr() => return Err(wrong(sentence(&error))),
            Err(error) => {
                super::console::print(error.render().to_string().trim_end());
                return Err(Exit::Ended);
            }
        };
        match args.contradiction() {
            None => Ok(args),
            Some(sentence) => Err(wrong(sentence)),
        }
    }

    /// What each option allows by itself but not in this company.
    fn contradiction(&self) -> Option<String> {
        let (network, output) = (&self.network, &self.output);
        let turns = network.ice_server.iter().filter(|url| is_turn(url)).count();
        let fits = |values: &[String]| values.len() <= 1 || values.len() == turns;
        if network.ice_user.len() != network.ice_password.len() {
            return Some("--ice-user and --ice-password belong together.".into());
        }
        if !network.ice_user.is_empty() && turns == 0 {
            return Some("--ice-user needs a TURN server: add --ice-server turn:host:port.".into());
        }
        if turns > 0 && (network.ice_user.is_empty() || !fits(&network.ice_user)) {
            return Some("Each TURN server needs its --ice-user and --ice-password.".into());
        }
        if output.passphrase_file.is_some() && output.format == Some(Format::Full) {
            return Some("--passphrase-file is for compact codes, not for --format full.".into());
        }
        if self.verb.is_none()
            && (output.format.is_some()
                || output.stats.is_some()
                || output.seconds.is_some()
                || output.passphrase_file.is_some())
        {
            return Some(
                "--format, --stats, --seconds and --passphrase-file are for the verbs call and answer."
                    .into(),
            );
        }
        None
    }

    /// What codes are sealed and opened with. `Err`: a sentence.
    pub fn passphrase(&self) -> Result<Option<Redacted<String>>, String> {
        let variable = std::env::var_os(super::passphrase::VARIABLE);
        super::passphrase::read(self.output.passphrase_file.as_deref(), variable)
    }

    /// What the engine starts with, from the command line and, where that is silent, from the settings.
    /// `Err`: a sentence.
    pub fn engine_setup(&self, mut settings: Settings) -> Result<EngineSetup, String> {
        if let Some(Verb::Call { guests }) = &self.verb {
            settings.guests = guests.unwrap_or_default().into();
        }
        self.group.put_into(&mut settings);
        let net = self.net(&settings)?;
        let media = self.media(&settings);
        Ok(EngineSetup { settings, media, net, wake: None })
    }

    fn media(&self, settings: &Settings) -> MediaSetup {
        let remembered = Resolution::new(settings.width, settings.height);
        let resolution = self.media.size.unwrap_or(remembered);
        MediaSetup {
            camera: self.camera(settings),
            microphone: self.microphone(settings),
            speaker: self.speaker(settings),
            picture: PictureRequest {
                resolution: if resolution.is_valid() { resolution } else { Resolution::HD },
                fps: self.media.fps.unwrap_or(settings.fps).clamp(1, 120),
            },
            max_bitrate: self.max_bitrate(settings),
            video_out: self.media.video_out.clone(),
            noise_suppression: settings.noise_suppression,
            automatic_gain: settings.automatic_gain,
        }
    }

    pub fn camera(&self, settings: &Settings) -> CameraChoice {
        let named = self.media.camera.as_ref().and_then(|text| text.parse().ok());
        named.unwrap_or_else(|| settings.camera_choice())
    }
    pub fn microphone(&self, settings: &Settings) -> MicrophoneChoice {
        let named = self.media.microphone.as_ref().and_then(|text| text.parse().ok());
        named.unwrap_or_else(|| settings.microphone_choice())
    }
    pub fn speaker(&self, settings: &Settings) -> SpeakerChoice {
        let named = self.media.speaker.as_ref().and_then(|text| text.parse().ok());
        named.unwrap_or_else(|| settings.speaker_choice())
    }

    fn max_bitrate(&self, settings: &Settings) -> Option<Bitrate> {
        self.media.max_bitrate.or(Some(Bitrate::from_kbps(settings.max_kbps.into())))
    }

    /// The devices that were asked for by name: without one of these there is no call, as a script expects.
    pub fn named_devices(&self) -> Vec<DeviceKind> {
        let named = [
            (DeviceKind::Camera, &self.media.camera),
            (DeviceKind::Microphone, &self.media.microphone),
            (DeviceKind::Speaker, &self.media.speaker),
        ];
        let is_named =
            |choice: &Option<String>| choice.as_deref().is_some_and(|text| !matches!(text, "" | "default"));
        named.into_iter().filter(|(_, choice)| is_named(choice)).map(|(kind, _)| kind).collect()
    }

    /// Servers of a kind that is named take the place of the remembered ones of that kind.
    pub fn net(&self, settings: &Settings) -> Result<NetConfig, String> {
        let network = &self.network;
        let mut named: Vec<IceServer> = network.ice_server.iter().map(|url| IceServer::stun(url)).collect();
        for (at, server) in named.iter_mut().filter(|server| is_turn(&server.url)).enumerate() {
            let of = |values: &[String]| values.get(at).or(values.first()).cloned().unwrap_or_default();
            (server.user, server.password) = (of(&network.ice_user), of(&network.ice_password));
        }
        let is_kept = |server: &&IceServer| {
            let is_replaced = named.iter().any(|named| is_turn(&named.url) == is_turn(&server.url));
            !is_replaced && (is_turn(&server.url) || !network.no_stun)
        };
        let mut ice_servers: Vec<IceServer> = settings.ice_servers.iter().filter(is_kept).cloned().collect();
        ice_servers.extend(named);
        if network.relay_only && !ice_servers.iter().any(|server| is_turn(&server.url)) {
            return Err("--relay-only needs a TURN server: add --ice-server turn:host:port.".into());
        }
        Ok(NetConfig {
            ice_servers,
            bind: network.bind.clone(),
            relay_only: network.relay_only,
            hide_addresses: network.hide_addresses || settings.hide_addresses,
            port_mapping: if settings.port_mapping && !network.no_port_mapping && network.bind.is_empty() {
                PortMapping::on()
            } else {
                PortMapping::default()
            },
            max_bitrate: self.max_bitrate(settings),
            ..NetConfig::default()
        })
    }
}

/// The first paragraph of clap's message, as one sentence.
fn sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let first: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let first = first.join(" ");
    let first = first.strip_prefix("error: ").unwrap_or(&first).trim_end_matches('.');
    let mut letters = first.chars();
    letters.next().map_or_else(String::new, |c| format!("{}{}.", c.to_uppercase(), letters.as_str()))
}

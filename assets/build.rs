//! What the build finds out about the machine: whether the H.264 encoder gets its assembly code, and the icon and
//! manifest of the Windows program.

use std::env;
use std::process::{Command, Stdio};

fn main() {
    println!("cargo:rerun-if-changed=assets/build.rs");
    println!("cargo:rustc-env=TWOCAN_NASM={}", u8::from(encoder_has_assembly()));
    if target("OS") == "windows" {
        embed_windows_resources();
    }
}

/// One of cargo's descriptions of the machine the program is built for, which need not be the one it is built on.
fn target(what: &str) -> String {
    env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default()
}

/// Without nasm, OpenH264 is built from its C++ alone and says nothing of it; the encoder then takes twice the
/// time. Only x86 has assembly code that needs nasm. `twocan doctor` repeats what is found here.
fn encoder_has_assembly() -> bool {
    for variable in ["PATH", "NASM", "OPENH264_NO_ASM"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    if !matches!(target("ARCH").as_str(), "x86" | "x86_64") {
        return true;
    }
    // The same look-up as nasm-rs makes for OpenH264.
    let nasm = env::var("NASM").unwrap_or_else(|_| "nasm".into());
    let starts = Command::new(nasm).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = starts.is_ok_and(|status| status.success()) && env::var_os("OPENH264_NO_ASM").is_none();
    if !found {
        println!(
            "cargo:warning=encoder at half speed; install nasm, then run `cargo clean -p openh264-sys2` and build again"
        );
    }
    found
}

/// Without a resource compiler (a cross build on a machine that has none) the program works all the same, with
/// the system's plain icon.
fn embed_windows_resources() {
    for file in ["assets/icons/twocan.ico", "assets/packaging/windows/twocan.manifest"] {
        println!("cargo:rerun-if-changed={file}");
    }
    let mut resource = winresource::WindowsResource::new();
    resource.set("ProductName", "Twocan");
    resource.set("FileDescription", "Twocan");
    resource.set("LegalCopyright", "MIT licence");
    resource.set_icon("assets/icons/twocan.ico");
    resource.set_manifest_file("assets/packaging/windows/twocan.manifest");
    if let Err(error) = resource.compile_for("twocan") {
        println!("cargo:warning=the program has no icon and no manifest: {error}");
    }
}

//! The clipboard behind a port. The real one lives on a thread of its own: on X11 a read waits for another program,
//! which may hang, and the window must not.
//!
//! One `arboard::Clipboard` is kept for the whole run: on X11 its owner serves what was copied.

use crate::units::Redacted;
use crossbeam_channel::{Receiver, Sender};

/// Why the clipboard is read; comes back with the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The user pressed Paste.
    Paste,
    /// The window came to the front: is there a code to offer?
    Look,
}

/// What was copied, for the confirmation; comes back when it is in the clipboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    Code,
    Full,
    Candidate(usize),
}

#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Text(Purpose, Redacted<String>),
    Copied(Copied),
    /// A whole sentence for the user. Not sent for [`Purpose::Look`].
    Failed(String),
}

/// What the window needs of a clipboard. Nothing here blocks.
pub trait Clipboard {
    fn copy(&mut self, what: Copied, text: String);
    fn read(&mut self, purpose: Purpose);
    fn poll_answer(&mut self) -> Option<Answer>;
}

enum Request {
    Copy(Copied, String),
    Read(Purpose),
}

/// The system's clipboard.
pub struct SystemClipboard {
    requests: Sender<Request>,
    answers: Receiver<Answer>,
}

impl SystemClipboard {
    /// Presses of a button; beyond it they are dropped.
    const REQUESTS: usize = 16;

    /// `wake` is called after each answer.
    pub fn start(wake: impl Fn() + Send + 'static) -> Self {
        let (requests, inbox) = crossbeam_channel::bounded(Self::REQUESTS);
        let (outbox, answers) = crossbeam_channel::bounded(Self::REQUESTS);
        let serve = move || serve(&inbox, &outbox, wake);
        if let Err(error) = std::thread::Builder::new().name("clipboard".into()).spawn(serve) {
            tracing::warn!(%error, "there is no clipboard");
        }
        Self { requests, answers }
    }
}

impl Clipboard for SystemClipboard {
    fn copy(&mut self, what: Copied, text: String) {
        let _ = self.requests.try_send(Request::Copy(what, text));
    }
    fn read(&mut self, purpose: Purpose) {
        let _ = self.requests.try_send(Request::Read(purpose));
    }
    fn poll_answer(&mut self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }
}

fn serve(requests: &Receiver<Request>, answers: &Sender<Answer>, wake: impl Fn()) {
    let mut clipboard = arboard::Clipboard::new();
    for request in requests {
        // A display that was not there at the start may be there now.
        if clipboard.is_err() {
            clipboard = arboard::Clipboard::new();
        }
        if let Some(answer) = answer(&mut clipboard, request) {
            let _ = answers.try_send(answer);
            wake();
        }
    }
}

fn answer(clipboard: &mut Result<arboard::Clipboard, arboard::Error>, request: Request) -> Option<Answer> {
    const NO_CLIPBOARD: &str =
        "The system's clipboard cannot be reached. Select the text and copy it by hand.";
    let clipboard = match (clipboard, &request) {
        (Ok(clipboard), _) => clipboard,
        (Err(_), Request::Read(Purpose::Look)) => return None,
        (Err(error), _) => {
            tracing::warn!(%error, "no clipboard");
            return Some(Answer::Failed(NO_CLIPBOARD.into()));
        }
    };
    match request {
        Request::Copy(what, text) => Some(match clipboard.set_text(text) {
            Ok(()) => Answer::Copied(what),
            Err(error) => {
                tracing::warn!(%error, "copying failed");
                Answer::Failed(NO_CLIPBOARD.into())
            }
        }),
        Request::Read(purpose) => match (clipboard.get_text(), purpose) {
            (Ok(text), _) => Some(Answer::Text(purpose, Redacted(text))),
            (Err(_), Purpose::Look) => None,
            // Nothing, or a picture: what reads the text says that there is no code.
            (Err(arboard::Error::ContentNotAvailable), _) => {
                Some(Answer::Text(purpose, Redacted(String::new())))
            }
            (Err(error), _) => {
                tracing::warn!(%error, "pasting failed");
                Some(Answer::Failed("The clipboard could not be read. Copy the code again.".into()))
            }
        },
    }
}
